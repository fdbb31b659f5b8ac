//! A draft, or the set in force, tried on stored traffic: `POST …/policyset/backtest`.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::backtest::{Backtest, Draft, Progress, Report, lacks};
use crate::decisions::stored::{StoredStream, TrustLevels};
use crate::error::{Error, ErrorKind};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::{JsonBytes, RunningSession};
use crate::http::routes::decide::not_ready;
use crate::key::{KeyId, StreamName, TenantId};
use crate::policy::set::NamedPolicySet;
use crate::policy_book::Refusal;
use crate::serde_text::{JsonError, Rfc3339, read_json};
use crate::stream::objects::TimeRange;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BacktestBody {
    /// A draft, as a file declares it.
    policy_set: Option<NamedPolicySet>,
    /// The streams that are read.
    streams: Option<Vec<StreamName>>,
    from: Rfc3339,
    to: Rfc3339,
}

/// Runs a draft, or the set in force, over the events that arrived in a time, and compares its decisions with those of
/// the version in force. The answer is a line for how far it is, about every second, and the report as the last one.
///
/// # Errors
/// 400 `invalid_request`, `invalid_expression`, 404, 410, 413, 422, 429 `too_many_queries`, 503; once lines are sent,
/// as `error` in the last one. When the session ends, the body breaks off.
pub async fn run(
    session: RunningSession,
    app: web::Data<App>,
    JsonBytes(body): JsonBytes,
) -> Result<HttpResponse, Problem> {
    let asked: BacktestBody = read_json(&body).map_err(|JsonError { line, column, reason }| {
        Problem::invalid(format!("Line {line}, column {column}: {reason}."))
    })?;
    let (progress, mut told) = mpsc::channel(1);
    let backtest = prepare(&app, &session.tenant, asked).await?;
    let task = app.engine.run_beside(backtest.run(progress))?;
    let Some(first) = told.recv().await else {
        let error = done(task).await.err();
        return Err(error.unwrap_or_else(|| Problem::new(Code::Internal, "The backtest said nothing.")));
    };
    let abort = task.abort_handle();
    tokio::spawn(async move {
        // Also while the body is not read: a client that stops reading keeps no backtest running.
        session.ended().await;
        abort.abort();
    });
    let answer = Answer { first: Some(first), told, task: Some(task) };
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(answer.lines()))
}

/// Checks what is asked, so that nothing is read for what cannot be tried.
async fn prepare(app: &web::Data<App>, tenant: &TenantId, asked: BacktestBody) -> Result<Backtest, Problem> {
    let BacktestBody { policy_set, streams, from: Rfc3339(from), to: Rfc3339(to) } = asked;
    if from >= to {
        return Err(Problem::invalid("from must be before to."));
    }
    let version = app.policies.in_force(tenant);
    let in_force = Draft::of_version(version.as_deref());
    let draft = match policy_set {
        Some(named) => {
            Draft::new(named, version.as_deref()).map_err(|faults| Problem::from(Refusal::Faults(faults)))?
        }
        None if version.is_none() => {
            return Err(Problem::invalid("There is no set in force: give the policySet that is to be tried."));
        }
        None => in_force.clone(),
    };
    let streams = draft.streams(&app.catalog, tenant, streams)?;
    let stored = |stream: StreamName| {
        let schema = app.catalog.get(tenant, &stream)?;
        let stored = StoredStream::new(&stream, &draft.traffic, schema.fields());
        Some((stream, stored))
    };
    let streams: Vec<(StreamName, StoredStream)> = streams.into_iter().filter_map(stored).collect();
    let lacking: Vec<String> = streams.iter().flat_map(|(name, stored)| lacks(name, stored, &draft.set)).collect();
    if !lacking.is_empty() {
        return Err(Problem::invalid(format!("The set reads what is not there: {}.", lacking.join("; "))));
    }
    app.decider.prepare().await?;
    let pseudonyms = app.decider.pseudonyms(tenant).map_err(not_ready)?;
    let turn = app.decider.backtests().take(tenant).ok_or_else(|| {
        Problem::new(Code::TooManyQueries, "A backtest of the tenant is running on this node: wait until it ends.")
    })?;
    Ok(Backtest {
        turn,
        beside: app.engine.beside(tenant),
        pseudonyms,
        in_force_lacks: streams.iter().flat_map(|(name, stored)| lacks(name, stored, &in_force.set)).collect(),
        draft,
        in_force,
        streams,
        range: TimeRange { start: Some(from), end: Some(to) },
        trust: trust(app, tenant),
    })
}

/// How far the sources of the tenant's keys are trusted now.
fn trust(app: &web::Data<App>, tenant: &TenantId) -> Arc<TrustLevels> {
    let (app, tenant) = (app.clone(), tenant.clone());
    Arc::new(move |key_id| {
        let key = app.keystore.cache().key(&tenant, KeyId::parse(key_id).ok()?)?;
        Some(key.settings.trust_level.as_str().into())
    })
}

/// The answer as it grows.
struct Answer {
    first: Option<Progress>,
    told: mpsc::Receiver<Progress>,
    /// Dropping it ends the backtest.
    task: Option<AbortOnDropHandle<crate::Result<Report>>>,
}

impl Answer {
    fn lines(self) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        stream::unfold(self, |mut answer| async move { Some((Ok(answer.next().await?), answer)) })
    }

    /// The next line; `None` behind the last one.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(line(&json!({ "progress": first })));
        }
        let ended = match self.told.recv().await {
            Some(progress) => return Some(line(&json!({ "progress": progress }))),
            None => done(self.task.take()?).await,
        };
        Some(line(&match ended {
            Ok(report) => json!({ "result": report }),
            Err(problem) => json!({ "error": {
                "status": problem.code().status().as_u16(), "code": problem.code().as_str(), "detail": problem.detail(),
            } }),
        }))
    }
}

async fn done(task: AbortOnDropHandle<crate::Result<Report>>) -> Result<Report, Problem> {
    match task.await {
        Ok(done) => Ok(done?),
        Err(error) if error.is_cancelled() => Err(Problem::new(Code::SessionClosed, "The backtest was ended.")),
        Err(error) => Err(Error::new(ErrorKind::Internal, "the backtest failed").caused_by(error).into()),
    }
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
