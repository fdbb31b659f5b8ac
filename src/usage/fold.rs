//! The sheets of nodes that have ended go into the archive, so that there are never many.
//!
//! A sheet is sealed, folded and removed, in this order: sealing keeps its node from writing it again, should it be alive
//! after all; the archive names the sheets that are in it, so that what a crash leaves lying does not count; and the archive
//! is replaced by compare-and-swap, so that of two nodes that fold at once one has done nothing.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use relative_path::RelativePath;
use uuid::Uuid;

use super::archive::{Archive, Folded};
use super::file::{self, Head};
use super::scan::MAX_PACKED_BYTES;
use super::sheet::new_id;
use super::{Book, Tally};
use crate::documents::Documents;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, NodeId, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Stored, Written};

/// How many keys one piece of the archive holds.
const PIECE_KEYS: usize = 64 * 1024;
/// How many sheets are folded at once.
const MAX_SHEETS: usize = 256;
/// Nobody writes a piece, or reads an archive and then its sheets, for so long.
const FORGOTTEN: TimeDelta = TimeDelta::hours(1);

/// Who folds, and what it knows of the others.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) bucket: Bucket,
    pub(super) node_id: NodeId,
    pub(super) now: DateTime<Utc>,
    pub(super) silence: TimeDelta,
}

/// Who is known to live, and the time by the clock of the store.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) nodes: HashSet<NodeId>,
    pub(super) store_now: DateTime<Utc>,
}

impl Folder {
    /// Folds what there is to fold, but not `own` sheets, and forgets the keys that `kept` says no to. Gives the number of
    /// sheets. Where there is nothing to fold, that costs two requests.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the archive cannot be read:
    /// everything counts as before.
    pub(super) async fn fold(
        &self,
        living: impl AsyncFn() -> Result<Living>,
        own: impl Fn(Uuid) -> bool,
        kept: impl Fn(&TenantId, KeyId, &mut Tally) -> bool,
    ) -> Result<usize> {
        // Before the sheets: whoever folds them in between changes it, and we shall fail.
        let archives = Documents::<Archive>::new(self.bucket.clone());
        let read = archives.read(&()).await?;
        let Some(archive) = read.found.usable()? else { return Ok(0) };
        let listed = self.listed_sheets().await?;
        let (lying, others): (Vec<_>, Vec<_>) =
            listed.into_iter().filter(|(id, _)| !own(*id)).partition(|(id, _)| archive.holds(*id));
        for (id, _) in lying {
            self.bucket.remove(&ObjectName::UsageSheet { id }).await?; // A crash left it lying.
        }
        if others.is_empty() {
            return Ok(0);
        }
        let (living, mut sheets) = (living().await?, Vec::new());
        for (id, written_at) in others {
            if sheets.len() < MAX_SHEETS
                && let Some(book) = self.sealed(id, written_at, &living).await?
            {
                sheets.push((id, book));
            }
        }
        if sheets.is_empty() {
            return Ok(0);
        }
        let mut all = self.pieces(&archive).await?;
        sheets.iter().for_each(|(_, book)| all.add(book));
        all.retain(&kept);
        let mut folded = self.still_lying(&archive).await?;
        folded.extend(sheets.iter().map(|(sheet, _)| Folded { sheet: *sheet, at: self.now }));
        let pieces = self.write_pieces(all).await?;
        let next = archive.followed_by(pieces.clone(), folded);
        match archives.write(&(), &read.place, &next).await? {
            Written::Done => {}
            Written::Conflict => {
                self.remove_pieces(&pieces).await?; // Another node was faster.
                return Ok(0);
            }
        }
        for (id, _) in &sheets {
            self.bucket.remove(&ObjectName::UsageSheet { id: *id }).await?;
        }
        self.remove_pieces(&archive.pieces).await?;
        self.sweep(&next, living.store_now).await?;
        Ok(sheets.len())
    }

