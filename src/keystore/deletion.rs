//! Deletes a tenant: writes the tombstone at once, and revokes the keys in portions. Any node can continue the
//! revocation.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;

use super::Keystore;
use super::keys::{OnUnreadable, Swapped, revoked};
use super::running::outcome;
use crate::documents::{Found, RequestContext, TenantDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Actor, ApiKey, KeyId, TenantId};
use crate::sync::log::LogEntry;
use crate::sync::{self, ChangedObject};

/// How many keys of a portion are revoked at once.
const WIDTH: usize = 32;

/// A tenant that was just deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantDeletion {
    /// The number of the change in the log, for [`crate::sync::Replica::receipt`].
    pub change_seq: u64,
    /// How many keys are still to be revoked, which [`Keystore::follow`] does. All of them are refused already.
    pub keys_to_revoke: usize,
}

/// The deleted tenants whose keys are still to be revoked, and who asked for that.
pub(super) type UnfinishedDeletions = Arc<Mutex<BTreeMap<TenantId, RequestContext>>>;

impl Keystore {
    /// How many keys are revoked before [`Keystore::delete_tenant`] returns. With more it leaves all of them to
    /// [`Keystore::follow`].
    pub const REVOKED_AT_ONCE: usize = LogEntry::MAX_CHANGES;

    /// Deletes a tenant: leaves a tombstone, so that none of its keys works and its id is never given again, and
    /// revokes all its keys. Its events are left to the operator. Repeating it finishes what an interrupted call began.
    ///
    /// # Errors
    /// [`ErrorKind::TenantProtected`] for the default tenant, else as for [`Keystore::update_tenant`].
    pub async fn delete_tenant(&self, context: &RequestContext, id: &TenantId) -> Result<TenantDeletion> {
        self.delete(context, id, false).await
    }

    /// The same, and erases its events: everything in the folder of its streams, which [`Keystore::follow`] does. Also
    /// those of a tenant that is deleted already.
    ///
    /// # Errors
    /// As for [`Keystore::delete_tenant`]; [`ErrorKind::Corrupt`] when its record cannot be read.
    pub async fn delete_tenant_and_events(&self, context: &RequestContext, id: &TenantId) -> Result<TenantDeletion> {
        self.delete(context, id, true).await
    }

    async fn delete(&self, context: &RequestContext, id: &TenantId, erases: bool) -> Result<TenantDeletion> {
        if id.is_default() {
            return Err(Error::new(ErrorKind::TenantProtected, "the default tenant cannot be deleted"));
        }
        // A tombstone is no error here: an interrupted deletion is finished.
        let no_tenant = || Error::new(ErrorKind::NotFound, "there is no such tenant");
        self.read_through(|| self.cache.tenant(id).ok_or_else(no_tenant)).await?;
        let (this, context, id) = (self.clone(), context.clone(), id.clone());
        self.run_to_completion(async move { this.delete_tenant_now(&context, id, erases).await }).await
    }

    async fn delete_tenant_now(&self, context: &RequestContext, id: TenantId, erases: bool) -> Result<TenantDeletion> {
        // The tombstone first: from here on no key of the tenant works, whatever happens to the rest.
        let change_seq = if erases {
            self.delete_with_events(context, &id).await?
        } else if self.cache.tenant(&id).is_some_and(|tenant| tenant.deleted) {
            self.replica.append(vec![ChangedObject::Tenant { tenant: id.clone() }.by(context)]).await?
        } else {
            let now = self.clock.now();
            let mark_deleted = move |document: &mut TenantDocument| {
                document.deleted_at = Some(now);
                Ok(())
            };
            self.change_tenant(context, id.clone(), mark_deleted).await?.change_seq
        };
        let keys = self.next_keys(&id, None, usize::MAX, ApiKey::is_live).await;
        if keys.len() > Self::REVOKED_AT_ONCE {
            self.deletions.lock().insert(id, context.clone());
            return Ok(TenantDeletion { change_seq, keys_to_revoke: keys.len() });
        }
        let logged = self.revoke_portion(context, &id, keys).await?;
        Ok(TenantDeletion { change_seq: logged.unwrap_or(change_seq), keys_to_revoke: 0 })
    }

