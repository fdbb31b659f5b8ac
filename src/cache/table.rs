//! The maps of the cache. A key is in three of them, behind one `Arc`: by digest, by id, and by name while it lives.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use relative_path::RelativePath;

use super::duplicate_secrets::DuplicateSecrets;
use crate::key::{ApiKey, Digest, KeyId, KeyName, KeyState, Tenant, TenantId};
use crate::layout::ObjectName;

/// Documents that cannot be used, by tenant and object name.
pub type UnreadableDocuments = BTreeMap<(TenantId, String), Unreadable>;

/// Why a document cannot be used, in words for an operator.
pub type Unreadable = String;

#[derive(Debug, Default)]
pub(super) struct Table {
    by_digest: HashTable<Arc<ApiKey>>,
    /// The secrets that keys had before. Few keys are being rotated at any time.
    by_older: HashTable<(Digest, Arc<ApiKey>)>,
    tenants: HashMap<TenantId, Holdings>,
    unreadable: UnreadableDocuments,
    names: DefaultHashBuilder,
    /// Keys that are refused whatever their document says.
    denied: HashSet<(TenantId, KeyId)>,
    duplicate_secrets: DuplicateSecrets,
    /// Keys that were refused, or accepted again, because of a change of another key.
    affected: Vec<(TenantId, KeyId)>,
}

/// What one tenant holds.
#[derive(Debug)]
struct Holdings {
    tenant: Arc<Tenant>,
    by_id: BTreeMap<KeyId, Arc<ApiKey>>,
    live_names: HashTable<Arc<ApiKey>>,
    reserved_names: HashSet<KeyName>,
}

/// Why a name cannot be reserved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreservable {
    NoTenant,
    Taken,
}

impl Table {
    /// The key with this digest, now or before, and its tenant. The last comparison takes constant time.
    pub(super) fn find(&self, digest: &Digest) -> Option<(&Arc<ApiKey>, &Arc<Tenant>)> {
        let hash = digest.table_hash();
        let older = || Some(&self.by_older.find(hash, |(older, _)| older.verify(digest))?.1);
        let key = self.by_digest.find(hash, |key| key.digest.verify(digest)).or_else(older)?;
        Some((key, &self.tenants.get(&key.tenant)?.tenant))
    }

    pub(super) fn key(&self, tenant: &TenantId, id: KeyId) -> Option<&Arc<ApiKey>> {
        self.tenants.get(tenant)?.by_id.get(&id)
    }

