//! Compaction: many small objects of events become few large ones whose rows are sorted by arrival.
//!
//! 1. [`plan`]: what is to be done about a day. Pure.
//! 2. [`source`]: objects that are read, within a [`memory`].
//!    [`merge`]: from sources to larger objects.  [`new_object`]: one in the making.
//! 3. [`day`]: the steps on one day. [`removal`]: of objects that no query can read. [`aside`](mod@aside): on a thread
//!    of low priority.
//! 4. [`empty`](mod@empty): none of the events of a day counts any more.  [`deletion`]: of a whole stream.
//! 5. [`recheck`]: objects that could not be read are tried again.
//! 6. [`Compactor`]: which days this node visits, and when.
//!
//! Every node compacts what it has written, and nobody leads: of nodes that do the same, one swaps the manifest, and
//! the others drop their work. Nodes take turns by a hash, so that this is rare.
//!
//! **Invariant**: an event that was acknowledged is in exactly one object that counts, at every moment.

mod aside;
mod day;
mod deletion;
mod empty;
mod memory;
mod merge;
mod new_object;
mod plan;
mod recheck;
mod removal;
mod source;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::day::{Day, Rest, Tools};
use self::memory::Memory;
use self::recheck::Tried;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{NodeId, RetentionDays, StreamName, TenantId};
use crate::keystore::Keystore;
use crate::store::Bucket;
use crate::stream::objects::StreamFolder;
use crate::stream::{DayId, StreamCatalog};
use crate::sync;
use crate::sync::node::NodeView;

/// The pause between two checks for due days.
const TICK: Duration = Duration::from_secs(5);
/// After this long, days that became due meanwhile have their turn.
const ROUND: Duration = Duration::from_secs(30);
/// The longest pause before a day with unfinished work is visited again, however long the interval.
const IDLE: Duration = Duration::from_secs(60);
/// After this many intervals a node searches all streams for days that no node has compacted.
const SWEEP_INTERVALS: u32 = 60;
/// The shortest and the longest pause between two such searches.
const SWEEP: RangeInclusive<Duration> = Duration::from_secs(600)..=Duration::from_secs(3600);
/// How often objects that could not be read are tried again.
const RECHECK: Duration = Duration::from_secs(60);
/// How many nodes wait for each other at most before they compact a day.
const MAX_RANK: u32 = 5;

/// When a node compacts, and how long events are kept.
#[derive(Debug, Clone)]
pub struct CompactionSettings {
    /// How long after a write a day is visited; `None` never does.
    pub interval: Option<Duration>,
    /// How long events are kept if neither their stream nor its tenant sets a retention; `None` for ever.
    pub retention: Option<RetentionDays>,
    /// How many bytes of memory a step plans with.
    pub memory: usize,
}

impl Default for CompactionSettings {
    fn default() -> Self {
        Self { interval: Some(Duration::from_secs(60)), retention: None, memory: 256 << 20 }
    }
}

/// Compacts the streams of a node for as long as it runs.
#[derive(Debug)]
pub struct Compactor {
    bucket: Bucket,
    catalog: Arc<StreamCatalog>,
    clock: Arc<dyn Clock>,
    keystore: Keystore,
    interval: Option<Duration>,
    memory: Memory,
    /// How long objects that were replaced stay in the store: longer than a query may last.
    keep: Duration,
    /// The live nodes, as they were read last.
    nodes: Mutex<(Option<Instant>, Vec<NodeView>)>,
    days: tokio::sync::Mutex<HashMap<DayId, Visits>>,
    at_rest: Mutex<HashMap<(TenantId, StreamName), BTreeSet<NaiveDate>>>,
    tried: Mutex<Tried>,
}

#[derive(Debug)]
struct Visits {
    day: Day,
    due_at: Instant,
}

fn sweep_interval(interval: Duration) -> Duration {
    (interval * SWEEP_INTERVALS).clamp(*SWEEP.start(), *SWEEP.end())
}

