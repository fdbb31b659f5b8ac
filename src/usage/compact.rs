//! Merges the segments of nodes that have ended into the archive, so that there are never many segments.
//!
//! A segment is sealed, merged and removed, in this order. Sealing keeps its node from writing it again, should it be
//! alive after all. The archive names the segments that are in it, so that a segment which a crash left behind does not
//! count. The archive is replaced by compare-and-swap: the loser of a concurrent merge has no effect.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use relative_path::RelativePath;
use uuid::Uuid;

use super::archive::{Archive, ArchivedSegment};
use super::file::{self, Head};
use super::scan::MAX_PACKED_BYTES;
use super::segment::new_id;
use super::{Tally, UsageTable};
use crate::documents::Documents;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, NodeId, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Stored, Written};

/// How many keys one piece of the archive holds.
const PIECE_KEYS: usize = 64 * 1024;
/// How many segments are archived at once.
const MAX_SEGMENTS: usize = 256;
/// Longer than writing a piece, or reading an archive and then its segments, can take.
const LEFTOVER_AGE: TimeDelta = TimeDelta::hours(1);

/// The node that compacts.
#[derive(Debug)]
pub(super) struct SegmentCompactor {
    pub(super) bucket: Bucket,
    pub(super) node_id: NodeId,
    pub(super) now: DateTime<Utc>,
    /// A node that has been silent for this long has stopped, unless it is known to live.
    pub(super) silence: TimeDelta,
}

/// The nodes that are known to live, and the time by the clock of the store.
#[derive(Debug)]
pub(super) struct LiveNodes {
    pub(super) nodes: HashSet<NodeId>,
    pub(super) store_now: DateTime<Utc>,
}

impl SegmentCompactor {
    /// Merges all segments of ended nodes but the `own` ones, and removes the keys for which `kept` is false. Gives the
    /// number of segments. Without segments to merge it costs two requests.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the archive cannot be
    /// read: everything counts as before.
    pub(super) async fn compact(
        &self,
        live: impl AsyncFn() -> Result<LiveNodes>,
        own: impl Fn(Uuid) -> bool,
        kept: impl Fn(&TenantId, KeyId, &mut Tally) -> bool,
    ) -> Result<usize> {
        // Before the segments: if another node merges them in between, replacing the archive fails below.
        let archives = Documents::<Archive>::new(self.bucket.clone());
        let read = archives.read(&()).await?;
        let Some(archive) = read.found.usable()? else { return Ok(0) };
        let listed = self.listed_segments().await?;
        let (leftover, others): (Vec<_>, Vec<_>) =
            listed.into_iter().filter(|(id, _)| !own(*id)).partition(|(id, _)| archive.holds(*id));
        for (id, _) in leftover {
            self.bucket.remove(&ObjectName::UsageSegment { id }).await?; // A crash left it behind.
        }
        if others.is_empty() {
            return Ok(0);
        }
        let (live, mut segments) = (live().await?, Vec::new());
        for (id, written_at) in others {
            if segments.len() < MAX_SEGMENTS
                && let Some(table) = self.sealed(id, written_at, &live).await?
            {
                segments.push((id, table));
            }
        }
        if segments.is_empty() {
            return Ok(0);
        }
        let mut all = self.pieces(&archive).await?;
        segments.iter().for_each(|(_, table)| all.add(table));
        all.retain(&kept);
        let mut archived = self.still_named(&archive).await?;
        archived.extend(segments.iter().map(|(segment, _)| ArchivedSegment { segment: *segment, at: self.now }));
        let pieces = self.write_pieces(all).await?;
        let next = archive.followed_by(pieces.clone(), archived);
        match archives.write(&(), &read.place, &next).await? {
            Written::Done => {}
            Written::Conflict => {
                self.remove_pieces(&pieces).await?; // Another node was faster.
                return Ok(0);
            }
        }
        for (id, _) in &segments {
            self.bucket.remove(&ObjectName::UsageSegment { id: *id }).await?;
        }
        self.remove_pieces(&archive.pieces).await?;
        self.sweep(&next, live.store_now).await?;
        Ok(segments.len())
    }

