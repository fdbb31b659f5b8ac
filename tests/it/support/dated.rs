//! Memory whose objects bear the dates of a clock.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use keyloft::Clock;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

/// A store of its own. Clones share it.
#[derive(Debug, Clone)]
pub struct Dated {
    memory: Arc<InMemory>,
    clock: Arc<dyn Clock>,
    written: Arc<Mutex<HashMap<Path, DateTime<Utc>>>>,
}

impl Dated {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { memory: Arc::default(), clock, written: Arc::default() }
    }

    /// What is in it, for those who need no dates.
    pub fn plain(&self) -> &InMemory {
        &self.memory
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        meta.last_modified = self.written.lock().get(&meta.location).copied().unwrap_or(meta.last_modified);
        meta
    }
}

impl fmt::Display for Dated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dated")
    }
}

#[async_trait]
impl ObjectStore for Dated {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let done = self.memory.put_opts(path, payload, options).await?;
        self.written.lock().insert(path.clone(), self.clock.now());
        Ok(done)
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.memory.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.memory.get_opts(path, options).await?;
        Ok(GetResult { meta: self.dated(found.meta.clone()), ..found })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.memory.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        Box::pin(self.memory.list(prefix).map_ok(move |meta| this.dated(meta)))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}
