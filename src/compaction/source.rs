//! Objects as sources of rows.
//!
//! Texts are views of the pages that hold them, so a text that repeats takes the memory that it takes in its object,
//! and no column of a batch is too long for Arrow.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::compute::concat_batches;
use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::memory::{ARRAY_BYTES, VALUE_BYTES};
use crate::error::{Error, ErrorKind, Result};
use crate::stream::damaged::{DAMAGED, caught, caught_later};
use crate::stream::object_reader::{ObjectReader, options, viewed};
use crate::stream::object_writer::DECOMPRESSOR_BYTES;
use crate::stream::objects::MISSING;
use crate::stream::schema::{self, OFFSET, TIMESTAMP};
use crate::stream::{Field, columns, footer};

/// How many rows are decoded and encoded at once …
pub(super) const BATCH_ROWS: usize = 8192;
/// … and about how many bytes of them.
const BATCH_BYTES: usize = 2 << 20;
const UNREADABLE: &str = "an object of events cannot be read";
const OUR_COLUMNS: [&str; 4] = [TIMESTAMP, OFFSET, schema::KEY_ID, schema::SOURCE_ID];
/// The decoder of a column holds a dictionary and a page of this size at most, one value of a page aside.
const DECODER_BYTES: usize = 2 * (1 << 20) + (1 << 18);
/// How many columns of an object that is in memory are decoded at once.
const COLUMNS_AT_ONCE: usize = 32;

/// An object as a source of rows: its columns are known, its rows are not read yet.
pub(super) struct Source {
    /// What its columns hold, our own aside.
    pub(super) fields: Vec<Field>,
    /// How many bytes of the object its columns take, uncompressed.
    columns: Vec<(Box<str>, usize)>,
    /// How much memory its pages and its rows take.
    bytes: usize,
    /// How many of its rows are in memory at once.
    pub(super) rows: usize,
    pub(super) reader: SourceReader,
}

/// Sources that fit a memory together.
pub(super) struct Sources {
    memory: usize,
    pub(super) sources: Vec<Source>,
    /// Their columns, and what each takes in all of them.
    pub(super) columns: HashMap<Box<str>, usize>,
    bytes: usize,
}

impl Sources {
    pub(super) fn within(memory: usize) -> Self {
        let columns = OUR_COLUMNS.iter().map(|name| ((*name).into(), 0)).collect();
        Self { memory, sources: Vec::new(), columns, bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Takes a source, if all of them fit then. Says whether they do.
    pub(super) fn push(&mut self, source: Source) -> bool {
        let new = source.columns.iter().filter(|(name, _)| !self.columns.contains_key(name)).count();
        let bytes = self.bytes.saturating_add(source.bytes);
        // Each has all columns, of which those that it does not have share their nulls.
        let arrays = (self.sources.len() + 1) * (self.columns.len() + new) * ARRAY_BYTES;
        if bytes.saturating_add(arrays) > self.memory {
            return false;
        }
        self.bytes = bytes;
        for (name, bytes) in &source.columns {
            *self.columns.entry(name.clone()).or_default() += bytes;
        }
        self.sources.push(source);
        true
    }

    /// What the columns of each source hold, our own aside.
    pub(super) fn fields(&self) -> Vec<&[Field]> {
        self.sources.iter().map(|source| source.fields.as_slice()).collect()
    }

    /// Keeps those sources for which `keep` holds, in their order.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.sources.retain(|_| keep.next().is_none_or(|keep| *keep));
    }
}

pub(super) enum SourceReader {
    Whole(WholeObject),
    Streamed(Box<ParquetRecordBatchStreamBuilder<ObjectReader>>),
}

/// An object that is in memory.
pub(super) struct WholeObject {
    body: Bytes,
    metadata: ArrowReaderMetadata,
}

impl WholeObject {
    /// All its rows. Few columns are decoded at a time, because each takes a decompressor.
    pub(super) fn rows(&self) -> Result<RecordBatch> {
        let parquet = self.metadata.parquet_schema();
        let mut columns = Vec::new();
        for first in (0..parquet.num_columns()).step_by(COLUMNS_AT_ONCE) {
            let mask = ProjectionMask::leaves(parquet, first..parquet.num_columns().min(first + COLUMNS_AT_ONCE));
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.body.clone(), self.metadata.clone());
            let reader = reader.with_batch_size(BATCH_ROWS).with_projection(mask).build().map_err(corrupt)?;
            let decoded = reader.schema();
            let batches = reader.collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
            columns.extend_from_slice(concat_batches(&decoded, &batches).map_err(corrupt)?.columns());
        }
        RecordBatch::try_new(self.metadata.schema().clone(), columns).map_err(corrupt)
    }
}

impl Source {
    /// An object of ingest, which is read whole.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is no object of events.
    pub(super) fn whole(body: Bytes) -> Result<Self> {
        caught(|| Self::whole_or_panic(body)).unwrap_or_else(|| Err(damaged()))
    }

