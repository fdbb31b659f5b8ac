//! Runs work on a thread of low priority.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::source::damaged;
use crate::error::{Error, ErrorKind, Result};
use crate::stream::damaged::caught_later;

/// The niceness of the thread: it gets a tenth of a processor that another thread wants too.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Runs `work` to its end, also when the caller stops waiting. What it waits for is served by the caller's runtime.
///
/// # Errors
/// Those of `work`; [`ErrorKind::Corrupt`] when it panics, as decoders do; [`ErrorKind::Internal`] when the thread
/// cannot be started.
pub(super) async fn aside<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let (handle, (sender, receiver)) = (Handle::current(), oneshot::channel());
    let thread = std::thread::Builder::new().name("compaction".to_owned()).spawn(move || {
        stand_back();
        let _ = sender.send(handle.block_on(caught_later(work)).unwrap_or_else(|| Err(damaged())));
    });
    thread.map_err(|error| Error::new(ErrorKind::Internal, "a thread cannot be started").caused_by(error))?;
    receiver.await.map_err(|error| Error::new(ErrorKind::Internal, "a thread has failed").caused_by(error))?
}

/// Best effort: objects are merged without it too. Elsewhere this would concern the whole process.
fn stand_back() {
    #[cfg(target_os = "linux")]
    let _ =
        rustix::process::setpriority_process(None, rustix::process::getpriority_process(None).unwrap_or(0) + NICENESS);
}
