//! The front door: a request goes in, and its answer comes when its events are durable.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::budget::{Budget, Gate, Inside};
use super::lane::{Destination, Lanes, Waiting};
use super::write::Arrival;
use super::{
    Batch, CommonFields, ContentEncoding, Decoded, IngestSettings, Origin, Places, Text, Upload, decode, group, inflate,
};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::key::StreamName;
use crate::store::Bucket;
use crate::stream::StreamCatalog;

/// No request may take more memory than this, whatever the settings say: Arrow counts text in 32 bits.
const MAX_BODY_BYTES: usize = 1 << 30;
/// Bodies up to here are decoded where they arrive; larger ones would keep other requests of the thread waiting.
const INLINE_BYTES: usize = 64 * 1024;
/// The same for compressed bodies, which grow.
const INLINE_COMPRESSED_BYTES: usize = 4 * 1024;
/// What a request counts for at least: its own bookkeeping.
const MIN_REQUEST_BYTES: usize = 1024;

/// The events of a request that were read and are not stored. Dropping them is the end of them.
#[derive(Debug)]
pub struct Unstored {
    batch: Batch,
    places: Places,
    room: OwnedSemaphorePermit,
    inside: Arc<Inside>,
    arrived_at: DateTime<Utc>,
}

impl Unstored {
    /// How many there are.
    pub fn events(&self) -> usize {
        self.batch.rows
    }
}

/// Takes in events. Cheap to clone; all clones share their groups and bounds.
///
/// Requests for one stream that arrive within a short window, or while the group before is being written, share one
/// object.
#[derive(Debug, Clone)]
pub struct Ingest(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bucket: Bucket,
    catalog: Arc<StreamCatalog>,
    clock: Arc<dyn Clock>,
    max_body_bytes: usize,
    budget: Budget,
    gate: Arc<Gate>,
    lanes: Lanes,
    /// Where groups are written. An HTTP worker may have a runtime of its own that ends before its groups do.
    runtime: Option<Handle>,
}

impl Ingest {
    /// Groups are written on the runtime this is called in; called outside of one, on those of the callers of
    /// [`Ingest::accept`].
    pub fn new(bucket: Bucket, catalog: Arc<StreamCatalog>, clock: Arc<dyn Clock>, settings: IngestSettings) -> Self {
        Self(Arc::new(Shared {
            bucket,
            catalog,
            clock,
            max_body_bytes: settings.max_body_bytes.min(MAX_BODY_BYTES),
            budget: Budget::new(settings.max_in_flight_bytes, settings.patience),
            gate: Arc::default(),
            lanes: Lanes::new(settings.window, settings.max_group_bytes),
            runtime: Handle::try_current().ok(),
        }))
    }

    /// Takes in the events of one request and returns how many there were, once they are durable. Whoever drops the
    /// future early does not learn whether they are.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the body or its fit to the stream is wrong, [`ErrorKind::TooLarge`] when it is over
    /// a bound: nothing of it is stored then. [`ErrorKind::Unavailable`] when the store does not answer, too much is
    /// under way, or [`Ingest::drain`] was called: send it again later.
    pub async fn accept(&self, origin: Origin, stream: &StreamName, upload: Upload) -> Result<usize> {
        let unstored = self.read(upload).await?;
        self.store(origin, stream, unstored).await
    }

    /// Reads the events of one request. Nothing is stored before [`Ingest::store`].
    ///
    /// # Errors
    /// Those of [`Ingest::accept`] that concern the body or the room for it.
    pub async fn read(&self, upload: Upload) -> Result<Unstored> {
        let shared = &self.0;
        let inside = shared.gate.enter()?;
        let arrived_at = shared.clock.now();
        let (Decoded { batch, places }, room) = shared.read(upload).await?;
        Ok(Unstored { batch, places, room, inside, arrived_at })
    }

