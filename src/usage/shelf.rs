//! What the nodes have written, read and kept: one listing, and the sheets that changed since the last time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use relative_path::RelativePath;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use super::archive::Archive;
use super::{Book, file};
use crate::documents::{Contention, Documents};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Tag};

/// How many objects are read at once.
const READS: usize = 16;
/// What does not compress at all is no larger.
pub(super) const MAX_PACKED_BYTES: u64 = 64 << 20;

/// What all nodes have written.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Each counts.
    pub(super) books: Vec<Arc<Book>>,
    /// The sheets that are in the archive.
    pub(super) folded: HashSet<Uuid>,
    /// Nothing was counted before; `None` when nothing was ever.
    pub(super) recorded_since: Option<DateTime<Utc>>,
}

/// The last reading, and what the next one need not read again.
#[derive(Debug)]
pub(super) struct Shelf {
    turn: Semaphore,
    kept: Mutex<Kept>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), kept: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Kept {
    last: Option<(Instant, Result<Arc<Reading>, ErrorKind>)>,
    sheets: HashMap<Uuid, (Option<Tag>, Arc<Book>)>,
    pieces: HashMap<Uuid, Arc<Book>>,
}

impl Shelf {
    /// What all nodes have written but those whose sheets are `own`, as it was at most `max_age` ago. Callers that come at
    /// once share one reading, and one failure.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the archive cannot be read.
    pub(super) async fn read(
        &self,
        bucket: &Bucket,
        max_age: Duration,
        own: impl Fn(Uuid) -> bool,
    ) -> Result<Arc<Reading>> {
        let asked_at = Instant::now();
        let closed = |error| Error::new(ErrorKind::Internal, "the shelf is closed").caused_by(error);
        let _turn = self.turn.acquire().await.map_err(closed)?;
        let last = self.kept().last.clone();
        if let Some((at, last)) = last
            && (at + max_age > asked_at || at >= asked_at)
        {
            return last.map_err(|kind| Error::new(kind, "what was used cannot be read right now"));
        }
        let mut taken = Taken { shelf: self, kept: std::mem::take(&mut *self.kept()) };
        let read = taken.kept.read_anew(bucket, own).await.map(Arc::new);
        let remembered = read.as_ref().map(Arc::clone).map_err(Error::kind);
        taken.kept.last = Some((Instant::now(), remembered));
        read
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept, in the hands of whoever has the turn. It comes back however that ends: a caller who stops waiting leaves
/// to the next one what was read so far.
struct Taken<'a> {
    shelf: &'a Shelf,
    kept: Kept,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.shelf.kept() = std::mem::take(&mut self.kept);
    }
}

impl Kept {
    async fn read_anew(&mut self, bucket: &Bucket, own: impl Fn(Uuid) -> bool) -> Result<Reading> {
        let mut contention = Contention::over("the archive of usage");
        loop {
            // The sheets before the archive: what is folded in between is then in the archive, and says so.
            self.read_sheets(bucket, &own).await?;
            let archive = Documents::<Archive>::new(bucket.clone()).read(&()).await?.found;
            let Some(archive) = archive.usable()? else {
                return Ok(Reading { books: self.books(&HashSet::new()), ..Reading::default() });
            };
            if self.read_pieces(bucket, &archive.pieces).await? {
                let folded = archive.folded.iter().map(|folded| folded.sheet).collect();
                let recorded_since = Some(archive.recorded_since);
                return Ok(Reading { books: self.books(&folded), folded, recorded_since });
            }
            contention.lost().await?; // Pieces of the archive were replaced under us.
        }
    }

    fn books(&self, folded: &HashSet<Uuid>) -> Vec<Arc<Book>> {
        let sheets = self.sheets.iter().filter(|(id, _)| !folded.contains(id)).map(|(_, (_, book))| book);
        sheets.chain(self.pieces.values()).cloned().collect()
    }

    async fn read_sheets(&mut self, bucket: &Bucket, own: &impl Fn(Uuid) -> bool) -> Result<()> {
        let listed = bucket.list(&layout::usage_sheets()).await?.into_iter().filter_map(|listed| {
            match ObjectName::parse(RelativePath::new(listed.path.as_str()))? {
                ObjectName::UsageSheet { id } if !own(id) => Some((id, listed.tag)),
                _ => None,
            }
        });
        let mut listed: HashMap<Uuid, Option<Tag>> = listed.collect();
        // A weak listing may miss a sheet: only a read that finds nothing takes it away.
        for id in self.sheets.keys().filter(|id| !own(**id)) {
            listed.entry(*id).or_insert(None);
        }
        let before = &self.sheets;
        let reads = futures::stream::iter(listed).map(async |(id, tag)| {
            match before.get(&id).filter(|(known, _)| tag.is_some() && *known == tag) {
                Some(known) => Ok(Some((id, known.clone()))),
                None => Ok(read(bucket, ObjectName::UsageSheet { id }).await?.map(|book| (id, (tag, book)))),
            }
        });
        let read: Vec<_> = reads.buffer_unordered(READS).try_collect().await?;
        self.sheets = read.into_iter().flatten().collect();
        Ok(())
    }

    /// Says whether all of them were there.
    async fn read_pieces(&mut self, bucket: &Bucket, pieces: &[Uuid]) -> Result<bool> {
        let before = &self.pieces;
        let reads = futures::stream::iter(pieces.to_vec()).map(async |id| match before.get(&id) {
            Some(known) => Ok(Some((id, known.clone()))),
            None => Ok(read(bucket, ObjectName::UsagePiece { id }).await?.map(|book| (id, book))),
        });
        let read: Vec<Option<_>> = reads.buffered(READS).try_collect::<Vec<_>>().await?;
        let complete = read.iter().all(Option::is_some);
        self.pieces = read.into_iter().flatten().collect();
        Ok(complete)
    }
}

/// Reads a sheet or a piece; `None` when it is gone. One that cannot be understood speaks of nothing.
async fn read(bucket: &Bucket, name: ObjectName) -> Result<Option<Arc<Book>>> {
    let unpacked = match bucket.read_large(&name, MAX_PACKED_BYTES).await {
        Ok(None) => return Ok(None),
        Ok(Some(body)) => tokio::task::spawn_blocking(move || file::unpack(&body)).await,
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Err(error)),
        Err(error) => return Err(error),
    };
    let unpacked = unpacked.map_err(|error| Error::new(ErrorKind::Internal, "unpacking failed").caused_by(error))?;
    match unpacked {
        Ok((_, book)) => Ok(Some(Arc::new(book))),
        Err(error) => {
            tracing::warn!(object = %name.path(), "what was counted there cannot be read: {error:?}");
            Ok(Some(Arc::default()))
        }
    }
}
