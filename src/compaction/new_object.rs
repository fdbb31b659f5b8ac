//! A merged object in the making.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::memory::Memory;
use crate::error::{Error, ErrorKind, Result};
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
    writer: ArrowWriter<Vec<u8>>,
    memory: Memory,
    /// What the rows of the present row group take, decoded.
    decoded_bytes: usize,
    columns: usize,
}

impl NewObject {
    pub(super) fn new(columns: &SchemaRef, memory: Memory) -> Result<Self> {
        let by_time = columns.index_of(TIMESTAMP).ok().and_then(|place| i32::try_from(place).ok()).unwrap_or_default();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(internal)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_sorting_columns(Some(vec![SortingColumn {
                column_idx: by_time,
                descending: false,
                nulls_first: false,
            }]))
            .set_created_by("keyloft".to_owned());
        for (place, column) in columns.fields().iter().enumerate() {
            let path = || ColumnPath::new(vec![column.name().clone()]);
            let grows = [TIMESTAMP, OFFSET].contains(&column.name().as_str());
            if grows || place >= MAX_DICTIONARIES {
                properties = properties.set_column_dictionary_enabled(path(), false);
            }
            if grows {
                // By little, so the steps are stored.
                properties = properties.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
            }
        }
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), columns.clone(), options).map_err(internal)?;
        Ok(Self { writer, memory, decoded_bytes: 0, columns: columns.fields().len() })
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let groups = self.writer.flushed_row_groups().len();
        self.writer.write(rows).map_err(internal)?;
        let begins = self.writer.flushed_row_groups().len() > groups;
        self.decoded_bytes = decoded_bytes(rows) + if begins { 0 } else { self.decoded_bytes };
        let is_long = self.decoded_bytes >= self.memory.decoded_row_group();
        if is_long || self.writer.in_progress_size() >= self.memory.row_group() {
            self.writer.flush().map_err(internal)?;
            self.decoded_bytes = 0;
        }
        Ok(())
    }

    /// Its bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.writer.into_inner().map_err(internal)
    }

    /// Whether it may not grow any more.
    pub(super) fn is_full(&self) -> bool {
        let parts = (self.writer.flushed_row_groups().len() + 1) * self.columns;
        parts > MAX_PARTS || self.writer.bytes_written() + self.writer.in_progress_size() >= self.memory.object()
    }
}

/// What the values of rows take, encoded one by one.
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
