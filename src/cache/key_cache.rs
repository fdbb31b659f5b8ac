//! The lock around the maps, and the watchers of changes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use relative_path::RelativePath;

use super::table::{Table, UnreadableDocuments, Unreservable};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, Digest, KeyId, KeyName, Tenant, TenantId};

/// How many keys a scan looks at under one read lock, so that no authentication waits behind a long list.
const SCAN: usize = 1024;

/// All keys of all tenants. Reads take one short lock; nothing here waits for the store.
#[derive(Default)]
pub struct KeyCache {
    table: RwLock<Table>,
    watchers: RwLock<Vec<Watcher>>,
    hydrated: AtomicBool,
    verified: AtomicBool,
    good_until: GoodUntil,
}

/// Milliseconds of the epoch; without a bound by default.
struct GoodUntil(AtomicI64);

impl Default for GoodUntil {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }
}

type Watcher = Box<dyn Fn(&CacheChange) + Send + Sync>;

/// A change, after it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheChange {
    /// A key was issued, changed, revoked or removed.
    Key {
        /// Whose key.
        tenant: TenantId,
        /// Which key.
        key_id: KeyId,
    },
    /// A tenant was created, changed, suspended or deleted.
    Tenant {
        /// Which tenant.
        tenant: TenantId,
    },
}

impl KeyCache {
    /// The key with this digest, whatever its state.
    pub fn find(&self, digest: &Digest) -> Option<Arc<ApiKey>> {
        self.judge(digest, |key, _| key.clone())
    }

    /// Calls `judge` with the key with this digest and its tenant, under the lock, so that it clones only what it
    /// keeps: the reference counts of a busy key and its tenant are written by all cores, which wait for each other.
    pub(crate) fn judge<T>(&self, digest: &Digest, judge: impl FnOnce(&Arc<ApiKey>, &Arc<Tenant>) -> T) -> Option<T> {
        let table = self.read();
        let (key, tenant) = table.find(digest)?;
        Some(judge(key, tenant))
    }

    /// A key by its id.
    pub fn key(&self, tenant: &TenantId, id: KeyId) -> Option<Arc<ApiKey>> {
        self.read().key(tenant, id).cloned()
    }

    /// Up to `limit` keys that `wanted` accepts, in order of id, after the key `after`.
    pub fn scan(
        &self,
        tenant: &TenantId,
        mut after: Option<KeyId>,
        limit: usize,
        wanted: impl Fn(&ApiKey) -> bool,
    ) -> Vec<Arc<ApiKey>> {
        let mut found = Vec::new();
        while self.scan_page(tenant, &mut after, limit, &wanted, &mut found) {}
        found
    }

    /// The same, where other tasks of the thread have their turn every thousand keys: a scan of a million takes long.
    pub(crate) async fn scan_in_turns(
        &self,
        tenant: &TenantId,
        mut after: Option<KeyId>,
        limit: usize,
        wanted: impl Fn(&ApiKey) -> bool,
    ) -> Vec<Arc<ApiKey>> {
        let mut found = Vec::new();
        while self.scan_page(tenant, &mut after, limit, &wanted, &mut found) {
            tokio::task::yield_now().await;
        }
        found
    }

    /// Looks through the next thousand keys, and says whether to go on.
    fn scan_page(
        &self,
        tenant: &TenantId,
        after: &mut Option<KeyId>,
        limit: usize,
        wanted: &impl Fn(&ApiKey) -> bool,
        found: &mut Vec<Arc<ApiKey>>,
    ) -> bool {
        let keys = self.read().keys_after(tenant, *after, SCAN);
        let Some(last) = keys.last() else { return false };
        *after = Some(last.key_id);
        let is_last = keys.len() < SCAN;
        found.extend(keys.into_iter().filter(|key| wanted(key)).take(limit - found.len()));
        !is_last && found.len() < limit
    }

    /// A tenant by its id, tombstones included.
    pub fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.read().tenant(id).cloned()
    }

    /// All tenants sorted by id, tombstones included.
    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.read().tenants()
    }

    /// How many keys are held, revoked ones included.
    pub fn key_count(&self) -> usize {
        self.read().key_count()
    }

    /// Documents that cannot be used.
    #[doc(hidden)]
    pub fn unreadable(&self) -> UnreadableDocuments {
        self.read().unreadable().clone()
    }

    /// Whether all keys have been loaded once. Until then no key is accepted.
    pub fn is_hydrated(&self) -> bool {
        self.hydrated.load(Ordering::Acquire)
    }

    /// Whether the keys were compared with a listing of the bucket. Until then a key that is missing may exist.
    pub fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }
}

