//! The maps of the cache. A key stands in three of them, behind one `Arc`: by digest, by id, and by name while it lives.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use relative_path::RelativePath;

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

    /// Puts a tenant's record in place of `known`, unless that has made way already. Says whether anything changed.
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

    /// Puts a key in place of the one with its id, unless that is newer (`rev`). Two keys with one digest are both
    /// taken out: which of them a credential means is never guessed. Says whether anything changed.
    pub(super) fn put_key(&mut self, key: Arc<ApiKey>) -> bool {
        match self.key(&key.tenant, key.key_id) {
            Some(known) if known.rev > key.rev || **known == *key => false,
            _ => self.place(key),
        }
    }

    /// Puts a key in place of `known`, newer or not, unless that has made way already. Says whether anything changed.
    pub(super) fn restore_key(&mut self, known: &Arc<ApiKey>, key: Arc<ApiKey>) -> bool {
        self.key(&key.tenant, key.key_id).is_some_and(|held| Arc::ptr_eq(held, known)) && self.place(key)
    }

    fn place(&mut self, key: Arc<ApiKey>) -> bool {
        let key = self.as_allowed(key);
        let Some(holdings) = self.tenants.get_mut(&key.tenant) else { return false };
        if let Some(replaced) = holdings.by_id.insert(key.key_id, key.clone()) {
            self.unlink(&replaced);
        }
        if let Some(twin) = self.twin(&key).cloned() {
            for key in [&twin, &key] {
                self.remove_key(&key.tenant, key.key_id);
                self.report(key, "its digest is also that of another key".into());
            }
            return true;
        }
        self.link(key);
        true
    }

    /// Makes a key that stands among the ids of its tenant known by its secrets and its name.
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

    /// Makes a key unknown by its secrets and its name.
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
    fn twin(&self, key: &ApiKey) -> Option<&Arc<ApiKey>> {
        key.digests().find_map(|digest| self.find(digest)).map(|(twin, _)| twin)
    }

    /// The key, revoked if it is denied.
    fn as_allowed(&self, key: Arc<ApiKey>) -> Arc<ApiKey> {
        // Only a key that could be used needs the lookup, and that only while something is denied.
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

    /// Forgets a tenant and all its keys.
    pub(super) fn remove_tenant(&mut self, id: &TenantId) {
        for (_, key) in self.tenants.remove(id).into_iter().flat_map(|held| held.by_id) {
            self.unlink(&key);
        }
    }

    pub(super) fn remove_key(&mut self, tenant: &TenantId, id: KeyId) {
        if let Some(key) = self.tenants.get_mut(tenant).and_then(|holdings| holdings.by_id.remove(&id)) {
            self.unlink(&key);
        }
    }

    /// Makes room for a tenant that will hold so many keys, at once instead of step by step.
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
    }

    pub(super) fn is_noted(&self, tenant: &TenantId, object: &RelativePath) -> bool {
        !self.unreadable.is_empty() && self.unreadable.contains_key(&(tenant.clone(), object.to_string()))
    }

    /// Notes why a document cannot be used, or that it can.
    pub(super) fn note(&mut self, tenant: &TenantId, object: &RelativePath, reason: Option<Unreadable>) {
        let name = (tenant.clone(), object.to_string());
        match reason {
            Some(reason) => _ = self.unreadable.insert(name, reason),
            None => _ = self.unreadable.remove(&name),
        }
    }

    fn report(&mut self, key: &ApiKey, reason: Unreadable) {
        let object = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id }.path();
        self.unreadable.insert((key.tenant.clone(), object.into_string()), reason);
    }
}

