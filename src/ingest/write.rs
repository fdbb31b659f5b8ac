//! The requests of a batch as one Parquet object.
//!
//! An object has the columns that its events have and no others: readers take a missing column for `null`. What an
//! encoder holds is bounded by the data, not by the width of the stream.

use std::collections::HashMap;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMillisecondArray,
    new_null_array,
};
use arrow::compute::concat;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, Label};
use crate::stream::StreamSchema;
use crate::stream::schema::{self, OFFSET, TIMESTAMP};

/// Small enough that a query skips most of an object by its statistics.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Requests are put together up to here before they are encoded: the encoder has a cost for each column of each call.
pub(super) const CHUNK_ROWS: usize = 8192;
/// The rows of one page. A column of one page needs no statistics of pages.
const PAGE_ROWS: usize = 20_000;
/// An encoder takes 72 KB for the dictionary of a column before the first value. It pays from this many values on.
const DICTIONARY_VALUES: usize = 1024;
/// A compressor takes 40 KB or more for a column before the first value. It pays from this many bytes on.
pub(super) const COMPRESSED_BYTES: usize = 256;
/// Those that clients cannot set come first.
const OUR_COLUMNS: usize = 4;
/// About what a value of theirs takes: the id of a key is a UUID.
const OUR_BYTES: usize = 36;
/// How many columns of an object have a dictionary at most: 18 MB.
const MAX_DICTIONARIES: usize = 256;

/// The events of one request, and their origin.
#[derive(Debug, Clone)]
pub struct DecodedRequest {
    /// The events.
    pub batch: Batch,
    /// The key that was presented: `p_key_id` of every row.
    pub key_id: KeyId,
    /// The source of that key: `p_source_id` of every row.
    pub source_id: Option<Label>,
    /// When the request arrived: `p_timestamp` of every row.
    pub arrived_at: DateTime<Utc>,
}

/// One Parquet object with the rows of all `requests`, in their order, in those columns of `schema` that they have.
/// The offset of the first row is `first_offset`.
/// Works on the CPU for as long as it takes: not for an async thread.
///
/// # Errors
/// [`ErrorKind::Internal`] when a request does not fit `schema`, which must have been widened by all of them.
pub fn parquet(schema: &StreamSchema, requests: &[DecodedRequest], first_offset: i64) -> Result<Vec<u8>> {
    let batches: Vec<&Batch> = requests.iter().map(|request| &request.batch).collect();
    let columns = Columns::of(schema, &batches)?;
    let mut object = columns.writer(&batches)?;
    let (mut rest, mut offset) = (requests, first_offset);
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(chunk_len(rest));
        let rows = columns.rows(chunk, offset)?;
        object.write(&rows).map_err(internal)?;
        (rest, offset) = (later, offset.saturating_add_unsigned(rows.num_rows() as u64));
    }
    object.into_inner().map_err(internal)
}

/// One Parquet object with the rows of `batch`, each about a key of its own or about none.
///
/// # Errors
/// As for [`parquet()`].
pub(super) fn parquet_about(
    schema: &StreamSchema,
    batch: &Batch,
    about: &[(Option<KeyId>, Option<Label>)],
    at: DateTime<Utc>,
    first_offset: i64,
) -> Result<Vec<u8>> {
    let columns = Columns::of(schema, &[batch])?;
    let mut object = columns.writer(&[batch])?;
    let ours = Ours {
        arrived_at: timestamps([(at, batch.rows)]),
        offsets: offsets(first_offset, batch.rows),
        key_ids: Arc::new(about.iter().map(|(key_id, _)| key_id.map(|id| id.to_string())).collect::<StringArray>()),
        source_ids: Arc::new(
            about.iter().map(|(_, source)| source.as_ref().map(Label::as_str)).collect::<StringArray>(),
        ),
    };
    object.write(&columns.aligned(&[batch], ours)?).map_err(internal)?;
    object.into_inner().map_err(internal)
}

/// How many of `requests`, at least one, are encoded together.
fn chunk_len(requests: &[DecodedRequest]) -> usize {
    let mut rows = 0;
    let fits = |request: &&DecodedRequest| {
        rows += request.batch.rows;
        rows <= CHUNK_ROWS
    };
    requests.iter().take_while(fits).count().max(1)
}

/// The columns of one object.
struct Columns<'s> {
    /// Our own, then those of the events, in the order of the stream.
    schema: SchemaRef,
    places: HashMap<&'s str, usize>,
}

/// The columns that clients cannot set.
struct Ours {
    arrived_at: ArrayRef,
    offsets: ArrayRef,
    key_ids: ArrayRef,
    source_ids: ArrayRef,
}

impl<'s> Columns<'s> {
    /// Those that any of `batches` has.
    fn of(stream: &'s StreamSchema, batches: &[&Batch]) -> Result<Self> {
        let mut used = vec![false; stream.fields().len()];
        for field in batches.iter().flat_map(|batch| &batch.fields) {
            let position = stream.position(&field.name);
            used[position.ok_or_else(missing)?] = true;
        }
        let fields: Vec<_> =
            stream.fields().iter().zip(used).filter_map(|(field, used)| used.then_some(field)).collect();
        let places = fields.iter().enumerate().map(|(at, field)| (&*field.name, at)).collect();
        Ok(Self { schema: schema::columns(fields), places })
    }

