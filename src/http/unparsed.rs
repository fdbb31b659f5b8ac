//! Requests that actix refuses before anything of ours sees them, with an answer that has no body: the head or the
//! framing is no HTTP. Their answers become problems like all others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::app::App;
use super::auth_off;
use super::deadline::Deadline;
use super::error::{Code, Problem};
use super::middleware::observe;
use super::unread::{MAX_LINGER, MAX_UNREAD_BYTES};
use crate::config::Authentication;

/// More than the longest answer of actix's own has.
const MAX_ANSWER_BYTES: usize = 192;

/// An answer of actix's own that is about to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnAnswer<'b> {
    /// Where it begins in what is sent.
    pub(super) at: usize,
    status: StatusCode,
    date: &'b str,
}

impl<'b> OwnAnswer<'b> {
    /// The answer of actix's own that ends `bytes`, which end an answer. Ours have a request id, and no body of ours
    /// ends with an empty line.
    pub(super) fn find(bytes: &'b [u8]) -> Option<Self> {
        if !bytes.ends_with(b"\r\n\r\n") {
            return None;
        }
        let from = bytes.len().saturating_sub(MAX_ANSWER_BYTES);
        let at = from + bytes[from..].windows(7).rposition(|window| window == b"HTTP/1.")?;
        let mut lines = std::str::from_utf8(&bytes[at..bytes.len() - 4]).ok()?.split("\r\n");
        let status = lines.next()?.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = StatusCode::from_u16(status?).ok()?;
        let mut date = None;
        for line in lines {
            match line.split_once(": ")? {
                ("content-length", "0") | ("connection", _) => {}
                ("date", value) => date = Some(value),
                _ => return None,
            }
        }
        let is_refusal = status.is_client_error() || status.is_server_error();
        Some(Self { at, status, date: date? }).filter(|_| is_refusal)
    }

    /// The same as a problem with a request id, noted in the log and the metrics.
    pub(super) fn as_problem(&self, app: &App) -> Farewell {
        let problem = match self.status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(
                Code::HeadersTooLarge,
                "The request head is larger than 16 KiB, or has more than 96 fields.",
            ),
            StatusCode::BAD_REQUEST => Problem::invalid(
                "This is not a valid request of HTTP/1.1: look at the request line, at Host, at the characters of the \
                 header fields, and at Content-Length and Transfer-Encoding.",
            ),
            _ => Problem::new(Code::Internal, "The server could not read the request."),
        };
        let id = app.request_ids.next();
        observe::note_unparsed(app, &id, &problem);
        let (status, body) = (problem.code().status(), problem.body());
        let mark = match app.authentication {
            Authentication::On => String::new(),
            Authentication::Off => format!("{}: off\r\n", auth_off::MARK.0),
        };
        let head = format!(
            "HTTP/1.1 {} {}\r\ncontent-length: {}\r\nconnection: close\r\ncontent-type: application/problem+json\r\n\
             x-request-id: {}\r\n{mark}date: {}\r\n\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
            id.as_str(),
            self.date,
        );
        Farewell::new([head.as_bytes(), &body].concat().into())
    }
}

/// The last answer of a connection. What the client is still sending is read for a moment, so that the answer arrives.
#[derive(Debug)]
pub(super) struct Farewell {
    has_waited: bool,
    answer: Bytes,
    left: usize,
    end: Option<Deadline>,
}

impl Farewell {
    /// With this answer; an empty one if the request has its answer already.
    pub(super) fn new(answer: Bytes) -> Self {
        Self { has_waited: false, answer, left: MAX_UNREAD_BYTES, end: None }
    }

    /// Ready once the answer is sent and the client has hung up, or had its time.
    pub(super) fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Once an answer of its own is sent without a wait, actix logs an error, which every client could cause.
        if !std::mem::replace(&mut self.has_waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut stream = Pin::new(stream);
        while !self.answer.is_empty() {
            let written = ready!(stream.as_mut().poll_write(cx, &self.answer))?;
            self.answer.advance(written);
        }
        if self.end.is_none() {
            ready!(stream.as_mut().poll_shutdown(cx))?;
        }
        let end = self.end.get_or_insert_with(|| Deadline::new(MAX_LINGER));
        let mut piece = [0; 8 * 1024];
        while self.left > 0 {
            let mut piece = ReadBuf::new(&mut piece);
            match stream.as_mut().poll_read(cx, &mut piece)? {
                Poll::Ready(()) if piece.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(()) => self.left = self.left.saturating_sub(piece.filled().len()),
                Poll::Pending => return end.poll_passed(cx).map(Ok),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\
                       date: Sat, 28 Nov 2026 13:00:00 GMT\r\n\r\n";

    #[test]
    fn answers_of_actix_are_told_from_ours() {
        let found = OwnAnswer::find(OWN.as_bytes()).unwrap();
        assert_eq!((found.at, found.status.as_u16(), found.date), (0, 400, "Sat, 28 Nov 2026 13:00:00 GMT"));
        let ours = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: a\r\ndate: x\r\n\r\n{}";
        assert_eq!(OwnAnswer::find(format!("{ours}{OWN}").as_bytes()).unwrap().at, ours.len());
        let empty = OWN.replace("connection", "x-request-id");
        let in_parts = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: x\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        let fine = OWN.replace("400 Bad Request", "200 OK");
        for ours in [ours, &empty, in_parts, &fine, "HTTP/1.1 100 Continue\r\n\r\n", "\r\n\r\n", ""] {
            assert_eq!(OwnAnswer::find(ours.as_bytes()), None, "{ours}");
        }
    }
}
