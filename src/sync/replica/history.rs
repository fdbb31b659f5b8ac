//! Keeping the entries of the change log when it is trimmed.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;

use super::Replica;
use crate::clock::Clock as _;
use crate::error::Result;
use crate::sync::history;

impl Replica {
    /// Copies the entries into the history that are not in there, as far as this node has applied them. Gives the
    /// number of the last one that is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: nothing is lost then.
    pub async fn keep_history(&self) -> Result<u64> {
        let kept = history::keep(&self.bucket, self.kept.load(Ordering::Relaxed), self.applied_seq()).await?;
        self.kept.store(kept, Ordering::Relaxed);
        Ok(kept)
    }

    /// Notes the end of the change log where nobody can change it who can write the bucket: in the log of this node.
    pub fn note_head(&self) {
        if let Some((seq, hash)) = self.journal.tip() {
            tracing::info!(seq, %hash, "the last entry of the change log");
        }
    }

    /// Removes what was kept for longer than it should be.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn forget_history(&self) -> Result<()> {
        let retention = self.settings.audit_retention.and_then(|retention| TimeDelta::from_std(retention).ok());
        let before = retention.and_then(|retention| self.store_clock.now().checked_sub_signed(retention));
        if let Some(before) = before.filter(|_| self.store_clock.is_known()) {
            let ranges = history::forget(&self.bucket, before).await?;
            if ranges > 0 {
                tracing::info!(ranges, "entries of the change log are no longer kept");
            }
        }
        Ok(())
    }
}
