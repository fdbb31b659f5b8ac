//! Removing the documents of keys that were revoked longer ago than their records are kept.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, stream};

use super::Keystore;
use super::change::LoggedKey;
use super::running::outcome;
use crate::clock::Clock;
use crate::documents::Found;
use crate::error::Result;
use crate::key::{ApiKey, KeyId, TenantId};
use crate::layout::ObjectName;
use crate::sync::AuditAction;

/// How many keys are purged for one entry of the change log.
const PORTION: usize = 256;
/// How many of those at once.
const WIDTH: usize = 16;

impl Keystore {
    /// Purges the keys that are due, portion after portion, and gives their number. What was purged is logged even if
    /// the caller stops waiting.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer; what is left is purged another time.
    pub async fn purge(&self) -> Result<usize> {
        let Some(retention) = self.replica.settings().revoked_retention else { return Ok(0) };
        // A node whose clock is wrong must not remove what others keep.
        let now = self.replica.learn_store_clock().await?.now();
        let outlived = move |at: DateTime<Utc>| (now - at).to_std().is_ok_and(|age| age >= retention);
        let due = move |key: &ApiKey| !key.is_live() && key.modified_at.is_some_and(outlived);
        let mut purged = 0;
        for tenant in self.cache.tenants() {
            let mut after = None;
            loop {
                let ids = self.next_keys(&tenant.id, after, PORTION, due).await;
                if ids.is_empty() {
                    break;
                }
                after = ids.last().copied();
                let (this, tenant) = (self.clone(), tenant.id.clone());
                let portion = async move { this.purge_portion(&tenant, ids, due).await };
                purged += outcome(self.running.spawn_change(portion)).await?;
                if self.running.is_ending() {
                    return Ok(purged);
                }
            }
        }
        Ok(purged)
    }

    async fn purge_portion(
        &self,
        tenant: &TenantId,
        ids: Vec<KeyId>,
        due: impl Fn(&ApiKey) -> bool + Copy + Send + Sync,
    ) -> Result<usize> {
        let removals = ids.into_iter().map(|id| {
            let key = self.cache.key(tenant, id); // As it was, for the log.
            async move { (key, self.purge_one(tenant, id, due).await) }.boxed()
        });
        let removals: Vec<(Option<Arc<ApiKey>>, Result<bool>)> =
            stream::iter(removals).buffer_unordered(WIDTH).collect().await;
        let (mut purged, mut failure) = (Vec::new(), Ok(()));
        for (key, removed) in removals {
            match removed {
                Ok(true) => purged.extend(key),
                Ok(false) => {}
                Err(error) => failure = Err(error),
            }
        }
        if !purged.is_empty() {
            let action = Some(AuditAction::KeyPurge);
            let keys = purged.iter().map(|key| LoggedKey { before: Some(&**key), after: None, action });
            self.log_keys(&self.maintenance(), tenant, keys).await?; // Also when others failed: these are gone.
        }
        failure.map(|()| purged.len())
    }

    /// Removes a key. What is stored decides: memory also shows a key as revoked whose revocation is not durable yet.
    async fn purge_one(&self, tenant: &TenantId, key_id: KeyId, due: impl Fn(&ApiKey) -> bool) -> Result<bool> {
        match self.keys.read(&(tenant.clone(), key_id)).await?.found {
            Found::Usable(stored) if due(&stored.key) => {}
            Found::Absent => {}
            Found::Usable(_) | Found::Unusable(_) => return Ok(false),
        }
        self.bucket.remove(&ObjectName::Key { tenant: tenant.clone(), key_id }).await?;
        self.replica.about_to_write(tenant, key_id);
        self.cache.remove_key(tenant, key_id);
        Ok(true)
    }
}
