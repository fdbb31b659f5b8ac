//! The steps of a deletion in `schema.json`: see [`crate::stream::deletion`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::NaiveDate;

use super::StreamCatalog;
use crate::documents::{Edit, Found, RequestContext};
use crate::error::Result;
use crate::key::{StreamName, TenantId};
use crate::stream::{Deletion, Field, StreamSchema, StreamSettings};

impl StreamCatalog {
    /// The streams whose deletion has something left to do.
    pub fn being_deleted(&self) -> Vec<(TenantId, StreamName)> {
        self.deleting.lock().iter().cloned().collect()
    }

    /// The streams whose deletion this node has noted since the last call.
    pub fn take_deleted(&self) -> BTreeSet<(TenantId, StreamName)> {
        std::mem::take(&mut *self.deleted.lock())
    }

    /// Notes that the objects of a deleted stream are still to be removed.
    pub fn note_deleted(&self, id: (TenantId, StreamName)) {
        self.deleted.lock().insert(id);
    }

    /// Records the deletion of a stream with events on `days`. Settings and fields go at once; the former fields are
    /// kept until [`StreamCatalog::end_deletion`]. `None` when there is no such stream.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the schema cannot be
    /// read.
    pub async fn begin_deletion(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        stream: &StreamName,
        days: &[NaiveDate],
    ) -> Result<Option<Arc<StreamSchema>>> {
        self.change_deletion(tenant, stream, |stored| {
            if stored.is_unused() && !stored.is_being_deleted() {
                return None;
            }
            let deletion = Deletion {
                number: stored.deletions() + 1,
                at: Some(context.at),
                by: Some(context.actor.clone()),
                request_id: context.request_id,
                pending: true,
                days: days.to_vec(),
                change_seq: None,
                former_fields: stored.fields_of_objects(),
                unused: true,
            };
            let settings = StreamSettings {
                revision: stored.settings().revision + 1,
                modified_at: Some(context.at),
                attribution: context.attribution(),
                deletion: Some(deletion),
                unlogged: stored.settings().unlogged.clone(),
                ..StreamSettings::default()
            };
            Some(StreamSchema::default().with_settings(settings))
        })
        .await
    }

    /// Records that every day of a deletion is empty, and which change announces the deletion to other nodes. `None`
    /// when the stream was deleted once more.
    ///
    /// # Errors
    /// As for [`StreamCatalog::begin_deletion`].
    pub async fn note_emptied(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        number: u64,
        change_seq: u64,
    ) -> Result<Option<Arc<StreamSchema>>> {
        self.change_deletion(tenant, stream, |stored| {
            let mut settings = stored.settings().clone();
            let deletion = settings.deletion.as_mut().filter(|deletion| deletion.number == number)?;
            deletion.days.clear();
            deletion.change_seq = Some(change_seq);
            settings.revision += 1;
            Some(stored.with_settings(settings))
        })
        .await
    }

    /// Ends a deletion that every live node has applied. Names of fields become free, except those of the `written`
    /// fields, which remaining objects have. `None` when the stream was deleted once more.
    ///
    /// # Errors
    /// As for [`StreamCatalog::begin_deletion`]; [`ErrorKind::Corrupt`] when the fields contradict each other.
    pub async fn end_deletion(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        number: u64,
        written: &[Vec<Field>],
    ) -> Result<Option<Arc<StreamSchema>>> {
        self.change_deletion(tenant, stream, |stored| {
            let mut settings = stored.settings().clone();
            let deletion = settings.deletion.as_mut().filter(|deletion| deletion.number == number)?;
            (deletion.pending, deletion.unused) = (false, deletion.unused && written.is_empty());
            deletion.former_fields.clear();
            settings.revision += 1;
            let batches: Vec<&[Field]> = written.iter().map(Vec::as_slice).collect();
            let (wider, conflicts) = stored.widen_by_all(&batches);
            for conflict in conflicts.into_iter().flatten() {
                tracing::warn!(%tenant, %stream, "an object does not fit its stream: {conflict}");
            }
            Some(wider.unwrap_or(stored).with_settings(settings))
        })
        .await
    }

    /// Changes what is stored; `None` when `change` refuses, and when there is nothing.
    async fn change_deletion(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        change: impl Fn(StreamSchema) -> Option<StreamSchema> + Send + Sync,
    ) -> Result<Option<Arc<StreamSchema>>> {
        let began = self.announcements.load(Ordering::SeqCst);
        let edit = |found: Found<StreamSchema>| {
            Ok(match found.usable()?.and_then(&change) {
                Some(schema) => Edit::Write(schema.clone(), Some(schema)),
                None => Edit::Keep(None),
            })
        };
        let changed = self.update(tenant, stream, edit).await?;
        Ok(changed.map(|schema| self.remember(tenant, stream, Arc::new(schema), None, began)))
    }
}
