//! Many changes of keys in one request: a line for each, and a line of answer for each.
//!
//! 1. `line`: parsing a line.
//! 2. `work`: running lines in order, and stopping early.
//! 3. `answer`: a line of answer for each, and counts.

mod answer;
mod line;
mod work;

use std::future::{Ready, ready};
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::keys::parse_tenant;
use super::receipt::patience;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::{check_length, read_body};
use crate::http::media_type::{is_ndjson, media_type, refuse_encoded, unsupported};
use crate::http::operator::Operator;
use crate::http::query_string::Query;
use work::BulkRun;

/// The largest body, in bytes.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);
/// How many pieces of the answer wait for a client that reads slowly.
const PIECES: usize = 16;

/// The query string of bulk work.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BulkQuery {
    #[serde(default)]
    dry_run: bool,
    wait: Option<String>,
}

/// Runs the lines of the body in order, and answers with a line for each as it is done, then with counts and a receipt.
/// The whole body is read before the first line runs. When the client hangs up, started lines finish and no further
/// line starts.
///
/// # Errors
/// 400, 404, 408, 410, 413, 415, 429 `too_many_bulk` for the whole; else each line has a status of its own.
pub async fn run(
    operator: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    Query(query): Query<BulkQuery>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let (tenant, patience) = (parse_tenant(&tenant)?, patience(query.wait.as_deref())?);
    check_media_type(&request)?;
    check_length(&request, MAX_BYTES)?;
    let permit = BulkPermit::in_app(&app)?;
    app.keystore.tenant_read_through(&tenant).await?;
    let body = read_body(payload.into_inner(), MAX_BYTES, BODY_TIMEOUT).await?;
    let lines = line::split(&body)?;
    let (sender, mut receiver) = mpsc::channel(PIECES);
    let work = BulkRun::new(app.clone().into_inner(), tenant, operator.into_context(), query.dry_run, sender).await?;
    tokio::spawn(async move {
        let _permit = permit;
        work.run(lines, patience, start).await;
    });
    let pieces = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok::<_, actix_web::Error>);
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(pieces))
}

/// A permit for a request that holds many keys in memory, released when dropped. 429 `too_many_bulk` when all are
/// taken.
#[derive(Debug)]
pub struct BulkPermit {
    _permit: OwnedSemaphorePermit,
}

impl BulkPermit {
    fn in_app(app: &App) -> Result<Self, Problem> {
        app.bulk.clone().try_acquire_owned().map(|permit| Self { _permit: permit }).map_err(|_| {
            let detail = "This node does as much bulk work as it may: wait until some of it has ended.";
            Problem::new(Code::TooManyBulk, detail)
        })
    }
}

impl FromRequest for BulkPermit {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = request.app_data::<web::Data<App>>();
        ready(
            app.ok_or_else(|| Problem::new(Code::Internal, "The server is not set up."))
                .and_then(|app| Self::in_app(app)),
        )
    }
}

fn check_media_type(request: &HttpRequest) -> Result<(), Problem> {
    refuse_encoded(request)?;
    match media_type(request)?.as_str() {
        "" | "application/json" => Ok(()),
        media_type if is_ndjson(media_type) => Ok(()),
        _ => Err(unsupported("Send one JSON object a line (curl: -H 'Content-Type: application/x-ndjson').")),
    }
}
