//! Events come in.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::access::limits::Cost;
use crate::error::ErrorKind;
use crate::http::app::App;
use crate::http::authorize::Authorized;
use crate::http::error::Problem;
use crate::http::media_type::{content_encoding, media_type, unsupported};
use crate::http::receive::{Received, receive};
use crate::http::usage::Accepted;
use crate::ingest::{ContentEncoding, Framing, Origin, Upload};
use crate::key::StreamName;

const X_P_STREAM: &str = "X-P-Stream";
/// The names under which NDJSON is sent.
const NDJSON_SUBTYPES: [&str; 8] =
    ["x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "json-lines", "stream+json"];

/// Takes events for the stream that `X-P-Stream` names; answers once they are durable.
///
/// # Errors
/// 400, 403 `stream_not_allowed`, 408, 413, 415, 429 `rate_limited` and `too_many_streams`, 503.
pub async fn by_header(
    authorized: Authorized,
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let stream = named_in_header(&request)?;
    let stream = stream.ok_or_else(|| Problem::invalid(format!("Name the stream in {X_P_STREAM}.")))?;
    accept(&authorized, &app, &request, stream, payload).await
}

/// Takes events for the stream that the path names; answers once they are durable.
///
/// # Errors
/// As for [`by_header`].
pub async fn by_path(
    authorized: Authorized,
    app: web::Data<App>,
    request: HttpRequest,
    stream: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let stream = StreamName::parse(&stream)?;
    if named_in_header(&request)?.is_some_and(|named| named != stream) {
        return Err(Problem::invalid(format!("{X_P_STREAM} names another stream than the path.")));
    }
    accept(&authorized, &app, &request, stream, payload).await
}

async fn accept(
    authorized: &Authorized,
    app: &App,
    request: &HttpRequest,
    stream: StreamName,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    authorized.check_stream(&stream)?;
    let (framing, encoding) = (framing(request)?, encoding(request)?);
    let Received { body, reservation } = receive(app, request, payload.into_inner()).await?;
    let key = authorized.key();
    let origin = Origin { tenant: key.tenant.clone(), key_id: key.key_id, source_id: key.source_id.clone() };
    let body_bytes = body.len();
    let unstored = app.ingest.read(Upload { encoding, framing, body }, reservation).await?;
    let cost = Cost { requests: 0, events: unstored.events() as u64, bytes: body_bytes as u64 };
    authorized.acquire(cost).await?;
    let stored = app.ingest.store(origin, &stream, unstored).await;
    let accepted = stored.inspect_err(|error| {
        if error.kind() == ErrorKind::TooManyStreams {
            app.metrics.stream_limit_refusals.inc();
        }
    })?;
    app.metrics.events.inc_by(accepted as u64);
    app.metrics.ingested_bytes.inc_by(body_bytes as u64);
    authorized.note_accepted(Accepted { events: accepted as u64, bytes: body_bytes as u64 });
    Ok(HttpResponse::Ok().json(json!({"stream": stream, "accepted": accepted})))
}

fn named_in_header(request: &HttpRequest) -> Result<Option<StreamName>, Problem> {
    let mut values = request.headers().get_all(X_P_STREAM);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid(format!("{X_P_STREAM} is repeated.")));
    }
    let name = value.to_str().map_err(|_| Problem::invalid(format!("{X_P_STREAM} is not ASCII.")))?;
    Ok(Some(StreamName::parse(name.trim())?))
}

/// How events stand in the body, by its media type.
fn framing(request: &HttpRequest) -> Result<Framing, Problem> {
    let media_type = media_type(request)?;
    let is_json =
        |subtype: &str| subtype == "json" || subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty());
    match media_type.split_once('/') {
        None if media_type.is_empty() => Ok(Framing::Json),
        Some(("application", subtype)) if NDJSON_SUBTYPES.contains(&subtype) => Ok(Framing::Lines),
        Some(("application", subtype)) if is_json(subtype) => Ok(Framing::Json),
        _ => Err(unsupported(
            "Send application/json (or any application/…+json), or lines as application/x-ndjson or application/jsonl \
             (curl: -H 'Content-Type: application/json').",
        )),
    }
}

fn encoding(request: &HttpRequest) -> Result<ContentEncoding, Problem> {
    match content_encoding(request)?.as_deref() {
        None => Ok(ContentEncoding::Identity),
        Some("gzip" | "x-gzip") => Ok(ContentEncoding::Gzip),
        Some("zstd") => Ok(ContentEncoding::Zstd),
        Some(_) => Err(unsupported("Send the body plain, or with one of gzip and zstd.")),
    }
}
