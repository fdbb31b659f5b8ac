//! The outcomes of many changes in their order, and whether more changes may begin.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::mpsc;

use super::change::Done;
use crate::error::{Error, ErrorKind, Result};

/// The outcomes of many changes, in the order of the changes. When this is dropped, what has begun ends, and the rest
/// does not begin.
pub struct Outcomes {
    pub(super) receiver: mpsc::Receiver<Result<Done>>,
    pub(super) gate: Arc<Gate>,
}

impl Outcomes {
    /// Begins no other change: the outcome of each that has not begun is [`ErrorKind::NotBegun`].
    pub fn begin_no_more(&self) {
        self.gate.close();
    }
}

impl Stream for Outcomes {
    type Item = Result<Done>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        self.gate.close();
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outcomes({} waiting)", self.receiver.len())
    }
}

/// Whether changes may begin.
#[derive(Debug)]
pub(super) struct Gate {
    closed: AtomicBool,
    unanswered: AtomicUsize,
    patience: usize,
}

impl Gate {
    /// A gate that closes after `patience` outcomes in a row that the store did not answer.
    pub(super) fn new(patience: usize) -> Self {
        Self { closed: AtomicBool::default(), unanswered: AtomicUsize::default(), patience }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A store that is out of reach is not asked a hundred thousand times.
    pub(super) fn note<T>(&self, outcome: &Result<T>) {
        if !outcome.as_ref().is_err_and(is_unanswered) {
            self.unanswered.store(0, Ordering::Release);
        } else if self.unanswered.fetch_add(1, Ordering::AcqRel) + 1 >= self.patience {
            self.close();
        }
    }
}

/// Whether the store did not answer.
pub(super) fn is_unanswered(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::RevokedHere)
}
