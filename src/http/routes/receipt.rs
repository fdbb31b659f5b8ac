//! What an admin is told about how far a change has come.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::http::app::App;
use crate::http::error::Problem;

/// `?wait=5s`: how long the answer may wait until every live node has applied the change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    wait: Option<String>,
}

impl Wait {
    /// The longest wait.
    pub const MAX: Duration = Duration::from_secs(60);

    /// Refuses a wait that is no duration or too long. This node is the only one, so nothing is left to wait for.
    ///
    /// # Errors
    /// 400 with the rule.
    pub fn check(&self) -> Result<(), Problem> {
        match self.wait.as_deref().map(humantime::parse_duration) {
            Some(Ok(wait)) if wait > Self::MAX => Err(Problem::invalid("wait must be at most 60s.")),
            Some(Err(_)) => Err(Problem::invalid("wait must be a duration such as 5s.")),
            _ => Ok(()),
        }
    }
}

/// A change, and the nodes that have applied it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The number of the change on this node since it started.
    change_seq: u64,
    applied_on: usize,
    live_nodes: usize,
    behind: Vec<String>,
    elapsed_millis: u64,
}

impl Receipt {
    /// The receipt of a change that began at `start` and that this node has applied.
    pub fn new(app: &App, start: Instant) -> Self {
        Self {
            change_seq: app.changes.fetch_add(1, Ordering::Relaxed) + 1,
            applied_on: 1,
            live_nodes: 1,
            behind: Vec::new(),
            elapsed_millis: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}
