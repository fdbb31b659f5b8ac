//! Erasing the events of a deleted tenant: everything in the folder of its streams, in portions, by any node.
//!
//! The tombstone says that it is to be done, and how far it is. Whatever a node that was stopped writes later is
//! removed when a node looks again, at each full reconcile.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use parking_lot::Mutex;

use super::Keystore;
use super::running::outcome;
use crate::documents::{Edit, Erasure, Found, RequestContext, TenantDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::key::TenantId;
use crate::layout;
use crate::sync::{self, AuditAction, ChangedObject};

/// How many objects are removed between two notes of how far it is.
const PORTION: usize = 1000;

/// The deleted tenants whose events are still to be erased, and the change that announces the erasure to other nodes.
pub(super) type UnfinishedErasures = Arc<Mutex<BTreeMap<TenantId, u64>>>;

impl Keystore {
    /// Records in the tombstone of a tenant that its events are to be erased. Marks the tenant as deleted first if it
    /// is not yet.
    pub(super) async fn delete_with_events(&self, context: &RequestContext, id: &TenantId) -> Result<u64> {
        let now = self.clock.now();
        let edit = |found: Found<TenantDocument>| {
            let document = found.usable()?;
            let mut document = document.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such tenant"))?;
            let before = document.tenant(id.clone());
            document.deleted_at.get_or_insert(now);
            document.erasure.get_or_insert_with(|| Erasure::new(context));
            document.attribute(context, now);
            let tenant = document.tenant(id.clone());
            Ok(Edit::Write(document, (before, tenant)))
        };
        let (before, tenant) = self.tenants.update(id, edit).await?;
        let change_seq = self.remember(context, Some(before), tenant, AuditAction::TenantDelete).await?.change_seq;
        self.erasures.lock().insert(id.clone(), change_seq);
        Ok(change_seq)
    }

    /// How far the erasure of a deleted tenant's events is; `None` when they are not erased.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    #[doc(hidden)]
    pub async fn erasure(&self, id: &TenantId) -> Result<Option<Erasure>> {
        match self.tenants.read(id).await?.found {
            Found::Usable(document) => Ok(document.erasure.filter(|_| document.deleted_at.is_some())),
            Found::Absent | Found::Unusable(_) => Ok(None),
        }
    }

    pub(super) async fn finish_erasures_regularly(&self) {
        while self.running.pause(sync::around(self.replica.settings().poll_interval)).await {
            if let Err(error) = self.finish_erasures().await {
                tracing::debug!("events of deleted tenants are still to be erased: {error:?}");
            }
        }
    }

    /// Erases what is to be erased. What is left when the node ends is found again by
    /// [`Keystore::find_unfinished_erasures`] on any node.
    async fn finish_erasures(&self) -> Result<()> {
        let erasures = self.erasures.lock().clone();
        for (tenant, change_seq) in erasures {
            loop {
                let (this, id) = (self.clone(), tenant.clone());
                let portion = async move { this.erase_portion(&id).await };
                let removed = outcome(self.running.spawn_change(portion)).await?;
                if self.running.is_ending() {
                    return Ok(());
                }
                if removed == 0 {
                    break;
                }
            }
            // Until every node refuses its keys, more may come.
            if !self.replica.receipt(change_seq).await.is_complete() {
                continue;
            }
            self.bucket.sweep_all(&layout::streams(&tenant)).await;
            let finished = self.note_erased(&tenant, 0, true).await?;
            self.erasures.lock().remove(&tenant);
            if let Some(Erasure { objects_removed, .. }) = finished {
                tracing::info!(%tenant, objects_removed, "the events of a deleted tenant are erased");
            }
        }
        Ok(())
    }

    /// Removes some objects of the streams of a tenant, and gives their number.
    async fn erase_portion(&self, tenant: &TenantId) -> Result<u64> {
        let objects = self.bucket.list_each(&layout::streams(tenant))?;
        let mut portions = objects.try_chunks(PORTION);
        let mut removed = 0;
        while let Some(portion) = portions.try_next().await.map_err(|error| error.1)? {
            self.bucket.remove_listed(&portion).await?;
            removed += portion.len() as u64;
            self.note_erased(tenant, portion.len() as u64, false).await?;
            if self.running.is_ending() {
                break;
            }
        }
        Ok(removed)
    }

    /// Notes in the tombstone how far it is.
    async fn note_erased(&self, id: &TenantId, removed: u64, is_finished: bool) -> Result<Option<Erasure>> {
        let now = self.clock.now();
        let edit = |found: Found<TenantDocument>| {
            let Some(mut document) = found.usable()? else { return Ok(Edit::Keep(None)) };
            let Some(erasure) = document.erasure.as_mut() else { return Ok(Edit::Keep(None)) };
            erasure.objects_removed += removed;
            erasure.finished_at = is_finished.then(|| erasure.finished_at.unwrap_or(now));
            let noted = erasure.clone();
            Ok(Edit::Write(document, Some(noted)))
        };
        self.tenants.update(id, edit).await
    }

    /// Finds deleted tenants whose events are to be erased and are there: the node that did it has ended since, or one
    /// that was stopped has written late.
    pub(super) async fn find_unfinished_erasures(&self) -> Result<()> {
        for tenant in self.cache.tenants().into_iter().filter(|tenant| tenant.deleted && tenant.erased) {
            let id = &tenant.id;
            if self.erasures.lock().contains_key(id) {
                continue;
            }
            let is_finished = self.erasure(id).await?.is_none_or(|erasure| erasure.finished_at.is_some());
            let first = self.bucket.list_each(&layout::streams(id))?.try_next().await?;
            if is_finished && first.is_none() {
                continue;
            }
            let change = ChangedObject::Tenant { tenant: id.clone() }.by(&self.maintenance());
            let change_seq = self.replica.append(vec![change]).await?;
            self.erasures.lock().insert(id.clone(), change_seq);
        }
        Ok(())
    }
}
