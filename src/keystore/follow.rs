//! Keeping up with the bucket for as long as the node runs.

use std::sync::PoisonError;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Keystore;
use super::keys::{Broken, revoked};
use crate::documents::{Found, RequestContext};
use crate::error::{ErrorKind, Result};
use crate::key::{ApiKey, KeyId, TenantId};
use crate::layout::ObjectName;
use crate::sync::log::LogEntry;
use crate::sync::{self, Counts, LoggedChange, Touched};

/// Within this after the start, a snapshot is there if it is worth it; with chance, so that not every node writes one.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(20);
/// Within this after the log has grown long, a node looks at everything and writes a snapshot.
const NEXT_SNAPSHOT: Duration = Duration::from_secs(30);

impl Keystore {
    /// Follows the bucket until dropped: asks for changes once per interval, tells the other nodes what was applied, and
    /// looks at everything now and then by calling `reconcile`, which must call [`Keystore::sync`]. A store that does not
    /// answer is asked again. Nothing happens before the first [`Keystore::sync`] has worked.
    pub async fn follow(&self, reconcile: impl AsyncFn() -> Result<Counts>) {
        let settings = self.replica.settings();
        let mut next_look = tokio::time::Instant::now() + sync::around(settings.reconcile_interval);
        let mut first_snapshot = Some(tokio::time::Instant::now() + sync::up_to(FIRST_SNAPSHOT));
        let mut answered = true;
        loop {
            tokio::time::sleep(sync::around(settings.poll_interval)).await;
            if !self.cache.is_hydrated() {
                continue;
            }
            let kept_up = self.keep_up().await;
            match &kept_up {
                Err(error) if answered => tracing::warn!("out of contact with the store: {error:?}"),
                Ok(()) if !answered => tracing::info!("in contact with the store again"),
                _ => {}
            }
            answered = kept_up.is_ok();
            if answered && first_snapshot.take_if(|due| tokio::time::Instant::now() >= *due).is_some() {
                self.compact().await;
            }
            if self.replica.needs_snapshot_soon() && next_look > tokio::time::Instant::now() + NEXT_SNAPSHOT {
                next_look = tokio::time::Instant::now() + sync::up_to(NEXT_SNAPSHOT);
            }
            if answered && tokio::time::Instant::now() >= next_look {
                if let Err(error) = self.look_at_everything(&reconcile).await {
                    tracing::warn!("the store could not be looked through: {error:?}");
                }
                next_look = tokio::time::Instant::now() + sync::around(settings.reconcile_interval);
            }
        }
    }

    /// One round: takes in changes, settles what an outage left open, and publishes what was applied.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn keep_up(&self) -> Result<()> {
        self.catch_up().await?;
        self.settle().await?;
        self.replica.publish().await
    }

    async fn look_at_everything(&self, reconcile: &impl AsyncFn() -> Result<Counts>) -> Result<()> {
        let counts = reconcile().await?;
        if counts.changed + counts.removed > 0 {
            tracing::info!(changed = counts.changed, removed = counts.removed, "taken in from the store");
        }
        self.purge().await?;
        self.compact().await;
        self.replica.sweep().await
    }

    /// Writes a snapshot if one is worth it. A node that cannot goes on without.
    async fn compact(&self) {
        if let Err(error) = self.replica.compact().await {
            tracing::warn!("no snapshot could be written: {error:?}");
        }
    }

    /// Repeats the revocations that could not be made durable, and stops when the store does not answer.
    async fn settle(&self) -> Result<()> {
        let open = self.owed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((tenant, id), context) in open {
            let (this, owner) = (self.clone(), tenant.clone());
            let again = async move { this.change_now(&context, owner, id, None, Broken::Overwrite, revoked).await };
            match Self::to_the_end(again).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    tracing::error!(%tenant, key_id = %id, "a revocation was given up: {error:?}");
                    self.owed.lock().unwrap_or_else(PoisonError::into_inner).remove(&(tenant.clone(), id));
                    self.undo_denial(&tenant, id).await;
                }
                Ok(_) => {
                    tracing::info!(%tenant, key_id = %id, "a revocation is durable now");
                    self.settled(&tenant, id);
                }
            }
        }
        Ok(())
    }

    /// Whether every revocation that holds on this node is durable.
    pub fn owes_nothing(&self) -> bool {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Keeps a revocation until it is durable, with who asked for it first.
    pub(super) fn owe(&self, context: &RequestContext, tenant: &TenantId, id: KeyId) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.entry((tenant.clone(), id)).or_insert_with(|| context.clone());
    }

    pub(super) fn settled(&self, tenant: &TenantId, id: KeyId) {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).remove(&(tenant.clone(), id));
        self.cache.stop_denying(tenant, id);
    }

    /// Leaves a key to the bucket again whose revocation was refused, unless an earlier one is still open.
    pub(super) async fn undo_denial(&self, tenant: &TenantId, id: KeyId) {
        if !self.owed.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&(tenant.clone(), id)) {
            self.cache.stop_denying(tenant, id);
            self.replica.about_to_write(tenant, id); // What is in memory is not what was read.
            let _ = self.replica.refresh(tenant, id).await; // Else the next look at everything does it.
        }
    }

    /// Removes the documents of keys that were revoked longer ago than their records are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn purge(&self) -> Result<usize> {
        let this = self.clone();
        Self::to_the_end(async move { this.purge_now().await }).await
    }

    async fn purge_now(&self) -> Result<usize> {
        let Some(retention) = self.replica.settings().revoked_retention else { return Ok(0) };
        let now = self.clock.now();
        let outlived = |at: DateTime<Utc>| (now - at).to_std().is_ok_and(|age| age >= retention);
        let due = |key: &ApiKey| !key.is_live() && key.modified_at.is_some_and(outlived);
        let mut purged = Vec::new();
        let mut outcome = Ok(());
        'all: for tenant in self.cache.tenants() {
            for key in self.cache.scan(&tenant.id, None, usize::MAX, due) {
                outcome = self.purge_one(&tenant.id, key.key_id, due, &mut purged).await;
                if outcome.is_err() {
                    break 'all; // Those that are gone are told of all the same.
                }
            }
        }
        for part in purged.chunks(LogEntry::MAX_CHANGES) {
            self.replica.append(part.to_vec()).await?;
        }
        outcome.map(|()| purged.len())
    }

    /// What is stored decides: memory also shows a key as revoked whose revocation is not durable yet.
    async fn purge_one(
        &self,
        tenant: &TenantId,
        key_id: KeyId,
        due: impl Fn(&ApiKey) -> bool,
        purged: &mut Vec<LoggedChange>,
    ) -> Result<()> {
        match self.keys.read(&(tenant.clone(), key_id)).await?.found {
            Found::Usable(stored) if due(&stored.key) => {}
            Found::Absent => {}
            Found::Usable(_) | Found::Unusable(_) => return Ok(()),
        }
        self.bucket.remove(&ObjectName::Key { tenant: tenant.clone(), key_id }).await?;
        self.replica.about_to_write(tenant, key_id);
        self.cache.remove_key(tenant, key_id);
        purged.push(Touched::Key { tenant: tenant.clone(), key_id }.by(&self.maintenance().attribution()));
        Ok(())
    }
}
