//! Objects of events, merged into larger ones whose rows are sorted by arrival.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef, TimestampMillisecondType};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::file::metadata::KeyValue;

use super::memory::{Memory, VALUE_BYTES};
use super::new_object::{NewObject, decoded_bytes, internal};
use super::source::{BATCH_ROWS, Source, SourceReader, Sources, corrupt, unread};
use crate::error::{Error, ErrorKind, Result};
use crate::stream::object_reader::ObjectReader;
use crate::stream::schema::TIMESTAMP;
use crate::stream::{Field, Lineage, StreamSchema, columns};

/// Rows of several objects are put together up to this size, and batches that are used up are kept until then.
const MIXED_BYTES: usize = 8 << 20;
/// A run of at least this many rows of one object is written without a copy.
const LONG_RUN: usize = 2048;

/// An object that was made.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) body: Vec<u8>,
    /// How many events it holds.
    pub(super) rows: u64,
    /// When the first of them arrived.
    pub(super) first: DateTime<Utc>,
    /// When the last of them arrived.
    pub(super) last: DateTime<Utc>,
    /// Whether it ended because it may not grow any more.
    pub(super) is_full: bool,
}

/// Merges sources. Works on the CPU between reads: for a thread that may be kept busy.
pub(super) struct Merger {
    columns: SchemaRef,
    /// The size of each column in the sources.
    bytes: Vec<usize>,
    cursors: Vec<Cursor>,
    /// The next row of each source that has one: its time, and which source.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    memory: Memory,
    /// What the objects are made of.
    made_of: KeyValue,
    /// For each type, the nulls of a source that lacks a column.
    nulls: HashMap<DataType, ArrayRef>,
}

/// The rows of a source that are in memory, and where the next one stands.
struct Cursor {
    rows: Option<ParquetRecordBatchStream<ObjectReader>>,
    batch: RecordBatch,
    next: usize,
}

impl Merger {
    /// Merges `sources` into full objects, and a last one that may be smaller. `stream` must hold all their fields.
    /// Each says in its footer what it is `made_of`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when rows cannot be read.
    pub(super) async fn new(
        stream: &StreamSchema,
        sources: Sources,
        made_of: KeyValue,
        memory: Memory,
    ) -> Result<Self> {
        let has = |field: &&Field| sources.columns.contains_key(&field.name);
        let columns = columns::views(&columns::columns(stream.fields().iter().filter(has)));
        let rows = sources.sources.iter().map(|source| source.rows).max().unwrap_or_default();
        let bytes = columns.fields().iter().map(|column| sources.columns.get(column.name().as_str()).copied());
        let bytes = bytes.map(Option::unwrap_or_default).collect();
        let mut merger = Self::new_with(columns, bytes, rows, made_of, memory);
        for source in sources.sources {
            merger.add(source).await?;
        }
        Ok(merger)
    }

    /// Merges batches of at most `rows` rows.
    fn new_with(columns: SchemaRef, bytes: Vec<usize>, rows: usize, made_of: KeyValue, memory: Memory) -> Self {
        let types: HashSet<&DataType> = columns.fields().iter().map(|column| column.data_type()).collect();
        let nulls = types.into_iter().map(|of| (of.clone(), new_null_array(of, rows))).collect();
        Self { columns, bytes, cursors: Vec::new(), heads: BinaryHeap::new(), memory, made_of, nulls }
    }

    async fn add(&mut self, source: Source) -> Result<()> {
        let (rows, batch) = match source.reader {
            SourceReader::Streamed(builder) => {
                (Some(builder.build().map_err(corrupt)?), RecordBatch::new_empty(self.columns.clone()))
            }
            SourceReader::Whole(object) => (None, self.align(&sorted(object.rows()?)?)?),
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
        let mut object = NewObject::new(&self.columns, &self.bytes, &self.made_of, self.memory)?;
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
                object.write(&cursor.batch.slice(cursor.next, run_end - cursor.next))?;
            } else {
                mixed.add(at, cursor, run_end);
            }
            self.cursors[at].next = run_end;
            self.advance(at).await?;
            if mixed.is_full() {
                mixed.write(&mut object)?;
            }
            if object.is_full() {
                break;
            }
        }
        mixed.write(&mut object)?;
        let is_full = object.is_full();
        let body = object.finish()?;
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap_or_default();
        Ok(Some(Merged { body, rows, first: at(first), last: at(last), is_full }))
    }

    /// Reads all rows of a source, to learn whether that is possible.
    ///
    /// # Errors
    /// As for [`Merger::new`].
    pub(super) async fn read_through(source: Source) -> Result<()> {
        let columns = columns::views(&columns::columns(&source.fields));
        let mut merger =
            Self::new_with(columns, Vec::new(), source.rows, Lineage::default().metadata(), Memory::new(0));
        merger.add(source).await?;
        while let Some(Reverse((_, at))) = merger.heads.pop() {
            merger.cursors[at].next = merger.cursors[at].batch.num_rows();
            merger.advance(at).await?;
        }
        Ok(())
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
            let batch = self.align(&sorted(batch)?)?;
            let cursor = &mut self.cursors[at];
            if times(&cursor.batch)?.last() > times(&batch)?.first() {
                return Err(Error::new(ErrorKind::Corrupt, "the events of an object are not in the order of arrival"));
            }
            (cursor.batch, cursor.next) = (batch, 0);
        }
    }

    /// The rows with the columns of the merged objects.
    fn align(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
            Some(column) => columns::widened(column, field.data_type()),
            None => match self.nulls.get(field.data_type()) {
                Some(nulls) if nulls.len() >= batch.num_rows() => nulls.slice(0, batch.num_rows()),
                _ => new_null_array(field.data_type(), batch.num_rows()),
            },
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
    /// The decoded size of the batches that every source has passed.
    used_up_bytes: usize,
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
            self.used_up_bytes += decoded_bytes(&cursor.batch);
        }
    }

    fn is_full(&self) -> bool {
        let columns = self.batches.first().map_or(1, RecordBatch::num_columns);
        let rows = (MIXED_BYTES / (columns * VALUE_BYTES)).min(BATCH_ROWS);
        self.rows.len() >= rows || self.used_up_bytes >= MIXED_BYTES
    }

    fn write(&mut self, object: &mut NewObject) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &self.rows).map_err(internal)?;
        object.write(&rows)?;
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
