//! Which fields a stream has, and how it widens: new fields are added, whole numbers become floats, nothing else moves.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::documents::{Document, Unreadable};
use crate::error::Error;
use crate::key::{StreamName, TenantId};
use crate::layout::ObjectName;

/// When an event arrived: UTC, in milliseconds.
pub const TIMESTAMP: &str = "p_timestamp";
/// The id of the key that sent it.
pub const KEY_ID: &str = "p_key_id";
/// The source that key stands for.
pub const SOURCE_ID: &str = "p_source_id";
/// Clients cannot set names that start like this.
pub const RESERVED_PREFIX: &str = "p_";
/// How many fields a stream may have, our own three not counted.
pub const MAX_FIELDS: usize = 1000;

const VERSION: u32 = 1;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 64 bits.
    Integer,
    /// A whole number of 64 bits, some of which a float cannot hold exactly: it never becomes a [`FieldType::Float`].
    #[serde(rename = "bigInteger")]
    BigInteger,
    /// An IEEE 754 double.
    Float,
    /// Text; arrays are kept as their JSON text.
    Text,
}

impl FieldType {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer | Self::BigInteger => "integer",
            Self::Float => "float",
            Self::Text => "text",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Boolean => "booleans",
            Self::Integer | Self::BigInteger => "whole numbers",
            Self::Float => "floats",
            Self::Text => "texts",
        }
    }

    /// The Arrow type of its column.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer | Self::BigInteger => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8,
        }
    }

    /// The type that holds everything both hold, exactly; `None` when there is none.
    pub fn union(self, other: Self) -> Option<Self> {
        use FieldType::{BigInteger, Float, Integer};
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Integer, BigInteger) | (BigInteger, Integer) => Some(BigInteger),
            (Integer, Float) | (Float, Integer) => Some(Float),
            _ => None,
        }
    }
}

/// A named field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// As it stands in the events, case and all.
    pub name: Box<str>,
    /// What it holds.
    #[serde(rename = "type")]
    pub field_type: FieldType,
}

/// Why a batch does not fit a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A field holds something else in this stream.
    #[error("the field `{name}` is {} in this stream, not {}", expected.as_str(), found.as_str())]
    Type {
        /// Which field.
        name: Box<str>,
        /// What the stream holds.
        expected: FieldType,
        /// What the batch holds.
        found: FieldType,
    },
    /// A float cannot hold every whole number of a field exactly.
    #[error("the field `{name}` holds {} in this stream, and floats cannot hold all of its whole numbers exactly",
        expected.plural())]
    Inexact {
        /// Which field.
        name: Box<str>,
        /// What the stream holds: [`FieldType::Float`] or [`FieldType::BigInteger`].
        expected: FieldType,
    },
    /// The stream would have more than [`MAX_FIELDS`].
    #[error("a stream has at most {MAX_FIELDS} fields, and the field `{name}` would be one too many")]
    TooManyFields {
        /// The first one too many.
        name: Box<str>,
    },
}

impl Conflict {
    /// Why a field of the type `found` does not fit one of the type `expected`.
    pub fn between(name: &str, expected: FieldType, found: FieldType) -> Self {
        let name = name.into();
        match (expected, found) {
            (FieldType::Float, FieldType::BigInteger) | (FieldType::BigInteger, FieldType::Float) => {
                Self::Inexact { name, expected }
            }
            _ => Self::Type { name, expected, found },
        }
    }

    /// The field that does not fit.
    pub fn name(&self) -> &str {
        let (Self::Type { name, .. } | Self::Inexact { name, .. } | Self::TooManyFields { name }) = self;
        name
    }

    /// Whether a value of this type is one that does not fit.
    pub fn concerns(&self, found: FieldType) -> bool {
        match self {
            Self::Type { expected, .. } | Self::Inexact { expected, .. } => expected.union(found).is_none(),
            Self::TooManyFields { .. } => true,
        }
    }

    /// The public error. The conflict stays its cause, so that whoever knows the batch can say which event it is about.
    pub fn into_error(self) -> Error {
        Error::invalid(self.to_string()).caused_by(self)
    }

    /// The same conflict, told of a value of the type `found`.
    #[must_use]
    pub fn with(&self, found: FieldType) -> Self {
        match self {
            Self::Type { name, expected, .. } | Self::Inexact { name, expected } => {
                Self::between(name, *expected, found)
            }
            Self::TooManyFields { .. } => self.clone(),
        }
    }
}