    /// Keys with ids above `after`, in order of id, at most `limit`.
    pub(super) fn keys_after(&self, tenant: &TenantId, after: Option<KeyId>, limit: usize) -> Vec<Arc<ApiKey>> {
        let Some(holdings) = self.tenants.get(tenant) else { return Vec::new() };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        holdings.by_id.range((start, Bound::Unbounded)).take(limit).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn tenant(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(id).map(|holdings| &holdings.tenant)
    }

    /// All tenants, sorted by id.
    pub(super) fn tenants(&self) -> Vec<Arc<Tenant>> {
        let mut tenants: Vec<_> = self.tenants.values().map(|holdings| holdings.tenant.clone()).collect();
        tenants.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        tenants
    }

    pub(super) fn key_count(&self) -> usize {
        self.by_digest.len()
    }

    /// Puts a tenant's record in place of the one that was known.
    pub(super) fn put_tenant(&mut self, tenant: Tenant) {
        let tenant = Arc::new(tenant);
        self.tenants.entry(tenant.id.clone()).and_modify(|holdings| holdings.tenant = tenant.clone()).or_insert_with(
            || Holdings {
                tenant,
                by_id: BTreeMap::new(),
                live_names: HashTable::new(),
                reserved_names: HashSet::new(),
            },
        );
    }

    /// Puts a tenant's record in place of `known`, unless `known` was replaced meanwhile. Whether anything changed.
    pub(super) fn restore_tenant(&mut self, known: Option<&Arc<Tenant>>, tenant: Tenant) -> bool {
        let unchanged = match (self.tenant(&tenant.id), known) {
            (Some(held), Some(known)) => Arc::ptr_eq(held, known),
            (held, known) => held.is_none() && known.is_none(),
        };
        if unchanged {
            self.put_tenant(tenant);
        }
        unchanged
    }

    /// Puts a key in place of the one with its id, unless that is newer (`rev`). Keys with the same digest are all
    /// refused until one is left, because it is unknown which of them a credential means. Whether anything changed.
    pub(super) fn put_key(&mut self, key: Arc<ApiKey>) -> bool {
        match self.key(&key.tenant, key.key_id) {
            Some(known) if known.rev > key.rev || **known == *key => false,
            _ => self.place(key),
        }
    }

    /// Puts a key in place of `known`, newer or not, unless `known` was replaced meanwhile. Whether anything changed.
    pub(super) fn restore_key(&mut self, known: &Arc<ApiKey>, key: Arc<ApiKey>) -> bool {
        self.key(&key.tenant, key.key_id).is_some_and(|held| Arc::ptr_eq(held, known)) && self.place(key)
    }

    fn place(&mut self, key: Arc<ApiKey>) -> bool {
        let key = self.as_allowed(key);
        if !self.tenants.contains_key(&key.tenant) {
            return false;
        }
        let before = self.duplicate_secrets.remove(&key.tenant, key.key_id);
        self.hold(key.clone());
        if self.same_secret(&key).is_some() || self.duplicate_secrets.has_duplicate(&key) {
            self.refuse_duplicates(key);
        } else {
            if before.is_some() {
                self.mark_duplicate(&key, false);
            }
            self.link(key);
        }
        before.iter().for_each(|before| self.accept_duplicates_of(before));
        true
    }

    /// Puts a key in place that shares a secret with another key, which will be put later.
    pub(super) fn refuse(&mut self, key: Arc<ApiKey>) {
        if self.tenants.contains_key(&key.tenant) {
            let before = self.duplicate_secrets.remove(&key.tenant, key.key_id);
            self.hold(key.clone());
            self.refuse_duplicates(key);
            before.iter().for_each(|before| self.accept_duplicates_of(before));
        }
    }

    /// Makes a key the one with its id. It does not authenticate yet.
    fn hold(&mut self, key: Arc<ApiKey>) {
        let holdings = self.tenants.get_mut(&key.tenant);
        if let Some(replaced) = holdings.and_then(|holdings| holdings.by_id.insert(key.key_id, key)) {
            self.unlink(&replaced);
        }
    }

    /// Refuses a key and all keys that have one of its secrets.
    fn refuse_duplicates(&mut self, key: Arc<ApiKey>) {
        while let Some(other) = self.same_secret(&key).cloned() {
            self.take_out(&other);
            self.affected.push((other.tenant.clone(), other.key_id));
            self.mark_duplicate(&other, true);
            self.duplicate_secrets.insert(other);
        }
        self.take_out(&key);
        self.mark_duplicate(&key, true);
        self.duplicate_secrets.insert(key);
    }

    /// Accepts the keys again that shared a secret with this key only.
    fn accept_duplicates_of(&mut self, gone: &ApiKey) {
        for duplicate in self.duplicate_secrets.duplicates(gone) {
            if !self.duplicate_secrets.has_duplicate(&duplicate) {
                self.duplicate_secrets.remove(&duplicate.tenant, duplicate.key_id);
                self.mark_duplicate(&duplicate, false);
                self.affected.push((duplicate.tenant.clone(), duplicate.key_id));
                let duplicate = self.as_allowed(duplicate);
                self.hold(duplicate.clone());
                self.link(duplicate);
            }
        }
    }

    fn mark_duplicate(&mut self, key: &ApiKey, is_duplicate: bool) {
        let object = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id }.path();
        self.note(&key.tenant, &object, is_duplicate.then(|| "its digest is also that of another key".into()));
    }

    /// A key that has a secret, or had it, refused or not.
    pub(super) fn owner(&self, digest: &Digest) -> Option<&Arc<ApiKey>> {
        self.find(digest).map(|(key, _)| key).or_else(|| self.duplicate_secrets.owner(digest))
    }

    /// The keys that are refused because they share a secret.
    pub(super) fn duplicate_secrets(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.duplicate_secrets.iter()
    }

    /// The keys that were refused, or accepted again, because of another key since the last call.
    pub(super) fn take_affected(&mut self) -> Vec<(TenantId, KeyId)> {
        std::mem::take(&mut self.affected)
    }

    /// Adds a key to the indexes by secret and by name.
    fn link(&mut self, key: Arc<ApiKey>) {
        let names = &self.names;
        if key.is_live()
            && let Some(holdings) = self.tenants.get_mut(&key.tenant)
        {
            let hash = names.hash_one(&key.name);
            holdings.live_names.insert_unique(hash, key.clone(), |key| names.hash_one(&key.name));
        }
        for older in key.older.iter() {
            let entry = (older.digest, key.clone());
            self.by_older.insert_unique(older.digest.table_hash(), entry, |(older, _)| older.table_hash());
        }
        self.by_digest.insert_unique(key.digest.table_hash(), key, |key| key.digest.table_hash());
    }

    /// Removes a key from the indexes by secret and by name.
    fn unlink(&mut self, key: &Arc<ApiKey>) {
        if let Some(holdings) = self.tenants.get_mut(&key.tenant) {
            take(&mut holdings.live_names, self.names.hash_one(&key.name), |other| Arc::ptr_eq(other, key));
        }
        take(&mut self.by_digest, key.digest.table_hash(), |other| Arc::ptr_eq(other, key));
        for older in key.older.iter() {
            take(&mut self.by_older, older.digest.table_hash(), |(_, other)| Arc::ptr_eq(other, key));
        }
    }

    /// Another key that has a secret of this one.
    fn same_secret(&self, key: &ApiKey) -> Option<&Arc<ApiKey>> {
        key.digests().find_map(|digest| self.find(digest)).map(|(other, _)| other)
    }

    /// The key, revoked if it is denied.
    fn as_allowed(&self, key: Arc<ApiKey>) -> Arc<ApiKey> {
        // Saves the lookup for keys that cannot be used anyway, and while nothing is denied.
        if self.denied.is_empty() || !key.is_live() || !self.denied.contains(&(key.tenant.clone(), key.key_id)) {
            return key;
        }
        Arc::new(ApiKey { state: KeyState::Revoked, ..(*key).clone() })
    }

