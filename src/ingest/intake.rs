//! The front door: a request goes in, and its answer comes when its events are durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batcher::{Batcher, QueuedRequest, Window, Writer, on_cpu};
use super::budget::{Budget, Reservation};
use super::contents::{Aside, Events, MIN_REQUEST_BYTES, Reading};
use super::decode::{Fault, Rejected, Sample, sort};
use super::write::DecodedRequest;
use super::{Batch, SystemWriter, Upload};
use crate::clock::{Clock, StoreClock};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, Label, StreamName, TenantId};
use crate::store::Bucket;
use crate::stream::{Conflict, REJECTED, StreamCatalog, StreamSchema};

/// No request may take more memory than this, also when the settings allow more: Arrow counts text in 32 bits.
const MAX_BODY_BYTES: usize = 1 << 30;
/// How often a request is sorted when other requests change the stream at the same time.
const SORTS: usize = 8;

/// The bounds of ingest.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// The largest body of one request, decompressed, in bytes. At most 1 GiB counts.
    pub max_body_bytes: usize,
    /// How long the first request of a batch waits for others; `None` is 20 ms, and in an object storage up to 250 ms
    /// while a stream is busy.
    pub window: Option<Duration>,
    /// How many bytes of requests, decoded, share one object.
    pub max_batch_bytes: usize,
    /// How many bytes of requests may be in memory over all streams: bodies as they arrive, then their events.
    pub max_in_flight_bytes: usize,
    /// How long a request waits when that many bytes are already in memory.
    pub acquire_timeout: Duration,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 << 20,
            window: None,
            max_batch_bytes: 32 << 20,
            max_in_flight_bytes: 256 << 20,
            acquire_timeout: Duration::from_secs(5),
        }
    }
}

/// The sender, known from the key and never from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whose stream.
    pub tenant: TenantId,
    /// The key that was presented.
    pub key_id: KeyId,
    /// The source that key stands for.
    pub source_id: Option<Label>,
}

/// The events of a request that were read and are not stored yet. Dropping them discards them.
#[derive(Debug)]
pub struct Unstored {
    events: Events,
    reservation: Reservation,
    arrived_at: DateTime<Utc>,
}

impl Unstored {
    /// Those that were not set aside.
    pub fn batch(&self) -> &Batch {
        &self.events.batch
    }

    /// How many there are, those that were set aside included.
    pub fn events(&self) -> usize {
        self.events.batch.rows + self.events.aside.as_ref().map_or(0, |aside| aside.rejected.count())
    }
}

/// What became of the events of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvents {
    /// How many were stored.
    pub accepted: usize,
    /// What was set aside; `None` when faulty events are refused with their request.
    pub set_aside: Option<SetAside>,
}

/// The events that were stored as text instead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetAside {
    /// How many there are of each kind of fault.
    pub faults: BTreeMap<Fault, usize>,
    /// The first few.
    pub samples: Vec<Sample>,
}

impl SetAside {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.faults.values().sum()
    }
}

/// Takes in events. Cheap to clone; all clones share their queues and bounds.
///
/// Requests for one stream that arrive within a short window and one minute, or while the batch before is being
/// written, share one object.
#[derive(Debug, Clone)]
pub struct Ingest(Arc<IngestState>);

#[derive(Debug)]
struct IngestState {
    clock: Arc<dyn Clock>,
    max_body_bytes: usize,
    budget: Budget,
    closing: CancellationToken,
    writer: Writer,
    batcher: Arc<Batcher>,
    /// Where batches are written. An HTTP worker may have a runtime of its own that ends before its batches do.
    runtime: Option<Handle>,
}

impl Ingest {
    /// Takes events in while `clock` differs little from `store_clock`. Batches are written on the runtime this is
    /// called in; called outside of one, on those of the callers of [`Ingest::accept`].
    pub fn new(
        bucket: Bucket,
        catalog: Arc<StreamCatalog>,
        clock: Arc<dyn Clock>,
        store_clock: Arc<StoreClock>,
        settings: IngestSettings,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let writer = Writer { bucket, catalog, clock: store_clock, cpu: Arc::new(Semaphore::new(cores)) };
        let closing = CancellationToken::new();
        let window = settings.window.map_or_else(|| Window::for_store(writer.bucket.is_directory()), Window::fixed);
        let batcher = Batcher::new(writer.clone(), window, settings.max_batch_bytes, closing.clone());
        Self(Arc::new(IngestState {
            clock,
            max_body_bytes: settings.max_body_bytes.min(MAX_BODY_BYTES),
            budget: Budget::new(settings.max_in_flight_bytes, settings.acquire_timeout),
            closing,
            writer,
            batcher: Arc::new(batcher),
            runtime: Handle::try_current().ok(),
        }))
    }

