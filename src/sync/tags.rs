//! Which state of each key document is in memory, so that a listing tells what has to be read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::{KeyId, TenantId};
use crate::store::Tag;

/// The tags of the documents that the cache was filled from. A tag is forgotten before its key is written, so a tag that
/// is here was never overtaken by this node.
#[derive(Debug, Default)]
pub(super) struct Tags(Mutex<HashMap<TenantId, HashMap<KeyId, Tag>>>);

impl Tags {
    /// All tags of a tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> HashMap<KeyId, Tag> {
        self.lock().get(tenant).cloned().unwrap_or_default()
    }

    /// Remembers what was read, or that it is not known.
    pub(super) fn set(&self, tenant: &TenantId, id: KeyId, tag: Option<Tag>) {
        let mut tags = self.lock();
        match tag {
            Some(tag) => _ = tags.entry(tenant.clone()).or_default().insert(id, tag),
            None => _ = tags.get_mut(tenant).and_then(|tags| tags.remove(&id)),
        }
    }

    /// Forgets a tenant.
    pub(super) fn remove_tenant(&self, tenant: &TenantId) {
        self.lock().remove(tenant);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, HashMap<KeyId, Tag>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
