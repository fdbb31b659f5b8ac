//! Announcing streams to other nodes, at a bounded rate: clients can make plenty of fields, and the log carries
//! revocations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Keystore;
use crate::documents::{Difference, RequestContext};
use crate::error::Result;
use crate::key::{StreamName, TenantId};
use crate::sync::log::LogEntry;
use crate::sync::{AuditAction, ChangedObject, LoggedChange};

/// A node appends one entry about streams in this time, on average …
const PERIOD: Duration = Duration::from_secs(10);
/// … and this many at once after a quiet minute.
const BURST: u32 = 5;
/// Streams of the same moment share an entry.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// The streams that are still to be announced, each once.
#[derive(Debug, Default)]
pub(super) struct Unannounced {
    streams: BTreeSet<(TenantId, StreamName)>,
    /// Whether a task announces them.
    running: bool,
    /// When the budget of entries is full again.
    full_at: Option<Instant>,
}

impl Unannounced {
    /// Takes an entry from the budget, and gives the pause until the next one.
    fn spend(&mut self) -> Duration {
        let now = Instant::now();
        let full_at = self.full_at.unwrap_or(now).max(now) + PERIOD;
        self.full_at = Some(full_at);
        (full_at - now).saturating_sub(PERIOD * (BURST - 1)).max(SHORTEST_PAUSE)
    }
}

pub(super) type Announcements = Arc<Mutex<Unannounced>>;

impl Keystore {
    /// Announces that a stream was created or widened: at once if that is rare, else together with others within
    /// ten seconds. An entry that cannot be written is written as soon as the store answers.
    #[doc(hidden)]
    pub fn announce_stream(&self, tenant: TenantId, stream: StreamName) {
        let was_running = {
            let mut unannounced = self.announcements.lock();
            unannounced.streams.insert((tenant, stream));
            std::mem::replace(&mut unannounced.running, true)
        };
        if !was_running {
            let this = self.clone();
            drop(self.running.spawn_change(async move { this.announce_streams().await }));
        }
    }

    /// Announces at once that the settings of a stream were changed, or that it was deleted, and gives the number of
    /// the change. Admins make few such changes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: other nodes then learn of it when they
    /// reconcile.
    #[doc(hidden)]
    pub async fn announce_settings(
        &self,
        context: &RequestContext,
        tenant: TenantId,
        stream: StreamName,
        action: Option<AuditAction>,
        difference: Difference,
    ) -> Result<u64> {
        let this = self.clone();
        let change = ChangedObject::Stream { tenant, stream }.by(context).doing(action);
        let change = LoggedChange { difference, ..change };
        self.run_to_completion(async move { this.replica.append(vec![change]).await }).await
    }

    async fn announce_streams(&self) {
        loop {
            let streams = {
                let mut unannounced = self.announcements.lock();
                let rest = unannounced.streams.iter().nth(LogEntry::MAX_CHANGES).cloned();
                let rest = rest.map(|first| unannounced.streams.split_off(&first)).unwrap_or_default();
                let streams = std::mem::replace(&mut unannounced.streams, rest);
                unannounced.running = !streams.is_empty();
                streams
            };
            if streams.is_empty() {
                return;
            }
            let change = |(tenant, stream)| ChangedObject::Stream { tenant, stream }.by_unknown();
            if let Err(error) = self.replica.append(streams.into_iter().map(change).collect()).await {
                tracing::warn!("streams could not be announced yet: {error:?}");
            }
            let pause = self.announcements.lock().spend();
            self.running.pause(pause).await; // At the end of the node the rest is announced at once.
        }
    }
}
