//! An object of events, written column by column.
//!
//! The compressor of a column takes from 40 KB to a megabyte, beside what it compresses, and a reader takes
//! [`DECOMPRESSOR_BYTES`] for each compressed column. So of a row group one column is encoded at a time, and few
//! columns are compressed.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use crate::error::{Error, ErrorKind, Result};

/// How many columns of an object are compressed at most.
pub(crate) const MAX_COMPRESSED: usize = 128;
/// What a reader takes for a compressed column, beside its pages.
pub(crate) const DECOMPRESSOR_BYTES: usize = 100 * 1024;

/// An object in the making, in memory.
pub(crate) struct ObjectWriter {
    file: SerializedFileWriter<Vec<u8>>,
    columns: SchemaRef,
    row_groups: ArrowRowGroupWriterFactory,
}

impl ObjectWriter {
    /// An object with these columns, without a row.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when a column is of a type that Parquet has not.
    pub(crate) fn new(columns: &SchemaRef, properties: WriterProperties) -> Result<Self> {
        let parquet = ArrowSchemaConverter::new().convert(columns).map_err(internal)?;
        let file = SerializedFileWriter::new(Vec::new(), parquet.root_schema_ptr(), Arc::new(properties));
        let file = file.map_err(internal)?;
        let row_groups = ArrowRowGroupWriterFactory::new(&file, columns.clone());
        Ok(Self { file, columns: columns.clone(), row_groups })
    }

    /// Writes a row group. `values` gives the values of each column, by its place, in parts.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the columns are not of one length, or not of their types; those of `values`.
    pub(crate) fn write(&mut self, values: impl Fn(usize) -> Result<Vec<ArrayRef>>) -> Result<()> {
        let place = self.row_groups();
        let writers = self.row_groups.create_column_writers(place).map_err(internal)?;
        let mut row_group = self.file.next_row_group().map_err(internal)?;
        for (place, (mut writer, column)) in writers.into_iter().zip(self.columns.fields()).enumerate() {
            for part in values(place)? {
                for leaf in compute_leaves(column, &part).map_err(internal)? {
                    writer.write(&leaf).map_err(internal)?;
                }
            }
            writer.close().and_then(|column| column.append_to_row_group(&mut row_group)).map_err(internal)?;
        }
        row_group.close().map_err(internal)?;
        Ok(())
    }

    /// How many row groups it has.
    pub(crate) fn row_groups(&self) -> usize {
        self.file.flushed_row_groups().len()
    }

    /// The size of its row groups.
    pub(crate) fn bytes(&self) -> usize {
        self.file.bytes_written()
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the footer cannot be written.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        self.file.into_inner().map_err(internal)
    }
}

/// Which columns are compressed, by what their values take: the largest `most`, if they have `least` bytes.
pub(crate) fn compressed(bytes: &[usize], least: usize, most: usize) -> Vec<bool> {
    let mut places: Vec<usize> = (0..bytes.len()).filter(|place| bytes[*place] >= least).collect();
    places.sort_by_key(|place| std::cmp::Reverse(bytes[*place]));
    let mut compressed = vec![false; bytes.len()];
    places.into_iter().take(most).for_each(|place| compressed[place] = true);
    compressed
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "events cannot be written as Parquet").caused_by(error)
}
