//! Events come in from Kinesis Data Firehose: HTTP endpoint delivery, version 1.0.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::Serialize;
use tokio::time::Instant;

use super::ingest::{Intake, encoding, on_invalid};
use super::judge::store_and_judge;
use crate::clock::Clock;
use crate::http::app::App;
use crate::http::authorize::Authorized;
use crate::http::error::{Code, Problem};
use crate::http::receive::{Received, receive};
use crate::ingest::firehose::{DeliveryId, attributes, first_request_id};
use crate::ingest::{CommonFields, Form, Upload};
use crate::key::StreamName;

/// Where deliveries go.
pub const PATH: &str = "/api/v1/firehose/";
/// The header that carries the API key of a delivery.
pub const ACCESS_KEY: HeaderName = HeaderName::from_static("x-amz-firehose-access-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-firehose-request-id");
const COMMON_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amz-firehose-common-attributes");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-amz-firehose-protocol-version");
/// The longest id of a delivery, in bytes; Firehose sends GUIDs.
const MAX_REQUEST_ID_BYTES: usize = 128;
/// The longest error message that Firehose takes, in characters.
const MAX_MESSAGE_CHARS: usize = 8192;

/// Takes the records of a delivery; answers 200 once their events are durable. A delivery that was stored on this node
/// within the last ten minutes is acknowledged and not stored again.
///
/// # Errors
/// As for events on the other routes, in the form of [`answer`].
pub async fn deliver(
    authorized: Authorized,
    app: web::Data<App>,
    request: HttpRequest,
    stream: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let stream = StreamName::parse(&stream)?;
    authorized.check_stream(&stream)?;
    let version = request.headers().get(PROTOCOL_VERSION);
    if version.is_some_and(|version| version != "1.0") {
        return Err(Problem::invalid("X-Amz-Firehose-Protocol-Version must be 1.0."));
    }
    let common = common(&request)?;
    let on_invalid = on_invalid(&app, &authorized, &request, &stream)?;
    let encoding = encoding(&request)?;
    let Received { body, reservation } = receive(&app, &request, payload.into_inner()).await?;
    if !request.headers().contains_key(REQUEST_ID) {
        let id = first_request_id(&body).filter(|id| is_request_id(id));
        request.extensions_mut().insert(BodyId(id.map(String::into_boxed_str)));
    }
    let request_id = request_id(&request).ok_or_else(|| {
        let bound = format!("in 1 to {MAX_REQUEST_ID_BYTES} visible ASCII characters");
        Problem::invalid(format!("{REQUEST_ID} must name the delivery, {bound}."))
    })?;
    let form = Form::Firehose { request_id: Some(request_id.clone()), common };
    let deletions = app.catalog.known(authorized.tenant(), &stream).map_or(0, |schema| schema.deletions());
    let id = DeliveryId { key_id: authorized.key().key_id, stream, deletions, request_id };
    // A repeated delivery that is still being stored waits for the outcome of the first.
    let is_stored = app.deliveries.find(&id, Instant::now());
    let mut turn = is_stored.clone().lock_owned().await;
    if *turn {
        app.metrics.repeated_deliveries.inc();
        return Ok(HttpResponse::Ok().finish());
    }
    let intake = Intake { authorized: &authorized, app: &app, stream: &id.stream, on_invalid };
    let body_bytes = body.len();
    let unstored = intake.read(Upload { encoding, form, body }, reservation).await?;
    let (origin, node, delivery, key) = (intake.origin(), app.clone(), id.clone(), authorized.key().clone());
    // Completes even when Firehose hangs up: a stored delivery must be remembered.
    let stored = tokio::spawn(async move {
        let stored = store_and_judge(&node, &key, origin, &delivery.stream, unstored).await;
        if stored.is_ok() {
            *turn = true;
            node.deliveries.stored(&delivery, &is_stored, Instant::now());
        }
        stored
    });
    let stored = stored.await.map_err(|_| Problem::new(Code::Internal, "The events were lost to a defect."))?;
    intake.note(stored, body_bytes)?;
    Ok(HttpResponse::Ok().finish())
}

/// The id in the body of a request without [`REQUEST_ID`].
struct BodyId(Option<Box<str>>);

/// The id of a delivery: that of the header, or where there is none that of the body, once it was read.
fn request_id(request: &HttpRequest) -> Option<Box<str>> {
    match request.headers().get(REQUEST_ID) {
        Some(id) => id.to_str().ok().filter(|id| is_request_id(id)).map(Box::from),
        None => request.extensions().get::<BodyId>()?.0.clone(),
    }
}

/// Whether this is an id of visible ASCII.
fn is_request_id(id: &str) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn common(request: &HttpRequest) -> Result<CommonFields, Problem> {
    let mut values = request.headers().get_all(COMMON_ATTRIBUTES);
    match (values.next(), values.next()) {
        (None, _) => Ok(CommonFields::default()),
        (Some(value), None) => {
            let text = std::str::from_utf8(value.as_bytes());
            let text = text.map_err(|_| Problem::invalid(format!("{COMMON_ATTRIBUTES} is not UTF-8.")))?;
            Ok(attributes(text)?)
        }
        (Some(_), Some(_)) => Err(Problem::invalid(format!("{COMMON_ATTRIBUTES} is repeated."))),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryAnswer<'a> {
    request_id: &'a str,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

/// Every answer in Firehose's form: the id of the delivery, the time, and the error. Status and header fields stay.
pub fn answer(request: &HttpRequest, response: HttpResponse) -> HttpResponse {
    let error = response.error().and_then(|error| error.as_error::<Problem>());
    let message = error.map(|problem| format!("{}: {}", problem.code().as_str(), problem.detail()));
    let is_refusal = response.status() != StatusCode::OK;
    let message = message.or_else(|| is_refusal.then(|| "the delivery was refused".to_owned()));
    let now = request.app_data::<web::Data<App>>().map(|app| app.keystore.now());
    let answer = DeliveryAnswer {
        request_id: &request_id(request).unwrap_or_default(),
        timestamp: now.unwrap_or_else(|| crate::clock::SystemClock.now()).timestamp_millis(),
        error_message: message.map(|message| message.chars().take(MAX_MESSAGE_CHARS).collect()),
    };
    let body = serde_json::to_vec(&answer).unwrap_or_default();
    let mut response = response.map_body(|_, _| actix_web::body::BoxBody::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
