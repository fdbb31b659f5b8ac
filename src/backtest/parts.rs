//! The parts of a stream that are read at a time, which are the row groups of its objects, and when the first event of
//! each happened.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMillisecondType;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::decisions::stored::{StoredRows, StoredStream, TrustLevels};
use crate::error::Result;
use crate::query::{Beside, CachingReader, ListedStream};
use crate::stream::damaged::caught_later;
use crate::stream::object_reader::{options, viewed};
use crate::stream::objects::EventObject;
use crate::stream::schema::TIMESTAMP;

/// How many rows are decoded at once.
const BATCH_ROWS: usize = 4096;
/// How many objects are looked at at once.
const OBJECTS_AT_ONCE: usize = 8;
/// An object of at most so many bytes is read whole with its footer, and several of them at once.
pub const SHORT_BYTES: u64 = 512 << 10;

type Rows = ParquetRecordBatchStream<CachingReader>;

/// Arrival times, in milliseconds since 1970: the first inside, and the first after.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// The first inside.
    pub from_ms: i64,
    /// The first after.
    pub to_ms: i64,
}

/// A stream that is read.
#[derive(Debug)]
pub struct Source {
    /// How its events are read.
    pub stored: StoredStream,
    /// Its objects.
    pub listed: ListedStream,
    /// The columns that are read.
    pub columns: BTreeSet<Box<str>>,
}

/// A row group of an object.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The stream.
    pub source: usize,
    /// The place of the object among those of the stream.
    pub object: usize,
    /// The place of the row group in the object.
    pub group: usize,
    /// When the first of its events that were not judged yet happened.
    pub start_ms: i64,
    /// How many bytes of the object are read for it.
    pub bytes: u64,
    /// How many rows it has.
    pub rows: u64,
}

impl Source {
    fn object(&self, part: &Part) -> Option<&EventObject> {
        self.listed.objects.get(part.object)
    }

    /// Whether several such parts are read at once.
    pub fn is_short(&self, part: &Part) -> bool {
        self.object(part).is_some_and(|object| object.meta.size <= SHORT_BYTES)
    }

    /// The parts of all its objects that may have events which arrived in that time, in the order of the objects.
    ///
    /// # Errors
    /// When an object cannot be read: the error names it.
    pub async fn parts(
        &self,
        beside: &Beside,
        source: usize,
        arrived: Arrived,
        trust: &TrustLevels,
    ) -> Result<Vec<Part>> {
        let mut reads = Vec::new();
        for (place, object) in self.listed.objects.iter().enumerate() {
            let looked = self.parts_of(beside, (source, place), object, arrived, trust);
            reads.push(async move { self.named(beside, object, caught_later(looked).await) }.boxed());
        }
        let parts: Vec<Vec<Part>> = stream::iter(reads).buffered(OBJECTS_AT_ONCE).try_collect().await?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// A result, whose error names the object. `None` stands for a panic.
    pub fn named<T>(&self, beside: &Beside, object: &EventObject, read: Option<Result<T, ParquetError>>) -> Result<T> {
        match read {
            Some(Ok(read)) => Ok(read),
            Some(Err(error)) => Err(beside.unreadable(&self.listed, object, Some(error))),
            None => Err(beside.unreadable(&self.listed, object, None)),
        }
    }

    async fn parts_of(
        &self,
        beside: &Beside,
        (source, place): (usize, usize),
        object: &EventObject,
        arrived: Arrived,
        trust: &TrustLevels,
    ) -> Result<Vec<Part>, ParquetError> {
        let mut reader = beside.reader(object);
        let metadata = viewed(ArrowReaderMetadata::load_async(&mut reader, options()).await?)?;
        let mut of_time: BTreeSet<Box<str>> = self.stored.time_columns().into_iter().collect();
        let has_time = metadata.schema().fields().iter().any(|field| of_time.contains(field.name().as_str()));
        of_time.insert(TIMESTAMP.into());
        let mut parts = Vec::new();
        for (group, described) in metadata.metadata().row_groups().iter().enumerate() {
            let bounds = bounds(described);
            if bounds.is_some_and(|(first, last)| last < arrived.from_ms || first >= arrived.to_ms) {
                continue;
            }
            let start_ms = match bounds {
                Some((first, _)) if !has_time => Some(first.max(arrived.from_ms)),
                _ => {
                    let reader = beside.reader(object);
                    let mut rows = self.open_with(reader, &metadata, group, &of_time)?;
                    let mut first: Option<i64> = None;
                    while let Some(batch) = rows.try_next().await? {
                        let Some(rows) = self.events(&batch, arrived)? else { continue };
                        let times = (0..rows.len()).map(|row| rows.time(row, trust));
                        first = times.chain(first).min();
                        tokio::task::yield_now().await;
                    }
                    first
                }
            };
            let read = described
                .columns()
                .iter()
                .filter(|column| self.columns.contains(column.column_path().string().as_str()));
            let bytes = read.map(|column| u64::try_from(column.compressed_size()).unwrap_or_default()).sum();
            let rows = u64::try_from(described.num_rows()).unwrap_or_default();
            parts.extend(start_ms.map(|start_ms| Part { source, object: place, group, start_ms, bytes, rows }));
        }
        Ok(parts)
    }

    /// The rows of a part.
    ///
    /// # Errors
    /// When the object cannot be read: the error names it.
    pub async fn open(&self, beside: &Beside, part: &Part) -> Result<Option<PartRows<'_>>> {
        let Some(object) = self.object(part) else { return Ok(None) };
        let opened = async {
            let mut reader = beside.reader(object);
            let metadata = viewed(ArrowReaderMetadata::load_async(&mut reader, options()).await?)?;
            self.open_with(reader, &metadata, part.group, &self.columns)
        };
        let rows = self.named(beside, object, caught_later(opened).await)?;
        Ok(Some(PartRows { source: self, object, rows }))
    }

