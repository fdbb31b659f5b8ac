//! An object store that fails on request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Which writes fail.
#[derive(Debug, Default)]
pub struct Faults {
    /// Those of event files.
    pub events: AtomicBool,
    /// Those of schemas.
    pub schemas: AtomicBool,
    /// All reads and listings.
    pub reads: AtomicBool,
    /// All writes.
    pub writes: AtomicBool,
}

/// Memory, with faults.
#[derive(Debug)]
pub struct Faulty {
    inner: InMemory,
    faults: Arc<Faults>,
}

impl Faulty {
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { inner: InMemory::new(), faults }
    }

    fn may(&self, fault: &AtomicBool) -> Result<()> {
        if fault.load(Ordering::SeqCst) {
            return Err(Error::Generic { store: "faulty", source: "told to fail".into() });
        }
        Ok(())
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.may(&self.faults.writes)?;
        if path.as_ref().ends_with(".parquet") {
            self.may(&self.faults.events)?;
        }
        if path.as_ref().ends_with("schema.json") {
            self.may(&self.faults.schemas)?;
        }
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.may(&self.faults.events)?;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.may(&self.faults.reads)?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.may(&self.faults.reads) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => Box::pin(futures::stream::once(async { Err(error) })),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.may(&self.faults.reads)?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
