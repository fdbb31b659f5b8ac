//! A store far away: every call takes a while by the clock of tokio, is written down, and may hang or panic on request.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use keyloft::Clock;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// What all clients of the store share. Its dates are those of `clock`.
#[derive(Debug)]
pub struct Shared {
    pub memory: InMemory,
    clock: Arc<dyn Clock>,
    written: Mutex<HashMap<Path, DateTime<Utc>>>,
}

impl Shared {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { memory: InMemory::new(), clock, written: Mutex::default() })
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        meta.last_modified = self.written.lock().get(&meta.location).copied().unwrap_or(meta.last_modified);
        meta
    }
}

/// A call that was begun.
#[derive(Debug, Clone)]
pub struct Call {
    pub at: Instant,
    /// `get`, `put`, `list` or `delete`.
    pub verb: &'static str,
    pub path: String,
}

type Trouble = Box<dyn Fn(&Call) -> bool + Send + Sync>;

/// The store as one client sees it.
#[derive(Clone)]
pub struct SlowStore {
    shared: Arc<Shared>,
    latency: Duration,
    calls: Arc<Mutex<Vec<Call>>>,
    hangs: Arc<Mutex<Option<Trouble>>>,
}

impl SlowStore {
    pub fn new(shared: &Arc<Shared>, latency: Duration) -> Self {
        Self { shared: shared.clone(), latency, calls: Arc::default(), hangs: Arc::default() }
    }

    /// Calls that `which` picks are never answered from now on. It may panic.
    pub fn hang(&self, which: impl Fn(&Call) -> bool + Send + Sync + 'static) {
        *self.hangs.lock() = Some(Box::new(which));
    }

    pub fn recover(&self) {
        *self.hangs.lock() = None;
    }

    /// When calls of this kind were begun.
    pub fn times(&self, verb: &str, part: &str) -> Vec<Instant> {
        let calls = self.calls.lock();
        calls.iter().filter(|call| call.verb == verb && call.path.contains(part)).map(|call| call.at).collect()
    }

    async fn travel(&self, verb: &'static str, path: &str) {
        let call = Call { at: Instant::now(), verb, path: path.to_owned() };
        self.calls.lock().push(call.clone());
        let hangs = self.hangs.lock().as_ref().is_some_and(|hangs| hangs(&call));
        if hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.latency).await;
    }
}

impl fmt::Display for SlowStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slow")
    }
}

impl fmt::Debug for SlowStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlowStore({:?})", self.latency)
    }
}

#[async_trait]
impl ObjectStore for SlowStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.travel("put", path.as_ref()).await;
        let done = self.shared.memory.put_opts(path, payload, options).await?;
        self.shared.written.lock().insert(path.clone(), self.shared.clock.now());
        Ok(done)
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.shared.memory.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.travel("get", path.as_ref()).await;
        let found = self.shared.memory.get_opts(path, options).await?;
        Ok(GetResult { meta: self.shared.dated(found.meta.clone()), ..found })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |path: Path| {
            let this = this.clone();
            async move {
                this.travel("delete", path.as_ref()).await;
                let one = futures::stream::iter([Ok(path.clone())]).boxed();
                this.shared.memory.delete_stream(one).try_collect::<Vec<_>>().await?;
                Ok(path)
            }
        };
        paths.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listing = async move {
            this.travel("list", prefix.as_ref().map_or("", Path::as_ref)).await;
            let found = this.shared.memory.list(prefix.as_ref());
            let shared = this.shared.clone();
            Ok::<_, object_store::Error>(found.map_ok(move |meta| shared.dated(meta)))
        };
        futures::stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.travel("list", prefix.map_or("", Path::as_ref)).await;
        self.shared.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.shared.memory.copy_opts(from, to, options).await
    }
}
