//! Taking in what an entry of the log names. The document decides; the entry only says where to look.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};

use super::ChangedObject;
use super::read::{self, KeyRead, TenantRead};
use super::tags::Tags;
use crate::cache::KeyCache;
use crate::error::Result;
use crate::key::{ApiKey, KeyId, TenantId};
use crate::layout::ObjectName;
use crate::store::{Bucket, Tag};

/// How many documents are read at once.
const READS: usize = 32;

/// Takes in every changed object. Tenants first: a key is only kept for a tenant that is known.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when the store does not answer: apply the same again later.
pub(super) async fn apply(bucket: &Bucket, cache: &KeyCache, tags: &Tags, changes: &[ChangedObject]) -> Result<()> {
    for change in changes {
        match change {
            ChangedObject::Tenant { tenant: id } => tenant(bucket, cache, tags, id).await?,
            ChangedObject::Key { tenant: id, .. } if cache.tenant(id).is_none() => {
                tenant(bucket, cache, tags, id).await?
            }
            ChangedObject::Key { .. } | ChangedObject::Stream { .. } | ChangedObject::Held { .. } => {}
        }
    }
    let keys: Vec<_> = changes.iter().filter_map(ChangedObject::key).collect();
    let mut reads: Vec<BoxFuture<'_, Result<()>>> = Vec::with_capacity(keys.len());
    for (tenant, key_id) in keys {
        reads.push(key(bucket, cache, tags, tenant, key_id).boxed());
    }
    futures::stream::iter(reads).buffer_unordered(READS).try_collect::<()>().await?;
    Ok(())
}

/// Takes in the document of one key.
pub(super) async fn key(bucket: &Bucket, cache: &KeyCache, tags: &Tags, tenant: &TenantId, id: KeyId) -> Result<()> {
    let object = || ObjectName::Key { tenant: tenant.clone(), key_id: id }.path();
    match read::key(bucket, tenant, id).await? {
        KeyRead::Key(key, tag, _) => {
            cache.set_readable(tenant, &object()); // Before: a key that shares its digest is reported when it is put.
            take_in(bucket, cache, tags, &key, tag).await?;
        }
        KeyRead::Unusable(reason) => {
            tracing::warn!(%tenant, object = %object(), %reason, "a document cannot be used");
            cache.set_unusable(tenant, &object(), reason);
            tags.forget(tenant, id);
        }
        KeyRead::Gone => {
            cache.remove_key(tenant, id);
            tags.forget(tenant, id);
        }
    }
    Ok(())
}

/// Takes in a key that was read. Says whether it is another one than before.
///
/// A lower revision than the one in memory was read before this node made a change, or was written by hand. What is in
/// memory was in the bucket first, so a second read decides: if that is still lower, it counts.
pub(super) async fn take_in(
    bucket: &Bucket,
    cache: &KeyCache,
    tags: &Tags,
    key: &Arc<ApiKey>,
    tag: Option<Tag>,
) -> Result<bool> {
    let (tenant, id) = (&key.tenant, key.key_id);
    let changed = match cache.key(tenant, id).filter(|known| known.rev > key.rev) {
        None => cache.put_key(key.clone()),
        Some(known) => match read::key(bucket, tenant, id).await? {
            KeyRead::Key(again, ..) if again == *key => {
                if key.is_live() && !known.is_live() {
                    tracing::warn!(%tenant, key_id = %id, "a revoked key was restored by hand: it works again");
                }
                cache.restore_key(&known, key.clone())
            }
            _ => false, // It is changing right now: the next pass reads it again.
        },
    };
    tags.note(cache, key, tag); // This node may have written a newer revision since.
    Ok(changed)
}

/// Takes in the record of one tenant.
pub(super) async fn tenant(bucket: &Bucket, cache: &KeyCache, tags: &Tags, id: &TenantId) -> Result<()> {
    let held = cache.tenant(id);
    match read::tenant(bucket, id).await? {
        TenantRead::Tenant(tenant, _) => {
            if held.as_deref() != Some(&tenant) {
                cache.restore_tenant(held.as_ref(), tenant);
            }
        }
        TenantRead::Unusable(reason) => {
            let object = ObjectName::Tenant { tenant: id.clone() }.path();
            tracing::warn!(tenant = %id, %object, %reason, "a document cannot be used");
            cache.set_unusable(id, &object, reason);
            if held.is_none() {
                cache.restore_tenant(None, read::in_place_of_unusable(cache, id));
            }
        }
        TenantRead::Gone => {
            if held.is_some() {
                cache.remove_tenant(id);
            }
            tags.remove_tenant(id);
        }
    }
    Ok(())
}
