//! Tries unreadable objects again. An object leaves the list only once it can be read or does not count any more.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};
use relative_path::RelativePath;

use super::Compactor;
use super::aside::aside;
use super::merge::Merger;
use super::source::{Source, unreachable};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::ObjectName;
use crate::store::types::object_path;
use crate::stream::objects::StreamFolder;
use crate::stream::{DayId, StreamSchema};

/// How many objects are tried in one round.
const AT_ONCE: usize = 100;

/// What was tried before.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// Damaged objects and their state in the store: an unchanged one is not read again.
    damaged: HashMap<String, State>,
    /// The last one of the round before.
    last: String,
}

/// Its size, when it was written, and its tag.
type State = (u64, DateTime<Utc>, Option<String>);

impl Compactor {
    /// Tries some of the unreadable objects again, and forgets those that can be read or are gone.
    pub(super) async fn try_unreadable_again(&self) {
        let mut noted: Vec<String> = self.catalog.unreadable_objects().lock().keys().cloned().collect();
        {
            let mut tried = self.tried.lock();
            tried.damaged.retain(|object, _| noted.binary_search(object).is_ok());
            let next = noted.partition_point(|object| *object <= tried.last);
            noted.rotate_left(next);
            noted.truncate(AT_ONCE);
            tried.last = noted.last().cloned().unwrap_or_default();
        }
        for object in noted {
            match self.is_unreadable(&object).await {
                Ok(true) => {}
                Ok(false) => _ = self.catalog.unreadable_objects().lock().remove(&object),
                Err(error) => tracing::debug!("{object} could not be tried again: {error:?}"),
            }
        }
    }

    /// Whether an object or a manifest counts and cannot be read.
    async fn is_unreadable(&self, object: &str) -> Result<bool> {
        let Some((name, (tenant, stream, date))) = named(object) else { return Ok(false) };
        let Some(schema) = self.catalog.known(&tenant, &stream) else { return Ok(false) };
        if self.catalog.first_day(&tenant, &stream).is_some_and(|first_day| date < first_day) {
            return Ok(false);
        }
        let folder = self.folder(&tenant, &stream);
        let read = match &name {
            ObjectName::Manifest { .. } => {
                let listing = folder.list(date).await?;
                folder.manifest_of(date, &listing).await.map(drop)
            }
            _ => match self.counting(&folder, &name).await? {
                Some((meta, there)) => self.read_again(object, &schema, meta, there).await,
                None => Ok(()),
            },
        };
        match read {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// An object of events as it should be, and as it stands in the store; `None` when it does not count.
    async fn counting(
        &self,
        folder: &StreamFolder,
        name: &ObjectName,
    ) -> Result<Option<(ObjectMeta, Option<ObjectMeta>)>> {
        let store = self.bucket.object_store();
        let there = async |location: &Path| match store.head(location).await {
            Ok(there) => Ok(Some(there)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(unreachable(error)),
        };
        match name {
            ObjectName::Merged { date, id, .. } => {
                let (manifest, _) = folder.manifest_if(*date, true).await?;
                let Some(object) = manifest.objects.iter().find(|object| object.id == *id) else { return Ok(None) };
                let meta = folder.merged(*date, object)?.meta;
                let there = there(&meta.location).await?;
                Ok(Some((meta, there)))
            }
            ObjectName::Events { arrived, id, .. } => {
                let (manifest, _) = folder.manifest_if(arrived.date(), false).await?;
                let there = there(&object_path(&name.path())?).await?;
                let counts =
                    |there: &ObjectMeta| !manifest.is_taken(*id, there.location.filename().unwrap_or_default());
                Ok(there.filter(counts).map(|there| (there.clone(), Some(there))))
            }
            _ => Ok(None),
        }
    }

    /// Reads all of an object, unless it is known to be damaged as it stands there.
    async fn read_again(
        &self,
        object: &str,
        schema: &StreamSchema,
        meta: ObjectMeta,
        there: Option<ObjectMeta>,
    ) -> Result<()> {
        let state = there.map(|there| (there.size, there.last_modified, there.e_tag));
        if state.as_ref().is_some_and(|state| self.tried.lock().damaged.get(object) == Some(state)) {
            return Err(Error::new(ErrorKind::Corrupt, "it is as it was"));
        }
        let read = self.read_through(schema, meta).await;
        if let (Err(error), Some(state)) = (&read, state)
            && error.kind() == ErrorKind::Corrupt
            && std::error::Error::source(error).is_some()
        {
            self.tried.lock().damaged.insert(object.to_owned(), state);
        }
        read
    }

    async fn read_through(&self, schema: &StreamSchema, meta: ObjectMeta) -> Result<()> {
        let source = Source::streamed(self.bucket.object_store(), meta).await?;
        if let Err(conflict) = schema.widen(&source.fields) {
            // Without a cause: the stream may change, while the object does not.
            return Err(Error::new(ErrorKind::Corrupt, conflict.to_string()));
        }
        aside(Merger::read_through(source)).await
    }
}

/// Which object of events or manifest it is, and of which day.
fn named(object: &str) -> Option<(ObjectName, DayId)> {
    let name = ObjectName::parse(RelativePath::new(object))?;
    let (tenant, stream, date) = match &name {
        ObjectName::Events { tenant, stream, arrived, .. } => (tenant, stream, arrived.date()),
        ObjectName::Merged { tenant, stream, date, .. } | ObjectName::Manifest { tenant, stream, date } => {
            (tenant, stream, *date)
        }
        _ => return None,
    };
    let day = (tenant.clone(), stream.clone(), date);
    Some((name, day))
}
