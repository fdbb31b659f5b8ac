//! However many writers change one document at once, each of them gets through.

use std::sync::Arc;

use futures::future::try_join_all;
use keyloft::key::{KeyName, KeyPatch, KeyType, Metadata, NewKey, SettingsPatch, StreamName, TenantId};
use keyloft::store::StoreUrl;
use keyloft::testing::{Field, FieldType, StreamCatalog};
use keyloft::{Keystore, SystemClock};
use serde_json::json;

use crate::support::context;

const WRITERS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn as_many_nodes_as_like_may_widen_one_stream_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreUrl::Directory(directory.path().to_owned());
    let (tenant, stream) = (TenantId::default(), StreamName::parse("web").unwrap());
    let widen = |number: usize| {
        let (catalog, tenant, stream) = (StreamCatalog::new(store.open().unwrap()), tenant.clone(), stream.clone());
        let field = Field { name: format!("f{number}").into(), field_type: FieldType::Text };
        async move {
            let widen = async move { catalog.widen_by_all(&tenant, &stream, &[&[field]]).await };
            tokio::spawn(widen).await.unwrap()
        }
    };
    try_join_all((0..WRITERS).map(widen)).await.unwrap();
    let catalog = StreamCatalog::new(store.open().unwrap());
    catalog.reload(&tenant, &stream).await.unwrap();
    assert_eq!(catalog.get(&tenant, &stream).unwrap().fields().len(), WRITERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_nodes_as_like_may_change_one_key_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreUrl::Directory(directory.path().to_owned());
    let mut nodes = Vec::new();
    for _ in 0..WRITERS {
        let node = Keystore::new(store.open().unwrap(), Arc::default(), Arc::new(SystemClock));
        node.sync().await.unwrap();
        nodes.push(node);
    }
    let new = NewKey::new(KeyName::parse("k").unwrap(), KeyType::Query);
    let key = nodes[0].issue(&context(), &TenantId::default(), new).await.unwrap().key;
    let update = |(number, node): (usize, &Keystore)| {
        let (node, id) = (node.clone(), key.key_id);
        let metadata = Metadata::try_from(json!({"n": number}).as_object().unwrap().clone()).ok();
        let patch = KeyPatch::from(SettingsPatch { metadata, ..SettingsPatch::default() });
        async move {
            node.catch_up().await?;
            tokio::spawn(async move { node.update(&context(), &TenantId::default(), id, patch, None).await })
                .await
                .unwrap()
        }
    };
    try_join_all(nodes.iter().enumerate().map(update)).await.unwrap();
    nodes[0].catch_up().await.unwrap();
    assert_eq!(nodes[0].find(&TenantId::default(), key.key_id).unwrap().rev, 1 + WRITERS as u64, "each counts once");
}
