//! Extractors: the arguments of handlers.

use std::future::{Ready, ready};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures::future::LocalBoxFuture;
use futures::{StreamExt, TryFutureExt};
use serde::de::DeserializeOwned;

use super::deadline::within;
use super::error::{Code, Problem};
use super::media_type::{media_type, refuse_encoded, unsupported};
use crate::access::{Permit, Session};
use crate::serde_text::{JsonError, read_json};

/// The largest JSON body of the admin plane and of queries, in bytes.
pub const MAX_JSON_BYTES: usize = 128 * 1024;
/// The largest JSON body of events that are decided about, in bytes.
pub const MAX_EVENTS_BYTES: usize = 2 * 1024 * 1024;
/// How long a JSON body may take to arrive.
const JSON_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest JSON body that declares many keys, in bytes.
pub const MAX_LARGE_JSON_BYTES: usize = 16 * 1024 * 1024;
/// How long such a body may take to arrive.
const LARGE_JSON_TIMEOUT: Duration = Duration::from_secs(60);

impl FromRequest for Permit {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    /// Fails with 500 on a route without [`super::middleware::api_key::require`].
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let permit = request.extensions().get::<Self>().cloned();
        ready(
            permit.ok_or_else(|| {
                unprepared("a handler takes a Permit: wrap its route in from_fn(api_key::require(action))")
            }),
        )
    }
}

/// The query session of this request.
#[derive(Debug, Clone)]
pub struct RunningSession(Arc<Session>);

impl RunningSession {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self(session)
    }

    /// The session, for what outlives the handler.
    pub fn shared(&self) -> Arc<Session> {
        self.0.clone()
    }
}

impl Deref for RunningSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl FromRequest for RunningSession {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    /// Fails with 500 on a route without [`super::middleware::query_session::hold`].
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let session = request.extensions().get::<Self>().cloned();
        ready(session.ok_or_else(|| unprepared("a handler takes a session: wrap its route in query_session::hold")))
    }
}

fn unprepared(how_to_fix: &str) -> Problem {
    tracing::error!("{how_to_fix}");
    Problem::new(Code::Internal, "The server is not set up.")
}

/// A JSON body of at most [`MAX_JSON_BYTES`]. A refusal names the line but repeats no value: it may be a key pasted
/// into the wrong field.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = json(request, payload, MAX_JSON_BYTES, JSON_TIMEOUT);
        Box::pin(body.and_then(async |body| parse_json(&body).map(Self)))
    }
}

/// The same, of at most [`MAX_LARGE_JSON_BYTES`].
#[derive(Debug)]
pub struct LargeJson<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for LargeJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = json(request, payload, MAX_LARGE_JSON_BYTES, LARGE_JSON_TIMEOUT);
        Box::pin(body.and_then(async |body| parse_json(&body).map(Self)))
    }
}

/// The bytes of a JSON body of events of at most [`MAX_EVENTS_BYTES`], as they came.
#[derive(Debug)]
pub struct JsonBytes(pub Bytes);

impl FromRequest for JsonBytes {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        Box::pin(json(request, payload, MAX_EVENTS_BYTES, JSON_TIMEOUT).map_ok(Self))
    }
}

/// The same for a body that may be left out: then it is the default.
#[derive(Debug)]
pub struct JsonOrNothing<T>(pub T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for JsonOrNothing<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = json(request, payload, MAX_JSON_BYTES, JSON_TIMEOUT);
        Box::pin(body.and_then(async |body| {
            if without_mark(&body).is_empty() { Ok(Self(T::default())) } else { parse_json(&body).map(Self) }
        }))
    }
}

fn json(
    request: &HttpRequest,
    payload: &mut Payload,
    max_bytes: usize,
    timeout: Duration,
) -> impl Future<Output = Result<Bytes, Problem>> + use<> {
    let admitted = check_json(request).and_then(|()| check_length(request, max_bytes));
    let payload = payload.take();
    async move {
        admitted?;
        read_body(payload, max_bytes, timeout).await
    }
}

/// Whether the request declares a JSON body. A PATCH changes the fields that it names and clears
/// those that are `null`, which is what a merge patch is (RFC 7396).
fn check_json(request: &HttpRequest) -> Result<(), Problem> {
    refuse_encoded(request)?;
    match media_type(request)?.as_str() {
        "" | "application/json" => Ok(()),
        "application/merge-patch+json" if request.method() == Method::PATCH => Ok(()),
        _ => Err(unsupported("Send application/json (curl: -H 'Content-Type: application/json').")),
    }
}

fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = without_mark(body);
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        // serde would take the values of an array for those of the fields, in order.
        return Err(Problem::invalid("Line 1: send a JSON object, not an array."));
    }
    read_json(body).map_err(|JsonError { line, column, reason }| {
        Problem::invalid(format!("Line {line}, column {column}: {reason}."))
    })
}

/// A text without its byte order mark, with which some programs begin everything they write (RFC 8259, section 8.1).
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Refuses a body whose `Content-Length` is too large before reading it.
///
/// # Errors
/// 413.
pub fn check_length(request: &HttpRequest, max_bytes: usize) -> Result<(), Problem> {
    let stated =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|stated| stated > max_bytes as u64) { Err(too_large(max_bytes)) } else { Ok(()) }
}

pub(super) fn too_large(max_bytes: usize) -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("The body is larger than {max_bytes} bytes."))
}

/// Reads a whole body of at most `max_bytes` within `timeout`.
///
/// # Errors
/// 413, 408, or 400 when the connection breaks.
pub async fn read_body(mut payload: Payload, max_bytes: usize, timeout: Duration) -> Result<Bytes, Problem> {
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::invalid("The body could not be read to its end."))?;
            if body.len() + chunk.len() > max_bytes {
                return Err(too_large(max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let too_slow = || Problem::new(Code::RequestTimeout, "The body did not arrive in time.");
    within(timeout, read).await.ok_or_else(too_slow)?
}
