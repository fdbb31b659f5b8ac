//! Reading documents of the bucket, and saying what each is worth.

use std::sync::Arc;

use relative_path::RelativePath;

use crate::cache::{KeyCache, UnreadableDocuments};
use crate::error::{ErrorKind, Result};
use crate::key::{ApiKey, KeyId, Tenant, TenantId};
use crate::layout::ObjectName;
use crate::store::{Bucket, KeyDocument, Tag, TenantDocument};

/// The document of a key, as it stands in the bucket.
#[derive(Debug)]
pub(super) enum KeyRead {
    /// A usable key, and the tag of its document.
    Key(Arc<ApiKey>, Option<Tag>),
    /// There is one, but it cannot be used, and why.
    Unusable(String),
    /// There is none.
    Gone,
}

pub(super) async fn key(bucket: &Bucket, tenant: &TenantId, id: KeyId) -> Result<KeyRead> {
    let stored = match bucket.read(&ObjectName::Key { tenant: tenant.clone(), key_id: id }).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(KeyRead::Gone),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(KeyRead::Unusable(error.message().to_owned())),
        Err(error) => return Err(error),
    };
    let key = KeyDocument::parse(&stored.body).and_then(|document| document.key(tenant, id));
    Ok(match key {
        Ok(key) => KeyRead::Key(Arc::new(key), stored.tag),
        Err(reason) => KeyRead::Unusable(reason.to_string()),
    })
}

/// The record of a tenant, as it stands in the bucket.
#[derive(Debug)]
pub(super) enum TenantRead {
    /// A usable record; the default tenant needs none.
    Tenant(Tenant),
    /// There is one, but it cannot be used, and why.
    Unusable(String),
    /// There is none.
    Gone,
}

pub(super) async fn tenant(bucket: &Bucket, id: &TenantId) -> Result<TenantRead> {
    Ok(match bucket.read(&ObjectName::Tenant { tenant: id.clone() }).await {
        Ok(Some(stored)) => match TenantDocument::parse(&stored.body) {
            Some(document) => TenantRead::Tenant(document.tenant(id.clone())),
            None => TenantRead::Unusable("not a tenant record".to_owned()),
        },
        Ok(None) if id.is_default() => TenantRead::Tenant(Tenant::new(id.clone())),
        Ok(None) => TenantRead::Gone,
        Err(error) if error.kind() == ErrorKind::Corrupt => TenantRead::Unusable(error.message().to_owned()),
        Err(error) => return Err(error),
    })
}

/// What a tenant is taken for while its record cannot be used: what was known of it, or nobody who may do anything.
pub(super) fn in_place_of_unusable(cache: &KeyCache, id: &TenantId) -> Tenant {
    cache.tenant(id).map_or_else(|| Tenant::unreadable(id.clone()), |known| (*known).clone())
}

/// Notes a document that cannot be used, for the operator.
pub(super) fn report(unreadable: &mut UnreadableDocuments, tenant: &TenantId, object: &RelativePath, reason: String) {
    tracing::warn!(%tenant, %object, %reason, "a document cannot be used");
    unreadable.insert((tenant.clone(), object.to_string()), reason);
}
