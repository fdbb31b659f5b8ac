//! A body of events, read into memory that was reserved for it before.

use std::pin::pin;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::app::App;
use super::deadline::within;
use super::error::{Code, Problem};
use super::extract::{check_length, too_large};
use crate::ingest::Reservation;

/// How long memory stays reserved for the declared length of a body. After that, memory is reserved for each part as it
/// arrives, and the request is refused when there is none: many slow clients must not hold memory that others need.
const RESERVED_FOR: Duration = Duration::from_secs(5);

/// A whole body, and the memory it fills.
#[derive(Debug)]
pub struct Received {
    /// The body as it was sent.
    pub body: Bytes,
    /// Passed to [`crate::ingest::Ingest::read`].
    pub reservation: Reservation,
}

/// Reads a whole body of events: no more than `--ingest-max-body`, no longer than `--request-body-timeout`, and within
/// `--ingest-max-in-flight` over all requests.
///
/// # Errors
/// 413, 408, 400 when the connection breaks, 503 when too much is under way or the server is shutting down.
pub async fn receive(app: &App, request: &HttpRequest, payload: Payload) -> Result<Received, Problem> {
    check_length(request, app.max_body_bytes)?;
    let mut reservation = app.ingest.reserve(stated_length(request)).await?;
    let read = read(app, payload, &mut reservation);
    let too_slow = || Problem::new(Code::RequestTimeout, "The body did not arrive in time.");
    let body = within(app.body_timeout, read).await.ok_or_else(too_slow)??;
    Ok(Received { body, reservation })
}

async fn read(app: &App, mut payload: Payload, reservation: &mut Reservation) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    let (mut late, mut is_late) = (pin!(tokio::time::sleep(RESERVED_FOR)), false);
    let mut closing = pin!(app.ingest.closing());
    loop {
        let chunk = tokio::select! {
            chunk = payload.next() => chunk,
            () = &mut late, if !is_late => {
                is_late = true;
                reservation.shrink_to(body.len());
                continue;
            }
            () = &mut closing => return Err(Problem::new(Code::ShuttingDown, "The server is shutting down.")),
        };
        let Some(chunk) = chunk else { return Ok(body.freeze()) };
        let chunk = chunk.map_err(|_| Problem::invalid("The body could not be read to its end."))?;
        let length = body.len() + chunk.len();
        if length > app.max_body_bytes {
            return Err(too_large(app.max_body_bytes));
        }
        reservation.grow_to(length)?;
        body.extend_from_slice(&chunk);
    }
}

/// The declared length of a body, 0 without one; `None` for a chunked body.
fn stated_length(request: &HttpRequest) -> Option<u64> {
    let headers = request.headers();
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok(),
        None => (!headers.contains_key(header::TRANSFER_ENCODING)).then_some(0),
    }
}
