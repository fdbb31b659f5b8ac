//! When a snapshot is worth writing.

use std::collections::HashSet;

use parking_lot::Mutex;
use uuid::Uuid;

/// Up to this many keys, a start reads the documents one by one instead of a snapshot.
const FEW: u64 = 1_000;
/// A start reads this many entries of the log within seconds.
const LONG_LOG: u64 = 10_000;

/// How many changes are worth a snapshot of `keys` keys.
fn worth(keys: usize) -> u64 {
    (keys as u64 / 20).clamp(FEW, LONG_LOG)
}

/// How far the newest snapshot is behind, as this node knows it.
#[derive(Debug, Default)]
pub(in crate::sync) struct SnapshotPolicy {
    known: Mutex<NewestSnapshot>,
    /// Snapshots with missing or damaged parts.
    bad: Mutex<HashSet<Uuid>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct NewestSnapshot {
    /// The number of the newest snapshot.
    newest: Option<u64>,
    /// How many keys it does not have in their present state although no entry of the log says so.
    beside: u64,
    /// How far the log had grown when this node last tried to write one.
    tried: u64,
}

impl SnapshotPolicy {
    /// Notes the newest snapshot that can be used, and how many documents a pass read that it does not have.
    pub(in crate::sync) fn note(&self, newest: Option<u64>, beside: usize) {
        let mut known = self.known.lock();
        if newest > known.newest {
            known.beside = 0;
        }
        known.newest = newest;
        known.beside += beside as u64;
    }

    /// Notes that this node is about to write one.
    pub(in crate::sync) fn note_try(&self, applied_seq: u64) {
        self.known.lock().tried = applied_seq;
    }

    /// Notes that this node has written one.
    pub(in crate::sync) fn note_written(&self, seq: u64) {
        *self.known.lock() = NewestSnapshot { newest: Some(seq), beside: 0, tried: seq };
    }

    /// Whether a snapshot is worth writing.
    pub(in crate::sync) fn is_due(&self, applied_seq: u64, keys: usize) -> bool {
        let known = *self.known.lock();
        let grown = applied_seq.saturating_sub(known.newest.unwrap_or(0));
        known.newest.is_none() && keys as u64 > FEW || grown + known.beside > worth(keys)
    }

    /// Whether the log has grown so much that the next full reconcile should not wait. After an attempt, it must grow
    /// as much again, so that a node without permission to write does not try for ever.
    pub(in crate::sync) fn is_urgent(&self, applied_seq: u64, keys: usize) -> bool {
        let known = *self.known.lock();
        applied_seq.saturating_sub(known.newest.unwrap_or(0).max(known.tried)) > worth(keys)
    }

    /// Remembers snapshots with missing or damaged parts: they may stay in listings.
    pub(in crate::sync) fn note_bad(&self, ids: Vec<Uuid>) {
        self.bad.lock().extend(ids);
    }

    /// The snapshots with missing or damaged parts.
    pub(in crate::sync) fn bad(&self) -> HashSet<Uuid> {
        self.bad.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_snapshot_is_worth_it_above_a_thousand_keys() {
        let policy = SnapshotPolicy::default();
        assert!(!policy.is_due(0, 1_000) && policy.is_due(0, 1_001));
    }

    #[test]
    fn a_next_one_is_worth_it_when_a_twentieth_has_changed_or_the_log_takes_seconds_to_read() {
        let policy = SnapshotPolicy::default();
        policy.note(Some(10), 0);
        assert!(!policy.is_due(5_010, 100_000) && policy.is_due(5_011, 100_000));
        assert!(!policy.is_due(1_010, 10) && policy.is_due(1_011, 10));
        assert!(!policy.is_due(10_010, 1_000_000) && policy.is_due(10_011, 1_000_000));
        policy.note(Some(10), 5_001);
        assert!(policy.is_due(10, 100_000), "what was changed by hand counts too");
        policy.note(Some(11), 0);
        assert!(!policy.is_due(11, 100_000), "another node has written one");
    }

    #[test]
    fn a_node_that_cannot_write_does_not_try_all_the_time() {
        let policy = SnapshotPolicy::default();
        assert!(policy.is_urgent(1_001, 10));
        policy.note_try(1_001);
        assert!(!policy.is_urgent(2_000, 10) && policy.is_urgent(2_002, 10));
        policy.note_written(2_002);
        assert!(!policy.is_due(2_002, 5_000) && !policy.is_urgent(3_000, 10));
    }
}
