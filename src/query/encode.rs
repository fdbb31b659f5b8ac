//! Batches as bytes.

use std::collections::HashSet;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, RecordBatch, StringArray};
use arrow::csv;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Field, FieldRef, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::json::writer::{
    Encoder as JsonEncoder, EncoderFactory, EncoderOptions, JsonArray, LineDelimited, NullableEncoder, WriterBuilder,
};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use std::sync::Arc;

use super::rows::Format;
use crate::error::{Error, ErrorKind, Result};

/// Writes the batches of one answer. Instants are written in UTC with `Z`: those of the precision of `p_timestamp` in
/// milliseconds, others with the digits that they have. JSON nulls are explicit and floats that are not finite are
/// null.
pub(super) struct Encoder {
    format: Format,
    schema: SchemaRef,
    started: bool,
}

impl Encoder {
    /// An encoder of rows of `schema`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when two columns share a name that JSON objects would lose, or a column has a type that
    /// cannot be written.
    pub(super) fn new(format: Format, schema: &Schema) -> Result<Self> {
        if format != Format::Csv {
            let mut names = HashSet::new();
            if let Some(twice) = schema.fields().iter().find(|field| !names.insert(field.name())) {
                let message = format!("two columns are named `{}`: rename one with AS", shorten(twice.name()));
                return Err(Error::invalid(message));
            }
        }
        let encoder = Self { format, schema: written(schema, format), started: false };
        let mut sample = Vec::new();
        encoder.write(&RecordBatch::new_empty(encoder.schema.clone()), &mut sample).map_err(unwritable)?;
        Ok(encoder)
    }

    /// The bytes of one batch.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when a value cannot be written.
    pub(super) fn rows(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        if batch.num_rows() == 0 {
            return Ok(Bytes::new());
        }
        let mut out = Vec::new();
        if self.format != Format::JsonArray {
            self.open(&mut out)?;
            self.encode(batch, &mut out)?;
            return Ok(out.into());
        }
        // The writer closes its array after each batch; ours stays open, so its brackets become our separators.
        out.push(if std::mem::replace(&mut self.started, true) { b',' } else { b'[' });
        let at = out.len();
        self.encode(batch, &mut out)?;
        out.remove(at);
        out.pop();
        Ok(out.into())
    }

    /// The bytes after the last batch.
    ///
    /// # Errors
    /// As [`Encoder::rows`].
    pub(super) fn end(&mut self) -> Result<Bytes> {
        let mut out = Vec::new();
        match self.format {
            Format::JsonArray => out.extend_from_slice(if self.started { b"]" } else { b"[]" }),
            Format::NdJson | Format::Csv => self.open(&mut out)?,
        }
        Ok(out.into())
    }

    fn open(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if !std::mem::replace(&mut self.started, true) && self.format == Format::Csv {
            let mut writer = csv::WriterBuilder::new().with_header(true).build(out);
            writer.write(&RecordBatch::new_empty(self.schema.clone())).map_err(unwritable)?;
        }
        Ok(())
    }

    fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if batch.columns().iter().any(|column| !is_in_calendar(column)) {
            return Err(Error::invalid("an instant or a date of the answer is outside the calendar"));
        }
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns
            .map(|(column, field)| match instants(column) {
                _ if column.data_type() == field.data_type() => column.clone(),
                Some(instants) => Arc::new(instants.texts().collect::<StringArray>()),
                None => column.clone(),
            })
            .collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(unwritable)?;
        self.write(&batch, out).map_err(unwritable)
    }

    fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let json = || WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(WriteInstants));
        match self.format {
            Format::JsonArray => {
                let mut writer = json().build::<_, JsonArray>(out);
                writer.write(batch)?;
                writer.finish()
            }
            Format::NdJson => {
                let mut writer = json().build::<_, LineDelimited>(out);
                writer.write(batch)?;
                writer.finish()
            }
            Format::Csv => csv::WriterBuilder::new().with_header(false).build(out).write(batch),
        }
    }
}