/// Changes, for Keyloft itself: no part of the contract.
#[doc(hidden)]
impl KeyCache {
    /// Marks the cache as loaded and equal to the bucket.
    pub fn set_hydrated(&self) {
        self.verified.store(true, Ordering::Release);
        self.hydrated.store(true, Ordering::Release);
    }

    /// Says that all keys have been loaded. What was changed in the bucket by hand is not known yet.
    pub(crate) fn set_loaded(&self) {
        self.hydrated.store(true, Ordering::Release);
    }

    /// Bounds how long this view may be served from.
    pub fn set_good_until(&self, end: DateTime<Utc>) {
        self.good_until.0.store(end.timestamp_millis(), Ordering::Release);
    }

    /// Whether this view may still be served from.
    pub fn is_good_at(&self, now: DateTime<Utc>) -> bool {
        now.timestamp_millis() <= self.good_until.0.load(Ordering::Acquire)
    }

    /// Calls `watcher` after every change, on the thread that made it, with no lock of the maps held.
    pub fn watch(&self, watcher: impl Fn(&CacheChange) + Send + Sync + 'static) {
        self.watchers.write().push(Box::new(watcher));
    }

    /// Puts many keys in place as [`KeyCache::put_key`] does, before there are watchers.
    pub(crate) fn fill(&self, keys: impl IntoIterator<Item = Arc<ApiKey>>) {
        self.change(|table| keys.into_iter().for_each(|key| _ = table.put_key(key)));
    }

    /// Reserves memory for `keys` keys of a tenant.
    pub(crate) fn make_room(&self, tenant: &TenantId, keys: usize) {
        self.write().make_room(tenant, keys);
    }

    /// Puts a key in place of the one with its id, unless that is newer. Whether anything changed.
    pub fn put_key(&self, key: Arc<ApiKey>) -> bool {
        let change = CacheChange::Key { tenant: key.tenant.clone(), key_id: key.key_id };
        let changed = self.change(|table| table.put_key(key));
        if changed {
            self.notify(&change);
        }
        changed
    }

    /// Puts a key in place that shares a secret with another key, which will be put later. Neither authenticates.
    pub(crate) fn refuse(&self, key: Arc<ApiKey>) {
        let change = CacheChange::Key { tenant: key.tenant.clone(), key_id: key.key_id };
        self.change(|table| table.refuse(key));
        self.notify(&change);
    }

    /// The keys that are refused because they share a secret, in no order.
    pub(crate) fn duplicate_secrets(&self) -> Vec<Arc<ApiKey>> {
        self.read().duplicate_secrets().cloned().collect()
    }

    /// A key that has this secret, or had it, even if it is refused because others have it too.
    pub fn owner(&self, digest: &Digest) -> Option<Arc<ApiKey>> {
        self.read().owner(digest).cloned()
    }

    /// Puts a key in place of `known` although its revision is lower, because the document decides. Whether anything
    /// changed.
    pub fn restore_key(&self, known: &Arc<ApiKey>, key: Arc<ApiKey>) -> bool {
        let change = CacheChange::Key { tenant: key.tenant.clone(), key_id: key.key_id };
        let changed = self.change(|table| table.restore_key(known, key));
        if changed {
            self.notify(&change);
        }
        changed
    }

    /// Forgets a tenant whose record is gone, and its keys.
    pub fn remove_tenant(&self, id: &TenantId) {
        let keys = self.scan(id, None, usize::MAX, |_| true);
        self.change(|table| table.remove_tenant(id));
        for key in keys {
            self.notify(&CacheChange::Key { tenant: id.clone(), key_id: key.key_id });
        }
        self.notify(&CacheChange::Tenant { tenant: id.clone() });
    }

    /// Forgets a key whose document is gone.
    pub fn remove_key(&self, tenant: &TenantId, id: KeyId) {
        self.change(|table| table.remove_key(tenant, id));
        self.notify(&CacheChange::Key { tenant: tenant.clone(), key_id: id });
    }

    /// Puts the record of a tenant that was read in place of `known`, unless this node has changed it since.
    pub fn restore_tenant(&self, known: Option<&Arc<Tenant>>, tenant: Tenant) {
        let id = tenant.id.clone();
        if self.write().restore_tenant(known, tenant) {
            self.notify(&CacheChange::Tenant { tenant: id });
        }
    }

    /// Puts a tenant's record in place.
    pub fn put_tenant(&self, tenant: Tenant) {
        let id = tenant.id.clone();
        self.write().put_tenant(tenant);
        self.notify(&CacheChange::Tenant { tenant: id });
    }