    async fn listed_segments(&self) -> Result<Vec<(Uuid, DateTime<Utc>)>> {
        let listed = self.bucket.list(&layout::usage_segments()).await?;
        let segment = |path: &RelativePath| match ObjectName::parse(path)? {
            ObjectName::UsageSegment { id } => Some(id),
            _ => None,
        };
        Ok(listed.into_iter().filter_map(|listed| Some((segment(&listed.path)?, listed.written_at))).collect())
    }

    /// The counts of a segment that is never written again, which is sealed if its node has ended; `None` for any
    /// other.
    async fn sealed(&self, id: Uuid, written_at: DateTime<Utc>, live: &LiveNodes) -> Result<Option<UsageTable>> {
        let name = ObjectName::UsageSegment { id };
        let stored = match self.bucket.read(&name).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            stored => stored?,
        };
        let Some(Stored { body, version, .. }) = stored else { return Ok(None) };
        // One of a later version is left to nodes of that version.
        let Ok(head) = file::head(&body) else { return Ok(None) };
        let is_recent = live.store_now - written_at < self.silence;
        if !head.sealed && (is_recent || live.nodes.contains(&head.node_id)) {
            return Ok(None);
        }
        let Ok((_, table)) = blocking(move || file::unpack(&body)).await else { return Ok(None) };
        if head.sealed {
            return Ok(Some(table));
        }
        let sealed = pack(head.sealed_at(self.now), table.clone()).await?;
        Ok((self.bucket.replace(&name, sealed, &version).await? == Written::Done).then_some(table))
    }

    async fn pieces(&self, archive: &Archive) -> Result<UsageTable> {
        let mut all = UsageTable::default();
        for id in &archive.pieces {
            let piece = self.bucket.read_large(&ObjectName::UsagePiece { id: *id }, MAX_PACKED_BYTES).await?;
            // Removed since: another node has replaced the archive, and this merge would fail anyway.
            let piece = piece.ok_or_else(|| Error::new(ErrorKind::Unavailable, "a piece of the archive is gone"))?;
            all.add(&blocking(move || file::unpack(&piece)).await?.1);
        }
        Ok(all)
    }

    async fn write_pieces(&self, all: UsageTable) -> Result<Vec<Uuid>> {
        let mut lines: Vec<(&TenantId, KeyId, &Tally)> = all.iter().collect();
        lines.sort_unstable_by_key(|(tenant, key_id, _)| (*tenant, *key_id));
        let mut pieces = Vec::new();
        for lines in lines.chunks(PIECE_KEYS) {
            let mut piece = UsageTable::default();
            for (tenant, key_id, tally) in lines {
                piece.change(tenant, *key_id, |sum| sum.add(tally));
            }
            let id = new_id();
            let body = pack(Head::new(id, self.node_id, 1, true, self.now), piece).await?;
            self.bucket.write_large(&ObjectName::UsagePiece { id }, body).await?;
            pieces.push(id);
        }
        Ok(pieces)
    }

    async fn remove_pieces(&self, pieces: &[Uuid]) -> Result<()> {
        for id in pieces {
            self.bucket.remove(&ObjectName::UsagePiece { id: *id }).await?;
        }
        Ok(())
    }

    /// The segments that the archive must still name: all except old ones whose objects are removed.
    async fn still_named(&self, archive: &Archive) -> Result<Vec<ArchivedSegment>> {
        let mut named = Vec::new();
        for archived in &archive.archived {
            let recent = self.now - archived.at < LEFTOVER_AGE;
            if recent || self.bucket.read(&ObjectName::UsageSegment { id: archived.segment }).await?.is_some() {
                named.push(*archived);
            }
        }
        Ok(named)
    }

    /// Removes pieces that a crash left behind.
    async fn sweep(&self, archive: &Archive, store_now: DateTime<Utc>) -> Result<()> {
        for listed in self.bucket.list(&layout::usage_archive()).await? {
            if let Some(ObjectName::UsagePiece { id }) = ObjectName::parse(&listed.path)
                && !archive.pieces.contains(&id)
                && listed.written_at < store_now - LEFTOVER_AGE
            {
                self.bucket.remove(&ObjectName::UsagePiece { id }).await?;
            }
        }
        Ok(())
    }
}

/// [`file::pack`] on a blocking thread.
pub(super) async fn pack(head: Head, table: UsageTable) -> Result<bytes::Bytes> {
    blocking(move || file::pack(&head, table.iter())).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed = |error| Error::new(ErrorKind::Internal, "packing failed").caused_by(error);
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}
