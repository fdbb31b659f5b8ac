//! The start of a node: a snapshot and the change log, if both are whole.

use super::Replica;
use crate::error::Result;
use crate::key::Tenant;
use crate::sync::snapshot::Contents;
use crate::sync::{Counts, log};

/// How many keys are put into memory between two chances for others to run.
const STEP: usize = 1024;

impl Replica {
    /// Loads all keys at the start. With a snapshot that holds everything, and a change log without a gap behind it,
    /// these two are enough for [`crate::KeyCache::is_hydrated`]: every change made through Keyloft before this call is
    /// in memory then, and [`Replica::incomplete`] asks for the reconcile that verifies the rest. Otherwise this is
    /// [`Replica::reconcile`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: call it again.
    pub async fn load(&self) -> Result<Counts> {
        if let Some(counts) = self.load_snapshot_and_log().await? {
            return Ok(counts);
        }
        self.reconcile().await
    }

    /// `None` when that is not enough, or not needed any more.
    async fn load_snapshot_and_log(&self) -> Result<Option<Counts>> {
        let mut loaded_before = self.loading.lock().await;
        if self.age().is_some() {
            return Ok(None);
        }
        // Both before the log is read to its end, which must be at least as far.
        let snapshots = self.list_snapshots().await?;
        let known = self.known_seq(&snapshots).max(self.furthest().await?);
        if !*loaded_before {
            let Some(contents) = self.read_snapshot(&snapshots, true).await else { return Ok(None) };
            let seq = contents.seq;
            self.take_in(contents).await?;
            // An older state must not follow a newer one, so a repeated call only reads on in the log.
            *loaded_before = true;
            self.journal.reconciled(seq);
        }
        let polled = self.journal.poll(self).await?;
        if !polled.complete || self.has_gap(known).await? {
            tracing::warn!(seq = self.applied_seq(), known, "the change log has a gap behind the snapshot");
            return Ok(None);
        }
        self.in_contact(polled);
        self.cache.set_loaded();
        self.note_snapshots(snapshots, 0);
        self.incomplete.notify_one();
        Ok(Some(self.counts()))
    }

    /// Whether an entry is missing: the log was read to its end before, `known` is a number that was given.
    async fn has_gap(&self, known: u64) -> Result<bool> {
        let end = self.journal.read();
        let next = log::first_after(&self.bucket, end).await?;
        Ok(known > end || next.is_some_and(|next| next != end + 1))
    }

    /// Nobody is let in meanwhile: the keys are not loaded yet.
    async fn take_in(&self, mut contents: Contents) -> Result<()> {
        let mut documents = std::mem::take(&mut contents.documents);
        for tenant in contents.tenants.take().into_iter().flatten() {
            let id = tenant.id.clone();
            let unreadable = tenant == Tenant::unreadable(id.clone());
            self.cache.put_tenant(tenant);
            if unreadable {
                self.refresh_tenant(&id).await?; // It may have been mended since.
            }
        }
        for (tenant, keys) in contents.into_keys() {
            self.cache.make_room(&tenant, keys.len());
            self.tags.make_room(keys.len());
            for some in keys.chunks(STEP) {
                self.cache.fill(some.iter().map(|tagged| tagged.key.clone()));
                self.tags.fill(some);
                tokio::task::yield_now().await;
            }
        }
        let tenants = self.live_tenants();
        for held in &self.held {
            match documents.remove(held.kind()) {
                Some(lines) => held.take_in(lines),
                None => _ = held.reconcile(&tenants, true).await?, // Of a version that does not know the kind.
            }
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        let tenants = self.cache.tenants().iter().filter(|tenant| !tenant.deleted).count();
        let keys = self.cache.key_count();
        Counts {
            tenants,
            keys,
            changed: keys,
            removed: 0,
            others: 0,
            unreadable: self.cache.unreadable().len() + self.unreadable().len(),
        }
    }
}
