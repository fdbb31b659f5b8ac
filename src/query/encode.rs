//! Batches as bytes.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder};
use bytes::Bytes;
use std::sync::Arc;

use super::rows::Format;
use crate::error::{Error, ErrorKind, Result};

/// RFC 3339 in UTC, in the milliseconds of `p_timestamp`.
const INSTANT: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// Writes the batches of one answer. Instants are written in UTC with `Z` and milliseconds; JSON nulls are explicit and
/// floats that are not finite are null.
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
        let encoder = Self { format, schema: in_utc(schema), started: false };
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
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(column.clone())
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(unwritable)?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(unwritable)?;
        self.write(&batch, out).map_err(unwritable)
    }

    fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let json = || WriterBuilder::new().with_explicit_nulls(true).with_timestamp_tz_format(INSTANT.to_owned());
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
            Format::Csv => {
                let csv = csv::WriterBuilder::new().with_header(false);
                csv.with_timestamp_tz_format(INSTANT.to_owned()).build(out).write(batch)
            }
        }
    }
}

/// Columns are nullable here: what is written has no use for the promise.
fn in_utc(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn unwritable(error: ArrowError) -> Error {
    let hint = "a column has a type or a value that cannot be written in this format: cast it to text";
    Error::new(ErrorKind::Invalid, hint).caused_by(error)
}

fn shorten(name: &str) -> &str {
    &name[..name.floor_char_boundary(200)]
}