    /// Replaces the list of documents that cannot be used.
    pub fn set_unreadable(&self, documents: UnreadableDocuments) {
        self.write().set_unreadable(documents);
    }

    /// Notes that a document cannot be used, beside those of the last [`KeyCache::set_unreadable`].
    pub fn set_unusable(&self, tenant: &TenantId, object: &RelativePath, reason: String) {
        self.write().note(tenant, object, Some(reason));
    }

    /// Forgets that a document could not be used.
    pub fn set_readable(&self, tenant: &TenantId, object: &RelativePath) {
        if self.read().is_noted(tenant, object) {
            self.write().note(tenant, object, None);
        }
    }

    /// Refuses a key from now on, whatever its document says, until [`KeyCache::stop_denying`].
    pub fn deny(&self, tenant: &TenantId, id: KeyId) {
        self.change(|table| table.deny(tenant, id));
        self.notify(&CacheChange::Key { tenant: tenant.clone(), key_id: id });
    }

    /// Lets the document of a key decide again, once it is read the next time.
    pub fn stop_denying(&self, tenant: &TenantId, id: KeyId) {
        self.write().stop_denying(tenant, id);
    }

    /// The live key that has a name.
    pub fn named(&self, tenant: &TenantId, name: &KeyName) -> Option<Arc<ApiKey>> {
        self.read().named(tenant, name).cloned()
    }

    /// All live keys that have a name, in order of id: more than one when files were copied by hand.
    pub fn all_named(&self, tenant: &TenantId, name: &KeyName) -> Vec<Arc<ApiKey>> {
        let mut keys: Vec<_> = self.read().all_named(tenant, name).cloned().collect();
        keys.sort_unstable_by_key(|key| key.key_id);
        keys
    }

    /// Reserves a name on this node until the reservation is dropped, so that two requests cannot both use it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such a tenant, [`ErrorKind::DuplicateKeyName`] when a live key or another
    /// reservation has the name.
    pub fn reserve_name(self: &Arc<Self>, tenant: &TenantId, name: &KeyName) -> Result<NameReservation> {
        self.write().reserve_name(tenant, name).map_err(|error| match error {
            Unreservable::NoTenant => Error::new(ErrorKind::NotFound, "there is no such tenant"),
            Unreservable::Taken => Error::new(ErrorKind::DuplicateKeyName, "a live key of this tenant has that name"),
        })?;
        Ok(NameReservation { cache: self.clone(), tenant: tenant.clone(), name: name.clone() })
    }

    /// Changes the maps, and notifies also about keys that were refused, or accepted again, because of another key.
    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.write();
        let outcome = change(&mut table);
        let affected = table.take_affected();
        drop(table);
        for (tenant, key_id) in affected {
            self.notify(&CacheChange::Key { tenant, key_id });
        }
        outcome
    }

    fn notify(&self, change: &CacheChange) {
        for watcher in self.watchers.read().iter() {
            watcher(change);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write()
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCache({} keys)", self.key_count())
    }
}

/// A name that is reserved until this is dropped.
#[derive(Debug)]
pub struct NameReservation {
    cache: Arc<KeyCache>,
    tenant: TenantId,
    name: KeyName,
}

impl Drop for NameReservation {
    fn drop(&mut self) {
        self.cache.write().release_name(&self.tenant, &self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::key::{Digest, Hint, KeyType, NewKey};

    #[tokio::test]
    async fn other_tasks_have_their_turn_while_very_many_keys_are_looked_through() {
        let cache = KeyCache::default();
        cache.put_tenant(Tenant::new(TenantId::default()));
        cache.fill((0..10 * SCAN).map(|number| {
            let name = KeyName::parse(&format!("key-{number}")).unwrap();
            let digest = Digest::of(name.as_str());
            Arc::new(NewKey::new(name, KeyType::Query).into_key(TenantId::default(), digest, Hint::default()))
        }));
        let (turns, wanted) = (AtomicUsize::new(0), |key: &ApiKey| key.name.as_str().ends_with("77"));
        let tenant = TenantId::default();
        let scan = cache.scan_in_turns(&tenant, None, usize::MAX, wanted);
        let others = async {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::select! {
            found = scan => found,
            () = others => Vec::new(),
        };
        assert_eq!(found, cache.scan(&tenant, None, usize::MAX, wanted));
        assert!(found.len() > 100 && turns.load(Ordering::Relaxed) >= 9);
    }
}