/// The schema that is written: every column is nullable, because readers have no use for NOT NULL; for CSV, instants
/// are texts.
fn written(schema: &Schema, format: Format) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Timestamp(_, Some(_)) if format == Format::Csv => DataType::Utf8,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Whether every instant and date in a column, lists and structs included, is one that can be written.
fn is_in_calendar(array: &dyn Array) -> bool {
    fn all<T: ArrowPrimitiveType>(array: &dyn Array, fits: impl Fn(T::Native) -> bool) -> bool {
        array.as_primitive_opt::<T>().is_none_or(|values| values.iter().flatten().all(fits))
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            all::<TimestampSecondType>(array, |value| DateTime::from_timestamp_secs(value).is_some())
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            all::<TimestampMillisecondType>(array, |value| DateTime::from_timestamp_millis(value).is_some())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            all::<TimestampMicrosecondType>(array, |value| DateTime::from_timestamp_micros(value).is_some())
        }
        DataType::Date32 => all::<Date32Type>(array, |value| Date32Type::to_naive_date_opt(value).is_some()),
        DataType::Date64 => all::<Date64Type>(array, |value| Date64Type::to_naive_date_opt(value).is_some()),
        DataType::List(_) => array.as_list_opt::<i32>().is_none_or(|lists| is_in_calendar(lists.values())),
        DataType::Struct(_) => {
            array.as_struct_opt().is_none_or(|structs| structs.columns().iter().all(|column| is_in_calendar(column)))
        }
        _ => true,
    }
}

/// A column of instants.
struct Instants<'a> {
    array: &'a dyn Array,
    unit: TimeUnit,
    values: &'a [i64],
}

fn instants(array: &dyn Array) -> Option<Instants<'_>> {
    let DataType::Timestamp(unit, Some(_)) = array.data_type() else { return None };
    let values = match unit {
        TimeUnit::Second => array.as_primitive_opt::<TimestampSecondType>()?.values(),
        TimeUnit::Millisecond => array.as_primitive_opt::<TimestampMillisecondType>()?.values(),
        TimeUnit::Microsecond => array.as_primitive_opt::<TimestampMicrosecondType>()?.values(),
        TimeUnit::Nanosecond => array.as_primitive_opt::<TimestampNanosecondType>()?.values(),
    };
    Some(Instants { array, unit: *unit, values })
}

impl Instants<'_> {
    fn texts(&self) -> impl Iterator<Item = Option<String>> {
        (0..self.values.len()).map(|at| if self.array.is_null(at) { None } else { self.text(at) })
    }

    /// RFC 3339; `None` for an instant outside the calendar.
    fn text(&self, at: usize) -> Option<String> {
        let value = self.values[at];
        let (instant, digits) = match self.unit {
            TimeUnit::Second => (DateTime::from_timestamp_secs(value), SecondsFormat::AutoSi),
            TimeUnit::Millisecond => (DateTime::from_timestamp_millis(value), SecondsFormat::Millis),
            TimeUnit::Microsecond => (DateTime::from_timestamp_micros(value), SecondsFormat::AutoSi),
            TimeUnit::Nanosecond => (Some(DateTime::from_timestamp_nanos(value)), SecondsFormat::AutoSi),
        };
        instant.map(|instant| instant.to_rfc3339_opts(digits, true))
    }
}

/// Writes instants as JSON, in lists and structs too.
#[derive(Debug)]
struct WriteInstants;

impl EncoderFactory for WriteInstants {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let nulls = array.nulls().cloned();
        Ok(instants(array).map(|instants| NullableEncoder::new(Box::new(instants), nulls)))
    }
}

impl JsonEncoder for Instants<'_> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        match self.text(at) {
            Some(text) => {
                out.push(b'"');
                out.extend_from_slice(text.as_bytes());
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
    }
}

fn unwritable(error: ArrowError) -> Error {
    let hint = "a column has a type or a value that cannot be written in this format: cast it to text";
    Error::new(ErrorKind::Invalid, hint).caused_by(error)
}

fn shorten(name: &str) -> &str {
    &name[..name.floor_char_boundary(200)]
}
