//! The columns that fields stand for, as Arrow has them. Pure.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field as ArrowField, FieldRef, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};

use super::field::{Field, FieldType};
use crate::error::{Error, ErrorKind, Result};

/// When an event arrived: UTC, in milliseconds.
pub const TIMESTAMP: &str = "p_timestamp";
/// Orders the events of one node: those of a request stand as they were sent. `null` in objects of earlier versions.
pub const OFFSET: &str = "p_offset";
/// The id of the key that sent it.
pub const KEY_ID: &str = "p_key_id";
/// The source that key stands for.
pub const SOURCE_ID: &str = "p_source_id";
/// Clients cannot set names that start like this.
pub const RESERVED_PREFIX: &str = "p_";

/// The columns of rows with these fields: our own, then the clients'.
pub fn columns<'a>(fields: impl IntoIterator<Item = &'a Field>) -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let ours = [
        ArrowField::new(TIMESTAMP, timestamp, false),
        ArrowField::new(OFFSET, DataType::Int64, true),
        // A row of a system stream may be about no key.
        ArrowField::new(KEY_ID, DataType::Utf8, true),
        ArrowField::new(SOURCE_ID, DataType::Utf8, true),
    ];
    let theirs = fields.into_iter().map(|field| ArrowField::new(&*field.name, field.field_type.arrow(), true));
    Arc::new(Schema::new(ours.into_iter().chain(theirs).collect::<Vec<_>>()))
}

/// The fields that the columns of an object stand for, our own aside.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when one has a type that no field has.
pub(crate) fn fields(columns: &Schema) -> Result<Vec<Field>> {
    let theirs = columns.fields().iter().filter(|column| !column.name().starts_with(RESERVED_PREFIX));
    theirs
        .map(|column| {
            let field_type = match column.data_type() {
                DataType::Boolean => FieldType::Boolean,
                DataType::Int64 => FieldType::Integer,
                DataType::Float64 => FieldType::Float,
                DataType::Utf8 | DataType::Utf8View => FieldType::Text,
                _ => return Err(Error::new(ErrorKind::Corrupt, "an object has a column of a type that is not ours")),
            };
            Ok(Field { name: column.name().as_str().into(), field_type })
        })
        .collect()
}

/// The columns, with views for texts.
pub(crate) fn views(columns: &SchemaRef) -> SchemaRef {
    let view = |column: &FieldRef| match column.data_type() {
        DataType::Utf8 => Arc::new(column.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => column.clone(),
    };
    Arc::new(Schema::new(columns.fields().iter().map(view).collect::<Vec<_>>()))
}

/// Values as a stream holds them: whole numbers become floats where the stream holds floats. A schema that was widened
/// by them guarantees that none loses a digit.
pub(crate) fn widened(values: &ArrayRef, target: &DataType) -> ArrayRef {
    match (values.data_type(), target) {
        (DataType::Int64, DataType::Float64) => {
            Arc::new(values.as_primitive::<Int64Type>().unary::<_, Float64Type>(|value| value as f64))
        }
        _ => values.clone(),
    }
}