    /// Takes in the events of one request whose body is in memory already, and returns how many there were, once they
    /// are durable. A caller that drops the future early does not learn whether they are.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the body or its fit to the stream is wrong, [`ErrorKind::TooLarge`] when it is over
    /// a bound: nothing of it is stored then. [`ErrorKind::TooManyStreams`] when the tenant may have no more streams.
    /// [`ErrorKind::Unavailable`] when the store does not answer, too much is under way, or [`Ingest::drain`] was
    /// called, and [`ErrorKind::ClockWrong`] when the clock of this node is wrong: send it again later.
    pub async fn accept(&self, origin: Origin, stream: &StreamName, upload: Upload) -> Result<usize> {
        let reservation = self.reserve(Some(upload.body.len() as u64)).await?;
        let unstored = self.read(upload, reservation).await?;
        Ok(self.store(origin, stream, unstored).await?.accepted)
    }

    /// Reserves memory for a body of `stated_bytes`, or for the largest one when its length is not stated. Call it
    /// before the body is read, and never hold more of the body than is reserved.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] as for [`Ingest::accept`].
    pub async fn reserve(&self, stated_bytes: Option<u64>) -> Result<Reservation> {
        self.check_open()?;
        let max_bytes = self.0.max_body_bytes;
        let stated = stated_bytes.map_or(max_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let reservation = self.0.budget.acquire(stated.min(max_bytes).max(MIN_REQUEST_BYTES)).await?;
        self.check_open()?;
        Ok(reservation)
    }

    /// Reads the events of one request. Nothing is stored before [`Ingest::store`].
    ///
    /// # Errors
    /// Those of [`Ingest::accept`] that concern the body.
    pub async fn read(&self, upload: Upload, reservation: Reservation) -> Result<Unstored> {
        self.read_as(upload, reservation, None).await
    }

    /// The same for a request whose faulty events are set aside: what this stream cannot hold goes to [`REJECTED`].
    ///
    /// # Errors
    /// Those of [`Ingest::read`] that concern the request as a whole.
    pub async fn sort(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        upload: Upload,
        reservation: Reservation,
    ) -> Result<Unstored> {
        let schema = self.0.writer.catalog.get(tenant, stream).unwrap_or_default();
        self.read_as(upload, reservation, Some(schema)).await
    }

    async fn read_as(
        &self,
        upload: Upload,
        reservation: Reservation,
        sort_for: Option<Arc<StreamSchema>>,
    ) -> Result<Unstored> {
        self.check_open()?;
        let arrived_at = self.0.clock.now();
        let reading = Reading { upload, max_bytes: self.0.max_body_bytes, sort_for };
        let (mut read, mut reservation) = self.run(reading.clone(), reservation).await?;
        if read.is_err() && reservation.was_short() {
            reservation.wait_for_turn().await?;
            self.check_open()?;
            (read, reservation) = self.run(reading, reservation).await?;
        }
        let events = read?;
        Ok(Unstored { events, reservation, arrived_at })
    }

    /// The reservation goes along, so that it is kept when the client hangs up in the middle.
    async fn run(&self, reading: Reading, mut reservation: Reservation) -> Result<(Result<Events>, Reservation)> {
        let shared = &self.0;
        let is_small = reading.is_small();
        let work = move || {
            let events = reading.events(&mut reservation);
            Ok((events, reservation))
        };
        if is_small { work() } else { on_cpu(&shared.writer.cpu, &shared.runtime(), work).await }
    }

    /// Stores the events, and returns what became of them once all are durable.
    ///
    /// # Errors
    /// Those of [`Ingest::accept`] that concern the stream or the store. Nothing is stored then, but for
    /// [`ErrorKind::Unavailable`]: when the store ceased to answer in the middle, events may be stored already that
    /// were to be set aside.
    pub async fn store(&self, origin: Origin, stream: &StreamName, unstored: Unstored) -> Result<StoredEvents> {
        let Unstored { events: Events { batch, places, aside }, reservation, arrived_at } = unstored;
        let Some(aside) = aside else {
            let accepted = self.submit(&origin, stream, batch, arrived_at, reservation).await;
            return Ok(StoredEvents { accepted: accepted.map_err(|error| places.explain(error))?, set_aside: None });
        };
        let (batch, rejected, mut reservation) = self.fit(&origin.tenant, stream, batch, aside, reservation).await?;
        let set_aside = SetAside { faults: rejected.faults().clone(), samples: rejected.samples().to_vec() };
        if set_aside.count() > 0 {
            // First, because a client that gets no answer sends all of it again: better twice here than in its own
            // stream.
            let rows = rejected.into_batch(stream.as_str());
            let part = reservation.split(rows.memory_bytes());
            let quarantine = StreamName::parse(REJECTED)
                .map_err(|error| Error::new(ErrorKind::Internal, "no stream takes rejected events").caused_by(error))?;
            self.submit(&origin, &quarantine, rows, arrived_at, part).await?;
        }
        let accepted = self.submit(&origin, stream, batch, arrived_at, reservation).await?;
        Ok(StoredEvents { accepted, set_aside: Some(set_aside) })
    }

    /// Widens the stream for the events of a batch. Events that do not fit, because another request has just given a
    /// field another type, are set aside too. From then on the batch always fits, because streams only widen.
    async fn fit(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        mut batch: Batch,
        aside: Aside,
        mut reservation: Reservation,
    ) -> Result<(Batch, Rejected, Reservation)> {
        let shared = &self.0;
        let Aside { mut rejected, contents } = aside;
        for _ in 0..SORTS {
            if batch.rows == 0 {
                return Ok((batch, rejected, reservation));
            }
            let (schema, conflicts) = shared.writer.catalog.widen_by_all(tenant, stream, &[&batch.fields]).await?;
            if conflicts.iter().all(Option::is_none) {
                return Ok((batch, rejected, reservation));
            }
            let mut conflicts = conflicts.into_iter().flatten();
            if let Some(former) = conflicts.find(|conflict| matches!(conflict, Conflict::Former { .. })) {
                return Err(former.into_error()); // No event is faulty: it may fit once the deletion is finished.
            }
            let contents = contents.clone();
            let again =
                move || Ok((sort(&contents.texts(), &contents.common, &schema, &mut reservation)?, reservation));
            let sorted;
            (sorted, reservation) = on_cpu(&shared.writer.cpu, &shared.runtime(), again).await?;
            (batch, rejected) = (sorted.decoded.batch, sorted.rejected);
        }
        Err(Error::new(ErrorKind::Unavailable, "the fields of the stream are changing too fast: send the events again"))
    }

    /// Stores a batch, and returns the number of its events once it is durable.
    async fn submit(
        &self,
        origin: &Origin,
        stream: &StreamName,
        batch: Batch,
        arrived_at: DateTime<Utc>,
        reservation: Reservation,
    ) -> Result<usize> {
        if batch.rows == 0 {
            return Ok(0);
        }
        let shared = &self.0;
        let Origin { tenant, key_id, source_id } = origin.clone();
        let (answer, answered) = oneshot::channel();
        let request = DecodedRequest { batch, key_id, source_id, arrived_at };
        let queued = QueuedRequest { request, answer, queued_at: Instant::now(), reservation };
        shared.batcher.queue(&shared.runtime(), (tenant, stream.clone()), queued);
        let lost = |_| Err(Error::new(ErrorKind::Unavailable, "the events were not stored"));
        answered.await.unwrap_or_else(lost)
    }

    /// A writer of rows of system streams.
    pub fn system_writer(&self) -> SystemWriter {
        SystemWriter::sharing(self.0.writer.clone())
    }

    /// Accepts no further requests, and returns when every accepted one is durable or refused, and answered. Set a
    /// deadline: a store that hangs delays this.
    pub async fn drain(&self) {
        self.0.closing.cancel();
        self.0.budget.until_unused().await;
    }

    /// Returns when [`Ingest::drain`] is called: nothing that is read from now on will be stored.
    pub async fn closing(&self) {
        self.0.closing.cancelled().await;
    }

    /// # Errors
    /// [`ErrorKind::Unavailable`] once [`Ingest::drain`] was called, [`ErrorKind::ClockWrong`] as
    /// [`StoreClock::check`].
    fn check_open(&self) -> Result<()> {
        if self.0.closing.is_cancelled() {
            return Err(Error::new(ErrorKind::Unavailable, "the server is shutting down"));
        }
        self.0.writer.clock.check()
    }

    /// How many streams have requests waiting or under way.
    #[cfg(test)]
    pub(super) fn busy_streams(&self) -> usize {
        self.0.batcher.busy_streams()
    }
}

impl IngestState {
    fn runtime(&self) -> Handle {
        self.runtime.clone().unwrap_or_else(Handle::current)
    }
}
