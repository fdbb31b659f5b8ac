//! The objects behind a stream, listed anew by every query, so that an event is visible to each query that starts after
//! it was acknowledged.
//!
//! The name of an object states when its events arrived, so a time range skips objects without opening them.
//! **Invariant**: after a listing, the schema in memory is at least as new as every object that was listed.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use datafusion::arrow::array::{ArrayRef, BooleanArray, TimestampMillisecondArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, Result as StoreResult};
use relative_path::RelativePath;

use super::request::TimeRange;
use crate::error::ErrorKind;
use crate::key::{StreamName, TenantId};
use crate::layout::{self, ArrivalTime, ObjectName};
use crate::store::types::object_path;
use crate::store::{Bucket, Listed, Tag};
use crate::stream::StreamCatalog;
use crate::stream::schema::TIMESTAMP;

/// One stream, and the arrival times that a query asks for.
#[derive(Debug)]
pub(super) struct StreamObjects {
    pub(super) bucket: Bucket,
    pub(super) streams: Arc<StreamCatalog>,
    pub(super) tenant: TenantId,
    pub(super) stream: StreamName,
    pub(super) range: TimeRange,
}

/// An object of events.
#[derive(Debug)]
pub(super) struct EventObject {
    pub(super) meta: ObjectMeta,
    arrived: ArrivalTime,
}

/// What a listing has found so far.
#[derive(Default)]
struct Listing {
    found: Vec<EventObject>,
    schema: Option<Tag>,
}

impl StreamObjects {
    /// The objects that may hold events of the range.
    pub(super) async fn list(&self) -> Result<Vec<EventObject>> {
        let mut listing = Listing::default();
        let folder = layout::stream_folder(&self.tenant, &self.stream);
        let days = self.range.end.is_some() || self.range.start.is_some() && self.bucket.is_directory();
        if days {
            for day in self.bucket.folders(&folder).await.map_err(external)? {
                if layout::parse_day(&day).is_some_and(|date| self.may_hold(date)) {
                    let day = object_path(&folder.join(day)).map_err(external)?;
                    self.take(self.bucket.object_store().list(Some(&day)), &mut listing).await?;
                }
            }
        } else {
            let all = object_path(&folder).map_err(external)?;
            let objects = match self.first_day() {
                Some(first) => {
                    let before = object_path(&layout::day(&self.tenant, &self.stream, first)).map_err(external)?;
                    self.bucket.object_store().list_with_offset(Some(&all), &before)
                }
                None => self.bucket.object_store().list(Some(&all)),
            };
            self.take(objects, &mut listing).await?;
        }
        self.refresh_schema(listing.schema).await?;
        Ok(listing.found)
    }

