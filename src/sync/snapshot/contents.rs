//! What a snapshot holds.

use std::collections::{BTreeMap, HashMap};

use crate::key::{Tenant, TenantId};
use crate::sync::held::DocumentLine;
use crate::sync::tags::TaggedKey;

/// The keys of a snapshot, and the records of tenants.
#[derive(Debug, Default)]
pub(in crate::sync) struct Contents {
    /// The contents are at least as new as this entry of the change log.
    pub(in crate::sync) seq: u64,
    /// The records of all tenants; `None` when the snapshot does not hold everything, and only spares reads.
    pub(in crate::sync) tenants: Option<Vec<Tenant>>,
    /// The documents of other kinds; a kind is missing when the snapshot says nothing about it.
    pub(in crate::sync) documents: BTreeMap<String, Vec<DocumentLine>>,
    /// In order of id.
    keys: HashMap<TenantId, Vec<TaggedKey>>,
}

impl Contents {
    pub(super) fn new(seq: u64, tenants: Option<Vec<Tenant>>) -> Self {
        Self { seq, tenants, documents: BTreeMap::new(), keys: HashMap::new() }
    }

    /// Removes and returns the keys of a tenant, in order of id.
    pub(in crate::sync) fn take(&mut self, tenant: &TenantId) -> Vec<TaggedKey> {
        self.keys.remove(tenant).unwrap_or_default()
    }

    /// All keys by their tenants, in order of id.
    pub(in crate::sync) fn into_keys(self) -> impl Iterator<Item = (TenantId, Vec<TaggedKey>)> {
        self.keys.into_iter()
    }

    /// How many keys it holds.
    pub(super) fn key_count(&self) -> u64 {
        self.keys.values().map(|keys| keys.len() as u64).sum()
    }

    pub(super) fn add(&mut self, part: Vec<TaggedKey>) {
        for tagged in part {
            match self.keys.get_mut(&tagged.key.tenant) {
                Some(keys) => keys.push(tagged),
                None => _ = self.keys.insert(tagged.key.tenant.clone(), vec![tagged]),
            }
        }
    }

    /// Sorts the keys. Of a key that occurs twice, the newest revision counts.
    pub(super) fn sort(&mut self) {
        for keys in self.keys.values_mut() {
            keys.sort_by_key(|tagged| (tagged.key.key_id, std::cmp::Reverse(tagged.key.rev)));
            keys.dedup_by_key(|tagged| tagged.key.key_id);
        }
    }
}
