//! Keys that share a secret. All of them are refused, and remembered: the last one that is left is accepted again.

use std::sync::Arc;

use hashbrown::{HashMap, HashTable};

use crate::key::{ApiKey, Digest, KeyId, TenantId};

/// Few at any time: only files that were copied or edited by hand, or one secret imported on two nodes at once.
#[derive(Debug, Default)]
pub(super) struct DuplicateSecrets {
    keys: HashMap<(TenantId, KeyId), Arc<ApiKey>>,
    by_secret: HashTable<(Digest, Arc<ApiKey>)>,
}

impl DuplicateSecrets {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn insert(&mut self, key: Arc<ApiKey>) {
        for digest in key.digests() {
            let entry = (*digest, key.clone());
            self.by_secret.insert_unique(digest.table_hash(), entry, |(digest, _)| digest.table_hash());
        }
        self.keys.insert((key.tenant.clone(), key.key_id), key);
    }

    pub(super) fn remove(&mut self, tenant: &TenantId, id: KeyId) -> Option<Arc<ApiKey>> {
        if self.is_empty() {
            return None;
        }
        let key = self.keys.remove(&(tenant.clone(), id))?;
        for digest in key.digests() {
            let own = |(_, other): &(Digest, Arc<ApiKey>)| Arc::ptr_eq(other, &key);
            if let Ok(entry) = self.by_secret.find_entry(digest.table_hash(), own) {
                entry.remove();
            }
        }
        Some(key)
    }

    /// A key that has a secret, or had it.
    pub(super) fn owner(&self, digest: &Digest) -> Option<&Arc<ApiKey>> {
        Some(&self.by_secret.find(digest.table_hash(), |(secret, _)| secret.verify(digest))?.1)
    }

    /// Whether another key has a secret of this key, or had it.
    pub(super) fn has_duplicate(&self, key: &ApiKey) -> bool {
        !self.is_empty() && self.sharing(key).next().is_some()
    }

    /// All other keys that have a secret of this key, or had it.
    pub(super) fn duplicates(&self, key: &ApiKey) -> Vec<Arc<ApiKey>> {
        self.sharing(key).cloned().collect()
    }

    fn sharing<'a>(&'a self, key: &'a ApiKey) -> impl Iterator<Item = &'a Arc<ApiKey>> {
        let is_other = |other: &ApiKey| other.key_id != key.key_id || other.tenant != key.tenant;
        let holders = |digest: &'a Digest| {
            let same = self.by_secret.iter_hash(digest.table_hash());
            same.filter(|(secret, _)| secret.verify(digest)).map(|(_, other)| other)
        };
        key.digests().flat_map(holders).filter(move |other| is_other(other))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.keys.values()
    }
}
