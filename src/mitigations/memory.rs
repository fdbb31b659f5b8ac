//! Whom policies hold, in bounded memory.
//!
//! When too many are held, the tenant that holds most of them gives way: the one that would be let go next is let go
//! now.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;

use super::hold::{Hold, HoldKey, max_hold_ms};
use crate::key::TenantId;
use crate::policy::entity::Entity;
use crate::policy::set::PolicyId;

/// How many releases are remembered, so that what was decided meanwhile does not undo them.
const RELEASES: usize = 1024;

/// A place in the list of a tenant: by when they are let go.
pub type Place = (i64, HoldKey);

/// Whom the policies of all tenants hold.
#[derive(Debug)]
pub struct Memory {
    tenants: HashMap<TenantId, OfTenant>,
    count: usize,
    most: usize,
    /// Holds to share with other nodes, the first first. Each is looked up again when its turn comes.
    waiting: VecDeque<(TenantId, HoldKey)>,
    releases: VecDeque<Release>,
    released: u64,
    dropped: u64,
    /// Until when somebody would be held who had to give way.
    dropped_until_ms: i64,
}

#[derive(Debug, Default)]
struct OfTenant {
    holds: HashMap<HoldKey, Known>,
    by_end: BTreeSet<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    hold: Hold,
    /// The entry of the chain that holds it.
    entry: Option<u64>,
    /// Whether this node has to share it.
    waits: bool,
}

#[derive(Debug)]
struct Release {
    number: u64,
    tenant: TenantId,
    entity: Entity,
    policy: Option<PolicyId>,
}

impl OfTenant {
    fn insert(&mut self, key: HoldKey, known: Known) -> Option<Known> {
        let before = self.holds.insert(key, known);
        if let Some(before) = before {
            self.by_end.remove(&(before.hold.until_ms, key));
        }
        self.by_end.insert((known.hold.until_ms, key));
        before
    }

    fn remove(&mut self, key: HoldKey) -> Option<Known> {
        let known = self.holds.remove(&key)?;
        self.by_end.remove(&(known.hold.until_ms, key));
        Some(known)
    }
}

impl Memory {
    /// Nobody is held, and never more than `most` at once.
    pub fn new(most: usize) -> Self {
        Self {
            tenants: HashMap::new(),
            count: 0,
            most,
            waiting: VecDeque::new(),
            releases: VecDeque::new(),
            released: 0,
            dropped: 0,
            dropped_until_ms: i64::MIN,
        }
    }

    /// How many are held.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many had to give way, or could not be shared.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many wait to be shared.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many releases there were.
    pub fn released(&self) -> u64 {
        self.released
    }

    /// Until when somebody would be held who had to give way: until then, more is in use than what is in memory.
    pub fn dropped_until_ms(&self) -> i64 {
        self.dropped_until_ms
    }

    /// How a policy holds an entity.
    pub fn get(&self, tenant: &TenantId, key: HoldKey) -> Option<&Hold> {
        Some(&self.tenants.get(tenant)?.holds.get(&key)?.hold)
    }

    /// Holds an entity that has crossed on this node. One that is held stays held as it is. One that was released since
    /// release number `released` is not held: the decision was made before. Says whether it is held anew.
    pub fn hold(&mut self, tenant: &TenantId, key: HoldKey, hold: Hold, released: u64) -> bool {
        let now_ms = hold.since_ms;
        let held = self.get(tenant, key);
        if held.is_some_and(|held| held.is_active(now_ms) && held.mode == hold.mode)
            || self.was_released(tenant, key, released)
        {
            return false;
        }
        self.wait_for_turn(tenant, key);
        self.insert(tenant, key, Known { hold, entry: None, waits: true }, now_ms);
        true
    }

    /// Takes in a hold of an entry of the chain.
    pub fn read(&mut self, tenant: &TenantId, key: HoldKey, hold: Hold, entry: u64, now_ms: i64) {
        if hold.until_ms <= now_ms {
            return;
        }
        // The clock of this node may be a little behind that of the one that shares it.
        let hold = Hold { until_ms: hold.until_ms.min(now_ms.saturating_add(max_hold_ms())), ..hold };
        let of_tenant = self.tenants.get_mut(tenant);
        match of_tenant.and_then(|of_tenant| of_tenant.holds.get_mut(&key)) {
            Some(known) if known.hold.is_active(now_ms) && !hold.supersedes(&known.hold) => {
                if known.hold.decision == hold.decision || known.hold.until_ms == hold.until_ms {
                    (known.entry, known.waits) = (Some(entry), false);
                }
            }
            _ => self.insert(tenant, key, Known { hold, entry: Some(entry), waits: false }, now_ms),
        }
    }

