//! A response body that keeps its query session open until the last byte, and is cut when the session ends first.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use futures::future::LocalBoxFuture;

use super::connection::hung_up;
use crate::access::{SessionEnd, SessionGuard};

/// Holds a session guard for as long as the body is being sent. However the body ends (sent whole, failed, or dropped
/// because the client went away), dropping it drops the guard, which closes the session.
pub struct RetainBody {
    state: Option<BodyState>,
}

struct BodyState {
    body: BoxBody,
    ended: LocalBoxFuture<'static, SessionEnd>,
    /// Why the body ends early, until what came before is sent.
    failed: Option<Box<dyn std::error::Error>>,
    // Last, so that the work behind the body is gone before the session is.
    _guard: SessionGuard,
}

/// The session ended before the body did. The connection is then cut, so that no client takes the rest for the end.
#[derive(Debug, thiserror::Error)]
#[error("the query session ended: {0:?}")]
pub struct Cut(SessionEnd);

impl RetainBody {
    /// Retains `guard` until `body` is done, or the client of `request` has hung up.
    pub fn new(body: BoxBody, guard: SessionGuard, request: &HttpRequest) -> Self {
        let (session, hung_up) = (guard.session().clone(), hung_up(request));
        let ended = Box::pin(async move {
            tokio::select! {
                biased;
                end = session.ended() => end,
                () = hung_up => SessionEnd::Closed,
            }
        });
        Self { state: Some(BodyState { body, ended, failed: None, _guard: guard }) }
    }
}

impl fmt::Debug for RetainBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RetainBody({})", if self.state.is_some() { "open" } else { "done" })
    }
}

impl MessageBody for RetainBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.state.as_ref().map_or(BodySize::None, |state| state.body.size())
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let Some(state) = &mut self.state else { return Poll::Ready(None) };
        let next = match state.failed.take() {
            Some(error) => Some(Err(error)),
            None => match state.poll(cx) {
                Poll::Ready(Some(Err(error))) => {
                    // An error ends the connection, and what is not sent by then is lost, the status line too. The
                    // server sends it while it waits for more.
                    state.failed = Some(error);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(next) => next,
                Poll::Pending => return Poll::Pending,
            },
        };
        if !matches!(next, Some(Ok(_))) {
            self.state = None;
        }
        Poll::Ready(next)
    }
}

impl BodyState {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Box<dyn std::error::Error>>>> {
        match self.ended.as_mut().poll(cx) {
            Poll::Ready(ending) => Poll::Ready(Some(Err(Cut(ending).into()))),
            Poll::Pending => Pin::new(&mut self.body).poll_next(cx),
        }
    }
}
