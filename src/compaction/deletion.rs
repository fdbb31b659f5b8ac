//! Deleting a stream, by any node: see [`crate::stream::deletion`].

use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::source::Source;
use super::{Compactor, IDLE, empty};
use crate::documents::{Difference, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Actor, StreamName, TenantId};
use crate::stream::objects::{StreamFolder, TimeRange};
use crate::stream::{Deletion, Field};
use crate::sync::AuditAction;

/// How many days are emptied, or objects opened, at once.
const AT_ONCE: usize = 16;
/// The newest days are emptied first, one by one: events come to them all the time.
const NEWEST: usize = 2;
/// The age at which the first node in rank continues a deletion that another node began. Each further node waits this
/// long again.
const TURN: TimeDelta = TimeDelta::seconds(10);
/// How many nodes visit the days of a deleted stream: two of them may stop before the objects are removed.
const LOOK_AFTER: u32 = 3;
/// A node that starts visits the deletions of this period. Its first sweep finds what older deletions left.
const RECENT: TimeDelta = TimeDelta::days(1);

/// How far the deletion of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamDeletion {
    /// The number of the change in the log.
    pub change_seq: u64,
    /// Whether every live node has applied it, so that fields may have other types.
    pub is_finished: bool,
}

impl Compactor {
    /// Deletes a stream. Once this returns, no new query shows an event that was acknowledged before, and events
    /// acknowledged from then on belong to a new stream. The objects are removed when no query can read them any more.
    /// Waits for other nodes at most for `patience`; after that any node does the rest.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Unavailable`] when the store does not answer or a day has too many objects
    /// of earlier versions: the deletion goes on, and may be repeated. [`ErrorKind::Corrupt`] when the schema cannot be
    /// read.
    pub async fn delete_stream(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        stream: &StreamName,
        patience: Duration,
    ) -> Result<StreamDeletion> {
        // Before the record: a day that is not on the list can only hold events of the new stream.
        let days = self.folder(tenant, stream).days().await?;
        let before = self.catalog.get(tenant, stream).map(|schema| schema.settings().clone());
        let difference = Difference::between(before.as_ref(), None);
        if self.catalog.begin_deletion(context, tenant, stream, &days).await?.is_none() {
            return Err(Error::new(ErrorKind::NotFound, "there is no such stream"));
        }
        self.continue_deletion(context, tenant, stream, difference, patience).await
    }

    /// Does what is left of the deletion of a stream.
    async fn continue_deletion(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        stream: &StreamName,
        difference: Difference,
        patience: Duration,
    ) -> Result<StreamDeletion> {
        let folder = self.folder(tenant, stream);
        let deletion = self.deletion(tenant, stream);
        let change_seq = match deletion.as_ref().and_then(|deletion| deletion.change_seq) {
            Some(change_seq) => change_seq,
            None => {
                let (tenant, stream, action) = (tenant.clone(), stream.clone(), AuditAction::StreamDelete);
                self.keystore.announce_settings(context, tenant, stream, Some(action), difference).await?
            }
        };
        let ended = StreamDeletion { change_seq, is_finished: true };
        let Some(deletion) = deletion else { return Ok(ended) };
        if deletion.change_seq.is_none() {
            self.empty_days(&folder, &deletion).await?;
            if self.catalog.note_emptied(tenant, stream, deletion.number, change_seq).await?.is_none() {
                return Ok(StreamDeletion { change_seq, is_finished: false }); // Somebody deletes it again.
            }
        }
        if !self.keystore.replica().wait_for(change_seq, patience).await.is_complete() {
            return Ok(StreamDeletion { change_seq, is_finished: false });
        }
        // No node writes fields of the old stream any more, but some may have before they applied the deletion.
        let written = self.written_fields(&folder).await?;
        if self.catalog.end_deletion(tenant, stream, deletion.number, &written).await?.is_some() {
            // A late announcement is safe: with the old schema, nodes only refuse more.
            self.keystore.announce_stream(tenant.clone(), stream.clone());
            let (number, by) = (deletion.number, deletion.by);
            tracing::info!(%tenant, %stream, number, ?by, "a stream is deleted");
        }
        Ok(ended)
    }

    /// The deletion of a stream that has something left to do.
    fn deletion(&self, tenant: &TenantId, stream: &StreamName) -> Option<Deletion> {
        let schema = self.catalog.known(tenant, stream)?;
        schema.settings().deletion.clone().filter(|deletion| deletion.pending)
    }

