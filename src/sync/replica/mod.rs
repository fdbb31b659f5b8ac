//! This node's copy of the bucket, and how it keeps up.
//!
//! 1. `poll`: reading the change log and appending to it. Never waits for a full reconcile, unless nothing else helps.
//! 2. `load`: the start.  `full`: full reconciles and snapshots. They may take minutes.  `history`: what is kept of
//!    the change log.
//! 3. `nodes`: what this node publishes, what others have, and what that proves.

mod full;
mod history;
mod load;
mod nodes;
mod poll;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::alone::Alone;
use super::journal::{Apply, Journal, Polled};
use super::log::LogEntry;
use super::lookup::Lookups;
use super::node::NodeRegistry;
use super::shared::SharedRun;
use super::snapshot::SnapshotPolicy;
use super::tags::Tags;
use super::{ChangedObject, Counts, HeldDocuments, SyncSettings, apply};
use crate::cache::{KeyCache, UnreadableDocuments};
use crate::clock::{Clock, Mark, StoreClock};
use crate::error::Result;
use crate::key::{KeyId, NodeId, StreamName, TenantId};
use crate::store::Bucket;

/// After this long without contact, other nodes may have trimmed log entries that this one has not read: only a full
/// reconcile helps.
const SILENCE: TimeDelta = TimeDelta::minutes(30);

/// A copy of all keys and tenants, and of the documents of some other kinds, in memory; and its place in the change
/// log.
#[derive(Debug)]
pub struct Replica {
    bucket: Bucket,
    cache: Arc<KeyCache>,
    clock: Arc<dyn Clock>,
    store_clock: Arc<StoreClock>,
    settings: SyncSettings,
    node_id: NodeId,
    journal: Journal,
    tags: Tags,
    registry: NodeRegistry,
    alone: Arc<Alone>,
    /// One introduction to the other nodes at a time.
    introducing: tokio::sync::Mutex<()>,
    snapshots: SnapshotPolicy,
    lookups: Lookups,
    /// Entries up to this one are kept in the history.
    kept: AtomicU64,
    /// When the bucket was last known to hold nothing newer.
    contact: Mutex<Option<Mark>>,
    reconciling: SharedRun<Counts>,
    /// One load or reconcile at a time. Holds whether a snapshot has been loaded.
    loading: tokio::sync::Mutex<bool>,
    /// Only a full reconcile makes memory complete again.
    incomplete: Notify,
    streams: OnceLock<StreamListener>,
    held: Vec<Arc<dyn HeldDocuments>>,
}

