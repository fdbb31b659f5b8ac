//! The limits in use, in the memory of this node. Subjects are spread over shards with a lock each, so a busy key does
//! not block others.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::{Mutex, MutexGuard};

use super::gcra::{Gcra, Price};
use super::{Acquisition, Costs, LimitCost, Quota, Quotas};
use crate::access::{Dimension, LimitScope, Refusal};
use crate::key::{KeyId, Rate, TenantId};

const SHARDS: usize = 64;
const MINUTE_NANOS: u128 = 60_000_000_000;
/// 36 years: no limit takes longer to fill, so that sums of times never overflow.
const MAX_CAPACITY_NANOS: u64 = 1 << 60;

/// The subjects that have used part of a limit.
#[derive(Debug)]
pub(super) struct Local {
    shards: Box<[Shard]>,
    hasher: DefaultHashBuilder,
}

type Shard = Mutex<HashTable<Arc<Subject>>>;

impl Default for Local {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, hasher: DefaultHashBuilder::default() }
    }
}

/// A key, or all keys of a tenant.
#[derive(Debug)]
struct Subject {
    tenant: TenantId,
    key_id: Option<KeyId>,
    used: Mutex<Used>,
}

/// What a subject has used of each dimension, counted at which rate.
#[derive(Debug, Default)]
struct Used([Option<(Rate, Gcra)>; 3]);

impl Local {
    /// Takes everything or nothing.
    pub(super) fn acquire(&self, costs: &Costs<'_>, now: Duration) -> Acquisition {
        let now = nanos(now);
        let subjects = self.subjects(costs);
        // Always the key before the tenant, so that no two threads wait for each other.
        let mut held = subjects.each_ref().map(|subject| subject.as_deref().map(|subject| subject.used.lock()));
        let mut refusal = None;
        let mut longest = 0;
        for cost in costs.iter() {
            let Some(used) = used(&mut held, cost, now) else { continue };
            if let Err(wait) = used.acquire(price(cost), now) {
                longest = longest.max(wait);
                refusal = refusal.or(Some(cost.limit));
            }
        }
        let mut quotas = Quotas::default();
        for cost in costs.iter() {
            let Some(used) = used(&mut held, cost, now) else { continue };
            if refusal.is_none() {
                *used = used.acquire(price(cost), now).unwrap_or(*used);
            }
            quotas.note(quota(cost, *used, now));
        }
        let wait = Duration::from_nanos(longest);
        Acquisition { quotas, refusal: refusal.map(|limit| Refusal::Rate { limit, wait }) }
    }

    /// Adds use that other nodes have counted: for each cost, how long until its limit is full.
    pub(super) fn keep_in_step(&self, costs: &Costs<'_>, until_full: &[Duration], now: Duration) {
        let now = nanos(now);
        let subjects = self.subjects(costs);
        let mut held = subjects.each_ref().map(|subject| subject.as_deref().map(|subject| subject.used.lock()));
        for (cost, until_full) in costs.iter().zip(until_full) {
            if let Some(used) = used(&mut held, cost, now) {
                *used = used.at_least(nanos(*until_full).min(price(cost).capacity), now);
            }
        }
    }

    /// How many subjects there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Removes subjects whose limits are full again, and those that no longer exist. One shard at a time.
    pub(super) fn sweep(&self, now: Duration, is_gone: impl Fn(&TenantId, Option<KeyId>) -> bool) {
        let now = nanos(now);
        for shard in self.shards.iter() {
            let mut shard = shard.lock();
            // A request may hold the subject in order to use it: keep it, or that use would be lost.
            shard.retain(|subject| {
                Arc::strong_count(subject) > 1 || !(subject.is_full(now) || is_gone(&subject.tenant, subject.key_id))
            });
            if shard.len() < shard.capacity() / 4 {
                let hasher = &self.hasher;
                shard.shrink_to_fit(|subject| hash(hasher, &subject.tenant, subject.key_id));
            }
        }
    }

    fn subjects(&self, costs: &Costs<'_>) -> [Option<Arc<Subject>>; 2] {
        let subject = |scope, key_id| costs.meet(scope).then(|| self.subject(costs.tenant, key_id));
        [subject(LimitScope::Key, Some(costs.key_id)), subject(LimitScope::Tenant, None)]
    }

    fn subject(&self, tenant: &TenantId, key_id: Option<KeyId>) -> Arc<Subject> {
        let hash_of = hash(&self.hasher, tenant, key_id);
        #[allow(clippy::cast_possible_truncation)] // Any bits except those that the table uses.
        let shard = &self.shards[(hash_of >> 40) as usize % SHARDS];
        let mut shard = shard.lock();
        let same = |subject: &Arc<Subject>| subject.key_id == key_id && subject.tenant == *tenant;
        if let Some(subject) = shard.find(hash_of, same) {
            return subject.clone();
        }
        let subject = Arc::new(Subject { tenant: tenant.clone(), key_id, used: Mutex::default() });
        let hasher = &self.hasher;
        shard.insert_unique(hash_of, subject.clone(), |subject| hash(hasher, &subject.tenant, subject.key_id));
        subject
    }
}

/// The use of a limit; carried over when the limit has changed.
fn used<'a>(
    [key, tenant]: &'a mut [Option<MutexGuard<'_, Used>>; 2],
    cost: &LimitCost,
    now: u64,
) -> Option<&'a mut Gcra> {
    let held = match cost.limit.scope {
        LimitScope::Key => key,
        LimitScope::Tenant => tenant,
    };
    let place = &mut held.as_deref_mut()?.0[match cost.limit.dimension {
        Dimension::Requests => 0,
        Dimension::Events => 1,
        Dimension::Bytes => 2,
    }];
    let used = match *place {
        Some((rate, used)) if rate == cost.rate => used,
        Some((rate, used)) => {
            let per_minute = |rate: Rate| rate.per_minute.get();
            used.converted(now, per_minute(rate), per_minute(cost.rate), price(cost).capacity)
        }
        None => Gcra::default(),
    };
    Some(&mut place.insert((cost.rate, used)).1)
}

/// How long one cell takes to come back, rounded up: never more than the limit passes.
fn cell_nanos(cost: &LimitCost) -> u64 {
    let cell = u128::from(cost.limit.dimension.cell()) * MINUTE_NANOS;
    u64::try_from(cell.div_ceil(cost.rate.per_minute.get().into())).unwrap_or(u64::MAX)
}

/// In nanoseconds.
fn price(cost: &LimitCost) -> Price {
    let cell = cell_nanos(cost);
    let burst = cost.burst_cells().min(MAX_CAPACITY_NANOS / cell).max(1);
    Price { cost: cost.cells().saturating_mul(cell), capacity: burst.saturating_mul(cell) }
}

fn quota(cost: &LimitCost, used: Gcra, now: u64) -> Quota {
    let full_in = used.until_full(now);
    let cells = price(cost).capacity.saturating_sub(full_in) / cell_nanos(cost);
    let remaining = (cells * cost.limit.dimension.cell()).min(cost.rate.burst.get());
    Quota { limit: cost.limit, rate: cost.rate, remaining, full_in: Duration::from_nanos(full_in) }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(MAX_CAPACITY_NANOS)
}

impl Subject {
    fn is_full(&self, now: u64) -> bool {
        self.used.lock().0.iter().flatten().all(|(_, used)| used.until_full(now) == 0)
    }
}

/// Ids are uniform already, and only admins can choose one.
fn hash(hasher: &DefaultHashBuilder, tenant: &TenantId, key_id: Option<KeyId>) -> u64 {
    key_id.map_or_else(|| hasher.hash_one(tenant), KeyId::table_hash)
}
