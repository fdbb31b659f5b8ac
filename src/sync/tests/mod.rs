//! Nodes over a bucket in memory that goes wrong on request, and that counts what it is asked.

mod appending;
mod found;
mod held;
mod later_versions;
mod load;
mod reconcile;
mod snapshot;

use std::sync::Arc;

use chrono::Utc;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::{HeldDocuments, Replica, SyncSettings};
use crate::cache::KeyCache;
use crate::clock::{Clock, SystemClock};
use crate::documents::KeyDocument;
use crate::faults::{Fault, Faults, Kind};
use crate::faulty::Faulty;
use crate::key::{
    Actor, ApiKey, Digest, Hint, KeyId, KeyName, KeySettings, KeyState, KeyType, Label, Limits, Metadata, NewKey,
    OlderSecret, Rate, Streams, TenantId,
};
use crate::layout::ObjectName;
use crate::store::Bucket;

/// A bucket, its objects, and its faults.
struct Scene {
    memory: Arc<InMemory>,
    faults: Arc<Faults>,
    bucket: Bucket,
}

impl Scene {
    fn new() -> Self {
        let (memory, faults) = (Arc::new(InMemory::new()), Arc::new(Faults::default()));
        Self { bucket: Bucket::new(Arc::new(Faulty::new(memory.clone(), faults.clone()))), memory, faults }
    }

    /// A node that has loaded nothing yet.
    fn node(&self) -> Node {
        self.node_with(Vec::new())
    }

    /// The same, which holds documents of other kinds than keys and tenants too.
    fn node_with(&self, held: Vec<Arc<dyn HeldDocuments>>) -> Node {
        let cache = Arc::new(KeyCache::default());
        let clock = Arc::new(SystemClock);
        let replica = Replica::new(self.bucket.clone(), cache.clone(), clock, SyncSettings::default(), held);
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
        self.memory.put(&path(name), body.into()).await.unwrap();
    }

    async fn remove(&self, name: &ObjectName) {
        self.memory.delete(&path(name)).await.unwrap();
    }

    /// Every operation fails that is of this kind, on an object or folder whose name contains `part`.
    fn fail(&self, kind: Kind, part: impl Into<String>) {
        let part = part.into();
        self.faults.inject(Fault::ErrorBefore, move |call| call.kind == kind && call.is_about(&part));
    }

    /// What `work` asked of the store: GETs and listings.
    async fn asked<T>(&self, work: impl Future<Output = T>) -> (T, usize, usize) {
        let count = |kind| self.faults.count(|call| call.kind == kind);
        let before = (count(Kind::Read), count(Kind::List));
        let outcome = work.await;
        (outcome, count(Kind::Read) - before.0, count(Kind::List) - before.1)
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
            decide: Some(number.is_multiple_of(2)),
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
