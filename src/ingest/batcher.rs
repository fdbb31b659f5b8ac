//! The requests of a stream share objects: a queue for each stream that is busy, and a task that empties it.
//!
//! **Invariant**: a stream has a queue exactly as long as a task runs for it. Both the end of the task and the arrival
//! of a request are decided under one lock, so no request is left behind in a queue without a task.
//! **Invariant**: all rows of an object arrived in the minute that its name states.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::Reservation;
use super::write::{DecodedRequest, parquet};
use crate::clock::StoreClock;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, TenantId};
use crate::layout::{Minute, ObjectName};
use crate::store::Bucket;
use crate::stream::{Conflict, Field, StreamCatalog};

/// How many requests share one object at most.
const MAX_BATCH_REQUESTS: usize = 1000;

/// How long requests wait for others to share their object, unless it is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// How long the first request of a batch waits.
    first: Duration,
    /// The shortest time between the starts of two objects of a busy stream.
    apart: Duration,
}

impl Window {
    /// The same for every batch.
    pub(super) fn fixed(first: Duration) -> Self {
        Self { first, apart: Duration::ZERO }
    }

    /// A request that is alone waits for 20 ms. Each write of an object storage costs money, so it gets four a second
    /// of a busy stream at most.
    pub(super) fn for_store(is_directory: bool) -> Self {
        let apart = if is_directory { Duration::ZERO } else { Duration::from_millis(250) };
        Self { first: Duration::from_millis(20), apart }
    }
}

/// Which stream of which tenant.
pub(super) type Destination = (TenantId, StreamName);

/// A decoded request that waits until it is durable.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    pub(super) request: DecodedRequest,
    pub(super) answer: oneshot::Sender<Result<usize>>,
    pub(super) queued_at: Instant,
    /// Given back when the answer has been sent, also when the client is gone.
    pub(super) reservation: Reservation,
}

impl QueuedRequest {
    /// Sends the answer; it is lost when the client has hung up.
    fn answer(self, answer: Result<usize>) {
        let _ = self.answer.send(answer);
        drop(self.reservation);
    }
}

/// The queues of all streams that have requests waiting or under way.
#[derive(Debug)]
pub(super) struct Batcher {
    queues: Mutex<HashMap<Destination, StreamQueue>>,
    writer: Writer,
    window: Window,
    max_batch_bytes: usize,
    /// Once it is cancelled, no request waits for others any more.
    closing: CancellationToken,
}

#[derive(Debug)]
struct StreamQueue {
    requests: VecDeque<QueuedRequest>,
    bytes: usize,
    /// No batch is taken before, unless it is full.
    next_at: Instant,
    /// It is full, or no longer empty.
    changed: Arc<Notify>,
}

impl StreamQueue {
    fn new() -> Self {
        Self { requests: VecDeque::new(), bytes: 0, next_at: Instant::now(), changed: Arc::default() }
    }

    fn is_full(&self, max_bytes: usize) -> bool {
        self.bytes >= max_bytes || self.requests.len() >= MAX_BATCH_REQUESTS
    }
}

impl Batcher {
    pub(super) fn new(writer: Writer, window: Window, max_batch_bytes: usize, closing: CancellationToken) -> Self {
        Self { queues: Mutex::default(), writer, window, max_batch_bytes, closing }
    }

    /// Puts a request into the queue of its stream, which is emptied on `runtime`.
    pub(super) fn queue(self: &Arc<Self>, runtime: &Handle, destination: Destination, queued: QueuedRequest) {
        let is_new = {
            let mut queues = self.queues.lock();
            let is_new = !queues.contains_key(&destination);
            let queue = queues.entry(destination.clone()).or_insert_with(StreamQueue::new);
            queue.bytes += queued.reservation.bytes();
            queue.requests.push_back(queued);
            if queue.is_full(self.max_batch_bytes) || queue.requests.len() == 1 {
                queue.changed.notify_one();
            }
            is_new
        };
        if is_new {
            let task = StreamTask { batcher: self.clone(), destination, has_ended: false };
            runtime.spawn(task.run());
        }
    }