    async fn listed_sheets(&self) -> Result<Vec<(Uuid, DateTime<Utc>)>> {
        let listed = self.bucket.list(&layout::usage_sheets()).await?;
        let sheet = |path: &RelativePath| match ObjectName::parse(path)? {
            ObjectName::UsageSheet { id } => Some(id),
            _ => None,
        };
        Ok(listed.into_iter().filter_map(|listed| Some((sheet(&listed.path)?, listed.written_at))).collect())
    }

    /// What is on a sheet that is never written again, sealing it if its node has ended; `None` for any other.
    async fn sealed(&self, id: Uuid, written_at: DateTime<Utc>, living: &Living) -> Result<Option<Book>> {
        let name = ObjectName::UsageSheet { id };
        let stored = match self.bucket.read(&name).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            stored => stored?,
        };
        let Some(Stored { body, version, .. }) = stored else { return Ok(None) };
        // One that cannot be read, or is of a later version, is left to whoever can.
        let Ok(head) = file::head(&body) else { return Ok(None) };
        let is_recent = living.store_now - written_at < self.silence;
        if !head.sealed && (is_recent || living.nodes.contains(&head.node_id)) {
            return Ok(None);
        }
        let Ok((_, book)) = blocking(move || file::unpack(&body)).await else { return Ok(None) };
        if head.sealed {
            return Ok(Some(book));
        }
        let sealed = pack(head.sealed_at(self.now), book.clone()).await?;
        Ok((self.bucket.replace(&name, sealed, &version).await? == Written::Done).then_some(book))
    }

    async fn pieces(&self, archive: &Archive) -> Result<Book> {
        let mut all = Book::default();
        for id in &archive.pieces {
            let piece = self.bucket.read_large(&ObjectName::UsagePiece { id: *id }, MAX_PACKED_BYTES).await?;
            // Removed since: the archive was replaced, and our own replacing will fail.
            let piece = piece.ok_or_else(|| Error::new(ErrorKind::Unavailable, "a piece of the archive is gone"))?;
            all.add(&blocking(move || file::unpack(&piece)).await?.1);
        }
        Ok(all)
    }

    async fn write_pieces(&self, all: Book) -> Result<Vec<Uuid>> {
        let mut lines: Vec<(&TenantId, KeyId, &Tally)> = all.iter().collect();
        lines.sort_unstable_by_key(|(tenant, key_id, _)| (*tenant, *key_id));
        let mut pieces = Vec::new();
        for lines in lines.chunks(PIECE_KEYS) {
            let mut piece = Book::default();
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

    /// The sheets that the archive must go on naming: all but those that are surely gone, for everybody.
    async fn still_lying(&self, archive: &Archive) -> Result<Vec<Folded>> {
        let mut lying = Vec::new();
        for folded in &archive.folded {
            let recent = self.now - folded.at < FORGOTTEN;
            if recent || self.bucket.read(&ObjectName::UsageSheet { id: folded.sheet }).await?.is_some() {
                lying.push(*folded);
            }
        }
        Ok(lying)
    }

    /// Removes pieces that a crash left lying.
    async fn sweep(&self, archive: &Archive, store_now: DateTime<Utc>) -> Result<()> {
        for listed in self.bucket.list(&layout::usage_archive()).await? {
            if let Some(ObjectName::UsagePiece { id }) = ObjectName::parse(&listed.path)
                && !archive.pieces.contains(&id)
                && listed.written_at < store_now - FORGOTTEN
            {
                self.bucket.remove(&ObjectName::UsagePiece { id }).await?;
            }
        }
        Ok(())
    }
}

/// [`file::pack`] on a thread that nobody waits for.
pub(super) async fn pack(head: Head, book: Book) -> Result<bytes::Bytes> {
    blocking(move || file::pack(&head, book.iter())).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed = |error| Error::new(ErrorKind::Internal, "packing failed").caused_by(error);
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}
