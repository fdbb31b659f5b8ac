//! The front door: counts what keys do, writes it down now and then, and tells what all nodes have counted.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::counters::Counters;
use super::desk::Desk;
use super::rows::{Rows, Target};
use super::shelf::{Reading, Shelf};
use super::{LastUses, Minute, Tally, Use};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, NodeId, TenantId};
use crate::keystore::Keystore;
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::stream::SystemStream;

/// How usage is counted. The defaults are those of `keyloft serve`.
#[derive(Debug, Clone)]
pub struct UsageSettings {
    /// How often what was counted is written down, give or take a fifth; `None` counts nothing.
    pub flush_interval: Option<Duration>,
    /// Whether the rows of each interval can be queried as a system stream.
    pub stream: bool,
    /// How old an answer about the other nodes may be; never older than the flush interval. A look at the other nodes
    /// costs a listing, which admins who look often share.
    pub max_age: Duration,
    /// Whoever has been silent for so long has ended, unless it says that it is live.
    pub silence: Duration,
}

impl Default for UsageSettings {
    fn default() -> Self {
        Self {
            flush_interval: Some(Duration::from_secs(60)),
            stream: true,
            max_age: Duration::from_secs(5),
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
    desk: Mutex<Desk>,
    shelf: Shelf,
}

impl Meter {
    /// A meter that has counted nothing.
    pub fn new(bucket: Bucket, keystore: Keystore, stream: Arc<dyn SystemStream>, mut settings: UsageSettings) -> Self {
        settings.max_age = settings.max_age.min(settings.flush_interval.unwrap_or(settings.max_age));
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
            desk: Mutex::default(),
            shelf: Shelf::default(),
        }))
    }

    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        self.0.settings.flush_interval.is_some()
    }

    /// Counts a request with a key that was recognised: one short lock.
    pub fn count(&self, key: &ApiKey, used: &Use) {
        if self.is_on() {
            self.0.counters.count(key, used);
        }
    }

    /// What all nodes have counted, those that ended too; of other nodes only what they have flushed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer, [`crate::ErrorKind::Corrupt`] when the archive
    /// cannot be read, [`crate::ErrorKind::Invalid`] when nothing is counted here.
    pub async fn totals(&self) -> Result<Totals> {
        if !self.is_on() {
            return Err(Error::invalid("this server does not record what keys are used for"));
        }
        let own = |id| self.0.desk().owns(id);
        let reading = self.0.shelf.read(&self.0.bucket, self.0.settings.max_age, own).await?;
        Ok(Totals { meter: self.clone(), reading })
    }

    /// When each key of a tenant was used last, on any node, for those who ask of an instant.
    ///
    /// # Errors
    /// As for [`Meter::totals`]; [`crate::ErrorKind::Invalid`] for an instant that has not come: keys may be used till then.
    pub async fn last_used(&self, tenant: &TenantId, since: DateTime<Utc>) -> Result<LastUses> {
        if since > self.0.keystore.now() {
            return Err(Error::invalid("unusedSince must not be in the future"));
        }
        let Totals { reading, .. } = self.totals().await?;
        let mut last: HashMap<KeyId, Minute> = HashMap::new();
        let mut show = |key_id, tally: &Tally| {
            if let Some(minute) = tally.last_used {
                let known = last.entry(key_id).or_insert(minute);
                *known = minute.max(*known);
            }
        };
        reading.books.iter().for_each(|book| book.of_tenant(tenant).for_each(|(id, tally)| show(id, tally)));
        {
            let desk = self.0.desk();
            desk.each_of(tenant, |sheet| reading.folded.contains(&sheet), &mut show);
            self.0.counters.each_of(tenant, &mut show);
        }
        Ok(LastUses::new(last, reading.recorded_since))
    }

    /// How often something that was counted could not be written down.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// How many keys this node has written about since it started.
    pub fn key_count(&self) -> usize {
        self.0.desk().key_count()
    }
}

impl Inner {
    /// The turn of whoever writes.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        let closed = |error| Error::new(ErrorKind::Internal, "nothing is written any more").caused_by(error);
        self.flushing.acquire().await.map_err(closed)
    }

    /// What is drained from the counters goes there under this lock, so that whoever holds it sees everything once.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn node_id(&self) -> NodeId {
        self.keystore.replica().node_id()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.keystore.now()
    }

    /// What to keep of each key: nothing when it is gone, and nothing of secrets that it has no more.
    pub(super) fn keeping(&self) -> impl Fn(&TenantId, KeyId, &mut Tally) -> bool {
        let cache = self.keystore.cache().clone();
        // A document that somebody broke may be repaired.
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

/// What all nodes have counted.
#[derive(Debug)]
pub struct Totals {
    meter: Meter,
    reading: Arc<Reading>,
}

impl Totals {
    /// What was counted of a key, up to this moment on this node.
    pub fn of(&self, tenant: &TenantId, key_id: KeyId) -> Tally {
        let mut sum = Tally::default();
        for tally in self.reading.books.iter().filter_map(|book| book.get(tenant, key_id)) {
            sum.add(tally);
        }
        let desk = self.meter.0.desk();
        desk.add_to(&mut sum, tenant, key_id, |sheet| self.reading.folded.contains(&sheet));
        self.meter.0.counters.add_to(&mut sum, tenant, key_id);
        sum
    }
}