    /// Takes in all that another memory holds, such as one that a list of the chain has filled.
    pub fn merge(&mut self, other: Self, now_ms: i64) {
        for (tenant, of_tenant) in other.tenants {
            for (key, known) in of_tenant.holds {
                self.read(&tenant, key, known.hold, known.entry.unwrap_or_default(), now_ms);
            }
        }
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.dropped_until_ms = self.dropped_until_ms.max(other.dropped_until_ms);
    }

    /// Lets an entity go: by one policy, or by all. Says by which it was held.
    pub fn release(&mut self, tenant: &TenantId, entity: Entity, policy: Option<PolicyId>) -> Vec<PolicyId> {
        self.released = self.released.saturating_add(1);
        if self.releases.len() == RELEASES {
            self.releases.pop_front();
        }
        self.releases.push_back(Release { number: self.released, tenant: tenant.clone(), entity, policy });
        let policies = self.policies_of(tenant, entity, policy);
        for policy in &policies {
            self.remove(tenant, HoldKey { policy: *policy, entity });
        }
        policies
    }

    /// By which policies an entity is held, or whether by this one.
    fn policies_of(&self, tenant: &TenantId, entity: Entity, policy: Option<PolicyId>) -> Vec<PolicyId> {
        let Some(of_tenant) = self.tenants.get(tenant) else { return Vec::new() };
        match policy {
            Some(policy) => Vec::from_iter(of_tenant.holds.get(&HoldKey { policy, entity }).map(|_| policy)),
            None => of_tenant.holds.keys().filter(|key| key.entity == entity).map(|key| key.policy).collect(),
        }
    }

    fn was_released(&self, tenant: &TenantId, key: HoldKey, since: u64) -> bool {
        let is_of = |release: &&Release| {
            release.entity == key.entity
                && release.tenant == *tenant
                && release.policy.is_none_or(|policy| policy == key.policy)
        };
        // With more releases meanwhile than are remembered, any may have been one of it.
        let is_forgotten = self.releases.front().is_some_and(|oldest| oldest.number > since.saturating_add(1));
        self.released > since
            && (is_forgotten
                || self.releases.iter().rev().take_while(|release| release.number > since).any(|one| is_of(&one)))
    }

    /// Lets go whose time is over.
    pub fn sweep(&mut self, now_ms: i64) {
        let mut count = self.count;
        self.tenants.retain(|_, of_tenant| {
            while let Some((until_ms, key)) = of_tenant.by_end.first().copied() {
                if until_ms > now_ms {
                    break;
                }
                count = count.saturating_sub(usize::from(of_tenant.remove(key).is_some()));
            }
            !of_tenant.holds.is_empty()
        });
        self.count = count;
    }

    /// The first of those that wait to be shared. They wait no more: see [`Memory::wait_again`].
    pub fn take_waiting(&mut self, most: usize) -> Vec<(TenantId, HoldKey)> {
        let most = most.min(self.waiting.len());
        self.waiting.drain(..most).collect()
    }

