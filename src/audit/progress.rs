//! How far the audit is in its stream: a small document that nodes replace by compare-and-swap.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::documents::{Document, Unreadable, stamped};
use crate::layout::ObjectName;
use crate::stream::WriterId;

const VERSION: u32 = 1;

/// What is written, and what is being written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress {
    version: u32,
    /// The entries of the change log up to this one are rows.
    pub(super) written: u64,
    /// Whose objects they are: numbers of a writer that is no process.
    writer: WriterId,
    /// The number of the object of the next range, the same in the streams of all tenants.
    number: u32,
    /// The range that is being written: it stays until its rows are durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) range: Option<Range>,
    write_id: Uuid,
}

/// Entries that are written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    /// The number of the last one.
    pub(super) last: u64,
    /// `p_timestamp` of their rows.
    pub(super) at: DateTime<Utc>,
}

impl Progress {
    /// The beginning: entries up to `written` are left out.
    pub(super) fn after(written: u64) -> Self {
        Self { version: VERSION, written, writer: WriterId::random(), number: 0, range: None, write_id: Uuid::nil() }
    }

    /// The same while a range is being written.
    pub(super) fn beginning(self, range: Range) -> Self {
        Self { range: Some(range), ..self }
    }

    /// The same once its range is written.
    pub(super) fn done(self) -> Self {
        let written = self.range.map_or(self.written, |range| range.last);
        let (writer, number) = match self.number.checked_add(1) {
            Some(number) => (self.writer, number),
            None => (WriterId::random(), 0),
        };
        Self { written, writer, number, range: None, ..self }
    }

    /// The same for a log that was cut off: what comes after `end` is another entry than before. Its objects have other
    /// names.
    pub(super) fn back_at(self, end: u64) -> Self {
        Self { written: end, writer: WriterId::random(), number: 0, range: None, ..self }
    }

    /// The id of the objects of the range.
    pub(super) fn id(&self) -> Uuid {
        self.writer.id(self.number)
    }
}

impl Document for Progress {
    type Id = ();

    const NAME: &'static str = "the progress of the audit's stream";

    fn object((): &()) -> ObjectName {
        ObjectName::AuditStream
    }

    fn parse((): &(), body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("the progress of the audit's stream", VERSION, body, &error);
        let progress: Self = serde_json::from_slice(body).map_err(explain)?;
        if progress.version == VERSION { Ok(progress) } else { Err(Unreadable::Version(progress.version)) }
    }

    fn to_bytes(&self) -> Bytes {
        stamped(self, |progress, write_id| progress.write_id = write_id)
    }
}
