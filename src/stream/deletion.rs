//! The deletion of a stream, as `schema.json` records it among the settings: versions that do not know of deletions
//! keep what stands there.
//!
//! 1. The record is written. From then on, `fields` are those of the new stream, and the fields of the old one are
//!    `formerFields`: a node that has not heard of the deletion may still write events of their types.
//! 2. Each day is emptied by one swap of its manifest, which notes the number of the deletion. So any node can go on
//!    where another has died, and no event of the new stream is taken for one of the old.
//! 3. Once every live node has heard, `formerFields` go, and their names are free for other types.

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
    /// The number of the change in the log by which nodes hear of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_seq: Option<u64>,
    /// The fields that objects of nodes which have not heard of the deletion may have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former_fields: Vec<Field>,
    /// Whether nobody has used the name since.
    pub unused: bool,
}