fn take<T>(table: &mut HashTable<T>, hash: u64, wanted: impl FnMut(&T) -> bool) {
    if let Ok(entry) = table.find_entry(hash, wanted) {
        entry.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Hint, KeyType, NewKey};

    fn key(name: &str, secret: &str) -> ApiKey {
        let new = NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query);
        new.into_key(TenantId::default(), Digest::of(secret), Hint::default())
    }

    fn table() -> Table {
        let mut table = Table::default();
        table.put_tenant(Tenant::new(TenantId::default()));
        table
    }

    #[test]
    fn an_older_revision_never_replaces_a_newer_one() {
        let mut table = table();
        let old = key("a", "s");
        let revoked = ApiKey { state: KeyState::Revoked, rev: 2, ..old.clone() };
        assert!(table.put_key(Arc::new(revoked)));
        assert!(!table.put_key(Arc::new(old)));
        assert_eq!(table.find(&Digest::of("s")).unwrap().0.state, KeyState::Revoked);
    }

    #[test]
    fn a_revoked_key_frees_its_name_and_stays_on_record() {
        let mut table = table();
        let first = key("a", "s");
        table.put_key(Arc::new(first.clone()));
        let name = first.name.clone();
        assert_eq!(table.reserve_name(&first.tenant, &name), Err(Unreservable::Taken));
        table.put_key(Arc::new(ApiKey { state: KeyState::Revoked, rev: 2, ..first.clone() }));
        assert_eq!(table.reserve_name(&first.tenant, &name), Ok(()));
        assert_eq!(table.reserve_name(&first.tenant, &name), Err(Unreservable::Taken));
        table.release_name(&first.tenant, &name);
        assert_eq!(table.reserve_name(&first.tenant, &name), Ok(()));
        assert_eq!(table.keys_after(&first.tenant, None, 10).len(), 1);
    }

    #[test]
    fn a_denied_key_stays_refused_until_it_is_left_to_the_bucket_again() {
        let mut table = table();
        let first = key("a", "s");
        table.put_key(Arc::new(first.clone()));
        table.deny(&first.tenant, first.key_id);
        let state = |table: &Table| table.find(&first.digest).unwrap().0.state;
        assert_eq!(state(&table), KeyState::Revoked);
        table.put_key(Arc::new(ApiKey { rev: 2, ..first.clone() }));
        assert_eq!(state(&table), KeyState::Revoked);
        table.stop_denying(&first.tenant, first.key_id);
        table.put_key(Arc::new(ApiKey { rev: 3, ..first.clone() }));
        assert_eq!(state(&table), KeyState::Active);
    }

    #[test]
    fn two_keys_with_one_digest_are_both_refused_and_listed() {
        let mut table = table();
        table.put_key(Arc::new(key("a", "same")));
        table.put_key(Arc::new(key("b", "same")));
        assert!(table.find(&Digest::of("same")).is_none());
        assert_eq!((table.key_count(), table.unreadable().len()), (0, 2));
    }

    #[test]
    fn a_changed_digest_takes_the_old_one_out() {
        let mut table = table();
        let old = key("a", "old");
        table.put_key(Arc::new(old.clone()));
        table.put_key(Arc::new(ApiKey { digest: Digest::of("new"), ..old.clone() }));
        assert!(table.find(&Digest::of("old")).is_none());
        assert!(table.find(&Digest::of("new")).is_some());
        table.remove_key(&old.tenant, old.key_id);
        assert_eq!(table.key_count(), 0);
    }

    #[test]
    fn pages_follow_the_order_of_ids() {
        let mut table = table();
        for n in 0..10 {
            table.put_key(Arc::new(key(&format!("k{n}"), &format!("s{n}"))));
        }
        let tenant = TenantId::default();
        let first = table.keys_after(&tenant, None, 4);
        let rest = table.keys_after(&tenant, Some(first[3].key_id), 100);
        assert_eq!((first.len(), rest.len()), (4, 6));
        assert!(first.iter().chain(&rest).map(|key| key.key_id).is_sorted());
    }

    #[test]
    fn what_was_read_gives_way_to_what_this_node_wrote_since() {
        let mut table = Table::default();
        let acme = TenantId::parse("acme").unwrap();
        table.put_tenant(Tenant::new(acme.clone()));
        let known = table.tenant(&acme).unwrap().clone();
        let suspended = Tenant { suspended: KeyType::ALL.into(), ..Tenant::new(acme.clone()) };
        table.put_tenant(suspended.clone());
        assert!(!table.restore_tenant(Some(&known), Tenant::new(acme.clone())));
        assert!(!table.restore_tenant(None, Tenant::new(acme.clone())));
        assert_eq!(**table.tenant(&acme).unwrap(), suspended);
        let known = table.tenant(&acme).unwrap().clone();
        assert!(table.restore_tenant(Some(&known), Tenant::new(acme.clone())));
        assert!(table.tenant(&acme).unwrap().suspended.is_empty());
    }

    #[test]
    fn a_tenant_is_forgotten_with_its_keys_and_names() {
        let mut table = Table::default();
        let tenant = TenantId::default();
        table.put_tenant(Tenant::new(tenant.clone()));
        let key = key("k", "s");
        let digest = key.digest;
        assert!(table.put_key(Arc::new(key)));
        table.remove_tenant(&tenant);
        assert!(table.find(&digest).is_none() && table.tenant(&tenant).is_none() && table.key_count() == 0);
    }

    #[test]
    fn a_lower_revision_counts_only_in_place_of_what_was_known() {
        let mut table = Table::default();
        table.put_tenant(Tenant::new(TenantId::default()));
        let low = key("k", "s");
        let high = ApiKey { rev: low.rev + 1, ..low.clone() };
        table.put_key(Arc::new(high.clone()));
        let known = table.key(&low.tenant, low.key_id).unwrap().clone();
        assert!(!table.put_key(Arc::new(low.clone())));
        assert!(!table.restore_key(&Arc::new(high), Arc::new(low.clone())), "another one than was known");
        assert!(table.restore_key(&known, Arc::new(low.clone())));
        assert_eq!(table.key(&low.tenant, low.key_id).unwrap().rev, low.rev);
    }
}
