//! All limits that are being used, in the memory of this node. Subjects are spread over shards, and each has a lock of
//! its own: a busy key never makes another wait.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::bucket::Bucket;
use super::{Charge, Charges, Decision, Holder, Kind, Quotas, Refusal};
use crate::key::{KeyId, TenantId};

const SHARDS: usize = 64;

/// The subjects that have used something of a limit, and only those.
#[derive(Debug)]
pub(super) struct Local {
    shards: Box<[Shard]>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Shard(Mutex<HashTable<Arc<Subject>>>);

impl Default for Local {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard(Mutex::new(HashTable::new()))).collect();
        Self { shards, hasher: DefaultHashBuilder::default() }
    }
}

/// A key, or all keys of a tenant.
#[derive(Debug)]
struct Subject {
    tenant: TenantId,
    key_id: Option<KeyId>,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets([Option<Bucket>; 3]);

impl Local {
    /// Takes everything or nothing.
    pub(super) fn decide(&self, charges: &Charges<'_>, now: Duration) -> Decision {
        let subjects = self.subjects(charges);
        // Always the key before the tenant, so that no two threads wait for each other.
        let mut held = subjects.each_ref().map(|subject| subject.as_deref().map(Subject::lock));
        let mut refusal = None;
        let mut longest = Duration::ZERO;
        for charge in charges.iter() {
            let Some(bucket) = bucket(&mut held, charge, now) else { continue };
            if let Err(wait) = bucket.propose(charge, now) {
                longest = longest.max(wait);
                refusal = refusal.or(Some(charge.policy));
            }
        }
        let mut quotas = Quotas::default();
        for charge in charges.iter() {
            let Some(bucket) = bucket(&mut held, charge, now) else { continue };
            if refusal.is_none() {
                bucket.settle();
            }
            quotas.note(bucket.quota(charge, now));
        }
        Decision { quotas, refusal: refusal.map(|policy| Refusal::Rate { policy, wait: longest }) }
    }

    /// Counts as used what is used of the same limits elsewhere: for each charge, how long until its limit is full.
    pub(super) fn keep_in_step(&self, charges: &Charges<'_>, until_full: &[Duration], now: Duration) {
        let subjects = self.subjects(charges);
        let mut held = subjects.each_ref().map(|subject| subject.as_deref().map(Subject::lock));
        for (charge, until_full) in charges.iter().zip(until_full) {
            if let Some(bucket) = bucket(&mut held, charge, now) {
                bucket.keep_in_step(*until_full, now);
            }
        }
    }

    /// How many subjects there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Forgets the subjects of which nothing is used any more, and those that are gone. One shard at a time.
    pub(super) fn sweep(&self, now: Duration, is_gone: impl Fn(&TenantId, Option<KeyId>) -> bool) {
        for shard in self.shards.iter() {
            let mut shard = shard.lock();
            // Whoever is about to use a subject holds it too: it stays, so that nothing of it is forgotten.
            shard.retain(|subject| {
                Arc::strong_count(subject) > 1 || !(subject.is_full(now) || is_gone(&subject.tenant, subject.key_id))
            });
            if shard.len() < shard.capacity() / 4 {
                let hasher = &self.hasher;
                shard.shrink_to_fit(|subject| hash(hasher, &subject.tenant, subject.key_id));
            }
        }
    }

    fn subjects(&self, charges: &Charges<'_>) -> [Option<Arc<Subject>>; 2] {
        let subject = |holder, key_id| charges.meet(holder).then(|| self.subject(charges.tenant, key_id));
        [subject(Holder::Key, Some(charges.key_id)), subject(Holder::Tenant, None)]
    }

    fn subject(&self, tenant: &TenantId, key_id: Option<KeyId>) -> Arc<Subject> {
        let hash_of = hash(&self.hasher, tenant, key_id);
        #[allow(clippy::cast_possible_truncation)] // Any bits will do, but those that the table uses.
        let shard = &self.shards[(hash_of >> 40) as usize % SHARDS];
        let mut shard = shard.lock();
        let same = |subject: &Arc<Subject>| subject.key_id == key_id && subject.tenant == *tenant;
        if let Some(subject) = shard.find(hash_of, same) {
            return subject.clone();
        }
        let subject = Arc::new(Subject { tenant: tenant.clone(), key_id, buckets: Mutex::default() });
        let hasher = &self.hasher;
        shard.insert_unique(hash_of, subject.clone(), |subject| hash(hasher, &subject.tenant, subject.key_id));
        subject
    }
}

/// The bucket of a charge; made, or made anew, when the rate is another.
fn bucket<'a>(
    [key, tenant]: &'a mut [Option<MutexGuard<'_, Buckets>>; 2],
    charge: &Charge,
    now: Duration,
) -> Option<&'a Bucket> {
    let held = match charge.policy.holder {
        Holder::Key => key,
        Holder::Tenant => tenant,
    };
    let place = &mut held.as_deref_mut()?.0[match charge.policy.kind {
        Kind::Requests => 0,
        Kind::Events => 1,
        Kind::Bytes => 2,
    }];
    match place {
        Some(bucket) if bucket.is_for(charge.rate) => {}
        Some(bucket) => *bucket = bucket.changed(charge, now),
        None => *place = Some(Bucket::new(charge)),
    }
    place.as_ref()
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, HashTable<Arc<Subject>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject {
    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, now: Duration) -> bool {
        self.lock().0.iter().flatten().all(|bucket| bucket.until_full(now).is_zero())
    }
}

/// Ids are uniform already: only admins could choose one.
fn hash(hasher: &DefaultHashBuilder, tenant: &TenantId, key_id: Option<KeyId>) -> u64 {
    key_id.map_or_else(|| hasher.hash_one(tenant), KeyId::table_hash)
}
