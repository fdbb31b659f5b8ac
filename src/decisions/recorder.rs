//! Rows of decisions on their way into the stream `keyloft_decisions` of their tenant, and rows of requests on theirs
//! into `keyloft_traffic`.
//!
//! A decision never waits for the store. Its rows are written every [`FLUSH`], or once there are [`FLUSH_BYTES`] of
//! them; a crash loses those since then, as with usage. While the store is away they wait, within [`MAX_BYTES`]; what
//! comes beyond is dropped and counted, never the decision.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::recorded::Recorded;
use super::row::DecisionRow;
use super::traffic::TrafficRow;
use crate::clock::{Clock, StoreClock};
use crate::error::{ErrorKind, Result};
use crate::jitter;
use crate::key::{StreamName, TenantId};
use crate::stream::{SystemRows, SystemStream};

/// How often rows are written.
pub const FLUSH: Duration = Duration::from_secs(5);
/// So many bytes of rows are written at once.
pub const FLUSH_BYTES: usize = 4 << 20;
/// How many bytes of rows wait at most.
pub const MAX_BYTES: usize = 32 << 20;
/// How many tenants' rows are written at once.
const WRITES: usize = 4;

/// The rows of a node that are not in the store yet.
#[derive(Debug)]
pub struct Recorder<R = DecisionRow> {
    stream: Arc<dyn SystemStream>,
    clock: Arc<StoreClock>,
    waiting: Mutex<Waiting<R>>,
    /// One flush at a time: after an unclear answer the very same rows are written again.
    turn: tokio::sync::Mutex<Vec<Unwritten>>,
    full: Notify,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Waiting<R> {
    rows: BTreeMap<TenantId, Vec<R>>,
    /// Of these rows, and of those that are being written.
    bytes: usize,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), bytes: 0 }
    }
}

/// Rows that are being written, under a name that they keep.
#[derive(Debug, Clone)]
struct Unwritten {
    rows: SystemRows,
    bytes: usize,
}

impl Recorder {
    /// A recorder of matches and one of requests, through the same streams.
    pub fn both<S: SystemStream + 'static>(stream: &Arc<S>, clock: &Arc<StoreClock>) -> (Self, Recorder<TrafficRow>) {
        (Self::new(stream.clone(), clock.clone()), Recorder::new(stream.clone(), clock.clone()))
    }
}

impl<R: Recorded> Recorder<R> {
    /// Writes through `stream`, at the time of `clock`.
    pub fn new(stream: Arc<dyn SystemStream>, clock: Arc<StoreClock>) -> Self {
        let (waiting, turn, full, dropped) = Default::default();
        Self { stream, clock, waiting, turn, full, dropped }
    }

    /// Takes in rows of decisions, or none of them when too much waits already. Says whether it did.
    pub fn add(&self, tenant: &TenantId, rows: Vec<R>) -> bool {
        if rows.is_empty() {
            return true;
        }
        let bytes: usize = rows.iter().map(Recorded::weight).sum();
        let mut waiting = self.waiting.lock();
        if waiting.bytes + bytes > MAX_BYTES {
            drop(waiting);
            self.dropped.fetch_add(rows.len() as u64, Ordering::Relaxed);
            return false;
        }
        waiting.bytes += bytes;
        match waiting.rows.get_mut(tenant) {
            Some(known) => known.extend(rows),
            None => _ = waiting.rows.insert(tenant.clone(), rows),
        }
        if waiting.bytes >= FLUSH_BYTES {
            self.full.notify_one();
        }
        true
    }