    fn whole_or_panic(body: Bytes) -> Result<Self> {
        let metadata = viewed(ArrowReaderMetadata::load(&body, options()).map_err(corrupt)?).map_err(corrupt)?;
        let parquet = metadata.metadata();
        footer::check(parquet, body.len() as u64).map_err(corrupt)?;
        let pages = parquet.row_groups().iter().map(|group| saturated(group.total_byte_size()));
        let pages = pages.fold(body.len(), usize::saturating_add);
        let rows = saturated(parquet.file_metadata().num_rows());
        let (bytes, fields) =
            (pages.saturating_add(described_bytes(parquet, rows)), columns::fields(metadata.schema())?);
        let columns = column_bytes(parquet);
        Ok(Self { fields, columns, bytes, rows, reader: SourceReader::Whole(WholeObject { body, metadata }) })
    }

    /// A merged object, of which a row group is read at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when it is no object of
    /// events.
    pub(super) async fn streamed(store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Result<Self> {
        caught_later(Self::streamed_or_panic(store, meta)).await.unwrap_or_else(|| Err(damaged()))
    }

    async fn streamed_or_panic(store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Result<Self> {
        let mut reader = ObjectReader::new(store, meta);
        let metadata = ArrowReaderMetadata::load_async(&mut reader, options()).await.map_err(unread)?;
        let metadata = viewed(metadata).map_err(corrupt)?;
        let parquet = metadata.metadata();
        let rows = batch_rows(parquet);
        let pages = parquet.row_groups().iter().map(decoding_bytes).max().unwrap_or_default();
        // The batch that is used, and the next one.
        let (bytes, fields) =
            (pages.saturating_add(described_bytes(parquet, 2 * rows)), columns::fields(metadata.schema())?);
        let columns = column_bytes(parquet);
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata).with_batch_size(rows);
        Ok(Self { fields, columns, bytes, rows, reader: SourceReader::Streamed(Box::new(builder)) })
    }
}

/// How many rows of an object are decoded at once: fewer where they are long.
fn batch_rows(object: &ParquetMetaData) -> usize {
    let width = |group: &RowGroupMetaData| {
        let rows = saturated(group.num_rows()).max(1);
        (saturated(group.total_byte_size()) / rows).saturating_add(group.num_columns() * VALUE_BYTES)
    };
    let widest = object.row_groups().iter().map(width).max().unwrap_or_default().max(1);
    (BATCH_BYTES / widest).clamp(1, BATCH_ROWS)
}

/// The memory for the footer of an object and for `rows` of its rows.
fn described_bytes(object: &ParquetMetaData, rows: usize) -> usize {
    let columns = object.file_metadata().schema_descr().num_columns();
    object.memory_size().saturating_add(rows.saturating_mul(columns * VALUE_BYTES))
}

/// The memory for decoding a row group: its encoded columns, and the pages of each that are decoded at once.
fn decoding_bytes(group: &RowGroupMetaData) -> usize {
    let parts = group.columns().iter().map(|part| {
        let decompressor = if part.compression() == Compression::UNCOMPRESSED { 0 } else { DECOMPRESSOR_BYTES };
        let pages = saturated(part.uncompressed_size()).min(DECODER_BYTES);
        saturated(part.compressed_size()).saturating_add(pages + decompressor)
    });
    parts.fold(0, usize::saturating_add)
}

/// How many bytes each column takes, uncompressed.
fn column_bytes(object: &ParquetMetaData) -> Vec<(Box<str>, usize)> {
    let columns = object.file_metadata().schema_descr().columns().iter().enumerate().map(|(place, column)| {
        let parts = object.row_groups().iter().filter_map(|group| group.columns().get(place));
        let bytes = parts.map(|part| saturated(part.uncompressed_size())).fold(0, usize::saturating_add);
        (column.name().into(), bytes)
    });
    columns.collect()
}

fn saturated(stated: i64) -> usize {
    usize::try_from(stated).unwrap_or(usize::MAX)
}

/// Reading failed, because of the store or of what it holds.
pub(super) fn unread(error: parquet::errors::ParquetError) -> Error {
    match error {
        parquet::errors::ParquetError::External(cause) => match cause.downcast::<object_store::Error>() {
            Ok(error) => unreachable(*error),
            Err(cause) => Error::new(ErrorKind::Corrupt, UNREADABLE).caused_by(cause),
        },
        other => corrupt(other),
    }
}

/// The store did not give an object: it does not answer, or the object is missing, or nothing to open.
pub(super) fn unreachable(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::new(ErrorKind::Corrupt, MISSING),
        object_store::Error::NotSupported { .. } => Error::new(ErrorKind::Corrupt, "it cannot be opened"),
        error => Error::new(ErrorKind::Unavailable, "the store cannot be used right now").caused_by(error),
    }
}

/// The library panicked on what was decoded.
pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, DAMAGED)
}

pub(super) fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, UNREADABLE).caused_by(error)
}
