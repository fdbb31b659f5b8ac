//! Revocations that hold on this node and are not durable yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Keystore;
use super::keys::{OnUnreadable, revoked};
use super::running::outcome;
use crate::documents::RequestContext;
use crate::error::{ErrorKind, Result};
use crate::key::{KeyId, TenantId};
use crate::sync;

/// The keys that are refused here although their documents do not say so yet, and who asked first.
pub(super) type PendingRevocations = Arc<Mutex<BTreeMap<(TenantId, KeyId), RequestContext>>>;

impl Keystore {
    /// Whether a revocation that holds on this node is not durable yet.
    pub fn has_pending_revocations(&self) -> bool {
        !self.pending.lock().is_empty()
    }

    /// Keeps a revocation that could not be written, so that it is tried again.
    pub(super) fn add_pending(&self, context: &RequestContext, tenant: &TenantId, id: KeyId) {
        self.pending.lock().entry((tenant.clone(), id)).or_insert_with(|| context.clone());
    }

    /// Notes that a revocation is durable: from here on the document says so.
    pub(super) fn resolve_pending(&self, tenant: &TenantId, id: KeyId) {
        self.pending.lock().remove(&(tenant.clone(), id));
        self.cache.stop_denying(tenant, id);
    }

    /// Stops refusing a key whose revocation was rejected, unless an earlier one is still pending.
    pub(super) async fn undo_denial(&self, tenant: &TenantId, id: KeyId) {
        if !self.pending.lock().contains_key(&(tenant.clone(), id)) {
            self.cache.stop_denying(tenant, id);
            self.replica.about_to_write(tenant, id); // Memory differs from the document that was read.
            let _ = self.replica.refresh(tenant, id).await; // Else the next full reconcile does it.
        }
    }

    pub(super) async fn retry_revocations_regularly(&self) {
        while self.running.pause(sync::around(self.replica.settings().poll_interval)).await {
            if let Err(error) = self.retry_revocations().await {
                tracing::debug!("revocations are still not durable: {error:?}");
            }
        }
    }

    /// Tries the pending revocations again, and stops when the store does not answer.
    pub(super) async fn retry_revocations(&self) -> Result<()> {
        let pending = self.pending.lock().clone();
        for ((tenant, id), context) in pending {
            let (this, owner) = (self.clone(), tenant.clone());
            let again =
                async move { this.change_now(&context, owner, id, None, OnUnreadable::Overwrite, revoked).await };
            match outcome(self.running.spawn_change(again)).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) if error.kind() != ErrorKind::RevokedHere => {
                    tracing::error!(%tenant, key_id = %id, "a revocation was given up: {error:?}");
                    self.pending.lock().remove(&(tenant.clone(), id));
                    self.undo_denial(&tenant, id).await;
                }
                // Durable, though perhaps not logged yet: the replica keeps that.
                _ => {
                    tracing::info!(%tenant, key_id = %id, "a revocation is durable now");
                    self.resolve_pending(&tenant, id);
                }
            }
        }
        Ok(())
    }
}
