//! Announcing streams to other nodes, at a bounded rate: clients can make plenty of fields, and the log carries revocations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Keystore;
use crate::documents::RequestContext;
use crate::error::Result;
use crate::key::{Attribution, StreamName, TenantId};
use crate::sync::ChangedObject;
use crate::sync::log::LogEntry;

/// The pause after the first entry of the log that names streams.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Each later pause is twice as long, up to this: a node that is flooded with new fields appends six entries a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The streams that are still to be announced, each once.
#[derive(Debug, Default)]
pub(super) struct Unannounced {
    streams: BTreeSet<(TenantId, StreamName)>,
    /// Whether a task announces them.
    running: bool,
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

    /// Announces at once that the settings of a stream were changed, and gives the number of the change. Admins make few
    /// such changes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: other nodes then learn of it when they reconcile.
    #[doc(hidden)]
    pub async fn announce_settings(
        &self,
        context: &RequestContext,
        tenant: TenantId,
        stream: StreamName,
    ) -> Result<u64> {
        let this = self.clone();
        let touched = ChangedObject::Stream { tenant, stream }.by(&context.attribution());
        self.run_to_completion(async move { this.replica.append(vec![touched]).await }).await
    }

    async fn announce_streams(&self) {
        let mut pause = FIRST_PAUSE;
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
            let change = |(tenant, stream)| ChangedObject::Stream { tenant, stream }.by(&Attribution::default());
            if let Err(error) = self.replica.append(streams.into_iter().map(change).collect()).await {
                tracing::warn!("other nodes learn of streams later: {error:?}");
            }
            self.running.pause(pause).await; // At the end of the node the rest is announced at once.
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