    /// How many rows were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits, and returns once all of it that was added before is durable. What cannot be written now is
    /// kept.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn flush(&self) -> Result<()> {
        let mut unwritten = self.turn.lock().await;
        let rows = std::mem::take(&mut self.waiting.lock().rows);
        let at = self.clock.now();
        unwritten.extend(rows.into_iter().filter_map(|(tenant, rows)| self.prepared(tenant, rows, at)));
        // They stay there until they are written: a caller may give up in the middle.
        let writes = stream::iter(unwritten.clone()).map(|unwritten| async move {
            let place = (unwritten.rows.tenant.clone(), unwritten.rows.id);
            (self.write(unwritten.rows).await, place, unwritten.bytes)
        });
        let mut outcome = Ok(());
        let mut done = writes.buffer_unordered(WRITES);
        while let Some((written, (tenant, id), bytes)) = done.next().await {
            match written {
                Ok(()) => {
                    unwritten.retain(|other| (&other.rows.tenant, other.rows.id) != (&tenant, id));
                    self.waiting.lock().bytes -= bytes;
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Flushes regularly, until dropped. A node that has decided nothing writes nothing.
    pub async fn follow(&self) {
        let mut answered = true;
        loop {
            let _ = tokio::time::timeout(jitter::around(FLUSH), self.full.notified()).await;
            let flushed = self.flush().await;
            match &flushed {
                Err(error) if answered => tracing::warn!("{} cannot be recorded now, and waits: {error:?}", R::STREAM),
                Ok(()) if !answered => tracing::info!("{} is recorded again", R::STREAM),
                _ => {}
            }
            if flushed.is_err() {
                tokio::time::sleep(FLUSH).await;
            }
            answered = flushed.is_ok();
        }
    }

    fn prepared(&self, tenant: TenantId, rows: Vec<R>, at: chrono::DateTime<chrono::Utc>) -> Option<Unwritten> {
        let stream = StreamName::parse(R::STREAM).ok()?;
        let about = rows.iter().map(Recorded::about).collect();
        let bytes = rows.iter().map(Recorded::weight).sum();
        let (fields, columns) = R::columns(&rows);
        let id = self.stream.id(&tenant, &stream);
        let rows = SystemRows { tenant, stream, id, at, first_offset: None, about, fields, columns };
        Some(Unwritten { rows, bytes })
    }

    /// Writes the rows of one tenant. Rows that can never be written hold up nothing.
    async fn write(&self, rows: SystemRows) -> Result<()> {
        let (tenant, count) = (rows.tenant.clone(), rows.about.len());
        match self.stream.write(rows).await {
            Err(error) if is_over_soon(error.kind()) => Err(error),
            Err(error) => {
                self.dropped.fetch_add(count as u64, Ordering::Relaxed);
                tracing::error!(%tenant, count, "rows do not fit {}, and are dropped: {error:?}", R::STREAM);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Whether a write may succeed later.
fn is_over_soon(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unavailable
            | ErrorKind::StoreNotSafe
            | ErrorKind::ClockWrong
            | ErrorKind::Exhausted
            | ErrorKind::Corrupt
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use async_trait::async_trait;
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::clock::ManualClock;
    use crate::error::Error;
    use crate::key::KeyId;

    /// A stream that hangs, fails or takes everything.
    #[derive(Debug, Default)]
    struct Taken {
        hangs: AtomicBool,
        fails: AtomicBool,
        rows: Mutex<BTreeMap<(TenantId, Uuid), usize>>,
    }

    #[async_trait]
    impl SystemStream for Taken {
        fn id(&self, _: &TenantId, _: &StreamName) -> Uuid {
            Uuid::from_bytes(*KeyId::random().to_string().as_bytes().first_chunk().unwrap())
        }

        async fn write(&self, rows: SystemRows) -> Result<()> {
            if self.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if self.fails.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Unavailable, "away"));
            }
            self.rows.lock().insert((rows.tenant, rows.id), rows.about.len());
            Ok(())
        }
    }

    fn row() -> DecisionRow {
        DecisionRow {
            key_id: Some(KeyId::random()),
            source_id: None,
            decision_id: "d".into(),
            observed_at: DateTime::UNIX_EPOCH,
            door: "decide",
            policy_set_version: 1,
            policy_id: "p".into(),
            policy_name: "p".into(),
            outcome: "block",
            action: "block",
            decided: "block",
            reason: "policy",
            actions: Vec::new(),
            entity_definition_id: None,
            entity: None,
            window_count: None,
            mitigation_id: "m".into(),
            request_method: None,
            request_host: None,
            request_path: Some("x".repeat(1000)),
            response_status: None,
            late: false,
        }
    }

    fn recorder() -> (Arc<Taken>, Recorder) {
        let stream = Arc::new(Taken::default());
        let clock = StoreClock::new(Arc::new(ManualClock::new(DateTime::UNIX_EPOCH)));
        (stream.clone(), Recorder::new(stream, Arc::new(clock)))
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_in_the_middle_loses_no_row() {
        let (stream, recorder) = recorder();
        let tenant = TenantId::default();
        assert!(recorder.add(&tenant, vec![row(), row()]));
        stream.hangs.store(true, Ordering::Relaxed);
        let given_up = tokio::time::timeout(Duration::from_millis(20), recorder.flush()).await;
        assert!(given_up.is_err());
        stream.hangs.store(false, Ordering::Relaxed);
        assert!(recorder.add(&tenant, vec![row()]));
        recorder.flush().await.unwrap();
        assert_eq!(stream.rows.lock().values().sum::<usize>(), 3);
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_what_is_dropped_is_counted() {
        let (stream, recorder) = recorder();
        stream.fails.store(true, Ordering::Relaxed);
        let rows = MAX_BYTES / row().weight();
        for _ in 0..rows + 100 {
            recorder.add(&TenantId::default(), vec![row()]);
        }
        assert!(recorder.flush().await.is_err());
        assert!(!recorder.add(&TenantId::default(), vec![row()]), "what is being written counts, too");
        let dropped = recorder.dropped();
        assert!((100..110).contains(&dropped), "{dropped}");
        stream.fails.store(false, Ordering::Relaxed);
        recorder.flush().await.unwrap();
        assert_eq!(stream.rows.lock().values().sum::<usize>() as u64 + dropped, rows as u64 + 101);
        assert!(recorder.add(&TenantId::default(), vec![row()]));
    }
}
