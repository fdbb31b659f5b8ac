//! Events come in.

use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::auth::{Ingestion, Permit};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::{check_length, read_body};
use crate::http::middleware::admit;
use crate::http::usage::Accepted;
use crate::ingest::{ContentEncoding, Origin};
use crate::key::StreamName;
use crate::limits::Load;

const X_P_STREAM: &str = "X-P-Stream";

/// Takes events for the stream that `X-P-Stream` names; answers once they are durable.
///
/// # Errors
/// 400, 403 `stream_not_allowed`, 408, 413, 415, 429 `rate_limited`, 503.
pub async fn by_header(
    permit: Permit<Ingestion>,
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let stream = named_in_header(&request)?;
    let stream = stream.ok_or_else(|| Problem::invalid(format!("Name the stream in {X_P_STREAM}.")))?;
    accept(&permit, &app, &request, stream, payload).await
}

/// Takes events for the stream that the path names; answers once they are durable.
///
/// # Errors
/// As for [`by_header`].
pub async fn by_path(
    permit: Permit<Ingestion>,
    app: web::Data<App>,
    request: HttpRequest,
    stream: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let stream = StreamName::parse(&stream)?;
    if named_in_header(&request)?.is_some_and(|named| named != stream) {
        return Err(Problem::invalid(format!("{X_P_STREAM} names another stream than the path.")));
    }
    accept(&permit, &app, &request, stream, payload).await
}

async fn accept(
    permit: &Permit<Ingestion>,
    app: &App,
    request: &HttpRequest,
    stream: StreamName,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    permit.check_stream(&stream)?;
    check_media_type(request)?;
    let encoding = encoding(request)?;
    check_length(request, app.max_body_bytes)?;
    let body = read_body(payload.into_inner(), app.max_body_bytes, app.body_timeout).await?;
    let key = permit.key();
    let origin = Origin { tenant: key.tenant.clone(), key_id: key.key_id, source_id: key.source_id.clone() };
    let body_bytes = body.len();
    let unstored = app.ingest.read(encoding, body).await?;
    let load = Load { requests: 0, events: unstored.events() as u64, bytes: body_bytes as u64 };
    admit::charge(request, &app.limiter, permit, load).await?;
    let accepted = app.ingest.store(origin, &stream, unstored).await?;
    app.metrics.events.inc_by(accepted as u64);
    app.metrics.ingested_bytes.inc_by(body_bytes as u64);
    let mut response = HttpResponse::Ok().json(json!({"stream": stream, "accepted": accepted}));
    response.extensions_mut().insert(Accepted { events: accepted as u64, bytes: body_bytes as u64 });
    Ok(response)
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

fn check_media_type(request: &HttpRequest) -> Result<(), Problem> {
    match request.content_type().to_ascii_lowercase().as_str() {
        "application/json" | "application/x-ndjson" | "application/jsonl" => Ok(()),
        "" if !request.headers().contains_key(header::CONTENT_TYPE) => Ok(()),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "Send application/json, application/x-ndjson or application/jsonl (curl: -H 'Content-Type: application/json').",
        )),
    }
}

fn encoding(request: &HttpRequest) -> Result<ContentEncoding, Problem> {
    let mut values = request.headers().get_all(header::CONTENT_ENCODING);
    let Some(value) = values.next() else { return Ok(ContentEncoding::Identity) };
    match value.to_str().map(str::to_ascii_lowercase).as_deref().map(str::trim) {
        Ok("identity") if values.next().is_none() => Ok(ContentEncoding::Identity),
        Ok("gzip" | "x-gzip") if values.next().is_none() => Ok(ContentEncoding::Gzip),
        Ok("zstd") if values.next().is_none() => Ok(ContentEncoding::Zstd),
        _ => Err(Problem::new(Code::UnsupportedMediaType, "Send the body plain, or with one of gzip and zstd.")),
    }
}
