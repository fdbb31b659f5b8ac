//! Reading documents of the bucket, and saying what each is worth.

use std::sync::Arc;

use relative_path::RelativePath;

use crate::cache::{KeyCache, UnreadableDocuments};
use crate::documents::{Documents, Found, LastWrite, StoredKey, TenantDocument};
use crate::error::Result;
use crate::key::{ApiKey, KeyId, Tenant, TenantId};
use crate::store::{Bucket, Tag};

/// The document of a key, as it stands in the bucket.
#[derive(Debug)]
pub(super) enum KeyRead {
    /// A usable key, the tag of its document, and its last write.
    Key(Arc<ApiKey>, Option<Tag>, LastWrite),
    /// There is one, but it cannot be used, and why.
    Unusable(String),
    /// There is none.
    Gone,
}

pub(super) async fn key(bucket: &Bucket, tenant: &TenantId, id: KeyId) -> Result<KeyRead> {
    let read = Documents::<StoredKey>::new(bucket.clone()).read(&(tenant.clone(), id)).await?;
    Ok(match read.found {
        Found::Usable(stored) => {
            let last = stored.last_write();
            KeyRead::Key(Arc::new(stored.key), read.tag, last)
        }
        Found::Unusable(reason) => KeyRead::Unusable(reason.to_string()),
        Found::Absent => KeyRead::Gone,
    })
}

/// The record of a tenant, as it stands in the bucket.
#[derive(Debug)]
pub(super) enum TenantRead {
    /// A usable record, and its last write; the default tenant needs none.
    Tenant(Tenant, Box<LastWrite>),
    /// There is one, but it cannot be used, and why.
    Unusable(String),
    /// There is none.
    Gone,
}

pub(super) async fn tenant(bucket: &Bucket, id: &TenantId) -> Result<TenantRead> {
    Ok(match Documents::<TenantDocument>::new(bucket.clone()).read(id).await?.found {
        Found::Usable(document) => TenantRead::Tenant(document.tenant(id.clone()), Box::new(document.last_write())),
        Found::Unusable(reason) => TenantRead::Unusable(reason.to_string()),
        Found::Absent if id.is_default() => TenantRead::Tenant(Tenant::new(id.clone()), Box::default()),
        Found::Absent => TenantRead::Gone,
    })
}

/// The tenant that stands in while a record cannot be used: the one in memory, else one that may do nothing.
pub(super) fn in_place_of_unusable(cache: &KeyCache, id: &TenantId) -> Tenant {
    cache.tenant(id).map_or_else(|| Tenant::unreadable(id.clone()), |known| (*known).clone())
}

/// Notes a document that cannot be used, for the operator.
pub(super) fn report(unreadable: &mut UnreadableDocuments, tenant: &TenantId, object: &RelativePath, reason: String) {
    tracing::warn!(%tenant, %object, %reason, "a document cannot be used");
    unreadable.insert((tenant.clone(), object.to_string()), reason);
}
