//! The counts of many keys.

use hashbrown::HashMap;

use super::Tally;
use crate::key::{KeyId, TenantId};

/// Tallies by tenant and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageTable(HashMap<TenantId, HashMap<KeyId, Tally>>);

impl UsageTable {
    /// Changes the tally of a key.
    pub fn change(&mut self, tenant: &TenantId, key_id: KeyId, change: impl FnOnce(&mut Tally)) {
        match self.0.get_mut(tenant) {
            Some(keys) => change(keys.entry(key_id).or_default()),
            None => change(self.0.entry(tenant.clone()).or_default().entry(key_id).or_default()),
        }
    }

    /// The tally of a key, if anything was counted.
    pub fn get(&self, tenant: &TenantId, key_id: KeyId) -> Option<&Tally> {
        self.0.get(tenant)?.get(&key_id)
    }

    /// The tallies of one tenant.
    pub fn of_tenant(&self, tenant: &TenantId) -> impl Iterator<Item = (KeyId, &Tally)> {
        self.0.get(tenant).into_iter().flatten().map(|(key_id, tally)| (*key_id, tally))
    }

    /// All tallies.
    pub fn iter(&self) -> impl Iterator<Item = (&TenantId, KeyId, &Tally)> {
        self.0.iter().flat_map(|(tenant, keys)| keys.iter().map(move |(key_id, tally)| (tenant, *key_id, tally)))
    }

    /// Adds what was counted elsewhere, or later.
    pub fn add(&mut self, other: &Self) {
        for (tenant, key_id, tally) in other.iter() {
            self.change(tenant, key_id, |sum| sum.add(tally));
        }
    }

    /// Removes the keys for which `kept` is false.
    pub fn retain(&mut self, kept: &impl Fn(&TenantId, KeyId, &mut Tally) -> bool) {
        self.0.retain(|tenant, keys| {
            keys.retain(|key_id, tally| kept(tenant, *key_id, tally));
            !keys.is_empty()
        });
    }

    /// How many keys have been counted.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    /// Whether no key has been counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