impl Replica {
    /// A copy that holds nothing yet. `held` are the kinds of documents beside keys and tenants.
    pub fn new(
        bucket: Bucket,
        cache: Arc<KeyCache>,
        clock: Arc<dyn Clock>,
        settings: SyncSettings,
        held: Vec<Arc<dyn HeldDocuments>>,
    ) -> Self {
        let (node_id, alone) = (NodeId::random(), Arc::new(Alone::default()));
        let kinds = held.iter().map(|held| held.kind()).collect();
        Self {
            journal: Journal::new(bucket.clone(), clock.clone(), node_id, alone.clone(), kinds),
            bucket,
            cache,
            store_clock: Arc::new(StoreClock::new(clock.clone())),
            clock,
            settings,
            node_id,
            tags: Tags::default(),
            registry: NodeRegistry::new(node_id, alone.clone()),
            alone,
            introducing: tokio::sync::Mutex::default(),
            snapshots: SnapshotPolicy::default(),
            lookups: Lookups::default(),
            kept: AtomicU64::new(0),
            contact: Mutex::new(None),
            reconciling: SharedRun::default(),
            loading: tokio::sync::Mutex::default(),
            incomplete: Notify::new(),
            streams: OnceLock::new(),
            held,
        }
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// How it follows.
    pub fn settings(&self) -> &SyncSettings {
        &self.settings
    }

    /// Every entry of the change log up to this one is in memory.
    pub fn applied_seq(&self) -> u64 {
        self.journal.applied()
    }

    /// How old the view is: the time since the bucket was known to hold nothing newer. `None` before the first load.
    pub fn age(&self) -> Option<TimeDelta> {
        let contact = (*self.contact.lock())?;
        Some(TimeDelta::from_std(self.clock.since(&contact)).unwrap_or(TimeDelta::MAX))
    }

    /// What this node publishes: as [`Replica::applied_seq`], but nothing before its memory was compared with the
    /// bucket.
    fn published_seq(&self) -> u64 {
        if self.cache.is_verified() { self.applied_seq() } else { 0 }
    }

    /// Whether this node has no position in the log yet, or has been out of contact too long to rely on it.
    fn is_lost(&self) -> bool {
        self.age().is_none_or(|age| age >= SILENCE)
    }

    /// Notes that memory holds everything that was logged before a poll.
    fn in_contact(&self, polled: Polled) {
        self.alone.polled(polled.asked);
        let mut contact = self.contact.lock();
        let at = contact.map_or(polled.at, |known| known.later(polled.at));
        *contact = Some(at);
        if let Some(max_stale) = self.settings.max_stale {
            let max_stale = TimeDelta::from_std(max_stale).unwrap_or(TimeDelta::MAX);
            let end = at.shown().checked_add_signed(max_stale).unwrap_or(DateTime::<Utc>::MAX_UTC);
            self.cache.set_good_until(end);
        }
    }

    /// Calls `listener` when another node has created or widened a stream. It must not wait. The first call counts.
    pub fn on_stream(&self, listener: impl Fn(&TenantId, &StreamName) + Send + Sync + 'static) {
        let _ = self.streams.set(StreamListener(Box::new(listener)));
    }

    /// Calls `listener` with the number of each entry of the change log that is read or written from now on, in their
    /// order. It must not wait. The first call counts.
    pub fn on_entry(&self, listener: impl Fn(u64, &LogEntry) + Send + Sync + 'static) {
        self.journal.on_entry(listener);
    }

    /// The number of the last entry of the change log that this node has read or written.
    pub fn log_end(&self) -> u64 {
        self.journal.read()
    }

    /// Forgets which state of a document is in memory: it is about to be written.
    pub fn about_to_write(&self, tenant: &TenantId, id: KeyId) {
        self.tags.forget(tenant, id);
    }

    /// Takes in one key as it stands in the bucket.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn refresh(&self, tenant: &TenantId, id: KeyId) -> Result<()> {
        apply::key(&self.bucket, &self.cache, &self.tags, tenant, id).await
    }

    /// The documents of other kinds than keys and tenants that cannot be used.
    pub fn unreadable(&self) -> UnreadableDocuments {
        self.held.iter().flat_map(|held| held.unreadable()).collect()
    }

    /// Takes in the record of one tenant as it stands in the bucket.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn refresh_tenant(&self, tenant: &TenantId) -> Result<()> {
        apply::tenant(&self.bucket, &self.cache, &self.tags, tenant).await
    }
}

impl Apply for Replica {
    async fn apply(&self, changes: &[ChangedObject]) -> Result<()> {
        apply::apply(&self.bucket, &self.cache, &self.tags, changes).await?;
        for change in changes {
            match change {
                ChangedObject::Stream { tenant, stream } => {
                    if let Some(StreamListener(listener)) = self.streams.get() {
                        listener(tenant, stream);
                    }
                }
                ChangedObject::Held { kind, id } => {
                    if let Some(held) = self.held.iter().find(|held| held.kind() == kind) {
                        held.apply(id).await?;
                    }
                }
                ChangedObject::Key { .. } | ChangedObject::Tenant { .. } => {}
            }
        }
        Ok(())
    }
}

/// Is called with streams that another node created or widened.
struct StreamListener(Box<Listener>);

type Listener = dyn Fn(&TenantId, &StreamName) + Send + Sync;

impl fmt::Debug for StreamListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamListener(..)")
    }
}
