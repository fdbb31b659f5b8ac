//! Where in a request something stands, in the words of its sender: the line of a text, the event of an array.

use std::fmt;

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
