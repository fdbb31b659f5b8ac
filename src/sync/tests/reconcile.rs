//! What a pass takes in, and what it never does.

use super::{Scene, key, name, path};
use crate::documents::KeyDocument;
use crate::faults::Kind;
use crate::key::ApiKey;
use crate::layout::ObjectName;

#[tokio::test]
async fn a_pass_over_what_is_known_reads_no_document() {
    let scene = Scene::new();
    scene.fill(1_000).await;
    let node = scene.started().await;
    let (counts, gets, lists) = scene.asked(node.replica.reconcile()).await;
    let counts = counts.unwrap();
    assert_eq!((counts.keys, counts.changed, counts.removed), (1_000, 0, 0));
    assert_eq!(gets, 3, "the record of the tenant, and the end of the log before and after");
    assert_eq!(lists, 3, "keys, snapshots, nodes");
}

#[tokio::test]
async fn only_a_read_that_finds_nothing_takes_a_key_out_of_memory() {
    let scene = Scene::new();
    let keys = scene.fill(50).await;
    let node = scene.started().await;
    scene.remove(&name(&keys[0])).await;
    let hidden = [path(&name(&keys[1])), path(&name(&keys[2]))];
    scene.faults.hide(move |path| hidden.contains(path));
    let changed = ApiKey { rev: 8, ..keys[2].clone() };
    scene.put(&changed).await;
    let counts = node.replica.reconcile().await.unwrap();
    assert_eq!((counts.keys, counts.changed, counts.removed), (49, 1, 1));
    assert!(!node.has(&keys[0]) && node.has(&keys[1]) && node.has(&changed));
    scene.faults.hide(|_| true);
    let counts = node.replica.reconcile().await.unwrap();
    assert_eq!((counts.removed, node.cache.key_count()), (0, 49), "a listing that is empty proves nothing");
}

#[tokio::test]
async fn a_store_that_fails_changes_nothing() {
    let scene = Scene::new();
    let keys = scene.fill(10).await;
    let node = scene.started().await;
    scene.remove(&name(&keys[0])).await;
    scene.fail(Kind::List, "");
    assert!(node.replica.reconcile().await.is_err());
    assert_eq!(node.cache.key_count(), 10);
    scene.faults.none();
    assert_eq!(node.replica.reconcile().await.unwrap().removed, 1);
}

#[tokio::test]
async fn a_broken_document_keeps_its_key_until_the_restart() {
    let scene = Scene::new();
    let keys = scene.fill(3).await;
    let node = scene.started().await;
    scene.put_text(&name(&keys[0]), "{\"version\":1,").await;
    for _ in 0..2 {
        let counts = node.replica.reconcile().await.unwrap();
        assert_eq!((counts.unreadable, counts.removed), (1, 0));
        assert!(node.has(&keys[0]));
    }
    let after = scene.started().await;
    assert!(!after.has(&keys[0]) && after.has(&keys[1]));
    assert_eq!(after.cache.unreadable().len(), 1);
    scene.put(&keys[0]).await;
    after.replica.reconcile().await.unwrap();
    assert!(after.has(&keys[0]) && after.cache.unreadable().is_empty());
}

#[tokio::test]
async fn keys_that_share_a_digest_are_refused_in_every_pass() {
    let older = |key: &ApiKey| key.older.iter().next().unwrap().digest;
    for had_before in [false, true] {
        let scene = Scene::new();
        let keys = scene.fill(3).await;
        let shared = if had_before { older(&keys[0]) } else { keys[0].digest };
        let twins = [ApiKey { digest: shared, ..key(9) }, ApiKey { digest: shared, ..key(10) }];
        let node = scene.started().await;
        for twin in &twins {
            scene.put(twin).await;
        }
        let fresh = scene.started().await;
        for _ in 0..3 {
            node.replica.reconcile().await.unwrap();
            fresh.replica.reconcile().await.unwrap();
            for node in [&node, &fresh] {
                assert!(node.cache.find(&shared).is_none());
                assert_eq!((node.cache.key_count(), node.cache.unreadable().len()), (2, 3));
            }
        }
        for twin in &twins {
            scene.remove(&name(twin)).await;
        }
        for node in [&node, &fresh] {
            node.replica.reconcile().await.unwrap();
            assert!(node.has(&keys[0]) && node.cache.unreadable().is_empty());
        }
    }
}

#[tokio::test]
async fn a_key_that_was_put_in_place_by_other_means_is_read_again() {
    let scene = Scene::new();
    let keys = scene.fill(2).await;
    let node = scene.started().await;
    let stray = ApiKey { rev: 99, ..keys[0].clone() };
    node.cache.put_key(std::sync::Arc::new(stray));
    node.replica.reconcile().await.unwrap();
    assert!(node.has(&keys[0]), "the bucket decides");
}

#[tokio::test]
async fn many_tenants_are_looked_at_in_one_pass() {
    let scene = Scene::new();
    for number in 0..30 {
        let tenant = crate::key::TenantId::parse(&format!("t{number}")).unwrap();
        let record = serde_json::json!({"version": 1, "tenantId": tenant, "name": null, "suspended": []});
        scene.put_text(&ObjectName::Tenant { tenant: tenant.clone() }, record.to_string()).await;
        scene.put(&ApiKey { tenant, ..key(number) }).await;
    }
    let orphan = ApiKey { tenant: crate::key::TenantId::parse("nobody").unwrap(), ..key(1) };
    scene.put_text(&name(&orphan), KeyDocument::new(&orphan).to_bytes()).await;
    let node = scene.node();
    let counts = node.replica.reconcile().await.unwrap();
    assert_eq!((counts.tenants, counts.keys, counts.unreadable), (31, 30, 1));
}
