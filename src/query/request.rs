//! What was asked, as a value.

use std::fmt::Debug;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::key::{StreamName, Streams, TenantId};
pub use crate::stream::objects::TimeRange;

/// How long the text of a query may be.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// What a query may read: the streams of one tenant that [`Access`] permits. The engine reads nothing else.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whose streams.
    pub tenant: TenantId,
    /// Which of them.
    pub access: Arc<dyn Access>,
}

/// Decides which streams a query may read, at the moment of each call.
pub trait Access: Debug + Send + Sync {
    /// Whether the query may learn that `stream` exists.
    fn allows(&self, stream: &StreamName) -> bool;

    /// The same for a stream that the query names, and reads from now on if that is permitted.
    fn touch(&self, stream: &StreamName) -> bool {
        self.allows(stream)
    }
}

impl Access for Streams {
    fn allows(&self, stream: &StreamName) -> bool {
        self.allow(stream)
    }
}

/// A query as it was asked: at most [`MAX_TEXT_BYTES`] of text, and a range that does not run backwards.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    text: Box<str>,
    range: TimeRange,
}

impl QueryRequest {
    /// Checks what was asked; the SQL itself is read by [`super::Engine::run`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the text is blank or too long, or `start` is after `end`.
    pub fn new(text: &str, start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Result<Self> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::invalid("a query has at most 64 KiB of text"));
        }
        if text.trim().is_empty() {
            return Err(Error::invalid("the query is empty"));
        }
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            return Err(Error::invalid("the start time is after the end time"));
        }
        Ok(Self { text: text.into(), range: TimeRange { start, end } })
    }

    /// The SQL.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The arrival times asked for.
    pub fn range(&self) -> TimeRange {
        self.range
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_query_is_bounded_and_its_range_does_not_run_backwards() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0);
        assert!(QueryRequest::new(&" ".repeat(10), None, None).is_err());
        assert!(QueryRequest::new(&"x".repeat(MAX_TEXT_BYTES), None, None).is_ok());
        assert_eq!(
            QueryRequest::new(&"x".repeat(MAX_TEXT_BYTES + 1), None, None).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert!(QueryRequest::new("x", at(1), at(1)).is_ok());
        assert!(QueryRequest::new("x", at(2), at(1)).is_err());
    }
}
