//! The objects that a scan opens, and their statistics before one is opened.
//!
//! **Invariant**: after a listing, the schema in memory is at least as new as every object that was listed.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use datafusion::arrow::array::{ArrayRef, BooleanArray, TimestampMillisecondArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

use super::failure;
use super::reads::{ReadDepth, Reads, ScanReads};
use super::request::TimeRange;
use crate::error::ErrorKind;
use crate::store::Bucket;
use crate::stream::StreamCatalog;
use crate::stream::objects::{EventObject, StreamFolder};
use crate::stream::schema::TIMESTAMP;

/// One stream, and the arrival times that a query asks for.
#[derive(Debug)]
pub(super) struct StreamObjects {
    pub(super) bucket: Bucket,
    pub(super) streams: Arc<StreamCatalog>,
    pub(super) folder: StreamFolder,
    pub(super) range: TimeRange,
    pub(super) reads: Arc<Reads>,
}

impl StreamObjects {
    /// The objects that may hold events of the range which satisfy `predicate`, as far as names and manifests tell.
    ///
    /// # Errors
    /// [`ErrorKind::QueryTooLarge`] when the query would open or read too much.
    pub(super) async fn list(
        &self,
        predicate: Option<&Arc<dyn PhysicalExpr>>,
        schema: &SchemaRef,
        depth: ReadDepth,
    ) -> Result<Vec<EventObject>> {
        let pruning = predicate.and_then(|predicate| {
            PruningPredicateBuilder::new().with_file_schema(schema.clone()).build(predicate.clone())
        });
        let choose = |times: &[TimeRange]| -> crate::Result<Vec<bool>> {
            let satisfy = prune(times, pruning.as_deref()).map_err(failure::of)?;
            Ok(times.iter().zip(satisfy).map(|(times, satisfies)| satisfies && self.range.overlaps(*times)).collect())
        };
        let all = self.folder.days().await.map_err(external)?;
        let times: Vec<TimeRange> = all.iter().map(|date| TimeRange::of_day(*date)).collect();
        let wanted = choose(&times).map_err(external)?;
        let days = all.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        let days: Vec<NaiveDate> = days.map(|(date, _)| *date).collect();
        let found = self.folder.choose(&days, self.reads.objects_left(), &choose).await.map_err(external)?;
        let bytes = found.objects.iter().map(|object| object.meta.size).sum();
        let opened = found.objects.len() as u64;
        let scan = ScanReads {
            stream: self.folder.stream().clone(),
            days_listed: days.len() as u64,
            days_pruned: (all.len() - days.len()) as u64,
            listed: found.listed,
            pruned: found.listed - opened,
            opened,
            bytes,
        };
        self.reads.add(scan, found.is_cut, depth).map_err(external)?;
        self.refresh_schema().await?;
        Ok(found.objects)
    }

    /// An object is written after its stream was widened for it: what is read after the listing is new enough.
    async fn refresh_schema(&self) -> Result<()> {
        let (tenant, stream) = (self.folder.tenant(), self.folder.stream());
        match self.streams.reload_through(&self.bucket, tenant, stream).await {
            // The schema in memory stays in use; objects that do not fit it are refused one by one.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%tenant, %stream, "the schema cannot be read: {error}");
                Ok(())
            }
            other => other.map_err(external),
        }
    }
}

/// Whether there can be rows that satisfy the predicate, in each of several places, by the arrival times of its rows.
fn prune(times: &[TimeRange], predicate: Option<&PruningPredicate>) -> Result<Vec<bool>> {
    match predicate {
        Some(predicate) if !times.is_empty() => predicate.prune(&ArrivalTimes(times.to_vec())),
        _ => Ok(vec![true; times.len()]),
    }
}

/// The objects as files to scan, each with the bounds of `p_timestamp` that its name or manifest states. For `ORDER BY
/// p_timestamp DESC LIMIT 5` the library then begins with the newest objects, and does not open those that are too old.
/// Below a `WHERE` it does so only once a whole batch of rows has passed.
pub(super) fn files(objects: Vec<EventObject>, schema: &SchemaRef) -> Result<Vec<PartitionedFile>> {
    let place = schema.index_of(TIMESTAMP)?;
    let with_times = |object: EventObject| {
        let statistics = Arc::new(statistics(&object, place));
        PartitionedFile::new_from_meta(object.meta).with_statistics(statistics)
    };
    Ok(objects.into_iter().map(with_times).collect())
}

/// What is known of an object. The column of times stands at `place`.
///
/// Bounds count as exact: the library skips a file by exact ones only. It takes a column for constant where both are
/// one value, so such bounds are not stated. Statistics of all columns would fill megabytes; it takes those that are
/// missing for unknown.
fn statistics(object: &EventObject, place: usize) -> Statistics {
    let TimeRange { start, end } = object.times;
    let is_instant = start.zip(end).is_some_and(|(start, end)| (end - start).num_milliseconds() <= 1);
    let at = |time: Option<DateTime<Utc>>, step_millis: i64| match time {
        Some(time) if !is_instant => {
            let millis = time.timestamp_millis() + step_millis;
            Precision::Exact(ScalarValue::TimestampMillisecond(Some(millis), Some("UTC".into())))
        }
        _ => Precision::Absent,
    };
    let mut column_statistics = vec![ColumnStatistics::new_unknown(); place];
    // `DESC` puts nulls first: without their number, every file might have some.
    let no_nulls = ColumnStatistics::new_unknown().with_null_count(Precision::Exact(0));
    column_statistics.push(no_nulls.with_min_value(at(start, 0)).with_max_value(at(end, -1)));
    let num_rows = object.rows.and_then(|rows| usize::try_from(rows).ok()).map_or(Precision::Absent, Precision::Exact);
    Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }
}

/// The bounds of `p_timestamp` in each of several places.
struct ArrivalTimes(Vec<TimeRange>);

impl ArrivalTimes {
    fn bounds(
        &self,
        column: &Column,
        bound: impl Fn(&TimeRange) -> Option<DateTime<Utc>>,
        step_millis: i64,
    ) -> Option<ArrayRef> {
        let time = |times| bound(times).map(|time| time.timestamp_millis() + step_millis);
        let times: TimestampMillisecondArray = self.0.iter().map(time).collect();
        (column.name == TIMESTAMP).then(|| Arc::new(times.with_timezone("UTC")) as ArrayRef)
    }
}

impl PruningStatistics for ArrivalTimes {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |times| times.start, 0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |times| times.end, -1)
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
