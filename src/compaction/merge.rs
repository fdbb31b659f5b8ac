//! Objects of events, merged into larger ones whose rows are sorted by arrival. What is in memory is bounded: the
//! objects of ingest that are merged, a row group of each merged one, and one object in the making.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef, TimestampMillisecondType};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::arrow::{ArrowWriter, ParquetRecordBatchStreamBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::object_reader::ObjectReader;
use crate::error::{Error, ErrorKind, Result};
use crate::stream::schema::{self, TIMESTAMP};
use crate::stream::{Field, FieldType, StreamSchema};

/// The rows of a row group: small enough that a query skips most of an object by its statistics.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// A row group ends early at this size, so that wide rows fill no memory.
const ROW_GROUP_BYTES: usize = 16 << 20;
const PAGE_ROWS: usize = 20_000;
/// How many rows are decoded and encoded at once.
const BATCH_ROWS: usize = 8192;
/// A run of so many rows of one object is written without a copy.
const LONG_RUN: usize = 2048;

/// An object as a source of rows: its columns are known, its rows are not read yet.
pub(super) struct Source {
    /// What its columns hold, our own aside.
    pub(super) fields: Vec<Field>,
    /// About how much memory its rows take.
    pub(super) memory_bytes: usize,
    rows: SourceRows,
}

enum SourceRows {
    Whole(Box<ParquetRecordBatchReaderBuilder<Bytes>>),
    Streamed(Box<ParquetRecordBatchStreamBuilder<ObjectReader>>),
}

impl Source {
    /// An object of ingest, which is read whole.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is no object of events.
    pub(super) fn whole(body: Bytes) -> Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(body, options()).map_err(corrupt)?;
        let builder = builder.with_batch_size(BATCH_ROWS);
        let metadata = builder.metadata();
        let memory_bytes = metadata.row_groups().iter().map(|group| group.total_byte_size()).sum::<i64>();
        Ok(Self {
            fields: fields(builder.schema())?,
            memory_bytes: usize::try_from(memory_bytes).unwrap_or(usize::MAX),
            rows: SourceRows::Whole(Box::new(builder)),
        })
    }

    /// A merged object, of which a row group is read at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when it is no object of
    /// events.
    pub(super) async fn streamed(store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Result<Self> {
        let mut reader = ObjectReader { store, meta };
        let metadata = ArrowReaderMetadata::load_async(&mut reader, options()).await.map_err(unread)?;
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata).with_batch_size(BATCH_ROWS);
        let fields = fields(builder.schema())?;
        Ok(Self { fields, memory_bytes: ROW_GROUP_BYTES, rows: SourceRows::Streamed(Box::new(builder)) })
    }
}

impl Source {
    /// Reads all rows, to learn whether that is possible.
    ///
    /// # Errors
    /// As for [`Merger::new`].
    pub(super) async fn read_through(self) -> Result<()> {
        let columns = schema::columns(&self.fields);
        let mut merger = Merger { columns, cursors: Vec::new(), heads: BinaryHeap::new(), object_bytes: 0 };
        merger.add(self).await?;
        while let Some(Reverse((_, at))) = merger.heads.pop() {
            merger.cursors[at].next = merger.cursors[at].batch.num_rows();
            merger.advance(at).await?;
        }
        Ok(())
    }
}

