//! Work that continues when its caller stops waiting, and that shutdown waits for.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, ErrorKind, Result};

/// The changes that are being made, and whether the node ends. All clones are one.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Where work goes on: the runtime in which the keystore was made, which outlasts those of single HTTP workers.
    /// Without one, that of the caller.
    runtime: Option<Handle>,
    changes: TaskTracker,
    ending: CancellationToken,
}

impl Default for Running {
    fn default() -> Self {
        Self { runtime: Handle::try_current().ok(), changes: TaskTracker::new(), ending: CancellationToken::new() }
    }
}

impl Running {
    /// Lets work run in the background. It is not waited for when the node ends.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match &self.runtime {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        }
    }

    /// Lets a change run to its end even if its caller stops waiting, and the node with it: see [`Running::ended`].
    pub(super) fn spawn_change<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn(self.changes.track_future(change))
    }

    /// Waits `pause`. Says whether to go on: not once the node ends.
    pub(super) async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.ending.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Whether the node ends: nothing that can wait is begun any more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Waits until the node ends.
    pub(super) async fn ending(&self) {
        self.ending.cancelled().await;
    }

    /// Says that the node ends.
    pub(super) fn end(&self) {
        self.ending.cancel();
    }

    /// Waits until no change is being made.
    pub(super) async fn ended(&self) {
        self.changes.close(); // Otherwise it waits for ever. A change that begins later is waited for too.
        self.changes.wait().await;
    }
}

/// The outcome of spawned work.
///
/// # Errors
/// Those of the work; [`ErrorKind::Internal`] when it was cut short.
pub(super) async fn outcome<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    task.await.map_err(|error| Error::new(ErrorKind::Internal, "the work was cut short").caused_by(error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_changes_whose_callers_have_gone_and_for_nothing_else() {
        let running = Running::default();
        let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
        drop(running.spawn_change(wait));
        drop(running.spawn(std::future::pending::<()>()));
        running.end();
        assert!(!running.pause(Duration::from_secs(60)).await, "nobody pauses at the end");
        let early = tokio::time::timeout(Duration::from_millis(20), running.ended()).await;
        assert!(early.is_err());
        go_on.send(()).unwrap();
        running.ended().await;
    }

    #[test]
    fn work_goes_on_when_the_runtime_of_its_caller_ends() {
        let main = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let running = main.block_on(async { Running::default() });
        let worker = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        worker.block_on(async {
            drop(running.spawn_change(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                done.send(()).unwrap();
            }));
        });
        drop(worker);
        assert!(is_done.recv_timeout(Duration::from_secs(5)).is_ok());
    }
}