    pub(super) fn deny(&mut self, tenant: &TenantId, id: KeyId) {
        self.denied.insert((tenant.clone(), id));
        if let Some(key) = self.key(tenant, id).cloned() {
            self.place(key);
        }
    }

    pub(super) fn stop_denying(&mut self, tenant: &TenantId, id: KeyId) {
        self.denied.remove(&(tenant.clone(), id));
    }

    /// The live key that has a name.
    pub(super) fn named(&self, tenant: &TenantId, name: &KeyName) -> Option<&Arc<ApiKey>> {
        self.tenants.get(tenant)?.live_names.find(self.names.hash_one(name), |key| key.name == *name)
    }

    /// All live keys that have a name: more than one when files were copied by hand.
    pub(super) fn all_named(&self, tenant: &TenantId, name: &KeyName) -> impl Iterator<Item = &Arc<ApiKey>> {
        let tenant = self.tenants.get(tenant).into_iter();
        let hash = self.names.hash_one(name);
        tenant.flat_map(move |held| held.live_names.iter_hash(hash)).filter(move |key| key.name == *name)
    }

    /// Forgets a tenant and all its keys.
    pub(super) fn remove_tenant(&mut self, id: &TenantId) {
        let ids: Vec<KeyId> =
            self.duplicate_secrets.iter().filter(|key| key.tenant == *id).map(|key| key.key_id).collect();
        // All of them first: a key that is accepted again must not be one of them.
        let refused: Vec<_> = ids.into_iter().filter_map(|key_id| self.duplicate_secrets.remove(id, key_id)).collect();
        for (_, key) in self.tenants.remove(id).into_iter().flat_map(|held| held.by_id) {
            self.unlink(&key);
        }
        for key in refused {
            self.mark_duplicate(&key, false);
            self.accept_duplicates_of(&key);
        }
    }

    pub(super) fn remove_key(&mut self, tenant: &TenantId, id: KeyId) {
        if let Some(key) = self.duplicate_secrets.remove(tenant, id) {
            self.mark_duplicate(&key, false);
            self.accept_duplicates_of(&key);
        } else if let Some(key) = self.tenants.get_mut(tenant).and_then(|holdings| holdings.by_id.remove(&id)) {
            self.unlink(&key);
        }
    }

    fn take_out(&mut self, key: &Arc<ApiKey>) {
        if let Some(holdings) = self.tenants.get_mut(&key.tenant) {
            holdings.by_id.remove(&key.key_id);
        }
        self.unlink(key);
    }

    /// Reserves memory for `keys` keys of a tenant at once.
    pub(super) fn make_room(&mut self, tenant: &TenantId, keys: usize) {
        let Some(holdings) = self.tenants.get_mut(tenant) else { return };
        let more = keys.saturating_sub(holdings.by_id.len());
        let names = &self.names;
        holdings.live_names.reserve(more, |key| names.hash_one(&key.name));
        self.by_digest.reserve(more, |key| key.digest.table_hash());
    }

    /// Reserves a name for a key that is about to be written.
    pub(super) fn reserve_name(&mut self, tenant: &TenantId, name: &KeyName) -> Result<(), Unreservable> {
        let hash = self.names.hash_one(name);
        let holdings = self.tenants.get_mut(tenant).ok_or(Unreservable::NoTenant)?;
        if holdings.live_names.find(hash, |key| key.name == *name).is_some()
            || !holdings.reserved_names.insert(name.clone())
        {
            return Err(Unreservable::Taken);
        }
        Ok(())
    }

    pub(super) fn release_name(&mut self, tenant: &TenantId, name: &KeyName) {
        if let Some(holdings) = self.tenants.get_mut(tenant) {
            holdings.reserved_names.remove(name);
        }
    }

    pub(super) fn unreadable(&self) -> &UnreadableDocuments {
        &self.unreadable
    }

    pub(super) fn set_unreadable(&mut self, documents: UnreadableDocuments) {
        self.unreadable = documents;
        let refused: Vec<_> = self.duplicate_secrets.iter().cloned().collect();
        refused.iter().for_each(|key| self.mark_duplicate(key, true));
    }

    pub(super) fn is_noted(&self, tenant: &TenantId, object: &RelativePath) -> bool {
        !self.unreadable.is_empty() && self.unreadable.contains_key(&(tenant.clone(), object.to_string()))
    }

    /// Notes why a document cannot be used; `None` that it can.
    pub(super) fn note(&mut self, tenant: &TenantId, object: &RelativePath, reason: Option<Unreadable>) {
        let name = (tenant.clone(), object.to_string());
        match reason {
            Some(reason) => _ = self.unreadable.insert(name, reason),
            None => _ = self.unreadable.remove(&name),
        }
    }
}

fn take<T>(table: &mut HashTable<T>, hash: u64, wanted: impl FnMut(&T) -> bool) {
    if let Ok(entry) = table.find_entry(hash, wanted) {
        entry.remove();
    }
}
