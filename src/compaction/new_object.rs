//! A merged object in the making.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::memory::Memory;
use crate::error::{Error, ErrorKind, Result};
use crate::stream::object_writer::{ObjectWriter, compressed};
use crate::stream::schema::{OFFSET, TIMESTAMP};

/// The rows of a row group: small enough that a query skips most of an object by its statistics.
const ROW_GROUP_ROWS: usize = 128 * 1024;
const PAGE_ROWS: usize = 20_000;
/// The encoder of a column takes 72 KB for its dictionary before the first value.
const MAX_DICTIONARIES: usize = 256;
/// How many parts (columns of row groups) an object has at most: its footer names each.
const MAX_PARTS: usize = 16 * 1024;

/// An object that takes rows, in their order.
pub(super) struct NewObject {
    object: ObjectWriter,
    memory: Memory,
    columns: usize,
    /// The next row group.
    batches: Vec<RecordBatch>,
    rows: usize,
    /// The decoded size of its rows.
    decoded_bytes: usize,
    /// The decoded and the encoded size of the last row group. Before the first one they are equal, as if nothing could
    /// be compressed.
    last: (usize, usize),
}

impl NewObject {
    /// An object with these columns. `bytes` is the size of each column in the objects to be merged: the largest are
    /// compressed. It says in its footer what it is `made_of`.
    pub(super) fn new(columns: &SchemaRef, bytes: &[usize], made_of: &KeyValue, memory: Memory) -> Result<Self> {
        let by_time = columns.index_of(TIMESTAMP).ok().and_then(|place| i32::try_from(place).ok()).unwrap_or_default();
        let zstd = Compression::ZSTD(ZstdLevel::try_new(1).map_err(internal)?);
        let mut properties = WriterProperties::builder()
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_sorting_columns(Some(vec![SortingColumn {
                column_idx: by_time,
                descending: false,
                nulls_first: false,
            }]))
            .set_created_by("keyloft".to_owned())
            .set_key_value_metadata(Some(vec![made_of.clone()]));
        let compressed = compressed(bytes, 1, memory.compressed_columns());
        for (place, (column, is_compressed)) in columns.fields().iter().zip(compressed).enumerate() {
            let path = || ColumnPath::new(vec![column.name().clone()]);
            if is_compressed {
                properties = properties.set_column_compression(path(), zstd);
            }
            let grows = [TIMESTAMP, OFFSET].contains(&column.name().as_str());
            if grows || place >= MAX_DICTIONARIES {
                properties = properties.set_column_dictionary_enabled(path(), false);
            }
            if grows {
                // By little, so the steps are stored.
                properties = properties.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
            }
        }
        let object = ObjectWriter::new(columns, properties.build())?;
        let columns = columns.fields().len();
        Ok(Self { object, memory, columns, batches: Vec::new(), rows: 0, decoded_bytes: 0, last: (1, 1) })
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut rest = rows.clone();
        while rest.num_rows() > 0 {
            let part = rest.slice(0, rest.num_rows().min(ROW_GROUP_ROWS - self.rows));
            rest = rest.slice(part.num_rows(), rest.num_rows() - part.num_rows());
            self.rows += part.num_rows();
            self.decoded_bytes += decoded_bytes(&part);
            self.batches.push(part);
            if self.rows >= ROW_GROUP_ROWS || self.is_long() {
                self.end_row_group()?;
            }
        }
        Ok(())
    }

    /// Whether the row group takes as much memory as one may, now or when it is read.
    fn is_long(&self) -> bool {
        self.decoded_bytes >= self.memory.decoded_row_group() || self.encoded_bytes() >= self.memory.row_group()
    }

    /// About how large the row group will be: as the last one was.
    fn encoded_bytes(&self) -> usize {
        let (decoded, encoded) = self.last;
        self.decoded_bytes.saturating_mul(encoded) / decoded
    }

    fn end_row_group(&mut self) -> Result<()> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let (batches, before) = (std::mem::take(&mut self.batches), self.object.bytes());
        self.object.write(|place| Ok(batches.iter().map(|batch| batch.column(place).clone()).collect()))?;
        self.last = (self.decoded_bytes.max(1), self.object.bytes() - before);
        (self.rows, self.decoded_bytes) = (0, 0);
        Ok(())
    }

    /// Writes the last row group and returns the bytes of the object.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.end_row_group()?;
        self.object.finish()
    }

    /// Whether it may not grow any more.
    pub(super) fn is_full(&self) -> bool {
        let parts = (self.object.row_groups() + 1) * self.columns;
        parts > MAX_PARTS || self.object.bytes() + self.encoded_bytes() >= self.memory.object()
    }
}

/// The size of rows if each value were encoded by itself.
pub(super) fn decoded_bytes(rows: &RecordBatch) -> usize {
    let columns = rows.columns().iter().map(|column| {
        let values = column.len() - column.null_count();
        match column.as_string_view_opt() {
            Some(texts) if values > 0 => texts.lengths().map(|length| length as usize).sum::<usize>() + values * 4,
            _ => values * size_of::<i64>(),
        }
    });
    columns.sum()
}

pub(super) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "events cannot be merged").caused_by(error)
}