/// The fields of a stream, in the order in which they first came.
#[derive(Debug, Clone, Default)]
pub struct StreamSchema {
    fields: Vec<Field>,
    index: HashMap<Box<str>, usize>,
}

impl StreamSchema {
    /// The schema with these fields; of two with one name the first counts.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        let mut schema = Self::default();
        for field in fields {
            if !schema.index.contains_key(&field.name) {
                schema.push(field);
            }
        }
        schema
    }

    fn push(&mut self, field: Field) {
        self.index.insert(field.name.clone(), self.fields.len());
        self.fields.push(field);
    }

    /// The clients' fields, without our own three.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The place of the field `name` in [`StreamSchema::fields`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// What the field `name` holds.
    pub fn field_type(&self, name: &str) -> Option<FieldType> {
        self.index.get(name).map(|&at| self.fields[at].field_type)
    }

    /// The schema that also holds `batch`; `None` when this one does already.
    ///
    /// # Errors
    /// [`Conflict`] names the first field that does not fit.
    pub fn widen(&self, batch: &[Field]) -> Result<Option<Self>, Conflict> {
        let mut wider: Option<Self> = None;
        for Field { name, field_type: found } in batch {
            let current = wider.as_ref().unwrap_or(self);
            match current.field_type(name) {
                Some(expected) => {
                    let Some(union) = expected.union(*found) else {
                        return Err(Conflict::between(name, expected, *found));
                    };
                    if union != expected {
                        let schema = wider.get_or_insert_with(|| self.clone());
                        let at = schema.index[name];
                        schema.fields[at].field_type = union;
                    }
                }
                None if current.fields.len() >= MAX_FIELDS => {
                    return Err(Conflict::TooManyFields { name: name.clone() });
                }
                None => {
                    wider.get_or_insert_with(|| self.clone()).push(Field { name: name.clone(), field_type: *found })
                }
            }
        }
        Ok(wider)
    }

    /// The schema that holds as many of `batches` as can be held together, in their order; `None` when this one does
    /// already. One answer for each batch: the [`Conflict`] of those that do not fit.
    pub fn widen_by_all(&self, batches: &[&[Field]]) -> (Option<Self>, Vec<Option<Conflict>>) {
        let mut wider: Option<Self> = None;
        let mut widen = |batch: &&[Field]| match wider.as_ref().unwrap_or(self).widen(batch) {
            Ok(widened) => {
                wider = widened.or(wider.take());
                None
            }
            Err(conflict) => Some(conflict),
        };
        let conflicts = batches.iter().map(&mut widen).collect();
        (wider, conflicts)
    }

    /// Whether this schema holds everything that `other` holds.
    pub fn holds(&self, other: &Self) -> bool {
        matches!(self.widen(&other.fields), Ok(None))
    }

    /// The columns of the stream: our own three, then the clients'.
    pub fn arrow(&self) -> SchemaRef {
        columns(&self.fields)
    }
}

impl Document for StreamSchema {
    type Id = (TenantId, StreamName);

    const NAME: &'static str = "the schema of the stream";

    fn object((tenant, stream): &Self::Id) -> ObjectName {
        ObjectName::Schema { tenant: tenant.clone(), stream: stream.clone() }
    }

    fn parse(_: &Self::Id, body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("a stream's schema", VERSION, body, &error);
        let json: SchemaJson = serde_json::from_slice(body).map_err(explain)?;
        if json.version == VERSION { Ok(Self::new(json.fields)) } else { Err(Unreadable::Version(json.version)) }
    }

    #[allow(clippy::disallowed_methods)]
    fn to_bytes(&self) -> Bytes {
        let json = SchemaJson { version: VERSION, fields: self.fields.clone(), write_id: Uuid::new_v4() };
        serde_json::to_vec_pretty(&json).unwrap_or_default().into()
    }
}

