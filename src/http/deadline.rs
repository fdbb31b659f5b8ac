//! Deadlines of clients. They count only the time in which this node runs: a process that was stopped, or got no turn
//! on a busy machine, must read what has arrived meanwhile before it says that it did not arrive.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline passes after so many parts of its time. A part that ends late by more than its own length does not count.
const PARTS: u32 = 8;

/// A deadline that counts only the time in which this node runs.
#[derive(Debug)]
pub(super) struct Deadline {
    part: Duration,
    left: u32,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// One that passes so long from now.
    pub(super) fn new(timeout: Duration) -> Self {
        let part = timeout / PARTS;
        Self { part, left: PARTS, sleep: Box::pin(sleep_until(Instant::now() + part)) }
    }

    /// Begins again, from now.
    pub(super) fn restart(&mut self, timeout: Duration) {
        self.part = timeout / PARTS;
        self.left = PARTS;
        self.sleep.as_mut().reset(Instant::now() + self.part);
    }

    /// Ready once it has passed, and from then on.
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.left > 0 {
            ready!(self.sleep.as_mut().poll(cx));
            let (end, now) = (self.sleep.deadline(), Instant::now());
            let is_late = now > end + self.part;
            self.left -= u32::from(!is_late);
            self.sleep.as_mut().reset(if is_late { now } else { end } + self.part);
        }
        Poll::Ready(())
    }
}

/// What `work` comes to, or `None` when it takes longer than `timeout`.
pub(super) async fn within<F: Future>(timeout: Duration, work: F) -> Option<F::Output> {
    let (mut deadline, mut work) = (Deadline::new(timeout), pin!(work));
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => deadline.poll_passed(cx).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_passes_in_its_time() {
        let (start, timeout) = (Instant::now(), Duration::from_millis(160));
        assert_eq!(within(timeout, std::future::pending::<()>()).await, None);
        assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());
        assert_eq!(within(timeout, async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn the_time_in_which_nothing_runs_does_not_count() {
        let timeout = Duration::from_millis(400);
        let work = async {
            tokio::time::sleep(timeout / 4).await;
            std::thread::sleep(timeout * 2);
            tokio::time::sleep(timeout / 4).await;
        };
        assert_eq!(within(timeout, work).await, Some(()));
    }
}
