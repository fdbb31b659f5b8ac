//! A usage segment: the counts of some keys on one node, and how much of them is durable.
//!
//! A segment is first written empty, then again with all counts so far, each time only in place of the state that was
//! read. A node that merges a segment into the archive seals it first. If the owner is still alive, it finds the seal
//! at its next write and continues with a new segment. So exactly the durable counts have been archived.

use uuid::Uuid;

use super::{Tally, UsageTable};
use crate::key::{KeyId, TenantId};

/// The state of a segment in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoundSegment {
    /// No object: never written, or archived and removed.
    Nothing,
    /// It may be replaced; its revision.
    Open(u64),
    /// It was sealed, and is never written again; its last revision.
    Sealed(u64),
}

/// A segment: counts that are durable, being written, and still to be written.
#[derive(Debug)]
pub(super) struct Segment {
    id: Uuid,
    /// The last revision that is known to be durable; 0 before the first.
    rev: u64,
    /// The counts in that revision.
    durable: UsageTable,
    /// The counts that the next revision adds, while it is unknown whether it was written.
    attempted: Option<UsageTable>,
    /// The counts since then.
    pending: UsageTable,
    /// Whether the first revision was ever sent.
    is_begun: bool,
}

impl Segment {
    pub(super) fn new() -> Self {
        let (durable, pending) = (UsageTable::default(), UsageTable::default());
        Self { id: new_id(), rev: 0, durable, attempted: None, pending, is_begun: false }
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn rev(&self) -> u64 {
        self.rev
    }

    /// The counts of the last durable revision.
    pub(super) fn durable(&self) -> &UsageTable {
        &self.durable
    }

    /// Whether it was ever written.
    pub(super) fn is_stored(&self) -> bool {
        self.rev > 0
    }

    pub(super) fn add(&mut self, counted: &UsageTable) {
        self.pending.add(counted);
    }

    /// Whether there is something to write.
    pub(super) fn is_due(&self) -> bool {
        self.attempted.is_some() || !self.pending.is_empty()
    }

    /// Decides from the state in the store whether the last write succeeded.
    pub(super) fn learn(&mut self, found: FoundSegment) {
        let durable = self.rev;
        match (self.attempted.take(), found) {
            (Some(attempted), FoundSegment::Open(rev) | FoundSegment::Sealed(rev)) if rev == durable + 1 => {
                self.durable.add(&attempted)
            }
            (Some(mut attempted), FoundSegment::Open(_) | FoundSegment::Sealed(_)) => {
                attempted.add(&self.pending);
                self.pending = attempted;
            }
            // The archive may or may not contain the last write: drop it rather than count twice.
            (Some(_), FoundSegment::Nothing) | (None, _) => {}
        }
        match found {
            FoundSegment::Open(rev) => self.rev = rev,
            FoundSegment::Nothing if !self.is_begun => {}
            FoundSegment::Sealed(_) | FoundSegment::Nothing => {
                let pending = std::mem::take(&mut self.pending);
                *self = Self { pending, ..Self::new() };
            }
        }
    }

    /// The number and the contents of the next revision. Call it after [`Segment::learn`] only.
    pub(super) fn attempt(&mut self) -> (u64, UsageTable) {
        let mut all = self.durable.clone();
        // From now on a missing segment may have been archived, and writing it again would not count.
        self.is_begun = true;
        // The first revision is empty: when its answer is lost, it is unknown whether it was archived since.
        if self.is_stored() {
            let pending = std::mem::take(&mut self.pending);
            all.add(&pending);
            self.attempted = Some(pending);
        }
        (self.rev + 1, all)
    }

    /// The attempt is durable.
    pub(super) fn succeed(&mut self) {
        self.learn(FoundSegment::Open(self.rev + 1));
    }

    /// The attempt failed: another node has written.
    pub(super) fn fail(&mut self) {
        if self.attempted.is_some() {
            self.learn(FoundSegment::Open(self.rev));
        }
    }

    /// All counts; without the durable ones when `is_archived`.
    pub(super) fn tables(&self, is_archived: bool) -> impl Iterator<Item = &UsageTable> {
        let durable =
            [Some(&self.durable), self.attempted.as_ref()].into_iter().flatten().filter(move |_| !is_archived);
        durable.chain([&self.pending])
    }

    /// Removes the keys for which `kept` is false.
    pub(super) fn retain(&mut self, kept: &impl Fn(&TenantId, KeyId, &mut Tally) -> bool) {
        self.durable.retain(kept);
        self.pending.retain(kept);
    }
}

#[allow(clippy::disallowed_methods)]
pub(super) fn new_id() -> Uuid {
    Uuid::new_v4()
}
