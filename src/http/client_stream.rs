//! The stream of a client. It ends when the next request does not come in time, and what actix answers by itself leaves
//! it as a problem.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::app::App;
use super::connection::{Connection, Phase};
use super::deadline::Deadline;
use super::unparsed::{Farewell, OwnAnswer};

/// How long a connection lasts after an answer while nothing of the next request arrives.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// A stream that records the state of its connection for requests.
#[derive(Debug)]
pub(super) struct ClientStream {
    stream: TcpStream,
    connection: Rc<Connection>,
    app: Arc<App>,
    head_timeout: Duration,
    deadline: Deadline,
    /// Bytes were read since the stream was last found empty.
    arrived: bool,
    farewell: Option<Farewell>,
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream, app: Arc<App>, head_timeout: Duration) -> Self {
        let deadline = Deadline::new(head_timeout);
        Self { stream, connection: Rc::default(), app, head_timeout, deadline, arrived: false, farewell: None }
    }

    pub(super) fn connection(&self) -> Rc<Connection> {
        self.connection.clone()
    }

    /// Ready once the next request has not come in time. Asked only when all that has arrived was read; and what was
    /// read just now gets a turn to be the head of a request.
    fn poll_too_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (phase, arrived) = (self.connection.phase(), std::mem::take(&mut self.arrived));
        let timeout = if phase == Phase::Head { self.head_timeout } else { KEEP_ALIVE };
        if self.connection.is_new_phase() {
            self.deadline.restart(timeout);
        }
        ready!(self.deadline.poll_passed(cx));
        if arrived {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if phase == Phase::Answer {
            // Never too late, but what follows may be: its time is set when this wakes the connection again.
            self.deadline.restart(timeout);
            return self.deadline.poll_passed(cx);
        }
        Poll::Ready(())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (room, before) = (buf.remaining(), buf.filled().len());
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                let came = buf.filled().len() > before;
                if came {
                    self.arrived = true;
                    self.connection.note_read();
                } else if read.is_ok() && room > 0 {
                    self.connection.close();
                }
                Poll::Ready(read)
            }
            // Nothing more is read: the connection ends without an answer, and clients may try again.
            Poll::Pending => self.poll_too_late(cx).map(Ok),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(farewell) = &mut this.farewell {
            return farewell.poll(&mut this.stream, cx).map_ok(|()| buf.len());
        }
        let own = if this.connection.phase() == Phase::Answer { None } else { OwnAnswer::find(buf) };
        if let Some(answer) = own.as_ref().filter(|answer| answer.at == 0) {
            // The request whose body is broken has its answer.
            let is_answered = this.connection.is_broken();
            let farewell = if is_answered { Farewell::new(Bytes::new()) } else { answer.as_problem(&this.app) };
            return this.farewell.insert(farewell).poll(&mut this.stream, cx).map_ok(|()| buf.len());
        }
        let ours = own.map_or(buf, |answer| &buf[..answer.at]);
        let written = Pin::new(&mut this.stream).poll_write(cx, ours);
        this.connection.note_write(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
