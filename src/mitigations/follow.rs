//! Following the chain for as long as the node runs, while a policy needs it. Without one, nothing is asked.

use std::time::Duration;

use super::active::Mitigations;
use crate::error::Result;
use crate::sync::{self, SyncSettings};

/// A node writes no more than one entry in this time.
const ENTRY_PERIOD: Duration = Duration::from_secs(1);

impl Mitigations {
    /// Reads whom other nodes hold, shares whom this one does, and removes what has expired, until dropped.
    pub async fn follow(&self, settings: &SyncSettings) {
        tokio::join!(
            self.read_regularly(settings.poll_interval),
            self.share_regularly(settings.poll_interval),
            self.tidy_regularly(settings.reconcile_interval),
        );
    }

    async fn read_regularly(&self, interval: Duration) {
        let mut answered = true;
        loop {
            tokio::time::sleep(sync::around(interval)).await;
            self.keep_time();
            if !self.is_needed() {
                continue;
            }
            let read = self.catch_up().await;
            note("whom other nodes hold cannot be read", &read, &mut answered);
        }
    }

    async fn share_regularly(&self, interval: Duration) {
        let mut answered = true;
        loop {
            if self.look(|memory| memory.waiting()) == 0 {
                self.news().notified().await;
            }
            if !self.is_needed() {
                tokio::time::sleep(sync::around(interval)).await;
                continue;
            }
            let shared = self.share().await;
            note("holds cannot be shared with other nodes", &shared, &mut answered);
            tokio::time::sleep(ENTRY_PERIOD).await;
        }
    }

    async fn tidy_regularly(&self, interval: Duration) {
        loop {
            tokio::time::sleep(sync::around(interval)).await;
            if !self.is_needed() {
                continue;
            }
            match self.tidy().await {
                Ok(0) => {}
                Ok(removed) => tracing::debug!(removed, "entries of active mitigations are no longer needed"),
                Err(error) => tracing::debug!("the chain of active mitigations is tidied later: {error:?}"),
            }
        }
    }
}

/// Logs the first failure after a success.
fn note(what: &str, outcome: &Result<()>, answered: &mut bool) {
    if let Err(error) = outcome
        && *answered
    {
        tracing::warn!("{what}: {error:?}");
    }
    *answered = outcome.is_ok();
}
