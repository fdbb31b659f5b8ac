//! Which snapshots there are, by one listing.

use std::cmp::Reverse;
use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use uuid::Uuid;

use crate::error::Result;
use crate::layout::{self, ObjectName};
use crate::store::Bucket;

/// How many snapshots are kept: a start falls back from one to the next.
const KEPT: usize = 3;
/// A part without a table of contents may still get one for this long: no node takes longer to write a snapshot.
const ORPHANED: TimeDelta = TimeDelta::days(1);

/// A snapshot by its table of contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) struct Snapshot {
    pub(super) seq: u64,
    pub(super) id: Uuid,
    written_at: DateTime<Utc>,
}

/// All snapshots, as they were listed.
#[derive(Debug, Default)]
pub(in crate::sync) struct SnapshotList {
    /// Newest first.
    snapshots: Vec<Snapshot>,
    bad: Vec<Snapshot>,
    parts: Vec<(Snapshot, u16)>,
}

impl SnapshotList {
    /// Lists the snapshots: one request, unless there are hundreds of parts.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub(in crate::sync) async fn read(bucket: &Bucket) -> Result<Self> {
        let mut list = Self::default();
        for listed in bucket.walk(&layout::snapshots()).try_concat().await? {
            let written_at = listed.written_at;
            match ObjectName::parse(&listed.path) {
                Some(ObjectName::Snapshot { seq, id }) => list.snapshots.push(Snapshot { seq, id, written_at }),
                Some(ObjectName::SnapshotPart { seq, id, part }) => {
                    list.parts.push((Snapshot { seq, id, written_at }, part));
                }
                _ => {}
            }
        }
        list.snapshots.sort_unstable_by_key(|snapshot| Reverse((snapshot.seq, snapshot.written_at, snapshot.id)));
        Ok(list)
    }

    /// Leaves these out: they are incomplete.
    pub(in crate::sync) fn set_aside(&mut self, bad: &HashSet<Uuid>) {
        self.bad.extend(self.snapshots.extract_if(.., |snapshot| bad.contains(&snapshot.id)));
    }

    fn objects(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.iter().chain(&self.bad).chain(self.parts.iter().map(|(snapshot, _)| snapshot))
    }

    /// The highest number any object of a snapshot has, unfinished ones too.
    pub(in crate::sync) fn highest_seq(&self) -> Option<u64> {
        self.objects().map(|snapshot| snapshot.seq).max()
    }

    /// The number of the newest complete snapshot, as far as a listing shows.
    pub(in crate::sync) fn newest_seq(&self) -> Option<u64> {
        self.snapshots.first().map(|snapshot| snapshot.seq)
    }

    /// The number of the one before the newest: no start needs the change log up to there.
    pub(in crate::sync) fn previous_seq(&self) -> Option<u64> {
        self.snapshots.get(1).map(|snapshot| snapshot.seq)
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.iter().take(KEPT)
    }

    /// The time by the clock of the store, or a little before.
    pub(in crate::sync) fn now(&self) -> Option<DateTime<Utc>> {
        self.objects().map(|snapshot| snapshot.written_at).max()
    }

    /// Removes what no start falls back to any more, and what was never finished.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer; what is left is removed another time.
    pub(in crate::sync) async fn tidy(&self, bucket: &Bucket) -> Result<()> {
        let kept: HashSet<_> = self.newest_first().map(|snapshot| (snapshot.seq, snapshot.id)).collect();
        let mut outdated = HashSet::new();
        // The tables of contents first: without one, no node reads the parts.
        for &Snapshot { seq, id, .. } in self.snapshots.iter().skip(KEPT).chain(&self.bad) {
            bucket.remove(&ObjectName::Snapshot { seq, id }).await?;
            outdated.insert((seq, id));
        }
        let now = self.now().unwrap_or_default();
        for &(Snapshot { seq, id, written_at }, part) in &self.parts {
            let orphaned = !kept.contains(&(seq, id)) && now - written_at > ORPHANED;
            if orphaned || outdated.contains(&(seq, id)) {
                bucket.remove(&ObjectName::SnapshotPart { seq, id, part }).await?;
            }
        }
        Ok(())
    }
}
