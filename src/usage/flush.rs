//! Background work: flushing the counts of this node, and merging those of nodes that have ended.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use super::archive::Archive;
use super::compact::{LiveNodes, SegmentCompactor, pack};
use super::file::{self, Head};
use super::meter::Meter;
use super::segment::FoundSegment;
use crate::documents::Contention;
use crate::error::{Error, Result};
use crate::layout::ObjectName;
use crate::store::Written;
use crate::sync;

/// How often a node looks for segments to compact, give or take a fifth.
const COMPACT_PERIOD: Duration = Duration::from_secs(1800);
/// How long a node that ends waits for its last flush.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

impl Meter {
    /// Flushes once per interval, until dropped. A node that counted nothing writes nothing.
    pub async fn follow(&self) {
        let Some(interval) = self.0.settings.flush_interval else { return };
        let mut next_compaction = Instant::now() + sync::up_to(COMPACT_PERIOD);
        let (mut begun, mut answered) = (false, true);
        loop {
            if !begun && self.0.keystore.cache().is_hydrated() {
                begun = self.begin().await.is_ok();
            }
            tokio::time::sleep(sync::around(interval)).await;
            let flushed = self.flush().await;
            match &flushed {
                Err(error) if answered => {
                    tracing::warn!("usage cannot be written now, and is kept in memory: {error:?}")
                }
                Ok(()) if !answered => tracing::info!("usage is written again"),
                _ => {}
            }
            answered = flushed.is_ok();
            if Instant::now() >= next_compaction {
                next_compaction = Instant::now() + sync::around(COMPACT_PERIOD);
                if let Err(error) = self.compact().await {
                    tracing::warn!("the usage of nodes that ended could not be archived: {error:?}");
                }
            }
        }
    }

    /// Records in the store when counting began, unless that is recorded already.
    ///
    /// # Errors
    /// As for [`Meter::flush`].
    pub async fn begin(&self) -> Result<()> {
        Archive::begin(&self.0.bucket, self.0.now()).await
    }

    /// Writes the counts since the last flush. Counts that cannot be written are kept, and written by a later flush.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer, [`crate::ErrorKind::StoreNotSafe`] when it has
    /// no conditional writes to rely on.
    pub async fn flush(&self) -> Result<()> {
        let _turn = self.0.turn().await?;
        if self.0.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.flush_now().await.inspect_err(|_| _ = self.0.failures.fetch_add(1, Ordering::Relaxed))
    }

    async fn flush_now(&self) -> Result<()> {
        self.gather();
        let due = self.0.node_counters().due();
        let mut outcome = Ok(());
        for place in due {
            outcome = outcome.and(self.write(place).await);
        }
        let keystore = &self.0.keystore;
        let find = |tenant: &_, id| {
            let is_deleted = keystore.cache().tenant(tenant).is_none_or(|tenant| tenant.deleted);
            keystore.cache().key(tenant, id).filter(|_| !is_deleted)
        };
        outcome.and(self.0.rows.write(&self.0.target, find).await)
    }

    fn gather(&self) {
        let mut node_counters = self.0.node_counters();
        let counted = self.0.counters.drain();
        if self.0.settings.stream && !counted.is_empty() {
            self.0.rows.add(&counted, self.0.now());
        }
        node_counters.add(&counted);
    }

