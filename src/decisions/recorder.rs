//! Rows of decisions on their way into the stream `keyloft_decisions` of their tenant.
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

use super::row::{DecisionRow, columns};
use crate::clock::{Clock, StoreClock};
use crate::error::{ErrorKind, Result};
use crate::jitter;
use crate::key::{StreamName, TenantId};
use crate::stream::system::DECISIONS;
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
pub struct Recorder {
    stream: Arc<dyn SystemStream>,
    clock: Arc<StoreClock>,
    waiting: Mutex<Waiting>,
    /// One flush at a time: after an unclear answer the very same rows are written again.
    turn: tokio::sync::Mutex<Vec<SystemRows>>,
    full: Notify,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    rows: BTreeMap<TenantId, Vec<DecisionRow>>,
    bytes: usize,
}

impl Recorder {
    /// Writes through `stream`, at the time of `clock`.
    pub fn new(stream: Arc<dyn SystemStream>, clock: Arc<StoreClock>) -> Self {
        let (waiting, turn, full, dropped) = Default::default();
        Self { stream, clock, waiting, turn, full, dropped }
    }

    /// Takes in rows of decisions, or none of them when too much waits already. Says whether it did.
    pub fn add(&self, tenant: &TenantId, rows: Vec<DecisionRow>) -> bool {
        if rows.is_empty() {
            return true;
        }
        let bytes: usize = rows.iter().map(DecisionRow::weight).sum();
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

    /// Writes what waits. What cannot be written now is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn flush(&self) -> Result<()> {
        let mut unwritten = self.turn.lock().await;
        if unwritten.is_empty() {
            let rows = std::mem::take(&mut self.waiting.lock().rows);
            let at = self.clock.now();
            unwritten.extend(rows.into_iter().filter_map(|(tenant, rows)| self.prepared(tenant, rows, at)));
        }
        let all = std::mem::take(&mut *unwritten);
        let writes = stream::iter(all).map(|rows| async { (self.write(rows.clone()).await, rows) });
        let mut outcome = Ok(());
        let mut done = writes.buffer_unordered(WRITES);
        while let Some((written, rows)) = done.next().await {
            if let Err(error) = written {
                unwritten.push(rows);
                outcome = Err(error);
            }
        }
        if unwritten.is_empty() {
            let mut waiting = self.waiting.lock();
            waiting.bytes = waiting.rows.values().flatten().map(DecisionRow::weight).sum();
        }
        outcome
    }

    /// Writes what waits, and returns once all of it that was added before is durable.
    ///
    /// # Errors
    /// As for [`Recorder::flush`].
    pub async fn durable(&self) -> Result<()> {
        // The first flush may only repeat what an earlier one could not write.
        self.flush().await?;
        self.flush().await
    }

    /// Flushes regularly, until dropped. A node that has decided nothing writes nothing.
    pub async fn follow(&self) {
        let mut answered = true;
        loop {
            let _ = tokio::time::timeout(jitter::around(FLUSH), self.full.notified()).await;
            let flushed = self.flush().await;
            match &flushed {
                Err(error) if answered => tracing::warn!("decisions cannot be recorded now, and wait: {error:?}"),
                Ok(()) if !answered => tracing::info!("decisions are recorded again"),
                _ => {}
            }
            if flushed.is_err() {
                tokio::time::sleep(FLUSH).await;
            }
            answered = flushed.is_ok();
        }
    }

    fn prepared(
        &self,
        tenant: TenantId,
        rows: Vec<DecisionRow>,
        at: chrono::DateTime<chrono::Utc>,
    ) -> Option<SystemRows> {
        let stream = StreamName::parse(DECISIONS).ok()?;
        let about = rows.iter().map(|row| (Some(row.key_id), row.source_id.clone())).collect();
        let (fields, columns) = columns(&rows);
        let id = self.stream.id(&tenant, &stream);
        Some(SystemRows { tenant, stream, id, at, first_offset: None, about, fields, columns })
    }

    /// Writes the rows of one tenant. Rows that can never be written hold up nothing.
    async fn write(&self, rows: SystemRows) -> Result<()> {
        let (tenant, count) = (rows.tenant.clone(), rows.about.len());
        match self.stream.write(rows).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::StoreNotSafe) => Err(error),
            Err(error) => {
                self.dropped.fetch_add(count as u64, Ordering::Relaxed);
                tracing::error!(%tenant, count, "decisions do not fit their stream, and are dropped: {error:?}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