fn options() -> ArrowReaderOptions {
    // What the Parquet types say is what every reader goes by.
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

/// The fields that the columns of an object stand for, our own three aside.
fn fields(columns: &SchemaRef) -> Result<Vec<Field>> {
    let ours = |name: &str| name.starts_with(schema::RESERVED_PREFIX);
    let theirs = columns.fields().iter().filter(|column| !ours(column.name()));
    theirs
        .map(|column| {
            let field_type = match column.data_type() {
                DataType::Boolean => FieldType::Boolean,
                DataType::Int64 => FieldType::Integer,
                DataType::Float64 => FieldType::Float,
                DataType::Utf8 => FieldType::Text,
                _ => return Err(Error::new(ErrorKind::Corrupt, "an object has a column of a type that is not ours")),
            };
            Ok(Field { name: column.name().as_str().into(), field_type })
        })
        .collect()
}

/// An object that was made.
#[derive(Debug)]
pub(super) struct Merged {
    /// Its bytes.
    pub(super) body: Vec<u8>,
    /// How many events it holds.
    pub(super) rows: u64,
    /// When the first of them arrived.
    pub(super) first: DateTime<Utc>,
    /// When the last of them arrived.
    pub(super) last: DateTime<Utc>,
}

/// Merges sources. Works on the CPU between reads: for a thread that may be kept busy.
pub(super) struct Merger {
    columns: SchemaRef,
    cursors: Vec<Cursor>,
    /// The next row of each source that has one: its time, and which source.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    object_bytes: usize,
}

/// The rows of a source that are in memory, and where the next one stands.
struct Cursor {
    rows: Option<ParquetRecordBatchStream<ObjectReader>>,
    batch: RecordBatch,
    next: usize,
}

impl Merger {
    /// Merges `sources` into objects of about `object_bytes` at least, and a last one that may be smaller. `stream`
    /// must hold all their fields.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when rows cannot be read.
    pub(super) async fn new(stream: &StreamSchema, sources: Vec<Source>, object_bytes: usize) -> Result<Self> {
        let has = |field: &&Field| sources.iter().any(|source| source.fields.iter().any(|has| has.name == field.name));
        let columns = schema::columns(stream.fields().iter().filter(has));
        let mut merger = Self { columns, cursors: Vec::new(), heads: BinaryHeap::new(), object_bytes };
        for source in sources {
            merger.add(source).await?;
        }
        Ok(merger)
    }

    async fn add(&mut self, source: Source) -> Result<()> {
        let (rows, batch) = match source.rows {
            SourceRows::Streamed(builder) => {
                (Some(builder.build().map_err(corrupt)?), RecordBatch::new_empty(self.columns.clone()))
            }
            SourceRows::Whole(builder) => {
                let batches = builder.build().map_err(corrupt)?;
                let batches = batches.map(|batch| self.align(&batch.map_err(corrupt)?)).collect::<Result<Vec<_>>>()?;
                (None, sorted(concat_batches(&self.columns, &batches).map_err(corrupt)?)?)
            }
        };
        self.cursors.push(Cursor { rows, batch, next: 0 });
        self.advance(self.cursors.len() - 1).await
    }

    /// The next object; `None` when all rows are in one.
    ///
    /// # Errors
    /// As for [`Merger::new`].
    pub(super) async fn next(&mut self) -> Result<Option<Merged>> {
        let Some(Reverse((head, _))) = self.heads.peek() else { return Ok(None) };
        let (mut first, mut last, mut rows) = (*head, *head, 0);
        let mut object = writer(&self.columns)?;
        let mut mixed = Mixed::default();
        while let Some(Reverse((_, at))) = self.heads.pop() {
            let cursor = &self.cursors[at];
            let times = times(&cursor.batch)?;
            let run_end = match self.heads.peek() {
                None => times.len(),
                // Equal times stay in the order of the sources.
                Some(Reverse((next, other))) => {
                    cursor.next
                        + times[cursor.next..].partition_point(|time| *time < *next || *time == *next && at < *other)
                }
            };
            (first, last) = (first.min(times[cursor.next]), last.max(times[run_end - 1]));
            rows += (run_end - cursor.next) as u64;
            if run_end - cursor.next >= LONG_RUN {
                mixed.write(&mut object)?;
                object.write(&cursor.batch.slice(cursor.next, run_end - cursor.next)).map_err(internal)?;
            } else {
                mixed.add(at, cursor, run_end);
            }
            self.cursors[at].next = run_end;
            self.advance(at).await?;
            if mixed.is_full() {
                mixed.write(&mut object)?;
            }
            if object.in_progress_size() >= ROW_GROUP_BYTES {
                object.flush().map_err(internal)?;
            }
            if object.bytes_written() + object.in_progress_size() >= self.object_bytes {
                break;
            }
        }
        mixed.write(&mut object)?;
        let body = object.into_inner().map_err(internal)?;
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap_or_default();
        Ok(Some(Merged { body, rows, first: at(first), last: at(last) }))
    }

    /// Puts the next row of a source among the heads, reading on when its batch is used up.
    async fn advance(&mut self, at: usize) -> Result<()> {
        loop {
            let cursor = &self.cursors[at];
            if cursor.next < cursor.batch.num_rows() {
                self.heads.push(Reverse((times(&cursor.batch)?[cursor.next], at)));
                return Ok(());
            }
            let Some(rows) = &mut self.cursors[at].rows else { return Ok(()) };
            let Some(batch) = rows.try_next().await.map_err(unread)? else {
                self.cursors[at].rows = None;
                return Ok(());
            };
            let batch = sorted(self.align(&batch)?)?;
            self.cursors[at].batch = batch;
            self.cursors[at].next = 0;
        }
    }

    /// The rows with the columns of the merged objects.
    fn align(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
            Some(column) => schema::widened(column, field.data_type()),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        let columns: Vec<ArrayRef> = self.columns.fields().iter().map(column).collect();
        RecordBatch::try_new(self.columns.clone(), columns).map_err(corrupt)
    }
}

/// Rows of several sources in turn, before they are written.
#[derive(Default)]
struct Mixed {
    batches: Vec<RecordBatch>,
    /// Where the present batch of each source stands in `batches`.
    places: HashMap<usize, usize>,
    rows: Vec<(usize, usize)>,
}

impl Mixed {
    fn add(&mut self, at: usize, cursor: &Cursor, end: usize) {
        let place = *self.places.entry(at).or_insert_with(|| {
            self.batches.push(cursor.batch.clone());
            self.batches.len() - 1
        });
        self.rows.extend((cursor.next..end).map(|row| (place, row)));
        if end == cursor.batch.num_rows() {
            self.places.remove(&at); // Its next rows are in another batch.
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS
    }

    fn write(&mut self, object: &mut ArrowWriter<Vec<u8>>) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &self.rows).map_err(internal)?;
        object.write(&rows).map_err(internal)?;
        *self = Self::default();
        Ok(())
    }
}

