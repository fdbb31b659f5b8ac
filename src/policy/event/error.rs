//! Why an event cannot be judged.

use std::borrow::Cow;

/// What is wrong with an event, and where. The message holds no value of the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// A member of the JSON is not what it has to be.
    #[error("{path} must be {rule}")]
    Member {
        /// Where, such as `request.headers.x-trace`; names of the sender are cut.
        path: String,
        /// What it has to be.
        rule: Cow<'static, str>,
    },
    /// The text is no JSON.
    #[error("the event is not valid JSON: {0}")]
    Json(String),
    /// The line of a log is too long.
    #[error("a line has at most 2 MiB")]
    TooLarge,
    /// A line of a log is not in the format.
    #[error("the line is not in the {format} format: {rule}")]
    Line {
        /// Which format.
        format: &'static str,
        /// What is missing.
        rule: &'static str,
    },
}

impl InvalidEvent {
    pub(super) fn member(path: impl Into<String>, rule: impl Into<Cow<'static, str>>) -> Self {
        Self::Member { path: path.into(), rule: rule.into() }
    }
}