impl Compactor {
    /// Compacts the streams of `bucket`, by the clock of its store; `keystore` knows the other nodes. Objects that were
    /// replaced stay in the store for `keep`, which is longer than a query may last.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<StreamCatalog>,
        clock: Arc<dyn Clock>,
        keystore: Keystore,
        settings: &CompactionSettings,
        keep: Duration,
    ) -> Self {
        let (interval, memory) = (settings.interval, Memory::new(settings.memory));
        let (nodes, days, at_rest, tried) = Default::default();
        Self { bucket, catalog, clock, keystore, interval, memory, keep, nodes, days, at_rest, tried }
    }

    /// Compacts until dropped.
    pub async fn follow(&self) {
        let interval = self.interval.unwrap_or(IDLE);
        let sweep = sweep_interval(interval);
        let mut sweep_at = Instant::now() + sync::up_to(sweep / 6);
        let mut recheck_at = Instant::now() + RECHECK;
        loop {
            tokio::time::sleep(sync::around(TICK.min(interval))).await;
            // With a wrong clock, this node would close or expire days that others still use.
            if let Err(error) = self.keystore.replica().learn_store_clock().await {
                tracing::debug!("nothing is compacted yet: {error:?}");
                continue;
            }
            if Instant::now() >= recheck_at {
                self.try_unreadable_again().await;
                recheck_at = Instant::now() + RECHECK;
            }
            if Instant::now() >= sweep_at {
                let swept = self.sweep(interval).await;
                sweep_at = Instant::now() + sync::around(if swept.is_ok() { sweep } else { interval * 5 });
                if let Err(error) = swept {
                    tracing::warn!("not all streams could be searched for objects to merge: {error:?}");
                }
            }
            self.continue_deletions().await;
            self.look_after_deleted(interval).await;
            self.visit_due_days(interval).await;
        }
    }

    /// Visits every day of every stream that is due.
    async fn visit_due_days(&self, interval: Duration) {
        for id in self.catalog.new_objects().take_days() {
            self.note_written(&id);
            let wait = interval * (1 + 2 * self.rank(&id.0, &id.1));
            self.visit_by(id, Instant::now() + wait).await;
        }
        let mut days = self.days.lock().await;
        let began = Instant::now();
        let is_due = |visits: &Visits| visits.due_at <= began;
        let mut due: Vec<(DayId, Instant)> =
            days.iter().filter(|(_, visits)| is_due(visits)).map(|(id, visits)| (id.clone(), visits.due_at)).collect();
        if due.is_empty() || !self.everybody_reads_manifests(interval).await {
            return;
        }
        // A start may find many days that others have left: those that are written to now do not wait for all of them,
        // nor they for those.
        due.sort_unstable_by_key(|(_, due_at)| *due_at);
        let mut newest = due.clone();
        newest.sort_unstable_by_key(|((_, _, date), _)| Reverse(*date));
        for (id, _) in newest.into_iter().zip(due).flat_map(|(newest, longest)| [newest, longest]) {
            if began.elapsed() >= ROUND {
                break;
            }
            let Some(visits) = days.get_mut(&id).filter(|visits| is_due(visits)) else { continue };
            match visits.day.visit(self.tools(), self.clock.now(), Some(began + ROUND)).await {
                Ok(Rest::Nothing) => {
                    days.remove(&id);
                    self.note_at_rest(id);
                }
                Ok(Rest::Now) => visits.due_at = Instant::now(),
                Ok(Rest::Soon) => visits.due_at = Instant::now() + sync::around(interval.min(IDLE)),
                Ok(Rest::Removal(at)) => visits.due_at = at.max(Instant::now()) + sync::up_to(interval.min(IDLE) / 4),
                Ok(Rest::AtItsEnd) => {
                    let now = self.clock.now();
                    let wait = plan::next_at(id.2, now).and_then(|at| (at - now).to_std().ok());
                    visits.due_at = Instant::now() + wait.unwrap_or(*SWEEP.end()) + sync::up_to(interval);
                }
                Err(error) => {
                    let (tenant, stream, date) = &id;
                    tracing::warn!(%tenant, %stream, %date, "a day could not be compacted: {error:?}");
                    visits.due_at = Instant::now() + sync::around(interval * 5);
                }
            }
        }
    }

    /// Has this node visit a day by then.
    async fn visit_by(&self, id: DayId, due_at: Instant) {
        let mut days = self.days.lock().await;
        let visits = days.entry(id.clone()).or_insert_with(|| Visits { day: self.day(&id), due_at });
        visits.due_at = visits.due_at.min(due_at);
    }

    /// Whether every live node finds merged events: one of an earlier version does not.
    async fn everybody_reads_manifests(&self, interval: Duration) -> bool {
        self.know_nodes(interval).await && self.nodes.lock().1.iter().all(|node| node.reads_manifests)
    }

    /// Reads which nodes are live, once per interval. Says whether they are known.
    async fn know_nodes(&self, interval: Duration) -> bool {
        let read_at = self.nodes.lock().0;
        if read_at.is_none_or(|at| at.elapsed() >= interval) {
            match self.keystore.replica().nodes().await {
                Ok(mut nodes) => {
                    nodes.retain(|node| node.live);
                    *self.nodes.lock() = (Some(Instant::now()), nodes);
                }
                Err(error) => {
                    tracing::debug!("nothing is compacted while the nodes are not known: {error:?}");
                    return false;
                }
            }
        }
        true
    }

    /// Compacts one day now, whatever was written there. Says whether nothing is left to do before it is over.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer, [`crate::ErrorKind::Corrupt`] when the
    /// manifest or a merged object cannot be read.
    pub async fn compact(&self, id: &DayId) -> Result<bool> {
        self.keystore.replica().learn_store_clock().await?;
        let mut days = self.days.lock().await;
        let due_at = Instant::now();
        let visits = days.entry(id.clone()).or_insert_with(|| Visits { day: self.day(id), due_at });
        let rest = visits.day.visit(self.tools(), self.clock.now(), None).await?;
        Ok(matches!(rest, Rest::Nothing | Rest::AtItsEnd))
    }

    /// Finds days that stopped nodes left with objects to merge or to remove. One node searches each stream.
    async fn sweep(&self, interval: Duration) -> Result<()> {
        if !self.know_nodes(interval).await {
            return Err(Error::new(ErrorKind::Unavailable, "the nodes are not known"));
        }
        for (tenant, stream) in self.catalog.all().into_iter().filter(|(tenant, stream)| self.rank(tenant, stream) == 0)
        {
            let folder = self.folder(&tenant, &stream);
            for date in folder.days().await? {
                let id = folder.day(date);
                let is_kept = self.catalog.first_day(&tenant, &stream).is_none_or(|first_day| date >= first_day);
                if !(is_kept && self.is_at_rest(&id)) {
                    self.visit_by(id, Instant::now()).await;
                }
            }
        }
        Ok(())
    }

    fn day(&self, (tenant, stream, date): &DayId) -> Day {
        Day::new(self.folder(tenant, stream), *date)
    }

    /// Skips a day without work until something is written there. Only a day that is long over is skipped: to others,
    /// other nodes may write.
    fn note_at_rest(&self, (tenant, stream, date): DayId) {
        if plan::has_all_random(date, self.clock.now()) {
            self.at_rest.lock().entry((tenant, stream)).or_default().insert(date);
        }
    }

    fn note_written(&self, (tenant, stream, date): &DayId) {
        self.at_rest.lock().get_mut(&(tenant.clone(), stream.clone())).map(|days| days.remove(date));
    }

    fn is_at_rest(&self, (tenant, stream, date): &DayId) -> bool {
        self.at_rest.lock().get(&(tenant.clone(), stream.clone())).is_some_and(|days| days.contains(date))
    }

    fn folder(&self, tenant: &TenantId, stream: &StreamName) -> StreamFolder {
        StreamFolder::new(self.bucket.clone(), self.catalog.unreadable_objects(), tenant.clone(), stream.clone())
    }

    fn tools(&self) -> Tools<'_> {
        Tools {
            bucket: &self.bucket,
            catalog: &self.catalog,
            keystore: &self.keystore,
            merges: self.interval.is_some(),
            keep: self.keep,
            memory: self.memory,
        }
    }

    /// How many live nodes come before this one for a stream (rendezvous hashing).
    fn rank(&self, tenant: &TenantId, stream: &StreamName) -> u32 {
        // The same on every node: no random keys.
        let weight = |node: &NodeId| {
            let mut hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().build_hasher();
            for part in [node.to_string().as_str(), tenant.as_str(), stream.as_str()] {
                hasher.write(part.as_bytes());
                hasher.write_u8(0);
            }
            hasher.finish()
        };
        let mine = weight(&self.keystore.replica().node_id());
        let before = self.nodes.lock().1.iter().filter(|node| weight(&node.node_id) > mine).count();
        u32::try_from(before).unwrap_or(MAX_RANK).min(MAX_RANK)
    }
}