    /// Writes one segment. It is read first, because another node may have sealed it.
    async fn write(&self, place: usize) -> Result<()> {
        let mut contention = Contention::over("a segment of usage");
        loop {
            let (id, rev) = {
                let mut node_counters = self.0.node_counters();
                let segment = node_counters.segment(place);
                (segment.id(), segment.rev())
            };
            let name = ObjectName::UsageSegment { id };
            let stored = self.0.bucket.read(&name).await?;
            let found = stored.as_ref().map_or(FoundSegment::Nothing, |stored| found(&stored.body, rev));
            let next = {
                let mut node_counters = self.0.node_counters();
                let segment = node_counters.segment(place);
                segment.learn(found);
                if segment.id() == id && !segment.is_due() {
                    return Ok(());
                }
                (segment.id() == id).then(|| (!segment.is_stored(), segment.attempt()))
            };
            let Some((is_first, (rev, table))) = next else {
                contention.lost().await?; // It was sealed: on to the next one.
                continue;
            };
            let body = pack(Head::new(id, self.0.node_id(), rev, false, self.0.now()), table).await?;
            let written = match stored {
                Some(stored) => self.0.bucket.replace(&name, body, &stored.version).await?,
                None => self.0.bucket.create(&name, body).await?,
            };
            match written {
                Written::Done => self.0.node_counters().segment(place).succeed(),
                Written::Conflict => self.0.node_counters().segment(place).fail(),
            }
            match written {
                Written::Done if is_first => {} // A segment is first written empty.
                Written::Done => return Ok(()),
                Written::Conflict => contention.lost().await?,
            }
        }
    }

    /// Merges the segments of nodes that have ended into the archive, and drops keys that are gone. Gives the number of
    /// segments.
    ///
    /// # Errors
    /// As for [`Meter::flush`]; [`crate::ErrorKind::Corrupt`] when the archive cannot be read. Everything counts as
    /// before.
    pub async fn compact(&self) -> Result<usize> {
        let inner = &self.0;
        if !inner.keystore.cache().is_hydrated() {
            return Ok(0); // It is not known yet which keys there are.
        }
        let compactor = SegmentCompactor {
            bucket: inner.bucket.clone(),
            node_id: inner.node_id(),
            now: inner.now(),
            silence: TimeDelta::from_std(inner.settings.silence).unwrap_or(TimeDelta::MAX),
        };
        let live = async || {
            let nodes = inner.keystore.replica().nodes().await?;
            let store_now = nodes.iter().map(|node| node.last_seen_at).max().unwrap_or_else(|| inner.now());
            let live = nodes.iter().filter(|node| node.live).map(|node| node.node_id);
            Ok(LiveNodes { nodes: live.collect(), store_now })
        };
        let archived = compactor.compact(live, |id| inner.node_counters().owns(id), inner.keeping()).await?;
        inner.node_counters().retain(&inner.keeping());
        if archived > 0 {
            tracing::info!(segments = archived, "the usage of nodes that ended is in the archive");
        }
        Ok(archived)
    }

    /// Flushes for the last time and seals all segments, so that another node may merge them at once.
    pub async fn close(&self) {
        if !self.is_on() {
            return;
        }
        let closed = async {
            self.flush().await?;
            let _turn = self.0.turn().await?;
            self.0.closed.store(true, Ordering::Release);
            let stored = self.0.node_counters().stored();
            for place in stored {
                self.seal(place).await?;
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(LAST_PATIENCE, closed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the usage since the last flush is lost: {error:?}"),
            Err(_) => tracing::warn!("the usage since the last flush is lost: the store did not answer in time"),
        }
    }

    async fn seal(&self, place: usize) -> Result<()> {
        let (id, rev, table) = {
            let mut node_counters = self.0.node_counters();
            let segment = node_counters.segment(place);
            (segment.id(), segment.rev(), segment.durable().clone())
        };
        let name = ObjectName::UsageSegment { id };
        let Some(stored) = self.0.bucket.read(&name).await? else { return Ok(()) };
        if found(&stored.body, rev) == FoundSegment::Open(rev) {
            let body = pack(Head::new(id, self.0.node_id(), rev, true, self.0.now()), table).await?;
            let _sealed_here_or_elsewhere = self.0.bucket.replace(&name, body, &stored.version).await?;
        }
        Ok(())
    }
}

/// A segment that was broken by hand is overwritten.
fn found(body: &[u8], rev: u64) -> FoundSegment {
    match file::head(body) {
        Ok(head) if head.sealed => FoundSegment::Sealed(head.rev),
        Ok(head) => FoundSegment::Open(head.rev),
        Err(_) => FoundSegment::Open(rev),
    }
}
