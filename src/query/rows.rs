//! The answer: encoded rows as they come, and the end of the work when the reader is gone.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::failure;
use super::interrupt::Interrupt;
use crate::error::Result;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON array of objects; its closing bracket is the proof that nothing is missing.
    #[default]
    JsonArray,
    /// One JSON object a line.
    NdJson,
    /// RFC 4180 with a header line.
    Csv,
}

impl Format {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::JsonArray => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// What the engine's threads send.
pub(super) enum Part {
    /// Encoded rows.
    Bytes(Bytes),
    /// All rows were sent. Without this part the answer is not complete.
    End,
}

/// Stops the work of a query from outside.
#[derive(Debug, Clone)]
pub struct Stopper {
    interrupt: Interrupt,
    task: AbortHandle,
}

impl Stopper {
    /// Stops it. Its rows then end with an error, unless all of them were sent.
    pub fn stop(&self) {
        self.interrupt.raise();
        self.task.abort();
    }
}

/// Stops the work of a query when it is dropped.
#[derive(Debug)]
pub(super) struct Stop(Stopper);

impl Stop {
    pub(super) fn new(interrupt: Interrupt, task: AbortHandle) -> Self {
        Self(Stopper { interrupt, task })
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The encoded rows of one query. Dropping it stops the query. An `Err` item is the last one and means that the answer
/// is not complete: the body must be cut, not closed.
pub struct Rows {
    format: Format,
    first: Option<Part>,
    parts: mpsc::Receiver<Result<Part>>,
    done: bool,
    stop: Stop,
}

impl Rows {
    pub(super) async fn start(format: Format, mut parts: mpsc::Receiver<Result<Part>>, stop: Stop) -> Result<Self> {
        let first = parts.recv().await.unwrap_or_else(|| Err(failure::stopped()))?;
        Ok(Self { format, first: Some(first), parts, done: false, stop })
    }

    /// A handle that stops the work, also while the rows are not being read.
    pub fn stopper(&self) -> Stopper {
        self.stop.0.clone()
    }

    /// The media type of the bytes.
    pub fn content_type(&self) -> &'static str {
        self.format.content_type()
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("format", &self.format).field("done", &self.done).finish_non_exhaustive()
    }
}

impl Stream for Rows {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let next = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => std::task::ready!(self.parts.poll_recv(context)),
        };
        Poll::Ready(match next {
            Some(Ok(Part::Bytes(bytes))) => Some(Ok(bytes)),
            Some(Ok(Part::End)) => {
                self.done = true;
                None
            }
            Some(Err(error)) => {
                self.done = true;
                Some(Err(error))
            }
            None => {
                self.done = true;
                Some(Err(failure::stopped()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    async fn rows(sent: Vec<Part>) -> Result<Vec<Result<Bytes>>> {
        use futures::StreamExt;
        let (sender, parts) = mpsc::channel(sent.len().max(1));
        let task = tokio::spawn(async move {
            for part in sent {
                sender.send(Ok(part)).await.unwrap();
            }
            panic!("in the middle of the work");
        });
        let stop = Stop::new(Interrupt::default(), task.abort_handle());
        Ok(Rows::start(Format::Csv, parts, stop).await?.collect().await)
    }

    #[tokio::test]
    async fn a_sender_that_is_gone_is_an_error_and_never_a_clean_end() {
        assert_eq!(rows(Vec::new()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        let items = rows(vec![Part::Bytes(Bytes::from_static(b"x"))]).await.unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[1].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(rows(vec![Part::End]).await.unwrap().is_empty());
    }
}
