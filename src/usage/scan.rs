//! Reads what the nodes have written about one tenant: every segment and every piece of the archive that may hold
//! it, one after the other, so that no more is in memory than what the caller keeps.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use uuid::Uuid;

use super::archive::Archive;
use super::file::{self, Pick};
use super::tenant_set::TenantSet;
use crate::documents::{Contention, Documents};
use crate::error::{Error, ErrorKind, Result};
use crate::key::TenantId;
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Tag};

/// How many segments are read at once; each holds a few thousand keys.
const SEGMENTS_AT_ONCE: usize = 16;
/// How many pieces of the archive are read at once; each holds tens of thousands of keys.
const PIECES_AT_ONCE: usize = 2;
/// The largest segment or piece that is read.
pub(super) const MAX_PACKED_BYTES: u64 = 64 << 20;

/// Scans the objects of usage, and remembers which tenants each holds.
#[derive(Debug)]
pub(super) struct Scanner {
    bucket: Bucket,
    index: Mutex<Index>,
}

/// The tenants of every object that was read. A segment changes, and then its tag does; a piece never does.
#[derive(Debug, Default)]
struct Index {
    segments: HashMap<Uuid, (Option<Tag>, TenantSet)>,
    pieces: HashMap<Uuid, TenantSet>,
}

/// The state of the store that a scan has read.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanned {
    /// The segments that are in the archive.
    pub(super) archived: HashSet<Uuid>,
    /// The segments that were left out because they are this node's own.
    pub(super) own: Vec<Uuid>,
    /// When counting began; `None` when it never did.
    pub(super) recorded_since: Option<DateTime<Utc>>,
}

impl Scanner {
    pub(super) fn new(bucket: Bucket) -> Self {
        Self { bucket, index: Mutex::default() }
    }

