//! Other work on the events of a tenant, beside its queries: on their threads, in their memory and within their bounds,
//! over objects that are listed, read and named in errors as those of queries are.

use std::fmt;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::parquet::errors::ParquetError;
use tokio_util::task::AbortOnDropHandle;

use super::engine::{Engine, EngineState, QuerySettings};
use super::failure;
use super::object_reader::{CachingReader, FOOTER_BYTES, ObjectReaders};
use super::objects::StreamObjects;
use super::reads::{self, ReadDepth, ReadLimits, Reads};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, TenantId};
use crate::stream::damaged::DAMAGED;
use crate::stream::objects::{EventObject, StreamFolder, TimeRange};

const ADVICE: &str = "ask for a shorter time or for fewer streams";

/// A place beside the queries of a tenant.
#[derive(Clone)]
pub struct Beside {
    engine: Arc<EngineState>,
    tenant: TenantId,
    reads: Arc<Reads>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beside({})", self.tenant)
    }
}

/// Memory that is taken from queries of the tenant, until dropped.
#[derive(Debug)]
pub struct TakenMemory(MemoryReservation);

/// The objects of a stream that hold events of a range.
#[derive(Debug)]
pub struct ListedStream {
    folder: StreamFolder,
    /// In the order of their days and names.
    pub objects: Vec<EventObject>,
}

impl Engine {
    /// A place beside the queries of a tenant.
    pub fn beside(&self, tenant: &TenantId) -> Beside {
        let QuerySettings { max_objects, max_bytes, .. } = self.shared.settings;
        let reads = Arc::new(Reads::new(ReadLimits { max_objects, max_bytes }));
        Beside { engine: self.shared.clone(), tenant: tenant.clone(), reads }
    }

    /// Runs work on the threads of queries, which give way to those of requests. It ends when the handle is dropped,
    /// where it next waits or yields.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the server stops.
    pub fn run_beside<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<AbortOnDropHandle<T>> {
        let compute = self.threads.compute.as_ref().ok_or_else(failure::stopped)?;
        Ok(AbortOnDropHandle::new(compute.spawn(work)))
    }
}

impl Beside {
    /// The objects of a stream that exists, as a query finds them: no event is in two of them, and none is missing that
    /// was acknowledged before.
    ///
    /// # Errors
    /// [`ErrorKind::QueryTooLarge`] when the objects are more or larger than one query may read,
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when a manifest cannot be
    /// read.
    pub async fn list(&self, stream: &StreamName, range: TimeRange) -> Result<ListedStream> {
        let Some(schema) = self.engine.streams.get(&self.tenant, stream) else {
            return Err(Error::invalid(format!("there is no stream `{stream}`")));
        };
        let (bucket, streams) = (self.engine.bucket.clone(), self.engine.streams.clone());
        let noted = streams.unreadable_objects();
        let folder = StreamFolder::new(bucket.clone(), noted, self.tenant.clone(), stream.clone());
        let folder = folder.since(streams.first_day(&self.tenant, stream));
        let listing = StreamObjects { bucket, streams, folder, range, reads: self.reads.clone() };
        let listed = listing.list(None, &schema.arrow(), ReadDepth::Columns).await;
        let objects = listed.map_err(|error| match failure::of(error) {
            error if error.kind() == ErrorKind::QueryTooLarge => {
                let message = error.message().replace(reads::ADVICE, ADVICE).replace("query would", "backtest would");
                Error::new(ErrorKind::QueryTooLarge, message)
            }
            error => error,
        })?;
        for object in objects.iter().filter(|object| !object.is_listed) {
            self.footers().remove(&object.meta.location); // It may be gone: then reading it fails and names it.
        }
        Ok(ListedStream { folder: listing.folder, objects })
    }

    /// A reader of an object. Footers that were read before are kept, within bounds.
    pub fn reader(&self, object: &EventObject) -> CachingReader {
        let readers = ObjectReaders { store: self.engine.bucket.object_store(), footers: self.footers() };
        readers.reader(object.meta.clone(), Some(FOOTER_BYTES))
    }

    fn footers(&self) -> Arc<FileMetadataCache> {
        self.engine.environment.cache_manager.get_file_metadata_cache()
    }

    /// The error of an object that could not be read, which names it; `None` stands for a panic of the library.
    pub fn unreadable(&self, stream: &ListedStream, object: &EventObject, error: Option<ParquetError>) -> Error {
        let error = error.map(DataFusionError::from);
        let reason = match &error {
            None => Some(DAMAGED.to_owned()),
            Some(error) => failure::of_object(error),
        };
        let Some(reason) = reason else {
            return error.map_or_else(failure::panicked, failure::of);
        };
        let (name, tenant) = (object.meta.location.as_ref(), &self.tenant);
        tracing::warn!(%tenant, stream = %stream.folder.stream(), "the object {name} cannot be read: {reason}");
        stream.folder.note_unreadable(name.to_owned(), reason.clone());
        self.footers().remove(&object.meta.location); // A good object may be restored in its place.
        Error::new(ErrorKind::Corrupt, format!("the object `{name}` cannot be read: {reason}"))
    }

    /// Memory of the tenant, none of it taken yet.
    pub fn memory(&self, what: &str) -> TakenMemory {
        TakenMemory(MemoryConsumer::new(what).register(&self.engine.memory.of(&self.tenant)))
    }

    /// How much memory all queries together may take.
    pub fn memory_bytes(&self) -> usize {
        self.engine.settings.memory_bytes
    }
}

impl TakenMemory {
    /// Takes so many bytes in all, or gives some back.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when they are not there.
    pub fn resize(&self, bytes: usize) -> Result<()> {
        self.0.try_resize(bytes).map_err(failure::of)
    }
}
