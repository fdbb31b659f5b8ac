//! A field, what it holds, and why a batch of events does not fit a stream.

use std::time::Duration;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// How many fields a stream may have, our own three not counted.
pub const MAX_FIELDS: usize = 1000;
/// When an event that was refused because of a deletion may be sent again. Most nodes apply a deletion within a second.
const HEARD_SOON: Duration = Duration::from_secs(5);

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
    /// The field had another type before the stream was deleted, and a node that has not applied the deletion may still
    /// write the old type. The batch itself is valid.
    #[error("the field `{name}` was {} before this stream was deleted, and not every node has applied the deletion: \
        send the events again", expected.as_str())]
    Former {
        /// Which field.
        name: Box<str>,
        /// What the stream held.
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
        match self {
            Self::Type { name, .. }
            | Self::Inexact { name, .. }
            | Self::Former { name, .. }
            | Self::TooManyFields { name } => name,
        }
    }

    /// Whether a value of this type is one that does not fit.
    pub fn concerns(&self, found: FieldType) -> bool {
        match self {
            Self::Type { expected, .. } | Self::Inexact { expected, .. } | Self::Former { expected, .. } => {
                expected.union(found).is_none()
            }
            Self::TooManyFields { .. } => true,
        }
    }

    /// The public error. The conflict stays its cause, so that a caller that knows the batch can name the event.
    pub fn into_error(self) -> Error {
        match self {
            Self::Former { .. } => {
                Error::new(ErrorKind::Unavailable, self.to_string()).retry_after(HEARD_SOON).caused_by(self)
            }
            _ => Error::invalid(self.to_string()).caused_by(self),
        }
    }

    /// The same conflict, for a value of the type `found`.
    #[must_use]
    pub fn with(&self, found: FieldType) -> Self {
        match self {
            Self::Type { name, expected, .. } | Self::Inexact { name, expected } => {
                Self::between(name, *expected, found)
            }
            Self::Former { .. } | Self::TooManyFields { .. } => self.clone(),
        }
    }
}
