//! The deletion of a stream, as `schema.json` records it among the settings. Versions without deletions keep the
//! record.
//!
//! 1. The record is written. From then on, `fields` are those of the new stream, and the fields of the old one are
//!    `formerFields`: a node that has not applied the deletion may still write events of their types.
//! 2. Each day is emptied by one swap of its manifest, which notes the number of the deletion. So any node can continue
//!    the deletion of a crashed node, and no event of the new stream is deleted with the old ones.
//! 3. Once every live node has applied the deletion, `formerFields` go, and their names are free for other types.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::Field;
use crate::documents::instant::rfc3339;
use crate::key::{Actor, RequestId};

/// The last deletion of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deletion {
    /// Counts the deletions of the stream, from 1.
    pub number: u64,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub at: Option<DateTime<Utc>>,
    /// Who asked for it.
    pub by: Option<Actor>,
    /// By which request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Whether something is left to do.
    pub pending: bool,
    /// The days that are still to be emptied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<NaiveDate>,
    /// The number of the change in the log that announces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_seq: Option<u64>,
    /// The fields that nodes may still write which have not applied the deletion.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former_fields: Vec<Field>,
    /// Whether the name has not been used since.
    pub unused: bool,
}
