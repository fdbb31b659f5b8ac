//! The requests of a batch as one Parquet object.
//!
//! An object has the columns that its events have and no others: readers take a missing column for `null`. What an
//! encoder holds is bounded by the data, not by the width of the stream: columns are put together one by one.

use std::collections::HashMap;
use std::iter::repeat_n;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringBuilder, TimestampMillisecondArray, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, Label};
use crate::stream::object_writer::{MAX_COMPRESSED, ObjectWriter, compressed};
use crate::stream::schema::{OFFSET, TIMESTAMP};
use crate::stream::{StreamSchema, columns};

/// Small enough that a query skips most of an object by its statistics.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Requests are put together up to here before a column of them is encoded: each call has a cost.
pub(super) const CHUNK_ROWS: usize = 8192;
/// The rows of one page. A column of one page needs no statistics of pages.
const PAGE_ROWS: usize = 20_000;
/// An encoder takes 72 KB for the dictionary of a column before the first value. It pays from this many values on.
const DICTIONARY_VALUES: usize = 1024;
/// A compressed column takes time and memory before the first value. It pays from this many bytes on.
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
    let origin = |request: &DecodedRequest| Origin {
        rows: request.batch.rows,
        arrived_at: request.arrived_at,
        key_id: Some(request.key_id),
        source_id: request.source_id.clone(),
    };
    let batches = requests.iter().map(|request| &request.batch).collect();
    write(schema, batches, &requests.iter().map(origin).collect::<Vec<_>>(), first_offset)
}

/// One Parquet object with the rows of `batch`, each about a key of its own or about none.
///
/// # Errors
/// As for [`parquet()`].
pub(super) fn parquet_about(
    schema: &StreamSchema,
    batch: &Batch,
    about: Vec<(Option<KeyId>, Option<Label>)>,
    arrived_at: DateTime<Utc>,
    first_offset: i64,
) -> Result<Vec<u8>> {
    let origins = about.into_iter().map(|(key_id, source_id)| Origin { rows: 1, arrived_at, key_id, source_id });
    write(schema, vec![batch], &origins.collect::<Vec<_>>(), first_offset)
}

/// Where some rows come from.
struct Origin {
    rows: usize,
    arrived_at: DateTime<Utc>,
    key_id: Option<KeyId>,
    source_id: Option<Label>,
}

/// Writes the rows of `batches`, which come from `origins`, one after the other.
fn write(schema: &StreamSchema, batches: Vec<&Batch>, origins: &[Origin], first_offset: i64) -> Result<Vec<u8>> {
    let rows = Rows::new(schema, batches, origins, first_offset)?;
    let mut object = ObjectWriter::new(&rows.columns, rows.properties()?)?;
    for row_group in rows.row_groups() {
        object.write(|place| {
            let parts = row_group.clone().map(|chunk| rows.values(&rows.chunks[chunk], place));
            parts.collect::<Result<_, ArrowError>>().map_err(internal)
        })?;
    }
    object.finish()
}

/// The rows of an object.
struct Rows<'a> {
    /// Our own columns, then those of the events, in the order of the stream.
    columns: SchemaRef,
    batches: Vec<&'a Batch>,
    /// Which column of which batch holds values of a column of theirs.
    places: Vec<Vec<(usize, usize)>>,
    origins: &'a [Origin],
    first_offset: i64,
    /// Rows that are put together.
    chunks: Vec<Chunk>,
    count: usize,
}

/// Some of the batches, and where their rows come from.
struct Chunk {
    batches: Range<usize>,
    origins: Range<usize>,
    /// How many rows come before.
    before: usize,
    rows: usize,
}

impl<'a> Rows<'a> {
    fn new(stream: &StreamSchema, batches: Vec<&'a Batch>, origins: &'a [Origin], first_offset: i64) -> Result<Self> {
        let mut used = vec![false; stream.fields().len()];
        for field in batches.iter().flat_map(|batch| &batch.fields) {
            let position = stream.position(&field.name);
            used[position.ok_or_else(missing)?] = true;
        }
        let fields: Vec<_> =
            stream.fields().iter().zip(used).filter_map(|(field, used)| used.then_some(field)).collect();
        let columns = columns::columns(fields.iter().copied());
        let by_name: HashMap<&str, usize> = fields.iter().enumerate().map(|(at, field)| (&*field.name, at)).collect();
        let mut places = vec![Vec::new(); fields.len()];
        for (batch, rows) in batches.iter().enumerate() {
            for (column, field) in rows.fields.iter().enumerate() {
                places[*by_name.get(&*field.name).ok_or_else(missing)?].push((batch, column));
            }
        }
        let chunks = chunks(&batches, origins);
        let count = batches.iter().map(|batch| batch.rows).sum();
        Ok(Self { columns, batches, places, origins, first_offset, chunks, count })
    }

