//! The four operations the keystore needs of an object store, with the meaning it needs: read, create, replace, list.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion,
};
use relative_path::{RelativePath, RelativePathBuf};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::key::Digest;
use crate::layout::ObjectName;

/// No document of ours is larger; whatever is, is not ours.
pub const MAX_DOCUMENT_BYTES: u64 = 1024 * 1024;

/// How long the store may take over one operation, its own retries included, before we call it unavailable.
const PATIENCE: Duration = Duration::from_secs(30);

/// An object store seen through our object names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
}

/// A document as it was read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its bytes.
    pub body: Bytes,
    /// What [`Bucket::replace`] wants to see.
    pub version: Version,
    /// What a list shows of it as long as nobody changes it; `None` when the store has no such thing.
    pub tag: Option<Tag>,
}

/// Which state of an object was listed or read: eight bytes of the SHA-256 of its `ETag`, quotes aside. Every body of ours
/// is unique, so two states never share an `ETag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag(u64);

impl Tag {
    fn of(e_tag: Option<&str>) -> Option<Self> {
        e_tag.map(|e_tag| Self(Digest::of(e_tag.trim_matches('"')).table_hash()))
    }
}

/// Which state of an object was read. A store may use the `ETag`, a generation, or both.
#[derive(Debug, Clone)]
pub struct Version(UpdateVersion);

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// The bytes are in the store, durably.
    Done,
    /// Somebody else's bytes are there: nothing was written.
    Conflict,
}

/// An object found by [`Bucket::list`].
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its whole name.
    pub path: RelativePathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its state; `None` when the store does not list such a thing.
    pub tag: Option<Tag>,
    /// When it was written, by the clock of the store.
    pub written_at: DateTime<Utc>,
}

impl From<ObjectMeta> for Listed {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            path: RelativePathBuf::from(meta.location.to_string()),
            size_bytes: meta.size,
            tag: Tag::of(meta.e_tag.as_deref()),
            written_at: meta.last_modified,
        }
    }
}

