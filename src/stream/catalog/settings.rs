//! Changing what an operator sets of a stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::StreamCatalog;
use crate::documents::{Difference, Edit, Found, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, TenantId};
use crate::stream::unlogged::{MAX_UNLOGGED, UnloggedChange};
use crate::stream::{StreamSchema, StreamSettings};

impl StreamCatalog {
    /// Changes the settings of a stream, durably, as `change` does, and gives the change if one was made. A stream that
    /// does not exist is created, without a field. The document keeps the change until [`StreamCatalog::note_logged`].
    ///
    /// # Errors
    /// As for [`StreamCatalog::widen_by_all`]; [`ErrorKind::Unavailable`] while very many changes are to be logged.
    pub async fn change_settings(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        stream: &StreamName,
        change: impl Fn(&mut StreamSettings) + Send + Sync,
    ) -> Result<(Arc<StreamSchema>, Option<UnloggedChange>)> {
        if self.get(tenant, stream).is_none() {
            self.check_count(tenant, stream)?;
        }
        let began = self.announcements.load(Ordering::SeqCst);
        let edit = |found: Found<StreamSchema>| {
            let stored = found.usable()?;
            let exists = stored.as_ref().is_some_and(|schema| !schema.is_unused());
            let schema = stored.unwrap_or_default().used();
            let mut settings = schema.settings().clone();
            change(&mut settings);
            if exists && settings == *schema.settings() {
                return Ok(Edit::Keep((schema, None)));
            }
            if settings.unlogged.len() >= MAX_UNLOGGED {
                return Err(Error::new(ErrorKind::Unavailable, "earlier changes of the stream are not logged yet"));
            }
            let difference = Difference::between(exists.then_some(schema.settings()), Some(&settings));
            settings.revision += 1;
            let unlogged = UnloggedChange::new(settings.revision, context, difference);
            settings.unlogged.push(unlogged.clone());
            settings.modified_at = Some(context.at);
            settings.attribution = context.attribution();
            let schema = schema.with_settings(settings);
            Ok(Edit::Write(schema.clone(), (schema, Some(unlogged))))
        };
        let (schema, unlogged) = self.update(tenant, stream, edit).await?;
        Ok((self.remember(tenant, stream, Arc::new(schema), None, began), unlogged))
    }

    /// The changes of settings which were made before `before` and may not be in the change log, from memory.
    pub fn unlogged(&self, before: DateTime<Utc>) -> Vec<(TenantId, StreamName, UnloggedChange)> {
        let streams = self.streams.read();
        let mut unlogged = Vec::new();
        for (tenant, streams) in streams.iter() {
            for (stream, known) in streams {
                let changes = known.schema.settings().unlogged.iter().filter(|change| change.at < before);
                unlogged.extend(changes.map(|change| (tenant.clone(), stream.clone(), change.clone())));
            }
        }
        unlogged
    }

    /// Notes that the change of settings which made `revision` is in the change log.
    ///
    /// # Errors
    /// As for [`StreamCatalog::change_settings`]. Nothing is lost then: a full look notes it.
    pub async fn note_logged(&self, tenant: &TenantId, stream: &StreamName, revision: u64) -> Result<()> {
        let began = self.announcements.load(Ordering::SeqCst);
        let edit = |found: Found<StreamSchema>| {
            let Some(schema) = found.usable()? else { return Ok(Edit::Keep(None)) };
            let mut settings = schema.settings().clone();
            settings.unlogged.retain(|change| change.revision != revision);
            if settings == *schema.settings() {
                return Ok(Edit::Keep(None));
            }
            settings.revision += 1;
            let schema = schema.with_settings(settings);
            Ok(Edit::Write(schema.clone(), Some(schema)))
        };
        if let Some(schema) = self.update(tenant, stream, edit).await? {
            self.remember(tenant, stream, Arc::new(schema), None, began);
        }
        Ok(())
    }
}
