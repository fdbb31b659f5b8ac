//! How many bytes may be under way at once, and who is still inside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind, Result};

/// Bytes under way, over all streams.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: Arc<Semaphore>,
    total: u32,
    patience: Duration,
}

impl Budget {
    pub(super) fn new(total_bytes: usize, patience: Duration) -> Self {
        let total = u32::try_from(total_bytes).unwrap_or(u32::MAX).max(1);
        Self { bytes: Arc::new(Semaphore::new(total as usize)), total, patience }
    }

    /// Room for `bytes`, given back on drop. A request larger than the whole budget gets all of it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when there is none within the patience of the settings.
    pub(super) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let wanted = self.clamp(bytes);
        match tokio::time::timeout(self.patience, self.bytes.clone().acquire_many_owned(wanted)).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => Err(Error::new(ErrorKind::Unavailable, "too many events are under way right now")),
        }
    }

    /// Makes `room` hold exactly `bytes`.
    ///
    /// # Errors
    /// As [`Budget::take`].
    pub(super) async fn fit(&self, room: &mut OwnedSemaphorePermit, bytes: usize) -> Result<()> {
        let wanted = self.clamp(bytes) as usize;
        match room.num_permits() {
            held if held > wanted => drop(room.split(held - wanted)),
            held if held < wanted => room.merge(self.take(wanted - held).await?),
            _ => {}
        }
        Ok(())
    }

    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.total)
    }
}

/// Counts who is inside, and can be closed.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    empty: Notify,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    inside: usize,
}

/// Somebody is inside until the last clone is dropped.
#[derive(Debug)]
pub(super) struct Inside(Arc<Gate>);

impl Gate {
    /// # Errors
    /// [`ErrorKind::Unavailable`] once it is closed.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Arc<Inside>> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::new(ErrorKind::Unavailable, "the server is shutting down"));
        }
        state.inside += 1;
        Ok(Arc::new(Inside(self.clone())))
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
    }

    pub(super) async fn until_empty(&self) {
        loop {
            // Made before the count is read, so that the last one out cannot slip by in between.
            let empty = self.empty.notified();
            if self.state().inside == 0 {
                return;
            }
            empty.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.inside -= 1;
        if state.inside == 0 {
            self.0.empty.notify_waiters();
        }
    }
}
