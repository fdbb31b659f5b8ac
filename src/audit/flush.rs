//! Background work of the audit: requests that changed nothing are logged together, once per interval.

use std::time::Duration;

use super::read::AuditLog;
use crate::error::{Error, ErrorKind, Result};
use crate::jitter;
use crate::sync::{LoggedChange, Replica};

impl AuditLog {
    /// Takes in a request that changed nothing. It is in the log with the next flush; a crash loses those since the
    /// last one.
    pub fn add_request(&self, request: LoggedChange) {
        self.requests.lock().add(request);
    }

    /// Logs the requests since the last flush. As long as the store does not answer, they wait, within a bound.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: they are logged as soon as it does.
    pub async fn flush(&self, replica: &Replica) -> Result<()> {
        if self.requests.lock().is_empty() {
            return Ok(());
        }
        if !replica.can_append() {
            return Err(Error::new(ErrorKind::Unavailable, "the change log cannot be written now"));
        }
        let requests = self.requests.lock().take();
        replica.append(requests).await.map(drop)
    }

    /// Flushes once per interval, until dropped. A node that refused nothing writes nothing.
    pub async fn follow(&self, replica: &Replica, interval: Duration) {
        loop {
            tokio::time::sleep(jitter::around(interval)).await;
            if let Err(error) = self.flush(replica).await {
                tracing::warn!("refused requests cannot be logged now, and wait: {error:?}");
            }
        }
    }
}