    /// Adds up everything that was written about a tenant, except on the segments that are `own`. Starts again when the
    /// archive is replaced meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the archive cannot be
    /// read.
    pub(super) async fn scan<S, T: Send + 'static>(
        &self,
        tenant: &TenantId,
        own: &(impl Fn(Uuid) -> bool + Sync),
        pick: Pick<T>,
        start: impl Fn() -> S,
        add: impl Fn(&mut S, T),
    ) -> Result<(S, Scanned)> {
        let mut contention = Contention::over("the archive of usage");
        loop {
            let mut sum = start();
            if let Some(scanned) = self.scan_once(tenant, own, pick, |one| add(&mut sum, one)).await? {
                return Ok((sum, scanned));
            }
            contention.lost().await?;
        }
    }

    async fn scan_once<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        own: &(impl Fn(Uuid) -> bool + Sync),
        pick: Pick<T>,
        mut add: impl FnMut(T),
    ) -> Result<Option<Scanned>> {
        let archives = Documents::<Archive>::new(self.bucket.clone());
        let archive = archives.read(&()).await?.found.usable()?;
        let archived: HashSet<Uuid> =
            archive.iter().flat_map(|archive| archive.archived.iter().map(|archived| archived.segment)).collect();
        let (own, others): (Vec<_>, Vec<_>) = self.listed().await?.into_iter().partition(|(id, _)| own(*id));
        self.read_segments(others, &archived, tenant, pick, &mut add).await?;
        // A segment that was archived while it was read would count twice, or not at all.
        if archives.read(&()).await?.found.usable()? != archive {
            return Ok(None);
        }
        let own = own.into_iter().map(|(id, _)| id).collect();
        let Some(archive) = archive else { return Ok(Some(Scanned { archived, own, recorded_since: None })) };
        if !self.read_pieces(&archive.pieces, tenant, pick, add).await? {
            return Ok(None); // The archive was replaced.
        }
        Ok(Some(Scanned { archived, own, recorded_since: Some(archive.recorded_since) }))
    }

    async fn read_segments<T: Send + 'static>(
        &self,
        listed: Vec<(Uuid, Option<Tag>)>,
        archived: &HashSet<Uuid>,
        tenant: &TenantId,
        pick: Pick<T>,
        mut add: impl FnMut(T),
    ) -> Result<()> {
        let unread = listed.into_iter().filter(|(id, tag)| {
            let known = self
                .index
                .lock()
                .segments
                .get(id)
                .is_some_and(|(known, tenants)| tag.is_some() && known == tag && !tenants.may_hold(tenant));
            !archived.contains(id) && !known
        });
        let reads = futures::stream::iter(unread).map(async |(id, tag)| {
            let read = self.read(ObjectName::UsageSegment { id }, tenant, pick).await?;
            Ok::<_, Error>((id, tag, read))
        });
        let mut reads = reads.buffer_unordered(SEGMENTS_AT_ONCE);
        while let Some((id, tag, read)) = reads.try_next().await? {
            let Some((tenants, counted)) = read else {
                self.index.lock().segments.remove(&id);
                continue;
            };
            self.index.lock().segments.insert(id, (tag, tenants));
            counted.into_iter().for_each(&mut add);
        }
        Ok(())
    }

    /// Says whether all of them were there.
    async fn read_pieces<T: Send + 'static>(
        &self,
        pieces: &[Uuid],
        tenant: &TenantId,
        pick: Pick<T>,
        mut add: impl FnMut(T),
    ) -> Result<bool> {
        self.index.lock().pieces.retain(|id, _| pieces.contains(id));
        let may_hold = |id: &Uuid| self.index.lock().pieces.get(id).is_none_or(|tenants| tenants.may_hold(tenant));
        let unread: Vec<_> = pieces.iter().copied().filter(may_hold).collect();
        let reads = futures::stream::iter(unread).map(async |id| {
            let read = self.read(ObjectName::UsagePiece { id }, tenant, pick).await?;
            Ok::<_, Error>((id, read))
        });
        let mut reads = reads.buffer_unordered(PIECES_AT_ONCE);
        while let Some((id, read)) = reads.try_next().await? {
            let Some((tenants, counted)) = read else { return Ok(false) };
            self.index.lock().pieces.insert(id, tenants);
            counted.into_iter().for_each(&mut add);
        }
        Ok(true)
    }

    /// All segments. A weak listing may miss one: only a read that finds nothing takes it away.
    async fn listed(&self) -> Result<HashMap<Uuid, Option<Tag>>> {
        let listed =
            self.bucket.list(&layout::usage_segments()).await?.into_iter().filter_map(
                |listed| match ObjectName::parse(&listed.path)? {
                    ObjectName::UsageSegment { id } => Some((id, listed.tag)),
                    _ => None,
                },
            );
        let mut listed: HashMap<Uuid, Option<Tag>> = listed.collect();
        for id in self.index.lock().segments.keys() {
            listed.entry(*id).or_insert(None);
        }
        Ok(listed)
    }

    /// Reads a segment or a piece; `None` when it is gone. One that cannot be understood counts as empty.
    async fn read<T: Send + 'static>(
        &self,
        name: ObjectName,
        tenant: &TenantId,
        pick: Pick<T>,
    ) -> Result<Option<(TenantSet, Vec<T>)>> {
        let tenant = tenant.clone();
        let unpacked = match self.bucket.read_large(&name, MAX_PACKED_BYTES).await {
            Ok(None) => return Ok(None),
            Ok(Some(body)) => tokio::task::spawn_blocking(move || file::unpack_tenant(&body, &tenant, pick)).await,
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Err(error)),
            Err(error) => return Err(error),
        };
        let unpacked =
            unpacked.map_err(|error| Error::new(ErrorKind::Internal, "unpacking failed").caused_by(error))?;
        Ok(Some(unpacked.unwrap_or_else(|error| {
            tracing::warn!(object = %name.path(), "the usage in this object cannot be read: {error:?}");
            Default::default()
        })))
    }
}