/// The columns of rows with these fields: our own three, then the clients'.
pub fn columns<'a>(fields: impl IntoIterator<Item = &'a Field>) -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let ours = [
        ArrowField::new(TIMESTAMP, timestamp, false),
        // A row of a system stream may be about no key.
        ArrowField::new(KEY_ID, DataType::Utf8, true),
        ArrowField::new(SOURCE_ID, DataType::Utf8, true),
    ];
    let theirs = fields.into_iter().map(|field| ArrowField::new(&*field.name, field.field_type.arrow(), true));
    Arc::new(Schema::new(ours.into_iter().chain(theirs).collect::<Vec<_>>()))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaJson {
    version: u32,
    fields: Vec<Field>,
    write_id: Uuid,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8]) -> StreamSchema {
        let id = (TenantId::default(), StreamName::parse("web").unwrap());
        StreamSchema::parse(&id, body).unwrap()
    }

    fn field(name: &str, field_type: FieldType) -> Field {
        Field { name: name.into(), field_type }
    }

    #[test]
    fn a_stream_widens_by_new_fields_and_from_whole_numbers_to_floats() {
        let schema = StreamSchema::new([field("n", FieldType::Integer)]);
        assert!(schema.widen(&[field("n", FieldType::Integer)]).unwrap().is_none());
        let wider = schema.widen(&[field("m", FieldType::Text), field("n", FieldType::Float)]).unwrap().unwrap();
        assert_eq!(wider.fields(), [field("n", FieldType::Float), field("m", FieldType::Text)]);
        assert!(wider.widen(&[field("n", FieldType::Integer)]).unwrap().is_none());
    }

    #[test]
    fn a_field_never_changes_its_type() {
        let schema = StreamSchema::new([field("n", FieldType::Integer), field("t", FieldType::Text)]);
        let error = schema.widen(&[field("n", FieldType::Text)]).unwrap_err();
        assert_eq!(error.to_string(), "the field `n` is integer in this stream, not text");
        assert!(schema.widen(&[field("t", FieldType::Boolean)]).is_err());
    }

    #[test]
    fn a_whole_number_that_a_float_cannot_hold_keeps_the_field_from_becoming_one() {
        let schema = StreamSchema::new([field("n", FieldType::Integer)]);
        let big = schema.widen(&[field("n", FieldType::BigInteger)]).unwrap().unwrap();
        assert!(big.widen(&[field("n", FieldType::Float)]).is_err());
        let float = StreamSchema::new([field("n", FieldType::Float)]);
        assert!(float.widen(&[field("n", FieldType::BigInteger)]).is_err());
    }

    #[test]
    fn many_batches_widen_at_once_and_those_that_do_not_fit_are_left_out() {
        let schema = StreamSchema::new([field("n", FieldType::Integer)]);
        let batches = [
            vec![field("a", FieldType::Text)],
            vec![field("n", FieldType::Text), field("never", FieldType::Text)],
            vec![field("n", FieldType::Float)],
            vec![field("a", FieldType::Boolean)],
            vec![field("n", FieldType::Integer), field("b", FieldType::Boolean)],
        ];
        let batches: Vec<&[Field]> = batches.iter().map(Vec::as_slice).collect();
        let (wider, conflicts) = schema.widen_by_all(&batches);
        let fits: Vec<_> = conflicts.iter().map(Option::is_none).collect();
        assert_eq!(fits, [true, false, true, false, true]);
        let wider = wider.unwrap();
        let expected = [field("n", FieldType::Float), field("a", FieldType::Text), field("b", FieldType::Boolean)];
        assert_eq!(wider.fields(), expected);
        let (again, conflicts) = wider.widen_by_all(&batches[..1]);
        assert!(again.is_none() && conflicts == [None]);
    }

    #[test]
    fn the_thousand_and_first_field_is_refused() {
        let full = StreamSchema::new((0..MAX_FIELDS).map(|n| field(&format!("f{n}"), FieldType::Text)));
        assert!(full.widen(&[field("f0", FieldType::Text)]).is_ok());
        assert!(matches!(full.widen(&[field("x", FieldType::Text)]), Err(Conflict::TooManyFields { .. })));
    }

    #[test]
    fn a_golden_schema_parses_for_ever() {
        use FieldType::{BigInteger, Boolean, Float, Integer, Text};
        let schema = parse(include_bytes!("../../fixtures/stream/v1/schema.json"));
        let types: Vec<_> = schema.fields().iter().map(|field| field.field_type).collect();
        assert_eq!(types, [Boolean, Integer, BigInteger, Float, Text]);
        let write_id = |text: &str| text.lines().filter(|line| !line.contains("writeId")).collect::<String>();
        let written = String::from_utf8(schema.to_bytes().to_vec()).unwrap();
        assert_eq!(write_id(&written), write_id(include_str!("../../fixtures/stream/v1/schema.json")));
    }

    #[test]
    fn a_schema_reads_back() {
        let schema = StreamSchema::new([field("b", FieldType::BigInteger), field("a", FieldType::Text)]);
        assert_eq!(parse(&schema.to_bytes()).fields(), schema.fields());
    }
}
