//! Which state of each key document is in memory, so that a listing shows which documents must be read.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::{Mutex, MutexGuard};

use crate::cache::KeyCache;
use crate::key::{ApiKey, KeyId, TenantId};
use crate::store::Tag;

/// The tags of the documents that the cache was filled from. Each belongs to the very key beside it: replacing a key
/// drops its tag until the document is read again. Sixteen bytes per key.
#[derive(Debug, Default)]
pub(super) struct Tags {
    held: Mutex<HashTable<Held>>,
    ids: DefaultHashBuilder,
}

/// A key, and the state of the document that it was read from.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) tag: Tag,
    pub(super) key: Arc<ApiKey>,
}

/// A key, and the state of the document that it was read from, where that is known.
#[derive(Debug, Clone)]
pub(super) struct TaggedKey {
    pub(super) key: Arc<ApiKey>,
    pub(super) tag: Option<Tag>,
}

impl Tags {
    /// Remembers the tag of a document that was read, if what it says is what is in memory.
    pub(super) fn note(&self, cache: &KeyCache, read: &Arc<ApiKey>, tag: Option<Tag>) {
        let held = cache.key(&read.tenant, read.key_id).filter(|held| Arc::ptr_eq(held, read) || **held == **read);
        match held.zip(tag) {
            Some((key, tag)) => self.set(Held { tag, key }),
            None => self.forget(&read.tenant, read.key_id),
        }
    }

    /// Remembers the tags of keys that were just put into memory.
    pub(super) fn fill(&self, keys: &[TaggedKey]) {
        for TaggedKey { key, tag } in keys {
            if let Some(tag) = *tag {
                self.set(Held { tag, key: key.clone() });
            }
        }
    }

    fn set(&self, new: Held) {
        let hash = self.hash(&new.key.tenant, new.key.key_id);
        let mut held = self.lock();
        match held.find_mut(hash, |held| is(held, &new.key.tenant, new.key.key_id)) {
            Some(held) => *held = new,
            None => _ = held.insert_unique(hash, new, |held| self.hash(&held.key.tenant, held.key.key_id)),
        }
    }

    /// Reserves memory for `more` tags.
    pub(super) fn make_room(&self, more: usize) {
        self.lock().reserve(more, |held| self.hash(&held.key.tenant, held.key.key_id));
    }

    /// Forgets the tag of a key whose document is about to be written, or is gone.
    pub(super) fn forget(&self, tenant: &TenantId, id: KeyId) {
        let hash = self.hash(tenant, id);
        if let Ok(entry) = self.lock().find_entry(hash, |held| is(held, tenant, id)) {
            entry.remove();
        }
    }

    /// The tag of this very key.
    pub(super) fn of(&self, key: &Arc<ApiKey>) -> Option<Tag> {
        let hash = self.hash(&key.tenant, key.key_id);
        let held = self.lock();
        held.find(hash, |held| Arc::ptr_eq(&held.key, key)).map(|held| held.tag)
    }

    pub(super) fn remove_tenant(&self, tenant: &TenantId) {
        self.lock().retain(|held| held.key.tenant != *tenant);
    }

    fn hash(&self, tenant: &TenantId, id: KeyId) -> u64 {
        self.ids.hash_one((tenant, id))
    }

    fn lock(&self) -> MutexGuard<'_, HashTable<Held>> {
        self.held.lock()
    }
}

fn is(held: &Held, tenant: &TenantId, id: KeyId) -> bool {
    held.key.key_id == id && held.key.tenant == *tenant
}
