//! An object store that goes wrong on request, over any other.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use super::faults::{Fault, Faults, Kind};

/// A store seen by one node, with its faults. Nodes that share a store get one each, over the same `inner`.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
    /// The last honest list of each folder.
    listed: Arc<Mutex<HashMap<Path, Vec<ObjectMeta>>>>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Arc<Faults>) -> Self {
        Self { inner, faults, listed: Arc::default() }
    }

    /// Memory, with faults.
    pub fn memory(faults: Arc<Faults>) -> Self {
        Self::new(Arc::new(InMemory::new()), faults)
    }

    /// A store that accepts every condition and ignores it, as some do.
    pub fn liar(inner: Arc<dyn ObjectStore>) -> Self {
        let faults = Arc::new(Faults::default());
        faults.inject(Fault::IgnoreCondition, |call| matches!(call.kind, Kind::Create | Kind::Replace));
        Self::new(inner, faults)
    }

    /// Carries out `work` as the plan says.
    async fn attempt<T>(&self, kind: Kind, path: &Path, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.faults.next(kind, path.clone()).await {
            Some(fault) => go_wrong(fault, path, work).await,
            None => work.await,
        }
    }
}

async fn go_wrong<T>(fault: Fault, path: &Path, work: impl Future<Output = Result<T>>) -> Result<T> {
    match fault {
        Fault::ErrorBefore => Err(told_to_fail()),
        Fault::ErrorAfter => {
            let _ = work.await;
            Err(told_to_fail())
        }
        Fault::Hang => std::future::pending().await,
        Fault::HangAfter => {
            let _ = work.await;
            std::future::pending().await
        }
        Fault::Conflict => Err(Error::AlreadyExists { path: path.to_string(), source: "refused on purpose".into() }),
        Fault::IgnoreCondition | Fault::Stale | Fault::Truncated => work.await,
    }
}

fn told_to_fail() -> Error {
    Error::Generic { store: "faulty", source: "failed on purpose".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let kind = match options.mode {
            PutMode::Create => Kind::Create,
            PutMode::Update(_) => Kind::Replace,
            PutMode::Overwrite => Kind::Put,
        };
        let fault = self.faults.next(kind, path.clone()).await;
        if fault == Some(Fault::IgnoreCondition) {
            options.mode = PutMode::Overwrite;
        }
        let work = self.inner.put_opts(path, payload, options);
        match fault {
            Some(fault) => go_wrong(fault, path, work).await,
            None => work.await,
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.attempt(Kind::Put, path, self.inner.put_multipart_opts(path, options)).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.attempt(Kind::Read, path, self.inner.get_opts(path, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |path: Path| {
            let this = this.clone();
            async move {
                let one = stream::once(futures::future::ready(Ok(path.clone()))).boxed();
                let work = this.inner.delete_stream(one).try_collect::<Vec<_>>();
                this.attempt(Kind::Delete, &path, work).await.map(|_| path.clone())
            }
        };
        paths.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, folder) = (self.clone(), prefix.cloned().unwrap_or_default());
        let prefix = prefix.cloned();
        let work = async move {
            let fault = this.faults.next(Kind::List, folder.clone()).await;
            if fault == Some(Fault::Stale) {
                return Ok(this.listed.lock().get(&folder).cloned().unwrap_or_default());
            }
            let work = async {
                let mut found: Vec<ObjectMeta> = this.inner.list(prefix.as_ref()).try_collect().await?;
                let is_hidden = this.faults.hidden();
                found.retain(|meta| !is_hidden(&meta.location));
                if fault == Some(Fault::Truncated) {
                    found.truncate(found.len() / 2);
                } else {
                    this.listed.lock().insert(folder, found.clone());
                }
                Ok(found)
            };
            match fault {
                Some(fault) => go_wrong(fault, &Path::default(), work).await,
                None => work.await,
            }
        };
        stream::once(work).map_ok(|found| stream::iter(found).map(Ok)).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = prefix.cloned().unwrap_or_default();
        self.attempt(Kind::Folders, &folder, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.attempt(Kind::Put, to, self.inner.copy_opts(from, to, options)).await
    }
}