    async fn take(&self, mut objects: BoxStream<'_, StoreResult<ObjectMeta>>, listing: &mut Listing) -> Result<()> {
        let mut last = Path::default();
        while let Some(meta) = objects.try_next().await? {
            // The state of the schema counts when it was listed after everything else.
            listing.schema = None;
            let is_sorted = last < meta.location;
            last = meta.location.clone();
            match ObjectName::parse(RelativePath::new(meta.location.as_ref())) {
                Some(ObjectName::Events { tenant, stream, arrived, .. })
                    if tenant == self.tenant && stream == self.stream && overlap(arrived, self.range) =>
                {
                    listing.found.push(EventObject { meta, arrived });
                }
                Some(ObjectName::Schema { .. }) if is_sorted && !self.bucket.is_directory() => {
                    listing.schema = Listed::from(meta).tag;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// An object is written after its stream was widened for it: what is read after the listing is new enough.
    async fn refresh_schema(&self, listed: Option<Tag>) -> Result<()> {
        if self.streams.is_current(&self.tenant, &self.stream, listed) {
            return Ok(());
        }
        match self.streams.reload_through(&self.bucket, &self.tenant, &self.stream).await {
            // The schema in memory stays in use; objects that do not fit it are refused one by one.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(tenant = %self.tenant, stream = %self.stream, "the schema cannot be read: {error}");
                Ok(())
            }
            other => other.map_err(external),
        }
    }

    fn first_day(&self) -> Option<NaiveDate> {
        self.range.start?.date_naive().checked_sub_days(Days::new(1))
    }

    fn may_hold(&self, date: NaiveDate) -> bool {
        overlap(ArrivalTime::Day(date), self.range)
    }
}

/// Whether events of an object may lie in a range.
fn overlap(arrived: ArrivalTime, range: TimeRange) -> bool {
    let (first, after) = arrived.bounds();
    let begins_before = |end| first.is_none_or(|first: DateTime<Utc>| first < end);
    let ends_after = |start| after.is_none_or(|after: DateTime<Utc>| after > start);
    range.end.is_none_or(begins_before) && range.start.is_none_or(ends_after)
}

/// Drops the objects in which, by their names, no row can satisfy `predicate`.
pub(super) fn prune(
    objects: Vec<EventObject>,
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Result<Vec<EventObject>> {
    let predicate = PruningPredicateBuilder::new().with_file_schema(schema.clone()).build(predicate.clone());
    let Some(predicate) = predicate else { return Ok(objects) };
    let kept = predicate.prune(&Names(&objects))?;
    Ok(objects.into_iter().zip(kept).filter_map(|(object, kept)| kept.then_some(object)).collect())
}

/// The objects as files to scan, each with the bounds of `p_timestamp` that its name states. For
/// `ORDER BY p_timestamp DESC LIMIT 5` the library then begins with the newest objects, and does not open those that
/// are too old. Below a `WHERE` it does so only once a whole batch of rows has passed.
pub(super) fn files(objects: Vec<EventObject>, schema: &SchemaRef) -> Result<Vec<PartitionedFile>> {
    let place = schema.index_of(TIMESTAMP)?;
    let with_times = |object: EventObject| {
        let times = Arc::new(times(object.arrived, place));
        PartitionedFile::new_from_meta(object.meta).with_statistics(times)
    };
    Ok(objects.into_iter().map(with_times).collect())
}

/// What is known of the column of times, which stands at `place`.
///
/// Bounds count as exact: the library skips a file by exact ones only. It takes a column for constant where both are
/// one value, which they never are here. Statistics of all columns would fill megabytes; it takes those that are
/// missing for unknown.
fn times(arrived: ArrivalTime, place: usize) -> Statistics {
    let at = |time: Option<DateTime<Utc>>, step_millis: i64| match time {
        Some(time) => {
            let millis = time.timestamp_millis() + step_millis;
            Precision::Exact(ScalarValue::TimestampMillisecond(Some(millis), Some("UTC".into())))
        }
        None => Precision::Absent,
    };
    let (first, after) = arrived.bounds();
    let mut column_statistics = vec![ColumnStatistics::new_unknown(); place];
    // `DESC` puts nulls first: without their number, every file might have some.
    let no_nulls = ColumnStatistics::new_unknown().with_null_count(Precision::Exact(0));
    column_statistics.push(no_nulls.with_min_value(at(first, 0)).with_max_value(at(after, -1)));
    Statistics { num_rows: Precision::Absent, total_byte_size: Precision::Absent, column_statistics }
}

/// The statistics that the names of objects give.
struct Names<'a>(&'a [EventObject]);

impl Names<'_> {
    fn times(
        &self,
        column: &Column,
        bound: impl Fn(&EventObject) -> Option<DateTime<Utc>>,
        step_millis: i64,
    ) -> Option<ArrayRef> {
        let time = |object| bound(object).map(|time| time.timestamp_millis() + step_millis);
        let times: TimestampMillisecondArray = self.0.iter().map(time).collect();
        (column.name == TIMESTAMP).then(|| Arc::new(times.with_timezone("UTC")) as ArrayRef)
    }
}

impl PruningStatistics for Names<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.times(column, |object| object.arrived.bounds().0, 0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.times(column, |object| object.arrived.bounds().1, -1)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// An error of ours, as the library carries it.
pub(super) fn external(error: crate::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
