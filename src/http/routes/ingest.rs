//! Ingest of events.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::judge::store_and_judge;
use crate::access::limits::Cost;
use crate::error::ErrorKind;
use crate::http::app::App;
use crate::http::authorize::{Accepted, Authorized};
use crate::http::error::Problem;
use crate::http::media_type::{content_encoding, is_ndjson, media_type, unsupported};
use crate::http::receive::{Received, receive};
use crate::ingest::decode::Place;
use crate::ingest::{ContentEncoding, Form, Framing, Origin, Reservation, Sample, StoredEvents, Unstored, Upload};
use crate::key::StreamName;
use crate::stream::OnInvalid;

const X_P_STREAM: &str = "X-P-Stream";
const X_KEYLOFT_ON_INVALID: &str = "X-Keyloft-On-Invalid";

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
    app: &web::Data<App>,
    request: &HttpRequest,
    stream: StreamName,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    authorized.check_stream(&stream)?;
    let (form, encoding) = (Form::Events(framing(request)?), encoding(request)?);
    let intake =
        Intake { authorized, app, stream: &stream, on_invalid: on_invalid(app, authorized, request, &stream)? };
    let Received { body, reservation } = receive(app, request, payload.into_inner()).await?;
    let body_bytes = body.len();
    let unstored = intake.read(Upload { encoding, form, body }, reservation).await?;
    let stored = store_and_judge(app, authorized.key(), intake.origin(), &stream, unstored).await;
    let stored = intake.note(stored, body_bytes)?;
    let mut answer = json!({"stream": stream, "accepted": stored.accepted});
    if let Some(set_aside) = &stored.set_aside {
        answer["rejected"] = json!(set_aside.count());
        if set_aside.count() > 0 {
            answer["reasons"] = set_aside.samples.iter().map(reason).collect();
        }
    }
    Ok(HttpResponse::Ok().json(answer))
}

/// One ingest request, on either route.
pub(super) struct Intake<'a> {
    pub(super) authorized: &'a Authorized,
    pub(super) app: &'a App,
    pub(super) stream: &'a StreamName,
    pub(super) on_invalid: OnInvalid,
}

impl Intake<'_> {
    /// Reads the events and takes their cost from the limits of the key.
    pub(super) async fn read(&self, upload: Upload, reservation: Reservation) -> Result<Unstored, Problem> {
        let body_bytes = upload.body.len();
        let ingest = &self.app.ingest;
        let unstored = match self.on_invalid {
            OnInvalid::Reject => ingest.read(upload, reservation).await?,
            OnInvalid::Quarantine => ingest.sort(self.authorized.tenant(), self.stream, upload, reservation).await?,
        };
        let cost = Cost { requests: 0, events: unstored.events() as u64, bytes: body_bytes as u64 };
        self.authorized.acquire(cost).await?;
        Ok(unstored)
    }

    /// The origin that is stored with the events.
    pub(super) fn origin(&self) -> Origin {
        let key = self.authorized.key();
        Origin { tenant: key.tenant.clone(), key_id: key.key_id, source_id: key.settings.source_id.clone() }
    }

    /// Counts accepted and rejected events.
    pub(super) fn note(&self, stored: crate::Result<StoredEvents>, body_bytes: usize) -> Result<StoredEvents, Problem> {
        let metrics = &self.app.metrics;
        let stored = stored.inspect_err(|error| {
            if error.kind() == ErrorKind::TooManyStreams {
                metrics.stream_limit_refusals.inc();
            }
        })?;
        metrics.events.inc_by(stored.accepted as u64);
        metrics.ingested_bytes.inc_by(body_bytes as u64);
        for (fault, count) in stored.set_aside.iter().flat_map(|set_aside| &set_aside.faults) {
            metrics.count_quarantined(fault.as_str(), *count as u64);
        }
        self.authorized.note_accepted(Accepted { events: stored.accepted as u64, bytes: body_bytes as u64 });
        Ok(stored)
    }
}

/// The handling of faulty events: by the request's header, else by the stream's setting.
pub(super) fn on_invalid(
    app: &App,
    authorized: &Authorized,
    request: &HttpRequest,
    stream: &StreamName,
) -> Result<OnInvalid, Problem> {
    let mut values = request.headers().get_all(X_KEYLOFT_ON_INVALID);
    match (values.next(), values.next()) {
        (None, _) => {
            let schema = app.catalog.get(authorized.tenant(), stream);
            Ok(schema.map_or(OnInvalid::default(), |schema| schema.settings().on_invalid))
        }
        (Some(value), None) => {
            let word = value.to_str().ok().and_then(|word| word.trim().parse().ok());
            word.ok_or_else(|| Problem::invalid(format!("{X_KEYLOFT_ON_INVALID} must be reject or quarantine.")))
        }
        (Some(_), Some(_)) => Err(Problem::invalid(format!("{X_KEYLOFT_ON_INVALID} is repeated."))),
    }
}

/// One of the events that were set aside, for the answer.
fn reason(sample: &Sample) -> Value {
    let Place { record, event, line } = sample.place;
    let mut reason = json!({"code": sample.fault.as_str(), "reason": sample.reason});
    for (name, number) in [("record", record), ("event", event), ("line", line)] {
        if number > 0 {
            reason[name] = json!(number);
        }
    }
    reason
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

/// The framing of events in the body, by its media type.
fn framing(request: &HttpRequest) -> Result<Framing, Problem> {
    let media_type = media_type(request)?;
    let is_json =
        |subtype: &str| subtype == "json" || subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty());
    match media_type.split_once('/') {
        None if media_type.is_empty() => Ok(Framing::Json),
        _ if is_ndjson(&media_type) => Ok(Framing::Lines),
        Some(("application", subtype)) if is_json(subtype) => Ok(Framing::Json),
        _ => Err(unsupported(
            "Send application/json (or any application/…+json), or lines as application/x-ndjson or application/jsonl \
             (curl: -H 'Content-Type: application/json').",
        )),
    }
}

pub(super) fn encoding(request: &HttpRequest) -> Result<ContentEncoding, Problem> {
    match content_encoding(request)?.as_deref() {
        None => Ok(ContentEncoding::Identity),
        Some("gzip" | "x-gzip") => Ok(ContentEncoding::Gzip),
        Some("zstd") => Ok(ContentEncoding::Zstd),
        Some(_) => Err(unsupported("Send the body plain, or with one of gzip and zstd.")),
    }
}
