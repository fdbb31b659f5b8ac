//! What all nodes have written about the keys of a tenant, within a bound on memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use super::scan::{Scanned, Scanner};
use super::window::Window;
use super::{Tally, UsageMinute};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, TenantId};
use crate::store::Bucket;

/// A reading that took long is used for longer, so that at most a tenth of the time is spent on reading …
const TIMES_ITS_DURATION: u32 = 10;
/// … but never for longer than this many times the usual age: a minute with the defaults.
const TIMES_ITS_MAX_AGE: u32 = 12;

/// When keys were used last.
pub(super) type LastUsed = HashMap<KeyId, UsageMinute>;

/// Reads what the nodes have written, and keeps the readings that were used last.
#[derive(Debug)]
pub(super) struct UsageReader {
    scanner: Scanner,
    max_age: Duration,
    max_bytes: usize,
    /// One reading of totals at a time: each takes memory of its own until it is kept.
    totals_turn: Arc<Semaphore>,
    last_uses_turn: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The one that was used last comes first.
    totals: VecDeque<Arc<Reading<Window>>>,
    last_uses: Option<(TenantId, Arc<Reading<LastUsed>>)>,
    failure: Option<(Instant, ErrorKind)>,
}

/// The result of a read, and how long it is used.
#[derive(Debug)]
pub(super) struct Reading<T> {
    pub(super) read: T,
    pub(super) scanned: Scanned,
    read_at: Instant,
    fresh_until: Instant,
}

impl<T> Reading<T> {
    #[cfg(test)]
    pub(super) fn of(read: T, recorded_since: Option<chrono::DateTime<chrono::Utc>>) -> Self {
        let now = Instant::now();
        Self { read, scanned: Scanned { recorded_since, ..Scanned::default() }, read_at: now, fresh_until: now }
    }

    /// Whether it answers a question of `asked_at`. Callers who come at once share a reading. A reading that left out a
    /// segment of this node is invalid once the segment is no longer this node's.
    fn answers(&self, asked_at: Instant, own: &impl Fn(Uuid) -> bool) -> bool {
        (asked_at < self.fresh_until || asked_at <= self.read_at) && self.scanned.own.iter().all(|id| own(*id))
    }
}

impl UsageReader {
    /// A reader that keeps at most `max_bytes`.
    pub(super) fn new(bucket: Bucket, max_age: Duration, max_bytes: usize) -> Self {
        let (totals_turn, last_uses_turn) = (Arc::new(Semaphore::new(1)), Semaphore::new(1));
        Self { scanner: Scanner::new(bucket), max_age, max_bytes, totals_turn, last_uses_turn, kept: Mutex::default() }
    }

    /// What all nodes have written about these keys, but for the segments that are `own`. Reading goes on when the
    /// caller stops waiting, so that a later one finds it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the archive cannot be
    /// read.
    pub(super) async fn totals(
        self: &Arc<Self>,
        tenant: &TenantId,
        ids: &[KeyId],
        own: impl Fn(Uuid) -> bool + Send + Sync + 'static,
    ) -> Result<Arc<Reading<Window>>> {
        let asked_at = Instant::now();
        let turn = match self.kept_totals(tenant, ids, asked_at, &own) {
            Some(reading) => return Ok(reading),
            None => Arc::clone(&self.totals_turn).acquire_owned().await.map_err(closed)?,
        };
        if let Some(reading) = self.kept_totals(tenant, ids, asked_at, &own) {
            return Ok(reading);
        }
        if let Some((failed_at, kind)) = self.kept.lock().failure
            && (asked_at < failed_at + self.max_age || asked_at <= failed_at)
        {
            return Err(Error::new(kind, "usage cannot be read right now"));
        }
        let (reader, tenant, ids) = (Arc::clone(self), tenant.clone(), ids.to_vec());
        let reading = tokio::spawn(async move {
            let reading = reader.read_totals(&tenant, &ids, &own).await;
            let failure = reading.as_ref().err().map(|error| (Instant::now(), error.kind()));
            reader.kept.lock().failure = failure;
            drop(turn);
            reading
        });
        reading.await.map_err(|error| Error::new(ErrorKind::Internal, "reading usage failed").caused_by(error))?
    }