    /// Returns when a batch may be taken, or none has come for long enough, or ingest is closing.
    async fn until_ready(&self, destination: &Destination) {
        loop {
            let (changed, leaves_at) = {
                let queues = self.queues.lock();
                let Some(queue) = queues.get(destination) else { return };
                if queue.is_full(self.max_batch_bytes) {
                    return;
                }
                let first = queue.requests.front().map(|first| first.queued_at + self.window.first);
                (queue.changed.clone(), first.map_or(queue.next_at, |first| first.max(queue.next_at)))
            };
            if leaves_at <= Instant::now() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(leaves_at) => {} // A request may have come just now: look again.
                () = self.closing.cancelled() => return,
                () = changed.notified() => {} // Perhaps for the batch before: look again.
            }
        }
    }

    /// The next batch: of one minute, and within the bounds. `None` when no request waits, and then the queue is gone.
    fn next_batch(&self, destination: &Destination) -> Option<Vec<QueuedRequest>> {
        let mut queues = self.queues.lock();
        let queue = queues.get_mut(destination)?;
        let mut batch: Vec<QueuedRequest> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = queue.requests.front() {
            let minute = |queued: &QueuedRequest| Minute::of(queued.request.arrived_at);
            let same_minute = batch.first().is_none_or(|first| minute(first) == minute(next));
            let fits = batch.is_empty() || bytes + next.reservation.bytes() <= self.max_batch_bytes;
            if !same_minute || !fits || batch.len() >= MAX_BATCH_REQUESTS {
                break;
            }
            bytes += next.reservation.bytes();
            batch.extend(queue.requests.pop_front());
        }
        queue.bytes -= bytes;
        queue.next_at = Instant::now() + self.window.apart;
        if batch.is_empty() {
            queues.remove(destination);
            return None;
        }
        Some(batch)
    }

    /// No task empties this queue any more: those who wait are refused.
    fn abandon(&self, destination: &Destination) {
        let abandoned = self.queues.lock().remove(destination);
        drop(abandoned); // Outside the lock: it wakes those who wait.
    }

    /// How many streams have a task.
    #[cfg(test)]
    pub(super) fn busy_streams(&self) -> usize {
        self.queues.lock().len()
    }
}

/// The task of one stream: lives as long as requests for it come.
struct StreamTask {
    batcher: Arc<Batcher>,
    destination: Destination,
    has_ended: bool,
}

impl StreamTask {
    async fn run(mut self) {
        loop {
            self.batcher.until_ready(&self.destination).await;
            let Some(batch) = self.batcher.next_batch(&self.destination) else { break };
            let (writer, destination) = (self.batcher.writer.clone(), self.destination.clone());
            // A task of its own: if it panics, its requests are answered and the next batch is written.
            if let Err(error) = tokio::spawn(async move { writer.commit(destination, batch).await }).await {
                tracing::error!("a batch of events was lost to a defect, and refused: {error}");
            }
        }
        self.has_ended = true;
    }
}

impl Drop for StreamTask {
    /// The runtime went away under the task: its requests are refused rather than left waiting.
    fn drop(&mut self) {
        if !self.has_ended {
            self.batcher.abandon(&self.destination);
        }
    }
}

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Under a name of its own: nothing is there.
    New,
    /// Unless another node has written the same already.
    Once,
}

/// What a stream was widened for.
pub(super) struct Widened<'a> {
    /// The fields of an object.
    pub(super) fields: &'a [&'a [Field]],
    /// How often the stream had been deleted.
    pub(super) deletions: u64,
    /// When that was looked up.
    pub(super) since: Instant,
}

/// Makes rows durable.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) bucket: Bucket,
    pub(super) catalog: Arc<StreamCatalog>,
    pub(super) clock: Arc<StoreClock>,
    /// One permit for each encoder or decoder that may run off the async threads.
    pub(super) cpu: Arc<Semaphore>,
}

