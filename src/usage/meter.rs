//! The front door: counts what keys do, flushes it, and answers what all nodes have counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::counters::Counters;
use super::node_counters::NodeCounters;
use super::reader::{Reading, UsageReader};
use super::rows::{Rows, Target};
use super::window::Window;
use super::{LastUses, Tally, UsageMinute, Use};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, NodeId, TenantId};
use crate::keystore::Keystore;
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::stream::SystemStream;

/// How usage is counted. The defaults are those of `keyloft serve`.
#[derive(Debug, Clone)]
pub struct UsageSettings {
    /// How often counts are flushed, give or take a fifth; `None` counts nothing.
    pub flush_interval: Option<Duration>,
    /// Whether the rows of each interval can be queried as a system stream.
    pub stream: bool,
    /// How long the counts of other nodes are cached; never longer than the flush interval. After a slow read it is up
    /// to twelve times as long. Reading costs a listing, which frequent requests share.
    pub max_age: Duration,
    /// How much memory is kept for what other nodes have written.
    pub max_cached_bytes: usize,
    /// A node that has been silent for this long has stopped, unless its heartbeat is recent.
    pub silence: Duration,
}

impl Default for UsageSettings {
    fn default() -> Self {
        Self {
            flush_interval: Some(Duration::from_secs(60)),
            stream: true,
            max_age: Duration::from_secs(5),
            max_cached_bytes: 64 << 20,
            silence: Duration::from_secs(3600),
        }
    }
}

/// Counts what keys are used for. Cheap to clone; all clones share their counters.
#[derive(Debug, Clone)]
pub struct Meter(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) bucket: Bucket,
    pub(super) keystore: Keystore,
    pub(super) settings: UsageSettings,
    pub(super) counters: Counters,
    pub(super) rows: Rows,
    pub(super) target: Target,
    /// One flush at a time.
    pub(super) flushing: Semaphore,
    pub(super) closed: AtomicBool,
    pub(super) failures: AtomicU64,
    node_counters: Mutex<NodeCounters>,
    reader: Arc<UsageReader>,
}

impl Meter {
    /// A meter that has counted nothing.
    pub fn new(bucket: Bucket, keystore: Keystore, stream: Arc<dyn SystemStream>, mut settings: UsageSettings) -> Self {
        settings.max_age = settings.max_age.min(settings.flush_interval.unwrap_or(settings.max_age));
        let reader = Arc::new(UsageReader::new(bucket.clone(), settings.max_age, settings.max_cached_bytes));
        let target = Target { stream, node_id: keystore.replica().node_id() };
        Self(Arc::new(Inner {
            bucket,
            keystore,
            settings,
            counters: Counters::default(),
            rows: Rows::default(),
            target,
            flushing: Semaphore::new(1),
            closed: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            node_counters: Mutex::default(),
            reader,
        }))
    }

    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        self.0.settings.flush_interval.is_some()
    }

    /// Counts a request with a known key: one short lock.
    pub fn count(&self, key: &ApiKey, used: &Use) {
        if self.is_on() {
            self.0.counters.count(key, used);
        }
    }

    /// What all nodes have counted of these keys, those that ended too; of other nodes only what they have flushed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer, [`crate::ErrorKind::Corrupt`] when the archive
    /// cannot be read, [`crate::ErrorKind::Invalid`] when nothing is counted here.
    pub async fn totals(&self, tenant: &TenantId, ids: &[KeyId]) -> Result<Totals> {
        self.check_is_on()?;
        let inner = Arc::clone(&self.0);
        let reading = self.0.reader.totals(tenant, ids, move |id| inner.node_counters().owns(id)).await?;
        Ok(Totals { meter: self.clone(), reading })
    }

    /// When each key of a tenant was used last, on any node. `since` is the instant that the caller asks about.
    ///
    /// # Errors
    /// As for [`Meter::totals`]; [`crate::ErrorKind::Invalid`] for an instant that has not come: keys may be used till
    /// then.
    pub async fn last_used(&self, tenant: &TenantId, since: DateTime<Utc>) -> Result<LastUses> {
        self.check_is_on()?;
        if since > self.0.keystore.now() {
            return Err(Error::invalid("unusedSince must not be in the future"));
        }
        let reading = self.0.reader.last_uses(tenant, |id| self.0.node_counters().owns(id)).await?;
        let mut own: HashMap<KeyId, UsageMinute> = HashMap::new();
        let mut show = |key_id, tally: &Tally| {
            if let Some(minute) = tally.last_used {
                let known = own.entry(key_id).or_insert(minute);
                *known = minute.max(*known);
            }
        };
        {
            let node_counters = self.0.node_counters();
            node_counters.each_of(tenant, |segment| reading.scanned.archived.contains(&segment), &mut show);
            self.0.counters.each_of(tenant, &mut show);
        }
        Ok(LastUses::new(own, reading))
    }

    fn check_is_on(&self) -> Result<()> {
        let off = || Error::invalid("this server does not record what keys are used for");
        self.is_on().then_some(()).ok_or_else(off)
    }

    /// An estimate of the memory that is kept for what other nodes have written, at most
    /// [`UsageSettings::max_cached_bytes`] and one page of keys.
    pub fn cached_bytes(&self) -> usize {
        self.0.reader.kept_bytes()
    }

    /// How many flushes have failed.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// How many keys this node has written about since it started.
    pub fn key_count(&self) -> usize {
        self.0.node_counters().key_count()
    }
}

impl Inner {
    /// Waits until no other flush runs.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        let closed = |error| Error::new(ErrorKind::Internal, "the flush is over").caused_by(error);
        self.flushing.acquire().await.map_err(closed)
    }

    /// Counts are drained into them under this lock, so that the holder sees each count exactly once.
    pub(super) fn node_counters(&self) -> MutexGuard<'_, NodeCounters> {
        self.node_counters.lock()
    }

    pub(super) fn node_id(&self) -> NodeId {
        self.keystore.replica().node_id()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.keystore.now()
    }

    /// Whether a key is kept. Of a key that is kept, last uses of secrets that it no longer has are dropped.
    pub(super) fn keeping(&self) -> impl Fn(&TenantId, KeyId, &mut Tally) -> bool {
        let cache = self.keystore.cache().clone();
        // A document that was broken by hand may be repaired.
        let broken: HashSet<String> = cache.unreadable().into_keys().map(|(_, object)| object).collect();
        move |tenant, key_id, tally| match cache.key(tenant, key_id) {
            Some(key) => {
                let older = |hint: &str| key.older.iter().any(|older| older.hint.as_str() == hint);
                tally.retain_secrets(|hint| hint == key.hint.as_str() || older(hint));
                true
            }
            None => broken.contains(ObjectName::Key { tenant: tenant.clone(), key_id }.path().as_str()),
        }
    }
}

/// What all nodes have counted of some keys.
#[derive(Debug)]
pub struct Totals {
    meter: Meter,
    reading: Arc<Reading<Window>>,
}

impl Totals {
    /// What was counted of a key that was asked for, up to this moment on this node.
    pub fn of(&self, key_id: KeyId) -> Tally {
        let (window, archived) = (&self.reading.read, &self.reading.scanned.archived);
        let mut sum = window.get(key_id).cloned().unwrap_or_default();
        let node_counters = self.meter.0.node_counters();
        node_counters.add_to(&mut sum, &window.tenant, key_id, |segment| archived.contains(&segment));
        self.meter.0.counters.add_to(&mut sum, &window.tenant, key_id);
        sum
    }
}
