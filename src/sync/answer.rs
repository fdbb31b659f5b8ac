//! Requests that changed nothing: they were refused, they failed, or all that they did was to read. They stand in the
//! log beside the changes, so the audit has one order and one proof.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{ChangedObject, LoggedChange};
use crate::documents::RequestContext;
use crate::key::{Actor, TenantId};

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

impl Answer {
    /// As the log has it, for a request of `actor`, if that is known. The id of the context's request stays with it.
    pub fn to(self, context: &RequestContext, actor: Option<Actor>) -> LoggedChange {
        let mut change = LoggedChange { answer: Some(self), ..new_request().by(context) };
        change.by.modified_by = actor;
        change.changed_at = Some(context.at);
        change
    }
}

impl ChangedObject {
    /// Whether this is a request that changed nothing.
    pub(super) fn is_request(&self) -> bool {
        matches!(self, Self::Held { kind, .. } if kind == REQUEST)
    }
}

/// What a later version writes may be none of ours: it is not known then.
pub(super) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Answer>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// Each has an id, so that a node which does not know whether it has logged one finds it again.
#[allow(clippy::disallowed_methods)]
fn new_request() -> ChangedObject {
    ChangedObject::Held { kind: REQUEST.to_owned(), id: Uuid::new_v4().to_string() }
}
