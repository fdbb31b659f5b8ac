//! The operations the keystore needs of an object store, with the meaning it needs: read, create, replace, list.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{StreamExt, TryStreamExt};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};
use relative_path::RelativePath;

use super::capabilities::Capabilities;
use super::durable;
use super::local::{self, STAGED_MAX_AGE};
use super::mode::{Property, StoreMode};
use super::object::{self, Condition, Store, unavailable};
use super::report::Report;
use super::types::{MAX_DOCUMENT_BYTES, Stored, Version, Written, object_path};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::ObjectName;

/// How long the store may take over one document, its own retries included, before we call it unavailable.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many objects are removed at once.
const REMOVALS: usize = 32;

/// The same for objects of many megabytes.
pub(super) const LARGE_PATIENCE: Duration = Duration::from_secs(60);

/// An object store seen through our object names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// For documents: gives up within seconds.
    pub(super) documents: Store,
    /// For data: waits as long as many megabytes take.
    pub(super) data: Store,
    capabilities: Arc<Capabilities>,
    single_writer: bool,
    directory: Option<Arc<PathBuf>>,
    #[cfg(feature = "s3")]
    s3: Option<Arc<super::s3::Settings>>,
}

impl Bucket {
    /// Any object store that honours `PutMode::Create` and `PutMode::Update`. It is trusted until it is probed.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self::over(store.clone(), store, Some(StoreMode::Cas))
    }

    /// Any object store. It is probed before the first conditional write.
    pub fn unproven(store: Arc<dyn ObjectStore>) -> Self {
        Self::over(store.clone(), store, None)
    }

    /// One store through two clients. Without a mode to assume, it is probed before the first conditional write.
    pub(super) fn over(documents: Store, data: Store, assumed: Option<StoreMode>) -> Self {
        Self {
            documents,
            data,
            capabilities: Arc::new(Capabilities::new(assumed)),
            single_writer: false,
            directory: None,
            #[cfg(feature = "s3")]
            s3: None,
        }
    }

    /// Says where its files are.
    pub(super) fn of_directory(self, root: Arc<PathBuf>) -> Self {
        Self { directory: Some(root), ..self }
    }

    /// A bucket of an S3 service. It is probed before the first conditional write.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no client can be made.
    #[cfg(feature = "s3")]
    pub(super) fn of_s3(settings: super::s3::Settings) -> Result<Self> {
        let (documents, data) = settings.clients(None)?;
        Ok(Self { s3: Some(Arc::new(settings)), ..Self::over(documents, data, None) })
    }

    /// The same store over connections of its own, which are served on `runtime`. A local directory has none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no client can be made.
    #[doc(hidden)]
    pub fn with_own_connections(&self, runtime: &tokio::runtime::Handle) -> Result<Self> {
        #[cfg(feature = "s3")]
        if let Some(s3) = &self.s3 {
            let (documents, data) = s3.clients(Some(runtime))?;
            return Ok(Self { documents, data, ..self.clone() });
        }
        let _ = runtime;
        Ok(self.clone())
    }

    /// Whether this is a local directory: latency is low, and listings are unordered.
    pub fn is_directory(&self) -> bool {
        self.capabilities.is_directory()
    }

    /// Removes what killed processes left of files that they were writing into a local directory, once it is so old
    /// that nobody is writing it any more. No object is touched.
    pub(crate) async fn sweep(&self) {
        if let Some(root) = self.directory.clone() {
            let sweep = move || durable::sweep(&root, STAGED_MAX_AGE);
            let _ = tokio::task::spawn_blocking(sweep).await;
        }
    }

    /// The same below a folder that nobody may write to any more, however young what is left there is.
    pub(crate) async fn sweep_all(&self, folder: &RelativePath) {
        if let Some(root) = self.directory.clone() {
            let folder = folder.to_owned();
            let _ = tokio::task::spawn_blocking(move || durable::sweep_all(&root, &folder)).await;
        }
    }

    /// Removes empty folders around a name, in a local directory: who removed their last object was killed before.
    #[cfg_attr(not(feature = "server"), allow(dead_code))] // Compaction alone removes what others left.
    pub(crate) async fn remove_empty_around(&self, name: &ObjectName) {
        if let (Some(root), name) = (self.directory.clone(), name.path()) {
            let remove = move || name.parent().map(|folder| local::remove_empty(&root, folder));
            let _ = tokio::task::spawn_blocking(remove).await;
        }
    }

    /// A store that lasts as long as the process: for tests and examples.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(object_store::memory::InMemory::new()))
    }

    /// Allows writes to a store without conditional writes, for a node that is its only writer. No effect on other
    /// stores.
    #[must_use]
    pub fn with_single_writer(self, single_writer: bool) -> Self {
        Self { single_writer, ..self }
    }

    /// The store itself, for event files.
    #[doc(hidden)]
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.data.clone()
    }

    /// Finds out what the store guarantees. It is probed once: later calls, and those of clones, answer the same.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: ask again.
    pub async fn probe(&self) -> Result<Report> {
        self.capabilities.probe(&self.documents).await
    }

    /// How documents are changed in this store; `None` before it is probed.
    pub fn mode(&self) -> Option<StoreMode> {
        self.capabilities.known().map(|mode| self.allowed(mode))
    }
}