    /// Which of these are still to be shared.
    pub fn still_waiting<'a>(
        &self,
        taken: &'a [(TenantId, HoldKey)],
        now_ms: i64,
    ) -> impl Iterator<Item = (&'a TenantId, HoldKey, Hold)> {
        taken.iter().filter_map(move |(tenant, key)| {
            let known = self.tenants.get(tenant)?.holds.get(key)?;
            (known.waits && known.hold.until_ms > now_ms).then_some((tenant, *key, known.hold))
        })
    }

    /// Lets these wait as before: they could not be shared.
    pub fn wait_again(&mut self, taken: Vec<(TenantId, HoldKey)>) {
        taken.into_iter().rev().for_each(|one| self.waiting.push_front(one));
    }

    /// Keeps on this node what is not shared yet: it may have been released meanwhile.
    pub fn keep_to_itself(&mut self) {
        for (tenant, key) in std::mem::take(&mut self.waiting) {
            let known = self.tenants.get_mut(&tenant).and_then(|of_tenant| of_tenant.holds.get_mut(&key));
            if let Some(known) = known.filter(|known| known.waits) {
                known.waits = false;
                self.dropped = self.dropped.saturating_add(1);
            }
        }
    }

    /// Shares once more what entries up to this one hold, so that those can be removed.
    pub fn share_again(&mut self, last: u64) -> usize {
        let mut again = Vec::new();
        for (tenant, of_tenant) in &mut self.tenants {
            for (key, known) in &mut of_tenant.holds {
                if !known.waits && known.entry.is_some_and(|entry| entry <= last) {
                    known.waits = true;
                    again.push((tenant.clone(), *key));
                }
            }
        }
        let count = again.len();
        self.waiting.extend(again);
        count
    }

    /// The entries whose holds are in force.
    pub fn entries_in_use(&self) -> HashSet<u64> {
        self.tenants.values().flat_map(|of_tenant| of_tenant.holds.values()).filter_map(|known| known.entry).collect()
    }

    /// Whom the policies of a tenant hold, the first to be let go first, behind a place in this order.
    pub fn behind(&self, tenant: &TenantId, place: Option<Place>) -> impl Iterator<Item = (HoldKey, &Hold)> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        let of_tenant = self.tenants.get(tenant);
        let places = of_tenant.into_iter().flat_map(move |of_tenant| {
            let known = |key: &HoldKey| of_tenant.holds.get(key).map(|known| (*key, &known.hold));
            of_tenant.by_end.range((from, Bound::Unbounded)).filter_map(move |(_, key)| known(key))
        });
        places.into_iter()
    }

    /// Notes that it is to be shared.
    fn wait_for_turn(&mut self, tenant: &TenantId, key: HoldKey) {
        if self.waiting.len() >= self.most.saturating_mul(2) {
            // What had to give way, or was released, waits no more; and nothing waits twice.
            let (tenants, mut seen) = (&self.tenants, HashSet::new());
            self.waiting.retain(|(tenant, key)| {
                let known = tenants.get(tenant).and_then(|of_tenant| of_tenant.holds.get(key));
                known.is_some_and(|known| known.waits) && seen.insert((tenant.clone(), *key))
            });
        }
        self.waiting.push_back((tenant.clone(), key));
    }

    fn insert(&mut self, tenant: &TenantId, key: HoldKey, known: Known, now_ms: i64) {
        let of_tenant = match self.tenants.get_mut(tenant) {
            Some(of_tenant) => of_tenant,
            None => self.tenants.entry(tenant.clone()).or_default(),
        };
        if of_tenant.insert(key, known).is_none() {
            self.count = self.count.saturating_add(1);
        }
        if self.count > self.most {
            self.sweep(now_ms);
        }
        while self.count > self.most && self.drop_one(tenant) {}
    }

    /// Lets somebody go before the time. The tenant of the newest gives way if it has its share, else the one with
    /// most.
    fn drop_one(&mut self, newest: &TenantId) -> bool {
        let has_share = |of_tenant: &OfTenant| of_tenant.holds.len().saturating_mul(self.tenants.len()) >= self.count;
        let tenant = match self.tenants.get(newest).is_some_and(has_share) {
            true => Some(newest),
            false => self.tenants.iter().max_by_key(|(_, of_tenant)| of_tenant.holds.len()).map(|(tenant, _)| tenant),
        };
        let Some(tenant) = tenant.cloned() else { return false };
        let first = self.tenants.get(&tenant).and_then(|of_tenant| of_tenant.by_end.first().copied());
        let Some((until_ms, key)) = first else { return false };
        self.dropped = self.dropped.saturating_add(1);
        self.dropped_until_ms = self.dropped_until_ms.max(until_ms);
        self.remove(&tenant, key)
    }

    fn remove(&mut self, tenant: &TenantId, key: HoldKey) -> bool {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else { return false };
        let is_removed = of_tenant.remove(key).is_some();
        if is_removed {
            self.count = self.count.saturating_sub(1);
        }
        if of_tenant.holds.is_empty() {
            self.tenants.remove(tenant);
        }
        is_removed
    }
}
