//! Compacts one day of a stream, step by step, and removes objects that no query can read any more.
//!
//! A step writes new objects first, and then replaces the manifest that it read at its start by compare-and-swap. If
//! several nodes do the same work, one succeeds. A failure in between only leaves objects that no manifest lists.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::time::Instant;
use uuid::Uuid;

use super::aside::aside;
use super::empty::empty;
use super::memory::Memory;
use super::merge::{Merged, Merger};
use super::plan::{self, Step};
use super::source::{Source, Sources, unreachable};
use crate::documents::collection::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::keystore::Keystore;
use crate::store::{Bucket, Written};
use crate::stream::objects::{DayListing, FreshObject, StreamFolder};
use crate::stream::{Lineage, Manifest, MergedObject, StreamCatalog, StreamSchema, object_id};

/// How many objects are read or removed at once.
const AT_ONCE: usize = 16;
/// How often objects that cannot be merged are tried again.
const BAD_AGAIN: Duration = Duration::from_secs(3600);

/// A day of a stream, as this node has seen it.
#[derive(Debug)]
pub(super) struct Day {
    pub(super) folder: StreamFolder,
    pub(super) date: NaiveDate,
    /// How often the stream had been deleted when the visit began.
    deletions: u64,
    /// An earlier manifest and when it was read. Older queries may still read objects that it does not count.
    pub(super) seen: Option<(Instant, Manifest)>,
    /// Objects that cannot be merged: they stay as they are.
    bad: HashSet<Uuid>,
    /// When the set was last cleared, so that they are tried again.
    bad_since: Instant,
}

/// The work that remains after a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: the day need not be visited until something is written there.
    Nothing,
    /// Further steps, soon.
    Soon,
    /// More steps at once: the time of this visit is over.
    Now,
    /// Objects to remove, at this time.
    Removal(Instant),
    /// Further steps, once the day is over.
    AtItsEnd,
}

/// What compaction works with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) catalog: &'a StreamCatalog,
    pub(super) keystore: &'a Keystore,
    /// Whether objects are merged, and not only removed.
    pub(super) merges: bool,
    /// How long replaced objects stay in the store: longer than a query may last.
    pub(super) keep: Duration,
    pub(super) memory: Memory,
}

impl Day {
    pub(super) fn new(folder: StreamFolder, date: NaiveDate) -> Self {
        Self { folder, date, deletions: 0, seen: None, bad: HashSet::new(), bad_since: Instant::now() }
    }

    /// Does what is to be done now, and begins no further step after `until`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the manifest or a merged
    /// object cannot be read. Nothing is lost: a later visit continues.
    pub(super) async fn visit(&mut self, tools: Tools<'_>, now: DateTime<Utc>, until: Option<Instant>) -> Result<Rest> {
        let (tenant, stream) = (self.folder.tenant(), self.folder.stream());
        // Anew, because another node may have deleted it: no step brings fields of the old stream into the new one.
        tools.catalog.reload(tenant, stream).await?;
        let Some(schema) = tools.catalog.known(tenant, stream) else {
            return Ok(Rest::Nothing); // Somebody has removed the stream by hand: compaction does not bring it back.
        };
        if schema.is_being_emptied() {
            return Ok(Rest::Soon); // What is merged now would be deleted next.
        }
        self.deletions = schema.deletions();
        let is_out_of_retention =
            || tools.catalog.first_day(tenant, stream).is_some_and(|first_day| self.date < first_day);
        if is_out_of_retention() {
            // The record of the tenant in memory may come from a snapshot of a version that knows no retention.
            tools.keystore.replica().refresh_tenant(tenant).await?;
            if is_out_of_retention() {
                empty(&self.folder, self.date, None, now).await?;
            }
        }
        if self.bad_since.elapsed() >= BAD_AGAIN {
            self.bad.clear();
            self.bad_since = Instant::now();
        }
        loop {
            let listing = self.folder.list(self.date).await?;
            let (manifest, place) = self.folder.manifest_of(self.date, &listing).await?;
            let id = self.folder.day(self.date);
            let is_bad = |id: Uuid| self.bad.contains(&id);
            let base = Base { manifest: &manifest, place: &place, listing: &listing };
            let step = plan::next(&id, &listing, &manifest, is_bad, now).filter(|_| tools.merges);
            if step.is_some() && !listing.has_manifest {
                // Before the first merged object: a manifest that is lost must not look like none.
                let _ = self.folder.manifests().create(&id, &manifest.next(&id)).await?;
                continue;
            }
            let done = match step {
                Some(Step::Take(fresh)) => self.take(tools, &base, &fresh).await?,
                Some(Step::Merge(objects)) => self.merge(tools, &base, &objects).await?,
                None => {
                    self.remove(tools, &base, now).await?;
                    if listing.is_empty() && !listing.has_manifest {
                        tools.bucket.remove_empty_around(&self.folder.merged_name(self.date, Uuid::nil())).await;
                    }
                    return Ok(self.rest(tools, &base, now));
                }
            };
            if !done {
                return Ok(Rest::Soon); // Another node does the same.
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(Rest::Now);
            }
        }
    }

