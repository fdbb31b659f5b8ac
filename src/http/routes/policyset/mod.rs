//! The policy set of a tenant: as a whole ([`whole`]), as a file declares it ([`apply`](mod@apply)), part by part
//! ([`parts`]), its versions ([`versions`]), why it decides as it does ([`explain`]), and what it would have done with
//! stored traffic (`backtest`).

pub mod apply;
#[cfg(feature = "query")]
pub mod backtest;
pub mod explain;
pub mod parts;
pub mod versions;
mod view;
pub mod whole;

use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use serde::Deserialize;

use super::receipt::{ReceiptView, patience};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::if_match::named;
use crate::http::operator::Operator;
use crate::key::TenantId;
use crate::policy::set::PolicySet;
use crate::policy_book::{Deployed, NewVersion, Refusal};

/// The query string of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeQuery {
    #[serde(default)]
    dry_run: bool,
    wait: Option<String>,
}

/// How a change was asked for.
struct Asked {
    start: Instant,
    patience: Option<Duration>,
    new: NewVersion,
}

impl Asked {
    fn new(query: &ChangeQuery, request: &HttpRequest) -> Result<Self, Problem> {
        let start = Instant::now();
        let follows = named(request.headers());
        if follows.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::new(Code::PreconditionFailed, "If-Match names no version of this policy set."));
        }
        let new = NewVersion { follows, dry_run: query.dry_run, ..NewVersion::default() };
        Ok(Self { start, patience: patience(query.wait.as_deref())?, new })
    }

    fn commented(mut self, comment: Option<String>) -> Self {
        self.new.comment = comment;
        self
    }
}

/// Deploys a set. The secret of pseudonyms comes first: once a set is in force, requests are decided about.
async fn deploy(
    app: &App,
    operator: &Operator,
    tenant: &TenantId,
    new: NewVersion,
    edit: impl Fn(&PolicySet) -> Result<PolicySet, Refusal> + Send + Sync + 'static,
) -> Result<Deployed, Problem> {
    prepare(app, &new).await?;
    Ok(app.policies.deploy(operator.context(), tenant, new, edit).await?)
}

async fn prepare(app: &App, new: &NewVersion) -> Result<(), Problem> {
    if !new.dry_run {
        app.decider.prepare().await?;
    }
    Ok(())
}

/// The receipt of a version, and the status of the answer; no receipt when nothing was written.
async fn receipt(app: &App, asked: &Asked, deployed: &Deployed) -> (Option<ReceiptView>, StatusCode) {
    if !deployed.is_new {
        return (None, StatusCode::OK);
    }
    let (receipt, status) = ReceiptView::of(app, deployed.change_seq, asked.patience, asked.start).await;
    (Some(receipt), status)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Faults(faults) => Self::faulty(faults),
            Refusal::Error(error) => error.into(),
        }
    }
}
