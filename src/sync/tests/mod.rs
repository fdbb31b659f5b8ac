//! Nodes over a bucket in memory that can be told to lie, and that counts what it is asked.

mod load;
mod reconcile;
mod snapshot;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::Utc;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Replica, SyncSettings};
use crate::cache::KeyCache;
use crate::clock::{Clock, SystemClock};
use crate::documents::KeyDocument;
use crate::key::{
    Actor, ApiKey, Digest, Hint, KeyId, KeyName, KeySettings, KeyState, KeyType, Label, Limits, Metadata, NewKey,
    OlderSecret, Rate, Streams, TenantId,
};
use crate::layout::ObjectName;
use crate::store::Bucket;

/// Memory that hides objects from listings, and counts.
#[derive(Debug, Default)]
struct Liar {
    inner: InMemory,
    hidden: Mutex<HashSet<Path>>,
    hides_all: std::sync::atomic::AtomicBool,
    fails: std::sync::atomic::AtomicBool,
    refuses_snapshots: std::sync::atomic::AtomicBool,
    /// Whether listings of the change log fail.
    log_fails: std::sync::atomic::AtomicBool,
    gets: AtomicUsize,
    lists: AtomicUsize,
}

impl Liar {
    fn filter(&self, found: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return futures::stream::once(async { Err(failure()) }).boxed();
        }
        let (hidden, all) = (self.hidden.lock().unwrap().clone(), self.hides_all.load(Ordering::SeqCst));
        let shown = move |meta: &ObjectMeta| !all && !hidden.contains(&meta.location);
        found.filter(move |meta| std::future::ready(meta.as_ref().is_ok_and(&shown))).boxed()
    }
}

fn failure() -> object_store::Error {
    object_store::Error::Generic { store: "liar", source: "told to fail".into() }
}

impl fmt::Display for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("liar")
    }
}

#[async_trait]
impl ObjectStore for Liar {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let snapshot = matches!(
            ObjectName::parse(relative_path::RelativePath::new(path.as_ref())),
            Some(ObjectName::Snapshot { .. })
        );
        if snapshot && self.refuses_snapshots.load(Ordering::SeqCst) {
            return Err(failure());
        }
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.filter(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.log_fails.load(Ordering::SeqCst) && offset.as_ref().starts_with(crate::layout::log().as_str()) {
            return futures::stream::once(async { Err(failure()) }).boxed();
        }
        self.filter(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A bucket, and what it counts.
struct Scene {
    store: Arc<Liar>,
    bucket: Bucket,
}

impl Scene {
    fn new() -> Self {
        let store = Arc::new(Liar::default());
        Self { bucket: Bucket::new(store.clone()), store }
    }

    /// A node that has loaded nothing yet.
    fn node(&self) -> Node {
        let cache = Arc::new(KeyCache::default());
        let clock = Arc::new(SystemClock);
        let replica = Replica::new(self.bucket.clone(), cache.clone(), clock, SyncSettings::default());
        Node { cache, replica }
    }

    /// A node that has loaded everything.
    async fn started(&self) -> Node {
        let node = self.node();
        node.replica.reconcile().await.unwrap();
        node
    }

    async fn fill(&self, count: usize) -> Vec<ApiKey> {
        let keys: Vec<_> = (0..count).map(key).collect();
        for key in &keys {
            self.put(key).await;
        }
        keys
    }

    async fn put(&self, key: &ApiKey) {
        self.put_text(&name(key), KeyDocument::new(key).to_bytes()).await;
    }

    async fn put_text(&self, name: &ObjectName, body: impl Into<PutPayload>) {
        self.store.inner.put(&path(name), body.into()).await.unwrap();
    }

    async fn remove(&self, name: &ObjectName) {
        self.store.inner.delete(&path(name)).await.unwrap();
    }

    /// What `work` asked of the store: GETs and listings.
    async fn asked<T>(&self, work: impl Future<Output = T>) -> (T, usize, usize) {
        let before = (self.store.gets.load(Ordering::SeqCst), self.store.lists.load(Ordering::SeqCst));
        let outcome = work.await;
        let after = (self.store.gets.load(Ordering::SeqCst), self.store.lists.load(Ordering::SeqCst));
        (outcome, after.0 - before.0, after.1 - before.1)
    }
}

struct Node {
    cache: Arc<KeyCache>,
    replica: Replica,
}

impl Node {
    fn has(&self, key: &ApiKey) -> bool {
        self.cache.find(&key.digest).is_some_and(|found| *found == *key)
    }
}

fn path(name: &ObjectName) -> Path {
    crate::store::types::object_path(&name.path()).unwrap()
}

fn name(key: &ApiKey) -> ObjectName {
    ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id }
}

/// A key with something in every field.
fn key(number: usize) -> ApiKey {
    let key_id = KeyId::random();
    let at = |days: i64| Some(chrono::DateTime::from_timestamp_millis(1_790_000_000_123 + days * 86_400_000).unwrap());
    let metadata = serde_json::json!({"team": "web", "tab\t": [1, 2.5, null]});
    ApiKey {
        tenant: TenantId::default(),
        key_id,
        name: KeyName::parse(&format!("key \"{number}\" \\ é")).unwrap(),
        key_type: KeyType::ALL[number % 2],
        state: KeyState::Active,
        digest: Digest::of(key_id.to_string()),
        hint: Hint::parse("x7Qa").unwrap(),
        own_secret: true,
        older: vec![OlderSecret {
            digest: Digest::of(format!("old {key_id}")),
            hint: Hint::parse("old!").unwrap(),
            until: at(3).unwrap(),
        }]
        .try_into()
        .unwrap(),
        settings: KeySettings {
            streams: if number.is_multiple_of(3) { Streams::All } else { "web*,checkout".parse().unwrap() },
            source_id: Label::parse("web-prod").ok(),
            trust_level: Label::parse("low").unwrap().into(),
            allowed_cidrs: "10.0.0.0/8,2001:db8::/32".parse().unwrap(),
            limits: Limits { requests: Rate::new(600, 10).ok(), ..Limits::default() }.into(),
            metadata: Metadata::try_from(metadata.as_object().unwrap().clone()).unwrap(),
        },
        created_by: Some(Actor::AdminToken),
        created_at: at(0),
        modified_at: at(1),
        modified_by: Actor::parse("somebody").ok(),
        expires_at: at(2000),
        rev: 7,
    }
}

/// Like [`key`], with nothing that can be left out.
fn plain(number: usize) -> ApiKey {
    let full = key(number);
    ApiKey {
        key_id: full.key_id,
        ..NewKey::new(full.name, full.key_type).into_key(full.tenant, full.digest, Hint::default())
    }
}

fn an_instant() -> chrono::DateTime<Utc> {
    SystemClock.now()
}
