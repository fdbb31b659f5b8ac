//! Ingested events before the policies of their tenant: between their storage and their acknowledgement.

use std::sync::Arc;
use std::time::Instant;

use actix_web::web;

use crate::decisions::columns::Rows;
use crate::decisions::{Columns, Counted, DecisionRow, NotReady};
use crate::error::{Error, ErrorKind, Result};
use crate::http::app::App;
use crate::ingest::{Batch, Origin, StoredEvents, Unstored};
use crate::key::{ApiKey, StreamName};
use crate::policy::event::{Arrival, Door};
use crate::policy_book::Version;

/// From so many events on they are judged on a thread of their own: one takes some microseconds.
const INLINE_EVENTS: usize = 200;

/// Stores events, and judges them if policies of the tenant do: the answer comes when both are durable. They are judged
/// once they are stored, so no row tells of an event that was refused; a client that gets no answer sends all again.
///
/// # Errors
/// As for [`crate::ingest::Ingest::store`]; [`ErrorKind::Unavailable`] when the store does not take the decisions.
pub(super) async fn store_and_judge(
    app: &web::Data<App>,
    key: &Arc<ApiKey>,
    origin: Origin,
    stream: &StreamName,
    unstored: Unstored,
) -> Result<StoredEvents> {
    let traffic = Traffic::of(app, key, stream, unstored.batch());
    let stored = app.ingest.store(origin, stream, unstored).await?;
    if let Some(traffic) = traffic {
        traffic.judge(app, key).await?;
    }
    Ok(stored)
}

/// Events of a stream that policies judge.
struct Traffic {
    version: Arc<Version>,
    columns: Columns,
}

impl Traffic {
    /// Those of a batch; `None` when no policy judges the stream.
    fn of(app: &App, key: &ApiKey, stream: &StreamName, batch: &Batch) -> Option<Self> {
        let version = app.decider.judging(&key.tenant, stream)?;
        let columns = Columns::new(&version.document.traffic, &batch.fields, &batch.columns);
        Some(Self { version, columns })
    }

    /// Judges them, and returns once every match is durable.
    async fn judge(self, app: &web::Data<App>, key: &Arc<ApiKey>) -> Result<()> {
        let rows = if app.decider.counts_together() {
            self.rows_together(app, key).await
        } else if self.columns.rows() <= INLINE_EVENTS {
            self.rows(app, key)
        } else {
            let (app, key) = (app.clone(), key.clone());
            let judged = tokio::task::spawn_blocking(move || self.rows(&app, &key)).await;
            judged.map_err(|error| Error::new(ErrorKind::Internal, "events could not be judged").caused_by(error))?
        };
        let rows = rows.map_err(|NotReady| Error::new(ErrorKind::Unavailable, "the policies are being loaded"))?;
        if rows.is_empty() {
            return Ok(());
        }
        if !app.decider.recorder().add(&key.tenant, rows) {
            return Err(Error::new(ErrorKind::Unavailable, "too many decisions wait to be recorded"));
        }
        app.decider.recorder().flush().await
    }

    fn rows(self, app: &App, key: &ApiKey) -> std::result::Result<Vec<DecisionRow>, NotReady> {
        let key_id = key.key_id.to_string();
        let rows = self.columns.part(0..self.columns.rows(), arrival(app, key, &key_id));
        self.judged(app, key, &rows, &Counted::default())
    }

    /// The same where windows are counted together with other nodes: a part after the other is counted, then judged.
    async fn rows_together(self, app: &App, key: &ApiKey) -> std::result::Result<Vec<DecisionRow>, NotReady> {
        let key_id = key.key_id.to_string();
        let arrival = arrival(app, key, &key_id);
        let mut matched = Vec::new();
        for first in (0..self.columns.rows()).step_by(INLINE_EVENTS) {
            let rows = self.columns.part(first..first + INLINE_EVENTS, arrival);
            let counted = app.decider.count_rows(&key.tenant, &self.version, &rows).await;
            matched.extend(self.judged(app, key, &rows, &counted)?);
        }
        Ok(matched)
    }

    fn judged(
        &self,
        app: &App,
        key: &ApiKey,
        rows: &Rows<'_>,
        counted: &Counted,
    ) -> std::result::Result<Vec<DecisionRow>, NotReady> {
        let mut last = Instant::now();
        app.decider.judge(&key.tenant, &self.version, rows, counted, |decision| {
            let outcomes = decision.matches.iter().map(|found| found.outcome.as_str());
            let (action, now) = (decision.verdict.as_str(), Instant::now());
            app.metrics.decisions.count(action, Door::Ingest.as_str(), outcomes, now - last);
            last = now;
        })
    }
}

/// How events of a key arrive now.
fn arrival<'a>(app: &App, key: &'a ApiKey, key_id: &'a str) -> Arrival<'a> {
    Arrival {
        source_id: key.settings.source_id.as_ref().map(|source| source.as_str()),
        trust_level: Some(key.settings.trust_level.as_str()),
        key_id: Some(key_id),
        ..Arrival::new(Door::Ingest, app.decider.now().timestamp_millis())
    }
}
