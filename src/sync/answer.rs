//! Requests that changed nothing: they were refused, they failed, or all that they did was to read. They stand in the
//! log beside the changes, so the audit has one order and one proof.

use crate::key::TenantId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What the log calls them. There is no document of this kind, and so nothing to apply.
pub const REQUEST: &str = "request";

/// What became of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// All was as it was asked for: another request had done it.
    Unchanged,
    /// It was not allowed.
    Refused,
    /// It could not be done.
    Failed,
}

impl AuditOutcome {
    /// The word of answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What became of it.
    pub outcome: AuditOutcome,
    /// The status of HTTP.
    pub status: u16,
    /// The code of the problem; none when there was no problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What it was about.
    pub target: AnswerTarget,
    /// How many requests this stands for.
    pub count: u64,
}

/// What a request was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerTarget {
    /// What kind of object.
    pub kind: String,
    /// The tenant that it belongs to; none of what belongs to the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Which one.
    pub id: String,
}

/// What a later version writes may be none of ours: it is not known then.
pub(super) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Answer>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}
