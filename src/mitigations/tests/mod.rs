//! Nodes over one bucket in memory that goes wrong on request, and that counts what it is asked.

mod chain;
mod entry;
mod follow;
mod memory;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::memory::InMemory;
use serde_json::json;
use uuid::Uuid;

use super::Mitigations;
use super::active::HoldsOf;
use super::hold::{Hold, HoldKey};
use crate::cache::KeyCache;
use crate::clock::{Clock as _, ManualClock};
use crate::documents::RequestContext;
use crate::faults::{Call, Faults};
use crate::faulty::Faulty;
use crate::key::request_ids::RequestIds;
use crate::key::{RequestId, TenantId};
use crate::keystore::Keystore;
use crate::policy::engine::{self, Holds as _};
use crate::policy::entity::{Entity, Pseudonyms};
use crate::policy::set::{EntityDefinitionId, Mode, PolicyId, PolicySet};
use crate::policy_book::{NewVersion, PolicyBook, Versions};
use crate::store::Bucket;
use crate::sync::SyncSettings;

pub(super) const POLICY: PolicyId = PolicyId(Uuid::from_u128(0x401));

/// The time at which tests begin: that of the machine, which also dates what is in the bucket.
#[allow(clippy::disallowed_methods)]
pub(super) fn start() -> DateTime<Utc> {
    Utc::now()
}

pub(super) fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// The tenant of nodes: one that is there without being made.
pub(super) fn tenant() -> TenantId {
    TenantId::default()
}

pub(super) fn entity(number: u64) -> Entity {
    let pseudonyms = Pseudonyms::new(b"secret", "acme");
    pseudonyms.entity(EntityDefinitionId(Uuid::from_u128(7)), [&crate::policy::Value::Text(number.to_string().into())])
}

pub(super) fn key(number: u64) -> HoldKey {
    HoldKey { policy: POLICY, entity: entity(number) }
}

pub(super) fn hold(since_ms: i64, until_ms: i64) -> Hold {
    let decision = Uuid::from_u64_pair(1, until_ms.unsigned_abs());
    Hold { since_ms, until_ms, mode: Mode::Block, version: 1, decision }
}

pub(super) fn is_entry(call: &Call) -> bool {
    call.is_about("keyloft/mitigations")
}

/// A bucket, and the clock of all its nodes.
pub(super) struct Scene {
    pub(super) memory: Arc<InMemory>,
    pub(super) clock: Arc<ManualClock>,
}

/// A node, with the faults of its own way to the bucket.
pub(super) struct Node {
    pub(super) faults: Arc<Faults>,
    pub(super) bucket: Bucket,
    pub(super) keystore: Keystore,
    pub(super) book: PolicyBook,
    pub(super) all: Arc<Mitigations>,
    clock: Arc<ManualClock>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self { memory: Arc::new(InMemory::new()), clock: Arc::new(ManualClock::new(start())) }
    }

    /// A node that has read everything, with a policy that holds for ten minutes.
    pub(super) async fn node(&self) -> Node {
        let node = self.idle().await;
        node.deploy(json!("block"), 600).await;
        node.all.load().await.unwrap();
        node
    }

    /// A node without a policy.
    pub(super) async fn idle(&self) -> Node {
        let faults = Arc::new(Faults::default());
        let bucket = Bucket::new(Arc::new(Faulty::new(self.memory.clone(), faults.clone())));
        let sets = Arc::new(Versions::new(bucket.clone()));
        let all = Arc::new(Mitigations::new(bucket.clone(), self.clock.clone(), sets.clone()));
        let (cache, settings) = (Arc::new(KeyCache::default()), SyncSettings::default());
        let keystore =
            Keystore::holding(bucket.clone(), cache, self.clock.clone(), settings, vec![sets.clone(), all.clone()]);
        all.join(keystore.replica());
        keystore.sync().await.unwrap();
        let book = PolicyBook::new(keystore.clone(), sets);
        Node { faults, bucket, keystore, book, all, clock: self.clock.clone() }
    }
}

impl Node {
    /// Deploys the one policy of the tests.
    pub(super) async fn deploy(&self, mode: serde_json::Value, seconds: u32) {
        let (mitigation, network) = (Uuid::from_u128(0x301), "6b65796c-6f66-8000-8000-000000000202");
        let set: PolicySet = serde_json::from_value(json!({
            "mitigations": [{"mitigationId": mitigation, "name": "hold", "mode": mode, "durationSeconds": seconds}],
            "policies": [{"policyId": POLICY.0, "name": "p", "entityDefinitionId": network,
                "mitigationId": mitigation, "window": {"seconds": 60, "threshold": 3}}],
        }))
        .unwrap();
        let edit = move |_: &PolicySet| Ok(set.clone());
        let deployed = self.book.deploy(&RequestContext::admin(), &tenant(), NewVersion::default(), edit).await;
        assert!(deployed.is_ok());
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// Holds entities for so many seconds, as a decision does.
    pub(super) fn cross(&self, numbers: std::ops::Range<u64>, seconds: i64) {
        let (of, version) = (tenant(), self.book.in_force(&tenant()).unwrap());
        let policy = &version.compiled.policies[0];
        let holds = self.all.of(&of, self.now_ms());
        for number in numbers {
            let until_ms = self.now_ms() + seconds * 1000;
            holds.add(1, decision(), &[engine::Hold { policy, entity: entity(number), until_ms }]);
        }
    }

    /// For how many more seconds an entity is held.
    pub(super) fn held(&self, number: u64) -> Option<i64> {
        let (of, version) = (tenant(), self.book.in_force(&tenant())?);
        let holds: HoldsOf<'_> = self.all.of(&of, self.now_ms());
        let until_ms = holds.until_ms(&version.compiled.policies[0], entity(number))?;
        Some((until_ms - self.now_ms()) / 1000)
    }

    pub(super) async fn release(&self, number: u64) {
        let context = RequestContext::admin();
        self.all.release(&self.keystore, &context, &tenant(), entity(number), None).await.unwrap();
    }

    /// Shares what waits, in as many entries as it takes.
    pub(super) async fn share_all(&self) {
        while self.all.levels().waiting > 0 {
            self.all.share().await.unwrap();
        }
    }

    pub(super) fn advance(&self, step: TimeDelta) {
        self.clock.advance(step);
        self.all.keep_time();
    }
}

fn decision() -> RequestId {
    RequestIds::default().next()
}
