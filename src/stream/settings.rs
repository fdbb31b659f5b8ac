//! What an operator sets of a stream.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Deletion, UnloggedChange};
use crate::documents::audited::fields;
use crate::documents::instant::rfc3339;
use crate::documents::{Audited, Fields};
use crate::key::{Attribution, InvalidId, RetentionDays};

/// What is done with a request in which some events cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInvalid {
    /// The whole request is refused.
    #[default]
    Reject,
    /// The good events are stored, the others go to [`REJECTED`] as text.
    Quarantine,
}

/// The system stream of a tenant that takes the events which other streams could not hold.
pub const REJECTED: &str = "keyloft_rejected";

impl OnInvalid {
    /// The word of requests, documents and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Quarantine => "quarantine",
        }
    }
}

impl fmt::Display for OnInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnInvalid {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "reject" => Ok(Self::Reject),
            "quarantine" => Ok(Self::Quarantine),
            _ => Err(InvalidId::new("what is done with invalid events", "reject or quarantine")),
        }
    }
}

/// The settings of a stream, as `schema.json` holds them beside the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamSettings {
    /// Counts the changes: of two states of one stream, that with the higher number is the newer.
    pub revision: u64,
    /// What is done with a request in which some events cannot be stored.
    pub on_invalid: OnInvalid,
    /// How long events are kept; `None` as the tenant says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<RetentionDays>,
    /// When it was last changed.
    #[serde(serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<DateTime<Utc>>,
    /// Who changed it last, and by which request.
    #[serde(flatten)]
    pub attribution: Attribution,
    /// Its last deletion; `None` when it was never deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// The changes that may not be in the change log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlogged: Vec<UnloggedChange>,
    /// What a later version sets besides.
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl StreamSettings {
    /// Whether nothing was ever set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Audited for StreamSettings {
    fn audited(&self) -> Fields {
        fields(json!({"onInvalid": self.on_invalid, "retentionDays": self.retention_days}))
    }
}
