//! The values of one column in one row group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, UInt16Array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::stream::object_reader::{ObjectReader, options};

/// How many texts have numbers of 16 bits.
const SHORT_NUMBERS: usize = 1 << 16;

/// The values of one column in one row group.
#[derive(Debug, Clone)]
pub(super) enum Chunk {
    Values(ArrayRef),
    /// Texts that repeat: each once, and for each row its place among them.
    Texts {
        places: ArrayRef,
        texts: ArrayRef,
    },
}

impl Chunk {
    /// Of an array as it was read.
    fn of(values: ArrayRef) -> Result<Self> {
        let Some(repeated) = values.as_dictionary_opt::<Int32Type>() else { return Ok(Self::Values(values)) };
        let texts = cast(repeated.values(), &DataType::Utf8View)?;
        let places: ArrayRef = match texts.len() <= SHORT_NUMBERS {
            true => Arc::new(short(repeated.keys())),
            false => Arc::new(repeated.keys().clone()),
        };
        Ok(Self::Texts { places, texts })
    }

    /// Some of its rows.
    ///
    /// # Errors
    /// Those of the library, for views that it cannot make.
    pub(super) fn rows(&self, from: usize, count: usize) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Values(values) => Ok(values.slice(from, count)),
            Self::Texts { places, texts } => take(texts, &places.slice(from, count), None),
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Texts { places, .. } => places.len(),
        }
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Values(values) => values.get_array_memory_size(),
            Self::Texts { places, texts } => places.get_array_memory_size() + texts.get_array_memory_size(),
        }
    }
}

/// Places below 65536.
fn short(places: &Int32Array) -> UInt16Array {
    UInt16Array::new(places.values().iter().map(|place| *place as u16).collect(), places.nulls().cloned())
}

/// Whether every text of a chunk stands in its dictionary.
fn repeats(chunk: &ColumnChunkMetaData) -> bool {
    let encodings = chunk.page_encoding_stats_mask();
    let is_only = |encoding| encodings.is_some_and(|encodings| encodings.is_only(encoding));
    chunk.dictionary_page_offset().is_some()
        && (is_only(Encoding::RLE_DICTIONARY) || is_only(Encoding::PLAIN_DICTIONARY))
}

/// About how many bytes a column of a row group takes, once it is decoded.
pub(super) fn decoded_bytes(footer: &ParquetMetaData, group: usize, column: usize, kind: &DataType) -> usize {
    let (rows, chunk) = (footer.row_group(group).num_rows(), footer.row_group(group).column(column));
    let (rows, stored) = (rows.max(0) as usize, chunk.uncompressed_size().max(0) as usize);
    let of_nulls = rows / 8;
    of_nulls.saturating_add(match kind {
        DataType::Utf8View if repeats(chunk) => rows.saturating_mul(2).saturating_add(stored),
        DataType::Utf8View => rows.saturating_mul(16).saturating_add(stored),
        DataType::Boolean => rows / 8,
        _ => rows.saturating_mul(8),
    })
}

/// Reads columns of one row group, which are flat. `columns` is in ascending order.
///
/// # Errors
/// When the object is damaged, or the store does not answer. The library may panic instead.
pub(super) async fn read(
    object: ObjectReader,
    footer: &ArrowReaderMetadata,
    group: usize,
    columns: &[usize],
) -> Result<Vec<Chunk>> {
    let found = footer.metadata().clone();
    let rows = found.row_group(group).num_rows().max(0) as usize;
    let mask = ProjectionMask::leaves(found.file_metadata().schema_descr(), columns.iter().copied());
    let wanted = with_dictionaries(footer.schema(), &found, group);
    let footer = ArrowReaderMetadata::try_new(found, options().with_schema(wanted))?;
    let rows = ParquetRecordBatchStreamBuilder::new_with_metadata(object, footer)
        .with_projection(mask)
        .with_row_groups(vec![group])
        .with_batch_size(rows.max(1))
        .build()?;
    let schema = rows.schema().clone();
    let batches: Vec<_> = rows.try_collect().await?;
    let whole = |place: usize| match batches.as_slice() {
        [batch] => Ok(batch.column(place).clone()),
        [] => Ok(arrow::array::new_empty_array(schema.field(place).data_type())),
        _ => concat(&batches.iter().map(|batch| batch.column(place).as_ref()).collect::<Vec<_>>()),
    };
    (0..columns.len()).map(|place| Chunk::of(whole(place)?)).collect()
}

/// The columns of an object, those as dictionaries whose texts stand in one in this row group.
fn with_dictionaries(columns: &SchemaRef, footer: &ParquetMetaData, group: usize) -> SchemaRef {
    let repeated = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let column = |(place, field): (usize, &Arc<Field>)| match field.data_type() {
        DataType::Utf8View if repeats(footer.row_group(group).column(place)) => {
            Arc::new(field.as_ref().clone().with_data_type(repeated.clone()))
        }
        _ => field.clone(),
    };
    Arc::new(Schema::new(columns.fields().iter().enumerate().map(column).collect::<Vec<_>>()))
}
