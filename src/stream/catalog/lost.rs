//! A schema that is lost while the events of its stream are there: without it, the next event could bring other types
//! for the same fields. So the next change of the stream first makes it anew, from the objects.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use relative_path::RelativePath;

use super::{RELOADS, StreamCatalog};
use crate::documents::{Document as _, Edit, Found, Unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::Bucket;
use crate::stream::objects::{StreamFolder, TimeRange};
use crate::stream::{Deletion, Field, StreamSchema, StreamSettings, columns};

impl StreamCatalog {
    /// Changes what is stored of a stream, as [`crate::documents::Documents::update`] does.
    ///
    /// # Errors
    /// As for [`crate::documents::Documents::update`]; [`ErrorKind::Corrupt`] when the schema is lost, and a manifest
    /// cannot be read.
    pub(super) async fn update<R>(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        edit: impl Fn(Found<StreamSchema>) -> Result<Edit<StreamSchema, R>> + Send + Sync,
    ) -> Result<R> {
        let id = (tenant.clone(), stream.clone());
        let unless_absent = |found: Found<StreamSchema>| match found {
            Found::Absent => Ok(Edit::Keep(None)),
            found => Ok(match edit(found)? {
                Edit::Keep(outcome) => Edit::Keep(Some(outcome)),
                Edit::Write(schema, outcome) => Edit::Write(schema, Some(outcome)),
            }),
        };
        if let Some(outcome) = self.schemas.update(&id, unless_absent).await? {
            return Ok(outcome);
        }
        if self.has_objects(&self.bucket, tenant, stream).await? {
            let schema = self.of_objects(tenant, stream).await?;
            tracing::warn!(%tenant, %stream, "the schema of a stream was lost, and is made anew: its settings are gone");
            let _ = self.schemas.create(&id, &schema).await?;
        }
        self.schemas.update(&id, edit).await
    }

    /// An error if a stream without a schema has objects.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it has; [`ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn check_gone(&self, bucket: &Bucket, tenant: &TenantId, stream: &StreamName) -> Result<()> {
        if !self.has_objects(bucket, tenant, stream).await? {
            return Ok(());
        }
        let reason = Unreadable::Object("it is missing, and the objects of the stream are there".to_owned());
        Err(Error::new(ErrorKind::Corrupt, format!("{} cannot be read", StreamSchema::NAME)).caused_by(reason))
    }

    /// Whether the schema of a stream was missing or could not be read at the last sync.
    pub fn is_unreadable(&self, tenant: &TenantId, stream: &StreamName) -> bool {
        let object = StreamSchema::object(&(tenant.clone(), stream.clone())).path().into_string();
        self.unreadable.lock().contains_key(&(tenant.clone(), object))
    }

    async fn has_objects(&self, bucket: &Bucket, tenant: &TenantId, stream: &StreamName) -> Result<bool> {
        let mut objects = bucket.list_each(&layout::stream_folder(tenant, stream))?;
        while let Some(object) = objects.try_next().await? {
            let name = ObjectName::parse(RelativePath::new(object.location.as_ref()));
            let is_of_a_day = matches!(
                name,
                Some(ObjectName::Events { .. } | ObjectName::Merged { .. } | ObjectName::Manifest { .. })
            );
            if is_of_a_day {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The fields that the objects of a stream have, and how often it was deleted.
    async fn of_objects(&self, tenant: &TenantId, stream: &StreamName) -> Result<StreamSchema> {
        let folder = StreamFolder::new(self.bucket.clone(), &self.unreadable_objects, tenant.clone(), stream.clone());
        let days = folder.days().await?;
        let all = |times: &[TimeRange]| Ok(vec![true; times.len()]);
        let mut reads = Vec::new();
        for object in folder.choose(&days, usize::MAX, &all).await?.objects {
            let folder = &folder;
            reads.push(async move { folder.footer(&object.meta).await }.boxed());
        }
        let mut footers = stream::iter(reads).buffered(RELOADS);
        let mut schema = StreamSchema::default();
        while let Some(footer) = footers.try_next().await? {
            // One that is damaged has no part in it: a query or a merge reports it.
            let fields = footer.as_ref().and_then(fields_of);
            match schema.widen(&fields.unwrap_or_default()) {
                Ok(wider) => schema = wider.unwrap_or(schema),
                Err(conflict) => tracing::warn!(%tenant, %stream, "an object does not fit its stream: {conflict}"),
            }
        }
        let mut number = 0;
        for date in days {
            number = number.max(folder.manifest_if(date, false).await?.0.emptied_by);
        }
        let deletion = (number > 0).then(|| Deletion { number, ..Deletion::default() });
        Ok(schema.with_settings(StreamSettings { deletion, ..StreamSettings::default() }))
    }
}

/// The fields of an object; `None` when it is none of ours.
fn fields_of(footer: &ParquetMetaData) -> Option<Vec<Field>> {
    let schema = parquet_to_arrow_schema(footer.file_metadata().schema_descr(), None).ok()?;
    columns::fields(&schema).ok()
}