    async fn read_totals(
        &self,
        tenant: &TenantId,
        ids: &[KeyId],
        own: &(impl Fn(Uuid) -> bool + Sync),
    ) -> Result<Arc<Reading<Window>>> {
        let began = Instant::now();
        let pick = |key_id, tally| Some((key_id, tally));
        let start = || Window::new(tenant, ids, self.max_bytes / 2);
        let add = |window: &mut Window, (key_id, tally): (KeyId, Tally)| window.add(key_id, tally);
        let (window, scanned) = self.scanner.scan(tenant, own, pick, start, add).await?;
        let reading = Arc::new(self.reading(window, scanned, began));
        let mut kept = self.kept.lock();
        kept.totals.retain(|other| other.read.tenant != *tenant);
        kept.totals.push_front(Arc::clone(&reading));
        while bytes(&kept.totals) > self.max_bytes && kept.totals.len() > 1 {
            kept.totals.pop_back();
        }
        Ok(reading)
    }

    fn kept_totals(
        &self,
        tenant: &TenantId,
        ids: &[KeyId],
        asked_at: Instant,
        own: &impl Fn(Uuid) -> bool,
    ) -> Option<Arc<Reading<Window>>> {
        let mut kept = self.kept.lock();
        let at = kept.totals.iter().position(|reading| reading.read.tenant == *tenant)?;
        let reading = kept.totals.remove(at)?;
        let is_good = reading.read.covers(ids) && reading.answers(asked_at, own);
        kept.totals.push_front(Arc::clone(&reading));
        is_good.then_some(reading)
    }

    /// When each key of a tenant was used last, but for the segments that are `own`: 24 bytes a key, kept for one
    /// tenant.
    ///
    /// # Errors
    /// As for [`UsageReader::totals`].
    pub(super) async fn last_uses(
        &self,
        tenant: &TenantId,
        own: impl Fn(Uuid) -> bool + Sync,
    ) -> Result<Arc<Reading<LastUsed>>> {
        let asked_at = Instant::now();
        let _turn = self.last_uses_turn.acquire().await.map_err(closed)?;
        if let Some((kept, reading)) = &self.kept.lock().last_uses
            && kept == tenant
            && reading.answers(asked_at, &own)
        {
            return Ok(Arc::clone(reading));
        }
        // Not beside the new one.
        self.kept.lock().last_uses = None;
        let began = Instant::now();
        let pick = |key_id, tally: Tally| Some((key_id, tally.last_used?));
        let add = |last: &mut LastUsed, (key_id, minute): (KeyId, UsageMinute)| {
            let known = last.entry(key_id).or_insert(minute);
            *known = minute.max(*known);
        };
        let (last, scanned) = self.scanner.scan(tenant, &own, pick, HashMap::new, add).await?;
        let reading = Arc::new(self.reading(last, scanned, began));
        self.kept.lock().last_uses = Some((tenant.clone(), Arc::clone(&reading)));
        Ok(reading)
    }

    fn reading<T>(&self, read: T, scanned: Scanned, began: Instant) -> Reading<T> {
        let read_at = Instant::now();
        let wanted = (read_at - began) * TIMES_ITS_DURATION;
        let fresh_until = read_at + wanted.clamp(self.max_age, self.max_age * TIMES_ITS_MAX_AGE);
        Reading { read, scanned, read_at, fresh_until }
    }

    /// An estimate of the memory that the kept totals take.
    pub(super) fn kept_bytes(&self) -> usize {
        bytes(&self.kept.lock().totals)
    }
}

fn bytes(totals: &VecDeque<Arc<Reading<Window>>>) -> usize {
    totals.iter().map(|reading| reading.read.bytes()).sum()
}

fn closed(error: tokio::sync::AcquireError) -> Error {
    Error::new(ErrorKind::Internal, "usage is not read any more").caused_by(error)
}
