//! Receipts: which nodes have applied a change.

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::http::app::App;
use crate::http::error::Problem;
use crate::key::NodeId;
use crate::sync::Receipt;

/// `?wait=5s`: how long the answer may wait until every live node has applied the change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    wait: Option<String>,
}

const MAX_WAIT: Duration = Duration::from_secs(60);

impl Wait {
    /// The text of `wait=`, if it is there.
    pub fn new(wait: Option<String>) -> Self {
        Self { wait }
    }

    /// How long to wait; `None` without `?wait`.
    ///
    /// # Errors
    /// 400 when it is no duration or above the longest wait.
    pub fn patience(&self) -> Result<Option<Duration>, Problem> {
        patience(self.wait.as_deref())
    }
}

/// Parses the value of `?wait=`.
///
/// # Errors
/// As for [`Wait::patience`].
pub(super) fn patience(wait: Option<&str>) -> Result<Option<Duration>, Problem> {
    match wait.map(humantime::parse_duration).transpose() {
        Ok(Some(wait)) if wait > MAX_WAIT => Err(Problem::invalid("wait must be at most 60s.")),
        Err(_) => Err(Problem::invalid("wait must be a duration such as 5s.")),
        Ok(wait) => Ok(wait),
    }
}

/// A change, and the nodes that have applied it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptView {
    change_seq: u64,
    applied_on: usize,
    live_nodes: Option<usize>,
    behind: Vec<NodeId>,
    elapsed_millis: u64,
}

impl ReceiptView {
    /// The receipt of a change that began at `start`, and the status: 202 when the request waited and not every live
    /// node had applied the change in that time.
    pub async fn of(app: &App, change_seq: u64, patience: Option<Duration>, start: Instant) -> (Self, StatusCode) {
        let replica = app.keystore.replica();
        let receipt = match patience {
            Some(patience) => replica.wait_for(change_seq, patience).await,
            None => replica.receipt(change_seq).await,
        };
        let late = patience.is_some() && !receipt.is_complete();
        (Self::new(receipt, start), if late { StatusCode::ACCEPTED } else { StatusCode::OK })
    }

    /// A receipt, and how long it took since `start`.
    pub fn new(receipt: Receipt, start: Instant) -> Self {
        let Receipt { change_seq, applied_on, live_nodes, behind } = receipt;
        let elapsed_millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self { change_seq, applied_on, live_nodes, behind, elapsed_millis }
    }
}
