//! Checks the footer of an object of events. Parquet has no checksum for the footer, and its readers trust it: they
//! panic if it contradicts itself, or names bytes outside the object.

use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// Checks that a footer can belong to an object of `object_bytes` bytes.
///
/// # Errors
/// [`ParquetError::General`] says what it contradicts.
pub fn check(footer: &ParquetMetaData, object_bytes: u64) -> Result<()> {
    let mut rows = 0_i64;
    for group in footer.row_groups() {
        rows = rows.saturating_add(group.num_rows());
        let is_complete = group.num_columns() == footer.file_metadata().schema_descr().num_columns();
        let mut parts = group.columns().iter();
        if group.num_rows() < 0 || !is_complete || !parts.all(|part| fits(part, group.num_rows(), object_bytes)) {
            return Err(contradiction());
        }
    }
    if rows == footer.file_metadata().num_rows() { Ok(()) } else { Err(contradiction()) }
}

/// Whether a column of a row group is where the object has bytes, and has a value or `null` for each row.
fn fits(part: &ColumnChunkMetaData, rows: i64, object_bytes: u64) -> bool {
    let is_within = |first: i64, bytes: i64| {
        let end = u64::try_from(first).ok().zip(u64::try_from(bytes).ok()).and_then(|(a, b)| a.checked_add(b));
        end.is_some_and(|end| end <= object_bytes)
    };
    let index = |first: Option<i64>, bytes: Option<i32>| match (first, bytes) {
        (None, None) => true,
        (first, bytes) => is_within(first.unwrap_or(-1), bytes.map_or(-1, i64::from)),
    };
    let data = part.data_page_offset();
    let first = part.dictionary_page_offset().unwrap_or(data);
    is_within(first, part.compressed_size())
        && first <= data
        && data <= first.saturating_add(part.compressed_size())
        && part.uncompressed_size() >= 0
        && part.num_values() == rows
        && index(part.column_index_offset(), part.column_index_length())
        && index(part.offset_index_offset(), part.offset_index_length())
}

fn contradiction() -> ParquetError {
    ParquetError::General("its footer contradicts itself".to_owned())
}
