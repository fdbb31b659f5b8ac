//! Bodies that are not read. After an answer that comes before the end of its request's body, little more of the body
//! is read, and then the connection ends. It must not end at once: a client that is still sending would see a reset and
//! might never read the answer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::ConnectionType;
use actix_web::{HttpMessage, HttpResponse};
use bytes::Bytes;
use futures::Stream;
use tokio::time::Sleep;

use super::connection::{Connection, connection};

/// The most that is read of a body after its answer, in bytes.
pub const MAX_UNREAD_BYTES: usize = 256 * 1024;
/// How long the connection lasts after such an answer.
pub const MAX_LINGER: Duration = Duration::from_secs(1);

/// The body of a request, shared between its handler and its answer.
#[derive(Clone)]
pub(super) struct RequestBody(Rc<SharedBody>);

struct SharedBody {
    payload: RefCell<Payload>,
    ended: Cell<bool>,
    /// Its framing is broken, or its client hung up.
    failed: Cell<bool>,
    connection: Option<Rc<Connection>>,
}

impl RequestBody {
    /// Keeps hold of the body of a request; `None` when it has none.
    pub(super) fn of(request: &mut ServiceRequest) -> Option<Self> {
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return None;
        }
        let (ended, failed, connection) = (Cell::new(false), Cell::new(false), connection(request.request()));
        let body = Self(Rc::new(SharedBody { payload: RefCell::new(payload), ended, failed, connection }));
        request.set_payload(Payload::Stream { payload: Box::pin(body.clone()) });
        Some(body)
    }

    /// The same answer, followed by the end of the connection when the body was not read to its end.
    pub(super) async fn finish(self, mut response: HttpResponse) -> HttpResponse {
        let mut left = MAX_UNREAD_BYTES;
        if self.read_arrived(&mut left).await {
            if self.0.failed.get() {
                response.head_mut().set_connection_type(ConnectionType::Close);
            }
            return response;
        }
        response.map_body(|_, answer| BoxBody::new(Lingering { answer: Some(answer), body: self, left, end: None }))
    }

    /// Reads what has arrived already, so that a small body costs no connection. Says whether that was all.
    async fn read_arrived(&self, left: &mut usize) -> bool {
        let mut yielded = false;
        poll_fn(|cx| match self.poll_discard(cx, left) {
            Poll::Ready(()) => Poll::Ready(()),
            // Its parts are handed over when the request is waited for.
            Poll::Pending if !yielded && *left > 0 => {
                yielded = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(()),
        })
        .await;
        self.0.ended.get()
    }

    /// Reads and forgets until the body ends or nothing is left that may be read.
    fn poll_discard(&self, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        while *left > 0 {
            match self.poll(cx) {
                Poll::Ready(Some(Ok(chunk))) => *left = left.saturating_sub(chunk.len()),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.0.ended.get() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if self.0.ended.get() {
            return Poll::Ready(None);
        }
        let next = Pin::new(&mut *self.0.payload.borrow_mut()).poll_next(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.0.ended.set(true);
        }
        if matches!(next, Poll::Ready(Some(Err(_)))) {
            self.0.failed.set(true);
            self.0.connection.iter().for_each(|connection| connection.note_broken());
        }
        next
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({})", if self.0.ended.get() { "read" } else { "unread" })
    }
}

/// An answer that is complete for its client, and lasts a little longer for the connection. actix closes a connection
/// when an answer ends and the body of its request is still held.
struct Lingering {
    answer: Option<BoxBody>,
    body: RequestBody,
    left: usize,
    end: Option<Pin<Box<Sleep>>>,
}

impl MessageBody for Lingering {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.as_ref().map_or(BodySize::None, MessageBody::size)
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        if let Some(answer) = &mut this.answer {
            match Pin::new(answer).poll_next(cx) {
                Poll::Ready(None) => this.answer = None,
                more => return more,
            }
        }
        let end = this.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(MAX_LINGER)));
        match this.body.poll_discard(cx, &mut this.left) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => end.as_mut().poll(cx).map(|()| None),
        }
    }
}
