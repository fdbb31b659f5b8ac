//! Why an event is refused, and where in its request it stands. Messages name fields, and never hold values.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::stream::Conflict;

/// What `serde_json` says of a number that no float holds.
pub(super) const OUT_OF_RANGE: &str = "number out of range";
/// How many events one request may have.
pub const MAX_EVENTS: usize = 100_000;
/// How deep an event may be nested, itself counted.
pub(super) const MAX_DEPTH: usize = 64;

/// The kind of fault, as one word for programs, metrics and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A record is not the Base64 or gzip that it says it is.
    Encoding,
    /// The text is not UTF-8.
    NotUtf8,
    /// The text is not JSON.
    NotJson,
    /// The value is JSON, but not an object.
    NotAnObject,
    /// The nesting is too deep.
    TooDeep,
    /// The event has a field twice, also after flattening.
    DuplicateField,
    /// The name of a field is empty, too long, or has control characters.
    FieldName,
    /// The name of a field is reserved.
    ReservedName,
    /// A number is outside what a field can hold.
    NumberRange,
    /// A field holds values of two types, in this request or beside what the stream holds.
    TypeConflict,
    /// There would be too many fields.
    TooManyFields,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Encoding,
        Self::NotUtf8,
        Self::NotJson,
        Self::NotAnObject,
        Self::TooDeep,
        Self::DuplicateField,
        Self::FieldName,
        Self::ReservedName,
        Self::NumberRange,
        Self::TypeConflict,
        Self::TooManyFields,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::DuplicateField => "duplicate_field",
            Self::FieldName => "field_name",
            Self::ReservedName => "reserved_name",
            Self::NumberRange => "number_range",
            Self::TypeConflict => "type_conflict",
            Self::TooManyFields => "too_many_fields",
        }
    }
}

/// Why an event, or the whole request, is refused, before its place is known.
#[derive(Debug)]
pub(super) struct EventRefusal {
    /// What is wrong with the event; `None` when the request as a whole is refused.
    pub(super) fault: Option<Fault>,
    kind: ErrorKind,
    pub(super) message: String,
}

impl EventRefusal {
    pub(super) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault: Some(fault), kind: ErrorKind::Invalid, message: message.into() }
    }

    /// The whole request is refused, however its events are treated.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self { fault: None, kind: ErrorKind::TooLarge, message: message.into() }
    }

    /// The same, because of something that does not lie in the request.
    pub(super) fn whole(error: &Error) -> Self {
        Self { fault: None, kind: error.kind(), message: error.message().to_owned() }
    }

    pub(super) fn too_many_events() -> Self {
        Self::too_large(format!("a request has at most {MAX_EVENTS} events: send it in parts"))
    }

    pub(super) fn not_an_object() -> Self {
        Self::new(Fault::NotAnObject, "an event must be a JSON object")
    }

    pub(super) fn glued() -> Self {
        Self::new(Fault::NotJson, "something follows an event without a blank between")
    }

    pub(super) fn too_deep() -> Self {
        Self::new(Fault::TooDeep, format!("an event is nested deeper than {MAX_DEPTH} levels"))
    }

    pub(super) fn not_utf8() -> Self {
        Self::new(Fault::NotUtf8, "the body is not UTF-8")
    }

    pub(super) fn duplicate(path: &str) -> Self {
        Self::new(Fault::DuplicateField, format!("the field {} stands twice in one event", quoted(path)))
    }

    /// The parser's own words hold no value of the body; its position is relative to where it began, and left out.
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let words = error.to_string();
        let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
        if words == OUT_OF_RANGE {
            return Self::not_an_object(); // One that stands in a field is named before: see `EventTable::note_range`.
        }
        Self::new(Fault::NotJson, format!("this is not JSON: {words}"))
    }

    pub(super) fn stream(conflict: &Conflict) -> Self {
        let fault = match conflict {
            Conflict::TooManyFields { .. } => Fault::TooManyFields,
            Conflict::Type { .. } | Conflict::Inexact { .. } | Conflict::Former { .. } => Fault::TypeConflict,
        };
        Self::new(fault, conflict.to_string())
    }

    /// The public error, with the place of the event.
    pub(super) fn at(self, place: Place) -> Error {
        Error::new(self.kind, format!("{place}: {}", self.message))
    }
}

/// A place in a request. Numbers are counted from 1; 0 means that the number says nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The record, when a request consists of records.
    pub record: usize,
    /// The event of an array.
    pub event: usize,
    /// The line of the body, or of the record.
    pub line: usize,
}

impl Place {
    /// The same place in this record.
    pub(super) fn in_record(self, record: usize) -> Self {
        Self { record, ..self }
    }

    /// A line.
    pub(super) fn line(line: usize) -> Self {
        Self { line, ..Self::default() }
    }

    /// An event of an array that begins on the first line.
    pub(super) fn event(event: usize) -> Self {
        Self { event, ..Self::default() }
    }
}

/// `line 3`, `event 3`, `event 3 (line 7)`, and each of them after `record 2, `.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, event, line } = *self;
        if record > 0 {
            write!(f, "record {record}")?;
            if event > 0 || line > 0 {
                f.write_str(", ")?;
            }
        }
        match (event, line) {
            (0, 0) => Ok(()),
            (0, line) => write!(f, "line {line}"),
            (event, 0 | 1) => write!(f, "event {event}"),
            (event, line) => write!(f, "event {event} (line {line})"),
        }
    }
}

/// A client's field name, made fit for a message: escaped, and cut at 64 characters.
pub(super) fn quoted(name: &str) -> String {
    let mut quoted: String = std::iter::once('`').chain(name.chars().take(64).flat_map(char::escape_debug)).collect();
    quoted.push_str(if name.chars().nth(64).is_some() { "…`" } else { "`" });
    quoted
}
