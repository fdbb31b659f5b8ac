//! The documents of a tenant in the bucket, and its keys in memory when it was listed: the input of the comparison.

use std::sync::Arc;

use super::listing::{self, Listing};
use super::read::{self, TenantRead};
use crate::cache::KeyCache;
use crate::error::Result;
use crate::key::{ApiKey, Tenant, TenantId};
use crate::store::Bucket;

/// How many keys are taken from memory between two chances for others to run.
const STEP: usize = 1024;

/// A tenant in memory and in the bucket.
#[derive(Debug)]
pub(super) struct TenantListing {
    pub(super) id: TenantId,
    /// Its record in memory.
    pub(super) held: Option<Arc<Tenant>>,
    /// Its keys in memory, those too that are refused because they share a secret, in order of id.
    pub(super) known: Vec<Arc<ApiKey>>,
    pub(super) listing: Listing,
    pub(super) record: TenantRead,
}

/// Lists a tenant. Memory is read first: a key that is there now and not in the bucket later was removed, and one that
/// is issued in between is not in question. The record is read last: a tenant with keys has one.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when the store does not answer.
pub(super) async fn list_tenant(bucket: &Bucket, cache: &KeyCache, id: TenantId) -> Result<TenantListing> {
    let held = cache.tenant(&id);
    let mut known: Vec<Arc<ApiKey>> = Vec::new();
    loop {
        let page = cache.scan(&id, known.last().map(|key| key.key_id), STEP, |_| true);
        let end = page.len() < STEP;
        known.extend(page);
        if end {
            break;
        }
        tokio::task::yield_now().await;
    }
    known.extend(cache.duplicate_secrets().into_iter().filter(|key| key.tenant == id));
    known.sort_unstable_by_key(|key| key.key_id);
    let listing = listing::keys(bucket, &id).await?;
    let record = read::tenant(bucket, &id).await?;
    Ok(TenantListing { id, held, known, listing, record })
}