impl Writer {
    /// Widens the stream once for the whole batch, writes one object, and answers every request. A request that does
    /// not fit the stream is refused alone.
    async fn commit(&self, (tenant, stream): Destination, batch: Vec<QueuedRequest>) {
        let fields: Vec<&[Field]> = batch.iter().map(|queued| queued.request.batch.fields.as_slice()).collect();
        let since = Instant::now();
        let (schema, conflicts) = match self.catalog.widen_by_all(&tenant, &stream, &fields).await {
            Ok(widened) => widened,
            Err(error) => return refuse(batch, &error),
        };
        let mut fitting = Vec::with_capacity(batch.len());
        for (queued, conflict) in batch.into_iter().zip(conflicts) {
            match conflict {
                Some(conflict) => queued.answer(Err(conflict.into_error())),
                None => fitting.push(queued),
            }
        }
        // So the rows of an object are in the order of arrival, whichever request was decoded first.
        fitting.sort_by_key(|queued| queued.request.arrived_at);
        let Some(first) = fitting.first() else { return };
        let rows = fitting.iter().map(|queued| queued.request.batch.rows).sum();
        let first_offset = self.catalog.new_objects().events(&tenant, &stream, rows);
        let name = self.catalog.new_objects().name(tenant, stream, first.request.arrived_at);
        let requests = requests(&fitting);
        let fields: Vec<&[Field]> = fitting.iter().map(|queued| queued.request.batch.fields.as_slice()).collect();
        let widened = Widened { fields: &fields, deletions: schema.deletions(), since };
        match self.write(&name, widened, Put::New, move || parquet(&schema, &requests, first_offset)).await {
            Ok(()) => fitting.into_iter().for_each(|queued| {
                let rows = queued.request.batch.rows;
                queued.answer(Ok(rows));
            }),
            Err(error) => refuse(fitting, &error),
        }
    }

    /// Writes the result of `encode`, which runs on a thread of its own, into a stream that was widened for it.
    ///
    /// The stream may be deleted, and its name used with other types, while the object is on its way. So nothing is
    /// acknowledged before it is sure that the stream holds it.
    pub(super) async fn write(
        &self,
        name: &ObjectName,
        widened: Widened<'_>,
        put: Put,
        encode: impl FnOnce() -> Result<Vec<u8>> + Send + 'static,
    ) -> Result<()> {
        let body = on_cpu(&self.cpu, &Handle::current(), encode).await?;
        let ObjectName::Events { tenant, stream, .. } = name else {
            return Err(Error::new(ErrorKind::Internal, "the name of an object of events is invalid"));
        };
        let is_still = || self.catalog.is_still(tenant, stream, widened.deletions, widened.since);
        if !is_still()
            && let Some(conflict) = self.widen_again(tenant, stream, &widened).await?
        {
            return Err(conflict.into_error());
        }
        self.clock.check()?;
        match put {
            Put::New => self.bucket.write_large(name, body.into()).await?,
            Put::Once => {
                let _ours_or_another_nodes = self.bucket.create(name, body.into()).await?;
            }
        }
        self.catalog.new_objects().written(name);
        if !is_still()
            && let Some(conflict) = self.widen_again(tenant, stream, &widened).await?
        {
            self.bucket.remove(name).await?; // Nobody can read it: its types are not those of the stream.
            return Err(conflict.into_error());
        }
        Ok(())
    }

    /// Makes sure by what is stored that a stream holds an object, or says why it does not.
    async fn widen_again(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        widened: &Widened<'_>,
    ) -> Result<Option<Conflict>> {
        let (_, conflicts) = self.catalog.widen_stored(tenant, stream, widened.fields, None).await?;
        Ok(conflicts.into_iter().flatten().next())
    }
}

/// Runs `work` on a thread of its own, once one of the permits is free: the memory of encoders and decoders is bounded.
pub(super) async fn on_cpu<T: Send + 'static>(
    cpu: &Arc<Semaphore>,
    runtime: &Handle,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let failed = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, format!("a thread failed: {error}"));
    let permit = cpu.clone().acquire_owned().await.map_err(|error| failed(&error))?;
    let work = move || {
        let _permit = permit; // Kept to the end, also when the caller is gone.
        work()
    };
    runtime.spawn_blocking(work).await.map_err(|error| failed(&error))?
}

/// Arrays are shared, so cloning a request copies no events.
fn requests(batch: &[QueuedRequest]) -> Vec<DecodedRequest> {
    batch.iter().map(|queued| queued.request.clone()).collect()
}

fn refuse(batch: Vec<QueuedRequest>, error: &Error) {
    tracing::warn!(requests = batch.len(), "a batch of events could not be stored: {error:?}");
    batch.into_iter().for_each(|queued| {
        let again = Error::new(error.kind(), error.message());
        queued.answer(Err(match error.wait() {
            Some(wait) => again.retry_after(wait),
            None => again,
        }));
    });
}