impl Bucket {
    /// Any object store that honours `PutMode::Create` and `PutMode::Update`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// A store that lasts as long as the process: for tests and examples.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(object_store::memory::InMemory::new()))
    }

    /// The store itself, for those who read and write event files.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// Reads an object; `None` when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the object is larger than
    /// [`MAX_DOCUMENT_BYTES`] or is something that must not be read, such as a symbolic link.
    pub async fn read(&self, name: &ObjectName) -> Result<Option<Stored>> {
        patiently(self.read_path(&location(&name.path())?)).await
    }

    /// Reads an object that is not ours, to say what it is.
    ///
    /// # Errors
    /// As for [`Bucket::read`].
    pub async fn peek(&self, path: &RelativePath) -> Result<Option<Bytes>> {
        Ok(patiently(self.read_path(&location(path)?)).await?.map(|stored| stored.body))
    }

    async fn read_path(&self, path: &Path) -> Result<Option<Stored>> {
        let answer = match self.store.get_opts(path, GetOptions::default()).await {
            Ok(answer) => answer,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(StoreError::NotSupported { source }) => return Err(Error::new(ErrorKind::Corrupt, source.to_string())),
            Err(error) => return Err(unavailable(error)),
        };
        if answer.meta.size > MAX_DOCUMENT_BYTES {
            return Err(Error::new(ErrorKind::Corrupt, format!("{path} is larger than {MAX_DOCUMENT_BYTES} bytes")));
        }
        let version = UpdateVersion { e_tag: answer.meta.e_tag.clone(), version: answer.meta.version.clone() };
        let tag = Tag::of(answer.meta.e_tag.as_deref());
        let body = answer.bytes().await.map_err(unavailable)?;
        Ok(Some(Stored { body, version: Version(version), tag }))
    }

    /// Writes an object that must not exist yet. Give every body something unique: after an unclear answer the object
    /// is read back, and bytes equal to ours are taken as our own success.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt.
    pub async fn create(&self, name: &ObjectName, body: Bytes) -> Result<Written> {
        patiently(self.write(name, body, PutMode::Create)).await
    }

    /// Writes an object in place of the version that was read; [`Written::Conflict`] when it has changed or gone since.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt.
    pub async fn replace(&self, name: &ObjectName, body: Bytes, version: &Version) -> Result<Written> {
        patiently(self.write(name, body, PutMode::Update(version.0.clone()))).await
    }

    /// The client library repeats a PUT whose answer got lost and then reports our own success as a conflict, so
    /// anything but success is settled by reading back.
    async fn write(&self, name: &ObjectName, body: Bytes, mode: PutMode) -> Result<Written> {
        let path = location(&name.path())?;
        let Err(error) = self.store.put_opts(&path, body.clone().into(), PutOptions::from(mode)).await else {
            return Ok(Written::Done);
        };
        match self.read_path(&path).await {
            Ok(Some(stored)) if stored.body == body => Ok(Written::Done),
            Ok(_) if matches!(error, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                Ok(Written::Conflict)
            }
            Ok(_) | Err(_) => Err(unavailable(error)),
        }
    }

    /// Every object in a folder, not those in its subfolders.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn list(&self, folder: &RelativePath) -> Result<Vec<Listed>> {
        let found = all(self.store.list(Some(&location(folder)?))).await?;
        Ok(found.into_iter().map(Listed::from).filter(|listed| listed.path.parent() == Some(folder)).collect())
    }

    /// Every object in a folder whose name comes after `after`, which need not exist; not those in its subfolders.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn list_after(&self, folder: &RelativePath, after: &ObjectName) -> Result<Vec<Listed>> {
        let (folder_path, after) = (location(folder)?, location(&after.path())?);
        let found = all(self.store.list_with_offset(Some(&folder_path), &after)).await?;
        Ok(found.into_iter().map(Listed::from).filter(|listed| listed.path.parent() == Some(folder)).collect())
    }

    /// Removes an object; one that is gone already is no error. Never conditional: few stores can do that, so only what
    /// nobody will write again is removed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt.
    pub async fn remove(&self, name: &ObjectName) -> Result<()> {
        let path = location(&name.path())?;
        patiently(async {
            match self.store.delete(&path).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }

    /// The names of the folders in a folder, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn folders(&self, folder: &RelativePath) -> Result<Vec<String>> {
        let prefix = location(folder)?;
        let prefix = (!prefix.as_ref().is_empty()).then_some(&prefix);
        let found = patiently(async { self.store.list_with_delimiter(prefix).await.map_err(unavailable) }).await?;
        let mut names: Vec<String> =
            found.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Writes an object that nobody else writes, durably, over what is there.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt.
    pub async fn put(&self, name: &ObjectName, body: Bytes) -> Result<()> {
        let path = location(&name.path())?;
        patiently(async { self.store.put(&path, body.into()).await.map(drop).map_err(unavailable) }).await
    }
}

/// Our names hold only characters that need no encoding, so parsing them cannot change them.
pub(crate) fn location(path: &RelativePath) -> Result<Path> {
    Path::parse(path.as_str()).map_err(|error| Error::new(ErrorKind::Internal, "not an object name").caused_by(error))
}

async fn patiently<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let timeout = |_| Error::new(ErrorKind::Unavailable, "the store did not answer in time");
    tokio::time::timeout(PATIENCE, work).await.map_err(timeout)?
}

/// Everything of a listing. It may be long, so patience is for its next object and not for the whole.
async fn all(mut listing: BoxStream<'_, Result<ObjectMeta, StoreError>>) -> Result<Vec<ObjectMeta>> {
    let mut found = Vec::new();
    while let Some(next) = patiently(async { listing.try_next().await.map_err(unavailable) }).await? {
        found.push(next);
    }
    Ok(found)
}

fn unavailable(error: StoreError) -> Error {
    Error::new(ErrorKind::Unavailable, "the store cannot be used right now").caused_by(error)
}