/// Objects, for Keyloft itself: no part of the contract.
#[doc(hidden)]
impl Bucket {
    async fn write_mode(&self) -> Result<StoreMode> {
        Ok(self.allowed(self.capabilities.mode(&self.documents).await?))
    }

    fn allowed(&self, mode: StoreMode) -> StoreMode {
        match mode {
            StoreMode::Unsafe { missing } if self.single_writer => StoreMode::SingleWriter { missing },
            other => other,
        }
    }

    /// Reads an object; `None` when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the object is larger than
    /// [`MAX_DOCUMENT_BYTES`] or is something that must not be read, such as a symbolic link.
    pub async fn read(&self, name: &ObjectName) -> Result<Option<Stored>> {
        patiently(object::read(&self.documents, &object_path(&name.path())?, MAX_DOCUMENT_BYTES)).await
    }

    /// Reads an object of another system, to report what it is.
    ///
    /// # Errors
    /// As for [`Bucket::read`].
    pub async fn peek(&self, path: &RelativePath) -> Result<Option<Bytes>> {
        let found = patiently(object::read(&self.documents, &object_path(path)?, MAX_DOCUMENT_BYTES)).await?;
        Ok(found.map(|stored| stored.body))
    }

    /// Writes an object that must not exist yet. Give every body something unique: after an unclear answer the object
    /// is read back, and bytes equal to ours are taken as our own success.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt, [`ErrorKind::StoreNotSafe`] when the store has no
    /// conditional writes to rely on.
    pub async fn create(&self, name: &ObjectName, body: Bytes) -> Result<Written> {
        self.write(&name.path(), body, Wanted::Absent).await
    }

    /// Writes an object in place of the version that was read; [`Written::Conflict`] when it has changed or gone since.
    ///
    /// # Errors
    /// As for [`Bucket::create`].
    pub async fn replace(&self, name: &ObjectName, body: Bytes, version: &Version) -> Result<Written> {
        self.swap(&name.path(), body, version).await
    }

    pub(super) async fn swap(&self, path: &RelativePath, body: Bytes, version: &Version) -> Result<Written> {
        self.write(path, body, Wanted::Unchanged(version)).await
    }

    async fn write(&self, path: &RelativePath, body: Bytes, wanted: Wanted<'_>) -> Result<Written> {
        let (path, mode) = (object_path(path)?, self.write_mode().await?);
        let condition = match wanted {
            Wanted::Absent => Condition::Absent,
            Wanted::Unchanged(version) => version.condition(mode != StoreMode::CasUnquoted),
        };
        let documents = &self.documents;
        match mode {
            StoreMode::Unsafe { missing } => Err(not_safe(missing)),
            StoreMode::SingleWriter { .. } => {
                patiently(async {
                    let _alone = self.capabilities.writing.lock().await;
                    object::write_alone(documents, &path, &body, &condition, MAX_DOCUMENT_BYTES).await
                })
                .await
            }
            _ => {
                let write = object::write(documents, &path, &body, &condition, MAX_DOCUMENT_BYTES);
                // `None`: the store was assumed to know conditions, and answers that it does not.
                patiently(write).await?.ok_or_else(|| not_safe(Property::CreateOnce))
            }
        }
    }