    /// The chunks of each row group.
    fn row_groups(&self) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut rows = 0;
        for (place, chunk) in self.chunks.iter().enumerate() {
            match groups.last_mut() {
                Some(group) if rows + chunk.rows <= ROW_GROUP_ROWS => group.end = place + 1,
                _ => {
                    groups.push(place..place + 1);
                    rows = 0;
                }
            }
            rows += chunk.rows;
        }
        groups
    }

    /// One column of a chunk.
    fn values(&self, chunk: &Chunk, place: usize) -> Result<ArrayRef, ArrowError> {
        let origins = &self.origins[chunk.origins.clone()];
        let first = self.first_offset.saturating_add_unsigned(chunk.before as u64);
        Ok(match place {
            0 => timestamps(origins),
            1 => Arc::new(Int64Array::from_iter_values((first..).take(chunk.rows))),
            2 => texts(origins, |origin| origin.key_id.map(|id| id.to_string())),
            3 => texts(origins, |origin| origin.source_id.as_ref().map(|source| source.as_str().to_owned())),
            theirs => return self.their_values(chunk, theirs - OUR_COLUMNS),
        })
    }

    fn their_values(&self, chunk: &Chunk, place: usize) -> Result<ArrayRef, ArrowError> {
        let places = &self.places[place];
        let first = places.partition_point(|(batch, _)| *batch < chunk.batches.start);
        let mut places = places[first..].iter().peekable();
        let mut parts = Parts::new(self.columns.field(OUR_COLUMNS + place).data_type());
        let mut rows = 0;
        for at in chunk.batches.clone() {
            if let Some((_, column)) = places.next_if(|(batch, _)| *batch == at) {
                parts.push(rows, &self.batches[at].columns[*column]);
            }
            rows += self.batches[at].rows;
        }
        parts.finish(rows)
    }

    fn properties(&self) -> Result<WriterProperties> {
        let zstd = Compression::ZSTD(ZstdLevel::try_new(1).map_err(internal)?);
        let has_pages = self.count > PAGE_ROWS;
        let mut properties = WriterProperties::builder()
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_statistics_enabled(if has_pages { EnabledStatistics::Page } else { EnabledStatistics::Chunk })
            .set_offset_index_disabled(!has_pages)
            .set_dictionary_enabled(false)
            .set_created_by("keyloft".to_owned());
        let sizes = self.sizes();
        let bytes: Vec<usize> = sizes.iter().map(|size| size.bytes).collect();
        let mut dictionaries = 0;
        let columns = self.columns.fields().iter().zip(sizes).zip(compressed(&bytes, COMPRESSED_BYTES, MAX_COMPRESSED));
        for ((field, size), is_compressed) in columns {
            let path = || ColumnPath::new(vec![field.name().clone()]);
            if is_compressed {
                properties = properties.set_column_compression(path(), zstd);
            }
            if [TIMESTAMP, OFFSET].contains(&field.name().as_str()) {
                // They grow by little, so the steps are stored.
                properties = properties.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
            } else if size.values >= DICTIONARY_VALUES && dictionaries < MAX_DICTIONARIES {
                properties = properties.set_column_dictionary_enabled(path(), true);
                dictionaries += 1;
            }
        }
        Ok(properties.build())
    }

    /// What each column holds.
    fn sizes(&self) -> Vec<ColumnSize> {
        let ours = repeat_n(ColumnSize { values: self.count, bytes: self.count * OUR_BYTES }, OUR_COLUMNS);
        let theirs = self.places.iter().map(|places| {
            places.iter().fold(ColumnSize::default(), |size, (batch, column)| {
                let column = &self.batches[*batch].columns[*column];
                let values = column.len() - column.null_count();
                let bytes = match column.as_string_opt::<i32>() {
                    Some(texts) => texts.value_data().len(),
                    None => values * size_of::<i64>(),
                };
                ColumnSize { values: size.values + values, bytes: size.bytes + bytes }
            })
        });
        ours.chain(theirs).collect()
    }
}

/// Puts as many batches together as fit, at least one.
fn chunks(batches: &[&Batch], origins: &[Origin]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let (mut before, mut next_origin) = (0, 0);
    for (place, batch) in batches.iter().enumerate() {
        let first_origin = next_origin;
        let mut rows = 0;
        while rows < batch.rows && next_origin < origins.len() {
            rows += origins[next_origin].rows;
            next_origin += 1;
        }
        match chunks.last_mut() {
            Some(chunk) if chunk.rows + batch.rows <= CHUNK_ROWS => {
                chunk.batches.end = place + 1;
                chunk.origins.end = next_origin;
                chunk.rows += batch.rows;
            }
            _ => chunks.push(Chunk {
                batches: place..place + 1,
                origins: first_origin..next_origin,
                before,
                rows: batch.rows,
            }),
        }
        before += batch.rows;
    }
    chunks
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
        self.arrays.push(columns::widened(column, self.data_type));
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

fn timestamps(origins: &[Origin]) -> ArrayRef {
    let millis = origins.iter().flat_map(|origin| repeat_n(origin.arrived_at.timestamp_millis(), origin.rows));
    Arc::new(TimestampMillisecondArray::from_iter_values(millis).with_timezone("UTC"))
}

fn texts(origins: &[Origin], text: impl Fn(&Origin) -> Option<String>) -> ArrayRef {
    let mut texts = StringBuilder::new();
    for origin in origins {
        let text = text(origin);
        (0..origin.rows).for_each(|_| texts.append_option(text.as_deref()));
    }
    Arc::new(texts.finish())
}

fn missing() -> Error {
    Error::new(ErrorKind::Internal, "a field is missing from its stream")
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "the events cannot be written as Parquet").caused_by(error)
}