    /// The rows of `requests`, in their order.
    fn rows(&self, requests: &[DecodedRequest], first_offset: i64) -> Result<RecordBatch> {
        let (mut key_ids, mut source_ids) = (StringBuilder::new(), StringBuilder::new());
        for request in requests {
            let key_id = request.key_id.to_string();
            for _ in 0..request.batch.rows {
                key_ids.append_value(&key_id);
                source_ids.append_option(request.source_id.as_ref().map(Label::as_str));
            }
        }
        let ours = Ours {
            arrived_at: timestamps(requests.iter().map(|request| (request.arrived_at, request.batch.rows))),
            offsets: offsets(first_offset, requests.iter().map(|request| request.batch.rows).sum()),
            key_ids: Arc::new(key_ids.finish()),
            source_ids: Arc::new(source_ids.finish()),
        };
        self.aligned(&requests.iter().map(|request| &request.batch).collect::<Vec<_>>(), ours)
    }

    /// The rows of `batches`, in their order, with our own columns.
    fn aligned(&self, batches: &[&Batch], ours: Ours) -> Result<RecordBatch> {
        let theirs = &self.schema.fields()[OUR_COLUMNS..];
        let mut columns: Vec<_> = theirs.iter().map(|field| Parts::new(field.data_type())).collect();
        let mut rows = 0;
        for batch in batches {
            for (field, column) in batch.fields.iter().zip(&batch.columns) {
                let place = self.places.get(&*field.name).ok_or_else(missing)?;
                columns[*place].push(rows, column);
            }
            rows += batch.rows;
        }
        let theirs = columns.into_iter().map(|column| column.finish(rows));
        let ours = [ours.arrived_at, ours.offsets, ours.key_ids, ours.source_ids].map(Ok);
        let columns = ours.into_iter().chain(theirs).collect::<Result<Vec<_>, ArrowError>>().map_err(internal)?;
        RecordBatch::try_new(self.schema.clone(), columns).map_err(internal)
    }

    /// Begins an object for the rows of `batches`.
    fn writer(&self, batches: &[&Batch]) -> Result<ArrowWriter<Vec<u8>>> {
        let rows: usize = batches.iter().map(|batch| batch.rows).sum();
        let level = ZstdLevel::try_new(1).map_err(internal)?;
        let has_pages = rows > PAGE_ROWS;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_statistics_enabled(if has_pages { EnabledStatistics::Page } else { EnabledStatistics::Chunk })
            .set_offset_index_disabled(!has_pages)
            .set_dictionary_enabled(false)
            .set_created_by("keyloft".to_owned());
        let mut dictionaries = 0;
        for (field, size) in self.schema.fields().iter().zip(self.sizes(batches, rows)) {
            let path = || ColumnPath::new(vec![field.name().clone()]);
            if size.bytes < COMPRESSED_BYTES {
                properties = properties.set_column_compression(path(), Compression::UNCOMPRESSED);
            }
            if [TIMESTAMP, OFFSET].contains(&field.name().as_str()) {
                // They grow by little, so the steps are stored.
                properties = properties.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
            } else if size.values >= DICTIONARY_VALUES && dictionaries < MAX_DICTIONARIES {
                properties = properties.set_column_dictionary_enabled(path(), true);
                dictionaries += 1;
            }
        }
        // What Arrow would add to the footer follows from the Parquet types of our columns.
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(Vec::new(), self.schema.clone(), options).map_err(internal)
    }

    /// What each column holds.
    fn sizes(&self, batches: &[&Batch], rows: usize) -> Vec<ColumnSize> {
        let mut sizes = vec![ColumnSize { values: rows, bytes: rows * OUR_BYTES }; OUR_COLUMNS];
        sizes.resize(self.schema.fields().len(), ColumnSize::default());
        for (field, column) in batches.iter().flat_map(|batch| batch.fields.iter().zip(&batch.columns)) {
            if let Some(place) = self.places.get(&*field.name) {
                let size = &mut sizes[OUR_COLUMNS + place];
                size.values += column.len() - column.null_count();
                size.bytes += match column.as_string_opt::<i32>() {
                    Some(texts) => texts.value_data().len(),
                    None => (column.len() - column.null_count()) * size_of::<i64>(),
                };
            }
        }
        sizes
    }
}

/// What a column of an object holds, `null` not counted.
#[derive(Debug, Clone, Copy, Default)]
struct ColumnSize {
    values: usize,
    bytes: usize,
}

/// A column as it is put together; where a batch has no such field, it is `null`.
struct Parts<'a> {
    data_type: &'a DataType,
    arrays: Vec<ArrayRef>,
    rows: usize,
}

impl<'a> Parts<'a> {
    fn new(data_type: &'a DataType) -> Self {
        Self { data_type, arrays: Vec::new(), rows: 0 }
    }

    /// Puts `column` after `before` rows.
    fn push(&mut self, before: usize, column: &ArrayRef) {
        self.fill(before);
        self.rows += column.len();
        self.arrays.push(schema::widened(column, self.data_type));
    }

    fn fill(&mut self, rows: usize) {
        if self.rows < rows {
            self.arrays.push(new_null_array(self.data_type, rows - self.rows));
            self.rows = rows;
        }
    }

    fn finish(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.fill(rows);
        match self.arrays.as_slice() {
            [only] => Ok(only.clone()),
            arrays => concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
        }
    }
}

fn timestamps(times: impl IntoIterator<Item = (DateTime<Utc>, usize)>) -> ArrayRef {
    let millis: Vec<_> = times.into_iter().flat_map(|(at, rows)| repeat_n(at.timestamp_millis(), rows)).collect();
    Arc::new(TimestampMillisecondArray::from(millis).with_timezone("UTC"))
}

fn offsets(first: i64, rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((first..).take(rows)))
}

fn missing() -> Error {
    Error::new(ErrorKind::Internal, "a field is missing from its stream")
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "the events cannot be written as Parquet").caused_by(error)
}