    async fn empty_days(&self, folder: &StreamFolder, deletion: &Deletion) -> Result<()> {
        let empty = |date: NaiveDate| {
            async move { empty::empty(folder, date, Some(deletion.number), self.clock.now()).await }.boxed()
        };
        let mut days = deletion.days.clone();
        days.sort_unstable_by(|a, b| b.cmp(a));
        let mut all_empty = true;
        let older = days.split_off(NEWEST.min(days.len()));
        for date in days {
            all_empty &= empty(date).await?;
        }
        let older: Vec<_> = older.into_iter().map(empty).collect();
        let older: Vec<bool> = stream::iter(older).buffer_unordered(AT_ONCE).try_collect().await?;
        if all_empty && older.into_iter().all(|is_empty| is_empty) {
            return Ok(());
        }
        let message = "a day has too many objects of an earlier version: it is emptied a day after its end";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// The fields of each object that counts.
    async fn written_fields(&self, folder: &StreamFolder) -> Result<Vec<Vec<Field>>> {
        let days = folder.days().await?;
        let all = |times: &[TimeRange]| Ok(vec![true; times.len()]);
        let objects = folder.choose(&days, usize::MAX, &all).await?.objects;
        let store = self.bucket.object_store();
        let reads: Vec<_> = objects
            .into_iter()
            .map(|object| {
                let store = store.clone();
                async move {
                    match Source::streamed(store, object.meta).await {
                        Ok(source) => Ok(source.fields),
                        // A query or a merge reports it.
                        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Vec::new()),
                        Err(error) => Err(error),
                    }
                }
                .boxed()
            })
            .collect();
        stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Visits the days of deleted streams, also if another node deleted them: that node may stop before their objects
    /// are removed.
    pub(super) async fn look_after_deleted(&self, interval: Duration) {
        let deleted = self.catalog.take_deleted();
        let knows_nodes = deleted.is_empty() || self.know_nodes(interval).await;
        for (tenant, stream) in deleted {
            // Whatever was left to do there before.
            self.at_rest.lock().remove(&(tenant.clone(), stream.clone()));
            let looked_after = match knows_nodes {
                true => self.look_after(&tenant, &stream, interval).await,
                false => Err(Error::new(ErrorKind::Unavailable, "the nodes are not known")),
            };
            if let Err(error) = looked_after {
                tracing::debug!(%tenant, %stream, "objects of a deleted stream are removed later: {error:?}");
                self.catalog.note_deleted((tenant, stream));
            }
        }
    }

    async fn look_after(&self, tenant: &TenantId, stream: &StreamName, interval: Duration) -> Result<()> {
        let schema = self.catalog.known(tenant, stream);
        let Some(deletion) = schema.and_then(|schema| schema.settings().deletion.clone()) else { return Ok(()) };
        let is_recent = deletion.at.is_none_or(|at| self.clock.now() - at < RECENT);
        let rank = self.rank(tenant, stream);
        if rank >= LOOK_AFTER || !(deletion.pending || is_recent) {
            return Ok(()); // Others do it, or the next sweep.
        }
        let folder = self.folder(tenant, stream);
        for date in folder.days().await? {
            self.visit_by(folder.day(date), Instant::now() + interval.min(IDLE) * (1 + rank)).await;
        }
        Ok(())
    }

    /// Continues deletions that other nodes left unfinished.
    pub(super) async fn continue_deletions(&self) {
        for (tenant, stream) in self.catalog.being_deleted() {
            let Some(deletion) = self.deletion(&tenant, &stream) else { continue };
            let now = self.clock.now();
            let turn = i32::try_from(1 + self.rank(&tenant, &stream)).unwrap_or(i32::MAX);
            if deletion.at.is_some_and(|at| now - at < TURN * turn && at <= now) {
                continue;
            }
            let context = RequestContext::new(deletion.by.unwrap_or(Actor::System), now);
            let context = deletion.request_id.into_iter().fold(context, RequestContext::with_request_id);
            match self.continue_deletion(&context, &tenant, &stream, Difference::default(), Duration::ZERO).await {
                Ok(_) => {}
                Err(error) => tracing::warn!(%tenant, %stream, "a stream is still to be deleted: {error:?}"),
            }
        }
    }
}
