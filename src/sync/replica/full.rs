//! Full reconciles and snapshots.

use chrono::TimeDelta;
use futures::FutureExt;

use super::Replica;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::snapshot::{self, Candidates, SnapshotList};
use crate::sync::{Counts, log, reconcile};

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
        let mut snapshots = self.snapshots().await?;
        // The place in the log is read before the documents: what is written after this has a higher number, and is polled.
        let furthest = self.furthest().await?;
        let head = if self.is_lost() {
            log::head(&self.bucket, self.known_seq(&snapshots).max(furthest)).await?
        } else {
            self.journal.read_to_end().await?.max(furthest) // Where others are further, an entry is missing.
        };
        let candidates = async {
            // Later, nearly all is in memory; and a local directory is read as fast as a snapshot of it.
            if self.age().is_some() || self.bucket.is_directory() {
                Candidates::default()
            } else {
                self.load(&snapshots).await
            }
        };
        let pass = reconcile::run(&self.bucket, &self.cache, &self.tags, candidates).boxed().await?;
        self.journal.reconciled(head);
        // This may have taken minutes. Only the end of the log tells from when on the bucket may hold something newer.
        let polled = self.journal.poll(self).await?;
        if !polled.complete {
            return Err(Error::new(ErrorKind::Unavailable, "an entry of the change log cannot be read"));
        }
        self.in_contact(polled);
        self.cache.set_hydrated();
        snapshots.set_aside(&self.snapshots.bad());
        self.snapshots.note(snapshots.newest_seq(), pass.counts.changed.saturating_sub(pass.spared));
        Ok(pass.counts)
    }

    /// Writes a snapshot if one is worth it, for the next start, and removes the entries of the change log that nobody
    /// needs then. Best after [`Replica::reconcile`]: what this node wrote since is left out. Says whether it did.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: nothing is lost then.
    pub async fn compact(&self) -> Result<bool> {
        if !self.needs_snapshot() {
            return Ok(false);
        }
        self.snapshots.note(self.snapshots().await?.newest_seq(), 0);
        if !self.needs_snapshot() {
            return Ok(false); // Another node was faster.
        }
        let (seq, now) = (self.applied_seq(), self.clock.now());
        self.snapshots.note_try(seq);
        let keys = snapshot::write(&self.bucket, &self.cache, &self.tags, seq, self.node_id, now).await?;
        self.snapshots.note_written(seq);
        let list = self.snapshots().await?;
        let trimmed = match list.previous_seq().zip(list.now()) {
            Some((last, store_now)) => log::trim(&self.bucket, last, store_now - LOG_KEPT).await?,
            None => 0,
        };
        list.tidy(&self.bucket).await?;
        tracing::info!(seq, keys, trimmed, "a snapshot is written");
        Ok(true)
    }

    fn needs_snapshot(&self) -> bool {
        self.snapshots.is_due(self.applied_seq(), self.cache.key_count(), self.bucket.is_directory())
    }

    /// Whether the change log has grown so much that a full reconcile and [`Replica::compact`] should not wait. From
    /// memory.
    pub fn needs_snapshot_soon(&self) -> bool {
        self.snapshots.is_urgent(self.applied_seq(), self.cache.key_count(), self.bucket.is_directory())
    }

    async fn snapshots(&self) -> Result<SnapshotList> {
        let mut list = SnapshotList::read(&self.bucket).await?;
        list.set_aside(&self.snapshots.bad());
        Ok(list)
    }

    async fn load(&self, list: &SnapshotList) -> Candidates {
        let candidates = snapshot::load(&self.bucket, list).await;
        self.snapshots.note_bad(candidates.bad.clone());
        candidates
    }

    /// A number that was given for certain.
    fn known_seq(&self, list: &SnapshotList) -> u64 {
        self.applied_seq().max(list.highest_seq().filter(|seq| *seq <= log::MAX_SEQ).unwrap_or(0))
    }
}
