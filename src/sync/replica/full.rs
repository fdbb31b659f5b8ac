//! Full reconciles and snapshots.

use chrono::TimeDelta;
use futures::FutureExt;

use super::Replica;
use crate::error::{Error, ErrorKind, Result};
use crate::key::TenantId;
use crate::sync::reconcile::{MOST_FOUND, Outcome};
use crate::sync::snapshot::{self, Contents, SnapshotList};
use crate::sync::{Counts, LoggedChange, log, reconcile};

/// How long an entry of the log stays at least, by the clock of the store: far longer than a node may be silent.
const LOG_KEPT: TimeDelta = TimeDelta::hours(24);

impl Replica {
    /// Makes memory equal to the bucket by listing everything. Callers that come at once share a run. Meanwhile the log
    /// can be polled.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer; nothing is removed then.
    pub async fn reconcile(&self) -> Result<Counts> {
        self.reconciling.run(async || self.reconcile_now().boxed().await).await
    }

    async fn reconcile_now(&self) -> Result<Counts> {
        let _turn = self.loading.lock().await;
        self.journal.watch();
        let pass = self.list_and_compare().await;
        if let Ok(Outcome { found, .. }) = &pass {
            self.announce(found).await;
        }
        self.journal.unwatch();
        Ok(pass?.counts)
    }

    async fn list_and_compare(&self) -> Result<Outcome> {
        let snapshots = self.list_snapshots().await?;
        // The place in the log is read before the documents: what is written after this has a higher number, and is
        // polled.
        let furthest = self.furthest().await?;
        let (head, follows) = if self.is_lost() {
            (log::head(&self.bucket, self.known_seq(&snapshots).max(furthest)).await?, false)
        } else {
            let end = self.journal.read_to_end().await?;
            (end.max(furthest), furthest <= end) // Where others are further, an entry is missing.
        };
        let snapshot = async {
            // Later, nearly all is in memory.
            if self.cache.key_count() > 0 { None } else { self.read_snapshot(&snapshots, false).await }
        };
        let verifying = !self.cache.is_verified();
        // What a node finds that has followed the log was not logged.
        let mut pass = reconcile::run(&self.bucket, &self.cache, &self.tags, follows, snapshot).boxed().await?;
        let tenants = self.live_tenants();
        for held in &self.held {
            let changed = held.reconcile(&tenants, verifying).await?;
            pass.counts.others += changed.len();
            let count = pass.found.len();
            let found = changed.into_iter().enumerate().filter(|_| follows);
            pass.found.extend(found.map(|(at, change)| log::compact_after(count + at, change)));
            pass.counts.unreadable += held.unreadable().len();
        }
        self.journal.reconciled(head);
        // This may have taken minutes. Memory is as new as the end of the log that is read now.
        let polled = self.journal.poll(self).await?;
        if !polled.complete {
            return Err(Error::new(ErrorKind::Unavailable, "an entry of the change log cannot be read"));
        }
        self.in_contact(polled);
        self.cache.set_hydrated();
        self.note_snapshots(snapshots, pass.counts.changed.saturating_sub(pass.spared));
        Ok(pass)
    }

    /// Appends the changes that `find` gives, and which no entry has that is written before: it runs once all entries
    /// before were read, and of several nodes that find a change the first enters it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, and what `find` gives.
    pub async fn enter_found(&self, find: impl AsyncFnOnce() -> Result<Vec<LoggedChange>>) -> Result<()> {
        let _turn = self.loading.lock().await;
        self.journal.watch();
        let entered = async {
            self.journal.read_to_end().await?;
            let found = find().await?;
            if !found.is_empty() {
                self.journal.append_found(self, found).await?;
            }
            Ok(())
        };
        let entered = entered.await;
        self.journal.unwatch();
        entered
    }

    /// Appends what was changed and not logged to the log, so that other nodes and starts from an older snapshot apply
    /// it, and each change is on record. Appends nothing if there is too much: the next snapshot holds it, and full
    /// reconciles find it.
    async fn announce(&self, found: &[LoggedChange]) {
        if found.is_empty() || found.len() > MOST_FOUND {
            return;
        }
        match self.journal.append_found(self, found.to_vec()).await {
            Ok(seq) => tracing::info!(seq, changes = found.len(), "changes that were not logged are in the change log"),
            Err(error) => tracing::debug!("changes are not logged yet: other nodes must find them: {error:?}"),
        }
    }

    /// Writes a snapshot for the next start if the policy asks for one, and removes the entries of the change log that
    /// it replaces. Only once memory was compared with the bucket. Says whether it did.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: nothing is lost then.
    pub async fn compact(&self) -> Result<bool> {
        if !self.needs_snapshot() {
            return Ok(false);
        }
        self.snapshots.note(self.list_snapshots().await?.newest_seq(), 0);
        if !self.needs_snapshot() {
            return Ok(false); // Another node was faster.
        }
        let (seq, now) = (self.applied_seq(), self.clock.now());
        self.snapshots.note_try(seq);
        let keys = snapshot::write(&self.bucket, &self.cache, &self.tags, &self.held, seq, self.node_id, now).await?;
        self.snapshots.note_written(seq);
        let list = self.list_snapshots().await?;
        let trimmed = match list.previous_seq().zip(list.now()) {
            Some((last, store_now)) => {
                let kept = self.keep_history().await.unwrap_or_else(|error| {
                    tracing::warn!("the change log is not trimmed, because it cannot be copied first: {error:?}");
                    0
                });
                log::trim(&self.bucket, last.min(kept), store_now - LOG_KEPT).await?
            }
            None => 0,
        };
        list.tidy(&self.bucket).await?;
        tracing::info!(seq, keys, trimmed, "a snapshot is written");
        Ok(true)
    }

    fn needs_snapshot(&self) -> bool {
        self.cache.is_verified() && self.snapshots.is_due(self.applied_seq(), self.cache.key_count())
    }

    /// Whether the change log has grown so much that a full reconcile and [`Replica::compact`] should not wait. From
    /// memory.
    pub fn needs_snapshot_soon(&self) -> bool {
        self.snapshots.is_urgent(self.applied_seq(), self.cache.key_count())
    }

    pub(super) async fn list_snapshots(&self) -> Result<SnapshotList> {
        let mut list = SnapshotList::read(&self.bucket).await?;
        list.set_aside(&self.snapshots.bad());
        Ok(list)
    }

    /// Notes which snapshots were there, and how many documents the newest does not have in their present state.
    pub(super) fn note_snapshots(&self, mut list: SnapshotList, beside: usize) {
        list.set_aside(&self.snapshots.bad());
        self.snapshots.note(list.newest_seq(), beside);
    }

    /// Reads the newest snapshot whose parts are all there. With `complete`, it must hold all tenants and keys too.
    pub(super) async fn read_snapshot(&self, list: &SnapshotList, complete: bool) -> Option<Contents> {
        let loaded = snapshot::load(&self.bucket, list, complete, &self.journal.kinds).await;
        self.snapshots.note_bad(loaded.bad);
        loaded.contents
    }

    /// The tenants in memory that are not deleted.
    pub(super) fn live_tenants(&self) -> Vec<TenantId> {
        let tenants = self.cache.tenants();
        tenants.iter().filter(|tenant| !tenant.deleted).map(|tenant| tenant.id.clone()).collect()
    }

    /// A number that was given for certain.
    pub(super) fn known_seq(&self, list: &SnapshotList) -> u64 {
        self.applied_seq().max(list.highest_seq().filter(|seq| *seq <= log::MAX_SEQ).unwrap_or(0))
    }
}