    /// What is left once there is no further step now.
    fn rest(&self, tools: Tools<'_>, base: &Base<'_>, now: DateTime<Utc>) -> Rest {
        let Base { manifest, listing, .. } = base;
        let counts: HashSet<Uuid> = manifest.objects.iter().map(|object| object.id).collect();
        let is_replaced = listing.merged.iter().any(|(id, _)| !counts.contains(id));
        if is_replaced || listing.untaken(manifest).count() != listing.fresh.len() {
            return self.removal(tools);
        }
        if listing.has_manifest && listing.is_empty() && manifest.is_empty() {
            return if plan::has_all_random(self.date, now) { self.removal(tools) } else { Rest::AtItsEnd };
        }
        if !tools.merges {
            return Rest::Nothing;
        }
        let is_good = |id: &Uuid| !self.bad.contains(id);
        let fresh = listing.fresh.iter().filter(|object| is_good(&object.id));
        let small = manifest.objects.iter().filter(|object| plan::may_grow(object) && is_good(&object.id));
        if fresh.count() + small.count() > 1 { Rest::AtItsEnd } else { Rest::Nothing }
    }

    /// Objects that do not count are removed once no query can read them.
    fn removal(&self, tools: Tools<'_>) -> Rest {
        Rest::Removal(self.seen.as_ref().map_or_else(Instant::now, |(since, _)| *since + tools.keep))
    }

