//! Who is held, and by which policies. Deciding takes no await, no store, and one short read lock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use uuid::Uuid;

use super::hold::{Hold, HoldKey};
use super::memory::{Memory, Place};
use super::position::Position;
use crate::cache::UnreadableDocuments;
use crate::clock::{Clock, StoreClock};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{NodeId, RequestId, TenantId};
use crate::policy::engine::{self, Holds};
use crate::policy::entity::Entity;
use crate::policy::set::{CompiledPolicy, Mode, PolicyId, SetMode};
use crate::policy::window::State;
use crate::policy_book::{Version, Versions};
use crate::store::Bucket;
use crate::sync::Replica;

/// Whom a node holds at most, over all tenants: some 30 MiB.
pub const MAX_HELD: usize = 100_000;

/// The active mitigations of all tenants, as this node knows them.
pub struct Mitigations {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    sets: Arc<Versions>,
    memory: RwLock<Memory>,
    /// How many are held: nobody, most often, and then no lock is taken.
    count: AtomicUsize,
    released: AtomicU64,
    /// How far the clock of this node is ahead of the store's.
    ahead_ms: AtomicI64,
    position: tokio::sync::Mutex<Position>,
    node: OnceLock<(NodeId, Arc<StoreClock>)>,
    windows: OnceLock<Arc<State>>,
    unreadable: Mutex<BTreeMap<String, String>>,
    /// A hold waits to be shared.
    news: Notify,
}

/// Values that are read when the metrics are scraped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MitigationLevels {
    /// How many are held.
    pub active: usize,
    /// How many of them are not shared with other nodes yet.
    pub waiting: usize,
    /// How many were let go early, or kept to this node, since it started.
    pub dropped: u64,
}

