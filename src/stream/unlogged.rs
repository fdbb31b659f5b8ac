//! Changes of settings that may not be in the change log: a node may end after it has written `schema.json`, and before
//! it has logged that. The document keeps each until it is known to be in the log.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::documents::{Difference, RequestContext};
use crate::key::Attribution;

/// A stream keeps so many at most: each is there for as long as one append to the log takes.
pub const MAX_UNLOGGED: usize = 16;

/// A change of the settings of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnloggedChange {
    /// The revision of the settings that it made.
    pub revision: u64,
    /// When, by the clock of the node that made it.
    pub at: DateTime<Utc>,
    /// Who asked for it, and by which request.
    #[serde(flatten)]
    pub by: Attribution,
    /// What is different since.
    #[serde(flatten)]
    pub difference: Difference,
}

impl UnloggedChange {
    /// The change that was asked for in this context.
    pub(super) fn new(revision: u64, context: &RequestContext, difference: Difference) -> Self {
        Self { revision, at: context.at, by: context.attribution(), difference }
    }
}
