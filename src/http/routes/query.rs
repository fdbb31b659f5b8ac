//! SQL over the streams of a query session.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::auth::{Permit, Query};
use crate::error::{Error, ErrorKind};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::{Json, RunningSession};
use crate::query::{Format, QueryRequest, Scope};

/// The body of a query.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    query: String,
    start_time: Option<DateTime<Utc>>,
    end_time: Option<DateTime<Utc>>,
}

/// Answers SQL with rows as they come. The session is the only source of what may be read; it is held by the body.
///
/// # Errors
/// 400 `invalid_query`, 429, 503; 401, 403 or 504 when the session ends before the first row.
pub async fn run(
    _: Permit<Query>,
    session: RunningSession,
    app: web::Data<App>,
    request: HttpRequest,
    Json(ask): Json<Ask>,
) -> Result<HttpResponse, Problem> {
    let query = QueryRequest::new(&ask.query, ask.start_time, ask.end_time).map_err(refusal)?;
    let scope = Scope { tenant: session.tenant.clone(), streams: session.streams.clone() };
    let rows = app.engine.run(scope, query, format(&request)).await.map_err(refusal)?;
    let stopper = rows.stopper();
    tokio::spawn(async move {
        // Even while nobody reads the body: a client that has stopped reading keeps nothing running.
        session.ended().await;
        stopper.stop();
    });
    Ok(HttpResponse::Ok()
        .content_type(rows.content_type())
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(rows))
}

fn refusal(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::TooLarge => Problem::new(Code::InvalidQuery, error.message().to_owned()),
        _ => error.into(),
    }
}

/// The first media type in `Accept` that we can write; JSON when there is none.
fn format(request: &HttpRequest) -> Format {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = accept.split(',').find_map(|range| match range.split(';').next().unwrap_or_default().trim() {
        "application/json" | "*/*" | "application/*" => Some(Format::JsonArray),
        "application/x-ndjson" | "application/jsonl" => Some(Format::NdJson),
        "text/csv" => Some(Format::Csv),
        _ => None,
    });
    known.unwrap_or_default()
}