    fn open_with(
        &self,
        reader: CachingReader,
        metadata: &ArrowReaderMetadata,
        group: usize,
        columns: &BTreeSet<Box<str>>,
    ) -> Result<Rows, ParquetError> {
        let fields = metadata.schema().fields().iter().enumerate();
        let wanted = fields.filter(|(_, field)| columns.contains(field.name().as_str())).map(|(place, _)| place);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), wanted);
        ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
    }

    /// The rows of a batch that arrived in that time; `None` when none did.
    fn within(batch: &RecordBatch, arrived: Arrived) -> Result<Option<RecordBatch>, ParquetError> {
        let column = batch.column_by_name(TIMESTAMP);
        let Some(at) = column.and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>()) else {
            return Err(ParquetError::General(format!("it lacks the column {TIMESTAMP}")));
        };
        let is_within = |at: &i64| (arrived.from_ms..arrived.to_ms).contains(at);
        if at.values().iter().all(is_within) {
            return Ok((batch.num_rows() > 0).then(|| batch.clone()));
        }
        let wanted: BooleanArray = at.values().iter().map(|at| Some(is_within(at))).collect();
        let kept = filter_record_batch(batch, &wanted)?;
        Ok((kept.num_rows() > 0).then_some(kept))
    }

    fn events(&self, batch: &RecordBatch, arrived: Arrived) -> Result<Option<StoredRows>, ParquetError> {
        let Some(batch) = Self::within(batch, arrived)? else { return Ok(None) };
        let rows = self.stored.rows(&batch);
        rows.map(Some).ok_or_else(|| ParquetError::General("its columns are none of events".to_owned()))
    }
}

/// The rows of a part as they are read.
pub struct PartRows<'s> {
    source: &'s Source,
    object: &'s EventObject,
    rows: Rows,
}

impl PartRows<'_> {
    /// The next rows that arrived in that time.
    ///
    /// # Errors
    /// When the object cannot be read: the error names it.
    pub async fn next(&mut self, beside: &Beside, arrived: Arrived) -> Result<Option<RecordBatch>> {
        loop {
            let read = caught_later(self.rows.try_next()).await;
            let Some(batch) = self.source.named(beside, self.object, read)? else { return Ok(None) };
            let kept = Source::within(&batch, arrived);
            if let Some(kept) = self.source.named(beside, self.object, Some(kept))? {
                return Ok(Some(kept));
            }
        }
    }

    /// Takes the columns of a batch for events.
    ///
    /// # Errors
    /// When they are none: the error names the object.
    pub fn events(&self, beside: &Beside, batch: &RecordBatch) -> Result<StoredRows> {
        let rows = self.source.stored.rows(batch);
        let rows = rows.ok_or_else(|| ParquetError::General("its columns are none of events".to_owned()));
        self.source.named(beside, self.object, Some(rows))
    }
}

impl PartRows<'_> {
    /// When each event of a batch happened.
    ///
    /// # Errors
    /// When its columns are none of events: the error names the object.
    pub fn times(&self, beside: &Beside, batch: &RecordBatch, trust: &TrustLevels) -> Result<Vec<i64>> {
        let mut wanted = self.source.stored.time_columns();
        wanted.push(TIMESTAMP.into());
        let fields = batch.schema_ref().fields().iter().enumerate();
        let places = fields.filter(|(_, field)| wanted.iter().any(|name| **name == **field.name()));
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        let of_time = batch.project(&places).map_err(ParquetError::from);
        let of_time = self.source.named(beside, self.object, Some(of_time))?;
        let rows = self.events(beside, &of_time)?;
        Ok((0..rows.len()).map(|row| rows.time(row, trust)).collect())
    }
}

/// The first and the last time of arrival in a row group, if its footer says so.
fn bounds(group: &RowGroupMetaData) -> Option<(i64, i64)> {
    let column = group.columns().iter().find(|column| column.column_path().string() == TIMESTAMP)?;
    match column.statistics()? {
        Statistics::Int64(times) => Some((*times.min_opt()?, *times.max_opt()?)),
        _ => None,
    }
}