    /// Removes objects that were listed; those that are gone already are no error.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt: some of them may be gone.
    pub async fn remove_listed(&self, objects: &[ObjectMeta]) -> Result<()> {
        let removals: Vec<_> = objects.iter().map(|object| self.remove_at(object.location.clone()).boxed()).collect();
        futures::stream::iter(removals).buffer_unordered(REMOVALS).try_collect().await
    }

    async fn remove_at(&self, path: object_store::path::Path) -> Result<()> {
        patiently(async {
            match self.documents.delete(&path).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }

    /// Removes an object; one that is gone already is no error. Never conditional: few stores can do that, so only what
    /// nobody will write again is removed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt.
    pub async fn remove(&self, name: &ObjectName) -> Result<()> {
        self.remove_at(object_path(&name.path())?).await
    }

    /// Writes a document that nobody else writes, durably, over what is there.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt.
    pub async fn put(&self, name: &ObjectName, body: Bytes) -> Result<()> {
        let path = object_path(&name.path())?;
        patiently(async { self.documents.put(&path, body.into()).await.map(drop).map_err(unavailable) }).await
    }

    /// Writes an object of any size, durably. Its name is unique: nothing is there.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt within a minute.
    pub async fn write_large(&self, name: &ObjectName, body: Bytes) -> Result<()> {
        let path = object_path(&name.path())?;
        let write = async { self.data.put(&path, body.into()).await.map(drop).map_err(unavailable) };
        within(LARGE_PATIENCE, write).await
    }

    /// Reads the last bytes of an object whose size is known; `None` when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the object is something
    /// that must not be read.
    pub async fn read_end(&self, object: &ObjectMeta, bytes: u64) -> Result<Option<Bytes>> {
        let range = object.size.saturating_sub(bytes)..object.size;
        let read = async {
            match self.data.get_range(&object.location, range).await {
                Ok(end) => Ok(Some(end)),
                Err(StoreError::NotFound { .. }) => Ok(None),
                Err(StoreError::NotSupported { source }) => Err(Error::new(ErrorKind::Corrupt, source.to_string())),
                Err(error) => Err(unavailable(error)),
            }
        };
        within(LARGE_PATIENCE, read).await
    }

    /// Where other programs find an object: a path, or `s3://bucket/prefix/…`. `None` for a store that has no address.
    pub fn address(&self, object: &ObjectMeta) -> Option<String> {
        let location = object.location.as_ref();
        #[cfg(feature = "s3")]
        if let Some(s3) = &self.s3 {
            return Some(s3.address(location));
        }
        Some(self.directory.as_ref()?.join(location).to_str()?.to_owned())
    }

    /// Reads an object of at most `max_bytes`; `None` when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer within a minute, [`ErrorKind::Corrupt`] when the
    /// object is larger.
    pub async fn read_large(&self, name: &ObjectName, max_bytes: u64) -> Result<Option<Bytes>> {
        let path = object_path(&name.path())?;
        let found = within(LARGE_PATIENCE, object::read(&self.data, &path, max_bytes)).await?;
        Ok(found.map(|stored| stored.body))
    }
}

/// When a document may be written.
enum Wanted<'a> {
    Absent,
    Unchanged(&'a Version),
}

fn not_safe(missing: Property) -> Error {
    let message = format!("the store is not safe for changes: it fails {missing} (see keyloft store check)");
    Error::new(ErrorKind::StoreNotSafe, message)
}

pub(super) async fn patiently<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    within(PATIENCE, work).await
}

pub(super) async fn within<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let timeout = |_| Error::new(ErrorKind::Unavailable, "the store did not answer in time");
    tokio::time::timeout(patience, work).await.map_err(timeout)?
}
