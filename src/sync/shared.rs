//! Work whose outcome many callers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// Runs one piece of work at a time. A caller gets the outcome of a run that began after it asked, its own or
/// another's.
#[derive(Debug)]
pub(crate) struct SharedRun<T> {
    /// No run begins within this after another has begun.
    spacing: Duration,
    /// When the last run has begun.
    turn: tokio::sync::Mutex<Option<Instant>>,
    /// How many runs have begun.
    begun: AtomicU64,
    /// The outcome of the last run; `None` if it was cancelled.
    last: Mutex<Option<Result<T, (ErrorKind, String)>>>,
}

impl<T> Default for SharedRun<T> {
    fn default() -> Self {
        Self::spaced(Duration::ZERO)
    }
}

impl<T> SharedRun<T> {
    /// At most one run begins within `spacing`.
    pub(crate) fn spaced(spacing: Duration) -> Self {
        Self { spacing, turn: tokio::sync::Mutex::default(), begun: AtomicU64::new(0), last: Mutex::new(None) }
    }
}

impl<T: Clone> SharedRun<T> {
    /// Gives the outcome of a run that began after this call.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) async fn run(&self, work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        let asked = self.begun.load(Ordering::Acquire);
        let mut began = self.turn.lock().await;
        if self.begun.load(Ordering::Acquire) > asked
            && let Some(last) = self.last.lock().clone()
        {
            return last.map_err(|(kind, message)| Error::new(kind, message));
        }
        if let Some(began) = *began {
            tokio::time::sleep_until(began + self.spacing).await;
        }
        *began = Some(Instant::now());
        self.begun.fetch_add(1, Ordering::AcqRel);
        *self.last.lock() = None;
        let outcome = work().await;
        let shared = outcome.as_ref().map(T::clone).map_err(|error| (error.kind(), error.message().to_owned()));
        *self.last.lock() = Some(shared);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn callers_that_come_while_a_run_is_under_way_share_the_next_one() {
        let (shared, runs) = (SharedRun::default(), AtomicU64::new(0));
        let work = async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(runs.fetch_add(1, Ordering::SeqCst))
        };
        let first = shared.run(work);
        let later = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            tokio::join!(shared.run(work), shared.run(work), shared.run(work))
        };
        let (first, (a, b, c)) = tokio::join!(first, later);
        assert_eq!([first, a, b, c].map(Result::unwrap), [0, 1, 1, 1]);
        assert_eq!(shared.run(work).await.unwrap(), 2, "what began before the call does not count");
    }

    #[tokio::test]
    async fn a_run_that_is_cut_short_leaves_no_outcome() {
        let shared = SharedRun::default();
        let cut = async {
            tokio::time::timeout(Duration::from_millis(5), shared.run(std::future::pending::<Result<u8>>)).await
        };
        let (cut, after) = tokio::join!(cut, async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            shared.run(async || Ok(7)).await
        });
        assert!(cut.is_err() && after.unwrap() == 7);
        let failed: Result<u8> = shared.run(async || Err(Error::invalid("no"))).await;
        assert_eq!(failed.unwrap_err().message(), "no");
    }
}