    /// Stores what was read, and returns how many events it were, once they are durable.
    ///
    /// # Errors
    /// Those of [`Ingest::accept`] that concern the stream or the store.
    pub async fn store(&self, origin: Origin, stream: &StreamName, unstored: Unstored) -> Result<usize> {
        let shared = &self.0;
        let Unstored { batch, places, room, inside, arrived_at } = unstored;
        if batch.rows == 0 {
            return Ok(0);
        }
        let Origin { tenant, key_id, source_id } = origin;
        let destination = (tenant, stream.clone());
        let (answer, answered) = oneshot::channel();
        let arrival = Arrival { batch, key_id, source_id, arrived_at };
        let waiting = Waiting { arrival, answer, joined_at: Instant::now(), room, inside: inside.clone() };
        if shared.lanes.join(&destination, waiting) {
            let lane = LaneTask { shared: shared.clone(), destination, ended: false };
            shared.runtime().spawn(lane.run());
        }
        let lost = |_| Err(Error::new(ErrorKind::Unavailable, "the events were not stored"));
        answered.await.unwrap_or_else(lost).map_err(|error| places.explain(error))
    }

    /// From now on no request is taken in; returns when all that were are durable or refused, and answered.
    pub async fn drain(&self) {
        self.0.gate.close();
        self.0.lanes.hurry();
        self.0.gate.until_empty().await;
    }

    /// How many streams have requests waiting or under way.
    #[cfg(test)]
    pub(super) fn busy_streams(&self) -> usize {
        self.0.lanes.count()
    }
}

impl Shared {
    /// The events of a body, and the room they take.
    async fn read(&self, upload: Upload) -> Result<(Decoded, OwnedSemaphorePermit)> {
        let Upload { encoding, framing, body } = upload;
        let max_bytes = self.max_body_bytes;
        let (expected, inline) = match encoding {
            ContentEncoding::Identity => (body.len().min(max_bytes), INLINE_BYTES),
            ContentEncoding::Gzip | ContentEncoding::Zstd => (max_bytes, INLINE_COMPRESSED_BYTES),
        };
        let room = self.budget.take(expected.max(MIN_REQUEST_BYTES)).await?;
        // The room goes along, so that it stays taken when the client hangs up in the middle.
        let compressed_bytes = body.len();
        let work = move || {
            let body = inflate(encoding, &body, max_bytes)?;
            let decoded = decode(&[Text::of_body(&body, framing)], &CommonFields::default())?;
            let bytes = body.len().max(decoded.batch.memory_bytes()).max(MIN_REQUEST_BYTES);
            Ok::<_, Error>((bytes, decoded, room))
        };
        let read = if compressed_bytes <= inline {
            work()
        } else {
            let failed = |error| Error::new(ErrorKind::Internal, "decoding failed").caused_by(error);
            self.runtime().spawn_blocking(work).await.map_err(failed)?
        };
        let (bytes, decoded, mut room) = read?;
        self.budget.fit(&mut room, bytes).await?;
        Ok((decoded, room))
    }

    fn runtime(&self) -> Handle {
        self.runtime.clone().unwrap_or_else(Handle::current)
    }
}

/// The task of one stream: lives as long as requests for it come.
struct LaneTask {
    shared: Arc<Shared>,
    destination: Destination,
    ended: bool,
}

impl LaneTask {
    async fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            shared.lanes.ripe(&self.destination).await;
            let Some(group) = shared.lanes.take(&self.destination) else { break };
            let (bucket, catalog) = (shared.bucket.clone(), shared.catalog.clone());
            let commit = group::commit(bucket, catalog, self.destination.clone(), group);
            // A task of its own: if it panics, its members are answered and the lane goes on.
            if let Err(error) = tokio::spawn(commit).await {
                tracing::error!("a group of events was lost to a defect, and refused: {error}");
            }
        }
        self.ended = true;
    }
}

impl Drop for LaneTask {
    /// The runtime went away under the task: whoever waits is told rather than left waiting.
    fn drop(&mut self) {
        if !self.ended {
            self.shared.lanes.abandon(&self.destination);
        }
    }
}