impl Mitigations {
    /// Nobody is held. `sets` say which policies hold whom they held.
    pub fn new(bucket: Bucket, clock: Arc<dyn Clock>, sets: Arc<Versions>) -> Self {
        Self {
            bucket,
            clock,
            sets,
            memory: RwLock::new(Memory::new(MAX_HELD)),
            count: AtomicUsize::new(0),
            released: AtomicU64::new(0),
            ahead_ms: AtomicI64::new(0),
            position: tokio::sync::Mutex::default(),
            node: OnceLock::new(),
            windows: OnceLock::new(),
            unreadable: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Says as which node the chain is written, and by which clock. The first call counts.
    pub fn join(&self, replica: &Replica) {
        let _ = self.node.set((replica.node_id(), replica.store_clock().clone()));
    }

    /// Lets a release clear these windows. The first call counts.
    pub fn clear(&self, windows: Arc<State>) {
        let _ = self.windows.set(windows);
    }

    /// Whom the policies of a tenant hold when a decision is made at `now_ms`.
    pub fn of<'a>(&'a self, tenant: &'a TenantId, now_ms: i64) -> HoldsOf<'a> {
        HoldsOf { all: self, tenant, now_ms, released: self.released.load(Ordering::Acquire) }
    }

    /// How many are held, and how many of them wait or had to give way.
    pub fn levels(&self) -> MitigationLevels {
        let memory = self.memory.read();
        MitigationLevels { active: memory.count(), waiting: memory.waiting(), dropped: memory.dropped() }
    }

    /// What in the chain cannot be used.
    pub fn unreadable(&self) -> UnreadableDocuments {
        let unreadable = self.unreadable.lock();
        let named = |(object, reason): (&String, &String)| ((TenantId::default(), object.clone()), reason.clone());
        unreadable.iter().map(named).collect()
    }

    /// Whom the policies of a tenant hold now, the first to be let go first: `limit` of them at most, behind a place in
    /// this order. Only those are in it whom a policy would hold that is in force.
    pub fn list(&self, tenant: &TenantId, behind: Option<Place>, limit: usize) -> Vec<(HoldKey, Hold)> {
        let Some(version) = self.sets.get(tenant) else { return Vec::new() };
        let (modes, now_ms) = (modes(&version), self.store_now_ms());
        let memory = self.memory.read();
        let held = memory
            .behind(tenant, behind)
            .filter(|(key, hold)| hold.is_active(now_ms) && modes.get(&key.policy) == Some(&hold.mode));
        held.take(limit).map(|(key, hold)| (key, *hold)).collect()
    }

    /// By which policies an entity is held now.
    pub fn holding(&self, tenant: &TenantId, entity: Entity) -> Vec<(HoldKey, Hold)> {
        let Some(version) = self.sets.get(tenant) else { return Vec::new() };
        let (modes, now_ms) = (modes(&version), self.store_now_ms());
        let memory = self.memory.read();
        let held = modes.into_iter().filter_map(|(policy, mode)| {
            let key = HoldKey { policy, entity };
            let hold = *memory.get(tenant, key)?;
            (hold.mode == mode && hold.is_active(now_ms)).then_some((key, hold))
        });
        held.collect()
    }

    /// Whether a policy of some tenant holds anybody whom it matches: only then the chain is followed. From memory.
    pub(super) fn is_needed(&self) -> bool {
        let is_enforced = |version: &Version| version.document.mode == SetMode::Enforce;
        self.sets.any(|version| is_enforced(version) && version.compiled.policies.iter().any(makes_holds))
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn position(&self) -> &tokio::sync::Mutex<Position> {
        &self.position
    }

    pub(super) fn news(&self) -> &Notify {
        &self.news
    }

    /// Who this node is, and the clock of the store.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] before [`Mitigations::join`].
    pub(super) fn node(&self) -> Result<&(NodeId, Arc<StoreClock>)> {
        self.node.get().ok_or_else(|| Error::new(ErrorKind::Internal, "the mitigations belong to no node yet"))
    }

    /// The time by the clock of the store, as far as it is known.
    pub(super) fn store_now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis().saturating_sub(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Compares the clocks again, and lets go whose time is over.
    pub(super) fn keep_time(&self) {
        if let Some((_, clock)) = self.node.get() {
            self.ahead_ms.store(clock.difference().num_milliseconds(), Ordering::Relaxed);
        }
        if self.count.load(Ordering::Relaxed) > 0 {
            let now_ms = self.store_now_ms();
            self.change(|memory| memory.sweep(now_ms));
        }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.memory.read())
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.write();
        let value = change(&mut memory);
        self.count.store(memory.count(), Ordering::Release);
        self.released.store(memory.released(), Ordering::Release);
        value
    }

    /// Forgets what the windows of a policy, or all, have counted of an entity.
    pub(super) fn forget_windows(&self, tenant: &TenantId, entity: Entity, policy: Option<PolicyId>) {
        let (Some(windows), Some(version)) = (self.windows.get(), self.sets.get(tenant)) else { return };
        windows.forget(entity, version.compiled.windows_of(policy));
    }

    pub(super) fn note_unreadable(&self, seq: u64, reason: String) {
        let object = super::chain::name(seq).path().into_string();
        let known = self.unreadable.lock().insert(object, reason.clone());
        if known.as_ref() != Some(&reason) {
            tracing::warn!(seq, %reason, "an entry of active mitigations cannot be used");
        }
    }

    /// Notes what a list of the chain has shown: what is not there is unreadable no more.
    pub(super) fn note_listed(&self, numbers: &[u64], foreign: Vec<(String, String)>) {
        let there: std::collections::HashSet<String> =
            numbers.iter().map(|seq| super::chain::name(*seq).path().into_string()).collect();
        let mut unreadable = self.unreadable.lock();
        unreadable.retain(|object, _| there.contains(object));
        unreadable.extend(foreign);
    }
}

/// Whether a policy holds whom it matches.
fn makes_holds(policy: &CompiledPolicy) -> bool {
    policy.duration_seconds.is_some() && policy.mode != Mode::Monitor
}

/// The policies of a version that hold whom they match, and what they do.
fn modes(version: &Version) -> BTreeMap<PolicyId, Mode> {
    let policies = version.compiled.policies.iter().filter(|policy| makes_holds(policy));
    match version.document.mode {
        SetMode::Off => BTreeMap::new(),
        _ => policies.map(|policy| (policy.id, policy.mode)).collect(),
    }
}

impl fmt::Debug for Mitigations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mitigations({:?})", self.levels())
    }
}

/// Whom the policies of a tenant hold while a decision is made.
#[derive(Debug, Clone, Copy)]
pub struct HoldsOf<'a> {
    all: &'a Mitigations,
    tenant: &'a TenantId,
    now_ms: i64,
    /// How many releases there were when the decision began.
    released: u64,
}

impl Holds for HoldsOf<'_> {
    fn until_ms(&self, policy: &CompiledPolicy, entity: Entity) -> Option<i64> {
        if self.all.count.load(Ordering::Acquire) == 0 || !makes_holds(policy) {
            return None;
        }
        let ahead_ms = self.all.ahead_ms.load(Ordering::Relaxed);
        let hold = *self.all.memory.read().get(self.tenant, HoldKey { policy: policy.id, entity })?;
        let is_held = policy.mode == hold.mode && hold.is_active(self.now_ms.saturating_sub(ahead_ms));
        is_held.then(|| hold.until_ms.saturating_add(ahead_ms))
    }
}

impl HoldsOf<'_> {
    /// Holds whom a decision says, by a version of the set: on this node at once, on others soon.
    pub fn add(&self, version: u64, decision: RequestId, new: &[engine::Hold<'_>]) {
        if new.is_empty() {
            return;
        }
        let ahead_ms = self.all.ahead_ms.load(Ordering::Relaxed);
        let since_ms = self.now_ms.saturating_sub(ahead_ms);
        let decision = Uuid::try_parse(decision.as_str()).unwrap_or_default();
        let mut has_news = false;
        self.all.change(|memory| {
            for engine::Hold { policy, entity, until_ms } in new {
                let until_ms = until_ms.saturating_sub(ahead_ms);
                let hold = Hold { since_ms, until_ms, mode: policy.mode, version, decision };
                let key = HoldKey { policy: policy.id, entity: *entity };
                has_news |= memory.hold(self.tenant, key, hold, self.released);
            }
        });
        if has_news {
            self.all.news.notify_one();
        }
    }
}