    /// Revokes keys of a deleted tenant, and gives the number of the log entry if there is one.
    async fn revoke_portion(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        keys: Vec<KeyId>,
    ) -> Result<Option<u64>> {
        let revocations = keys.into_iter().map(|id| {
            let swap = self.swap(context, tenant.clone(), id, None, OnUnreadable::Overwrite, revoked);
            swap.boxed()
        });
        let (mut changed, mut failure) = (Vec::new(), Ok(()));
        for outcome in stream::iter(revocations).buffer_unordered(WIDTH).collect::<Vec<_>>().await {
            match outcome {
                Ok(swapped) if swapped.action.is_some() => changed.push(swapped),
                Ok(_) => {} // Another node finishes the same deletion, and logs what it changes.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {}
                Err(error) => failure = Err(error),
            }
        }
        // Those that are revoked are logged even if others failed.
        let logged = match changed.is_empty() {
            true => None,
            false => Some(self.log_keys(context, tenant, changed.iter().map(Swapped::logged)).await?),
        };
        failure.map(|()| logged)
    }

    pub(super) async fn finish_deletions_regularly(&self) {
        while self.running.pause(sync::around(self.replica.settings().poll_interval)).await {
            if let Err(error) = self.finish_deletions().await {
                tracing::debug!("keys of deleted tenants are still to be revoked: {error:?}");
            }
        }
    }

    /// Revokes the keys of deleted tenants that are still to be revoked, portion after portion. What is left when the
    /// node ends, or when the store does not answer, is found again by [`Keystore::find_unfinished_deletions`] on any
    /// node.
    pub(super) async fn finish_deletions(&self) -> Result<()> {
        let deletions = self.deletions.lock().clone();
        for (tenant, context) in deletions {
            let (mut after, mut count) = (None, 0);
            loop {
                let keys = self.next_keys(&tenant, after, LogEntry::MAX_CHANGES, ApiKey::is_live).await;
                if keys.is_empty() {
                    break;
                }
                (after, count) = (keys.last().copied(), count + keys.len());
                let (this, tenant, context) = (self.clone(), tenant.clone(), context.clone());
                let portion = async move { this.revoke_portion(&context, &tenant, keys).await };
                outcome(self.running.spawn_change(portion)).await?;
                if self.running.is_ending() {
                    return Ok(());
                }
            }
            tracing::info!(%tenant, count, "the keys of a deleted tenant are revoked");
            self.deletions.lock().remove(&tenant);
        }
        Ok(())
    }

    /// Finds deleted tenants with keys that are not revoked: the node that deleted them has ended since.
    pub(super) async fn find_unfinished_deletions(&self) -> Result<()> {
        for tenant in self.cache.tenants().into_iter().filter(|tenant| tenant.deleted) {
            let id = &tenant.id;
            if self.deletions.lock().contains_key(id) || self.next_keys(id, None, 1, ApiKey::is_live).await.is_empty() {
                continue;
            }
            let found = self.tenants.read(id).await?.found;
            let Found::Usable(TenantDocument { deleted_at: Some(at), attribution, .. }) = found else { continue };
            let context = RequestContext::new(attribution.modified_by.unwrap_or(Actor::System), at);
            let context = attribution.request_id.into_iter().fold(context, RequestContext::with_request_id);
            self.deletions.lock().entry(id.clone()).or_insert(context);
        }
        Ok(())
    }

    /// The next keys that are `wanted`, in order of id. On a thread where scanning a million keys delays no request.
    pub(super) async fn next_keys(
        &self,
        tenant: &TenantId,
        after: Option<KeyId>,
        limit: usize,
        wanted: impl Fn(&ApiKey) -> bool + Send + 'static,
    ) -> Vec<KeyId> {
        let (cache, tenant) = (self.cache.clone(), tenant.clone());
        let scan = move || cache.scan(&tenant, after, limit, wanted).iter().map(|key| key.key_id).collect();
        tokio::task::spawn_blocking(scan).await.unwrap_or_default()
    }
}