    /// Makes merged objects of objects of ingest. Says whether it did, or has found some that cannot be merged.
    async fn take(&mut self, tools: Tools<'_>, base: &Base<'_>, fresh: &[&FreshObject]) -> Result<bool> {
        let (store, memory) = (tools.bucket.object_store(), tools.memory.sources());
        let bodies = fresh.iter().map(|object| {
            let (store, meta) = (store.clone(), self.folder.fresh(**object));
            async move {
                let meta = meta?;
                if meta.size > memory as u64 {
                    return Ok(None);
                }
                match store.get(&meta.location).await {
                    Ok(found) => Ok(Some(Ok(found.bytes().await.map_err(unavailable)?))),
                    Err(error @ object_store::Error::NotSupported { .. }) => Ok(Some(Err(unreachable(error)))),
                    Err(error) => Err(unavailable(error)),
                }
            }
        });
        let mut bodies = stream::iter(bodies.collect::<Vec<_>>()).buffered(AT_ONCE);
        let (mut taken, mut sources, bad_before) = (Vec::new(), Sources::within(memory), self.bad.len());
        for object in fresh {
            let Some(body) = bodies.try_next().await? else { break };
            let fits = match body.map(|body| body.and_then(Source::whole)) {
                Some(Err(error)) => {
                    self.set_aside(object.id, &self.folder.fresh(**object)?, &error);
                    continue;
                }
                Some(Ok(source)) => sources.push(source),
                None => false,
            };
            if fits {
                taken.push(*object);
                continue;
            }
            if !taken.is_empty() {
                break;
            }
            // More than there is memory for at once: read like a merged one, and alone.
            let meta = self.folder.fresh(**object)?;
            let Some(source) = self.open(tools, object.id, &meta).await? else { continue };
            match sources.push(source) {
                true => taken.push(*object),
                false => self.leave(object.id, &meta),
            }
            break;
        }
        drop(bodies);
        let schema = self.widen(tools, &mut taken, &mut sources).await?;
        if taken.is_empty() || self.bad.len() > bad_before {
            return Ok(true); // To be planned again without those that cannot be merged.
        }
        let mut manifest = base.manifest.clone();
        let mut made_of = Lineage::default();
        for object in &taken {
            manifest.taken.insert(object.id, &object.file_name());
            if object_id::parts(object.id).is_some() {
                made_of.taken.insert(object.id, &object.file_name());
            }
        }
        let made = match self.write(tools, base, schema, sources, &made_of).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let metas = taken.iter().map(|object| Ok((object.id, self.folder.fresh(**object)?)));
                let metas: Vec<_> = metas.collect::<Result<_>>()?;
                return self.find_bad(tools, &metas).await.and_then(|found| if found { Ok(true) } else { Err(error) });
            }
            made => made?,
        };
        self.swap(base, manifest, &[], made).await
    }

    /// An object as a source that is read in parts; `None` when it cannot be read, and is set aside.
    async fn open(&mut self, tools: Tools<'_>, id: Uuid, meta: &ObjectMeta) -> Result<Option<Source>> {
        match Source::streamed(tools.bucket.object_store(), meta.clone()).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.set_aside(id, meta, &error);
                Ok(None)
            }
            source => source.map(Some),
        }
    }

    /// Leaves an object out of every further step, and reports it.
    fn set_aside(&mut self, id: Uuid, meta: &ObjectMeta, error: &Error) {
        tracing::warn!(object = %meta.location, "an object cannot be merged and stays as it is: {error:?}");
        let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        self.folder.note_unreadable(meta.location.to_string(), reason);
        self.bad.insert(id);
    }

    /// Leaves an object that takes more memory than a step has out of every further step. Queries read it.
    fn leave(&mut self, id: Uuid, meta: &ObjectMeta) {
        tracing::warn!(object = %meta.location, "an object is too large to be merged, and stays as it is");
        self.bad.insert(id);
    }

    /// Reads objects one by one, and sets aside those that cannot be read. Says whether there are any.
    async fn find_bad(&mut self, tools: Tools<'_>, objects: &[(Uuid, ObjectMeta)]) -> Result<bool> {
        let bad_before = self.bad.len();
        for (id, meta) in objects {
            let (store, object) = (tools.bucket.object_store(), meta.clone());
            match aside(async move { Merger::read_through(Source::streamed(store, object).await?).await }).await {
                Err(error) if error.kind() == ErrorKind::Corrupt => self.set_aside(*id, meta, &error),
                read => read?,
            }
        }
        Ok(self.bad.len() > bad_before)
    }

    /// The schema that holds all fields of the sources. A source that does not fit is set aside.
    async fn widen(
        &mut self,
        tools: Tools<'_>,
        taken: &mut Vec<&FreshObject>,
        sources: &mut Sources,
    ) -> Result<Arc<StreamSchema>> {
        let (tenant, stream) = (self.folder.tenant(), self.folder.stream());
        let (schema, conflicts) =
            tools.catalog.widen_stored(tenant, stream, &sources.fields(), Some(self.deletions)).await?;
        let mut conflicts = conflicts.into_iter();
        let mut fits = Vec::new();
        for object in taken.iter() {
            let conflict = conflicts.next().flatten();
            fits.push(conflict.is_none());
            if let Some(conflict) = conflict {
                self.set_aside(object.id, &self.folder.fresh(**object)?, &conflict.into_error());
            }
        }
        let mut kept = fits.iter();
        taken.retain(|_| kept.next().is_none_or(|fits| *fits));
        sources.retain(&fits);
        Ok(schema)
    }

    /// Makes larger objects of merged ones. Says whether it did.
    async fn merge(&mut self, tools: Tools<'_>, base: &Base<'_>, objects: &[MergedObject]) -> Result<bool> {
        let (mut sources, mut metas) = (Sources::within(tools.memory.sources()), Vec::new());
        for object in objects {
            let meta = self.folder.merged(self.date, object)?.meta;
            metas.push((object.id, meta.clone()));
            let Some(source) = self.open(tools, object.id, &meta).await? else { return Ok(true) };
            if sources.push(source) {
                continue;
            }
            if sources.len() < 2 {
                self.leave(object.id, &meta);
                return Ok(true);
            }
            break;
        }
        let objects = &objects[..sources.len()];
        let (tenant, stream) = (self.folder.tenant(), self.folder.stream());
        let (schema, conflicts) =
            tools.catalog.widen_stored(tenant, stream, &sources.fields(), Some(self.deletions)).await?;
        if let Some(conflict) = conflicts.into_iter().flatten().next() {
            return Err(Error::new(ErrorKind::Corrupt, "a merged object does not fit its stream").caused_by(conflict));
        }
        let old: Vec<Uuid> = objects.iter().map(|object| object.id).collect();
        let made_of = Lineage { merged: old.clone(), ..Lineage::default() };
        let made = match self.write(tools, base, schema, sources, &made_of).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return self.find_bad(tools, &metas).await.and_then(|found| if found { Ok(true) } else { Err(error) });
            }
            made => made?,
        };
        let rows = |objects: &[MergedObject]| objects.iter().map(|object| object.rows).sum::<u64>();
        if rows(objects) != rows(&made) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "a merged object has not the number of events that its manifest states",
            ));
        }
        self.swap(base, base.manifest.clone(), &old, made).await
    }

    /// Writes the rows of the sources as merged objects, which the next manifest is to list.
    async fn write(
        &self,
        tools: Tools<'_>,
        base: &Base<'_>,
        schema: Arc<StreamSchema>,
        sources: Sources,
        made_of: &Lineage,
    ) -> Result<Vec<MergedObject>> {
        let (bucket, folder, date, memory) = (tools.bucket.clone(), self.folder.clone(), self.date, tools.memory);
        let (revision, made_of) = (base.manifest.next(&folder.day(date)).revision, made_of.metadata());
        aside(async move {
            let mut merger = Merger::new(&schema, sources, made_of, memory).await?;
            let mut made = Vec::new();
            while let Some(merged) = merger.next().await? {
                let Merged { body, rows, first, last, is_full: full } = merged;
                let (id, bytes) = (object_id::merged(revision), body.len() as u64);
                bucket.write_large(&folder.merged_name(date, id), body.into()).await?;
                made.push(MergedObject { id, rows, bytes, first, last, full });
            }
            Ok(made)
        })
        .await
    }

    /// Puts the manifest with the new objects in the place of the one that the step began with. Says whether it did.
    async fn swap(
        &self,
        base: &Base<'_>,
        mut manifest: Manifest,
        old: &[Uuid],
        new: Vec<MergedObject>,
    ) -> Result<bool> {
        let there = base.listing.merged_ids();
        manifest.retired.retain(|id| there.contains(id));
        manifest.replace(old, new);
        let id = self.folder.day(self.date);
        let written = self.folder.manifests().write(&id, base.place, &manifest.next(&id)).await?;
        // A conflict may hide our own success, if its answer was lost and another node went on from there: the new
        // objects stay, and are removed as left over if no manifest lists them.
        Ok(written == Written::Done)
    }
}

/// What a step begins with.
pub(super) struct Base<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) place: &'a Place,
    pub(super) listing: &'a DayListing,
}

fn unavailable(error: object_store::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the store cannot be used right now").caused_by(error)
}