fn times(batch: &RecordBatch) -> Result<&[i64]> {
    let times = batch.column_by_name(TIMESTAMP).and_then(|times| times.as_primitive_opt::<TimestampMillisecondType>());
    let times = times.filter(|times| times.null_count() == 0);
    Ok(times.ok_or_else(|| Error::new(ErrorKind::Corrupt, "events without a time"))?.values())
}

/// The rows sorted by arrival; those of one time stay in their order.
fn sorted(batch: RecordBatch) -> Result<RecordBatch> {
    let at = times(&batch)?;
    if at.is_sorted() {
        return Ok(batch);
    }
    let mut order: Vec<u32> = (0..u32::try_from(at.len()).map_err(internal)?).collect();
    order.sort_by_key(|row| at[*row as usize]);
    take_record_batch(&batch, &UInt32Array::from(order)).map_err(internal)
}

fn writer(columns: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>> {
    let by_time = columns.index_of(TIMESTAMP).ok().and_then(|place| i32::try_from(place).ok()).unwrap_or_default();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(internal)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: by_time, descending: false, nulls_first: false }]))
        .set_created_by("keyloft".to_owned())
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(Vec::new(), columns.clone(), options).map_err(internal)
}

/// Reading failed, because of the store or of what it holds.
fn unread(error: parquet::errors::ParquetError) -> Error {
    match error {
        parquet::errors::ParquetError::External(cause) if cause.is::<object_store::Error>() => {
            Error::new(ErrorKind::Unavailable, "the store cannot be used right now").caused_by(cause)
        }
        other => corrupt(other),
    }
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, "an object of events cannot be read").caused_by(error)
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "events cannot be merged").caused_by(error)
}
