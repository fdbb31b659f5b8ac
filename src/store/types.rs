//! What the store gives and takes: documents with their versions, and names as paths.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectMeta, UpdateVersion};
use relative_path::{RelativePath, RelativePathBuf};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::key::Digest;

/// The largest document. A larger object is not one of ours.
pub const MAX_DOCUMENT_BYTES: u64 = 1024 * 1024;

/// A document as it was read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its bytes.
    pub body: Bytes,
    /// What [`super::Bucket::replace`] compares with.
    pub version: Version,
    /// What a list shows of it while it is unchanged; `None` when the store has no `ETag`s.
    pub tag: Option<Tag>,
}

/// The state of an object that was listed or read: eight bytes of the SHA-256 of its `ETag`, quotes aside. Every body
/// of ours is unique, so two states never share an `ETag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(u64);

impl Tag {
    pub(super) fn of(e_tag: Option<&str>) -> Option<Self> {
        e_tag.map(|e_tag| Self(Digest::of(e_tag.trim_matches('"')).table_hash()))
    }
}

/// The state of an object that was read. A store may use the `ETag`, a generation, or both.
#[derive(Debug, Clone)]
pub struct Version(pub(super) UpdateVersion);

impl Version {
    pub(super) fn e_tag(&self) -> Option<&str> {
        self.0.e_tag.as_deref()
    }
}

/// The outcome of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// The bytes are in the store, durably.
    Done,
    /// The condition does not hold: nothing was written.
    Conflict,
}

/// An object found by [`super::Bucket::list`].
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its whole name.
    pub path: RelativePathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its state; `None` when the store lists no `ETag`s.
    pub tag: Option<Tag>,
    /// When it was written, by the clock of the store.
    pub written_at: DateTime<Utc>,
}

impl From<ObjectMeta> for Listed {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            path: RelativePathBuf::from(String::from(meta.location)),
            size_bytes: meta.size,
            tag: Tag::of(meta.e_tag.as_deref()),
            written_at: meta.last_modified,
        }
    }
}

/// Our names hold only characters that need no encoding, so parsing them cannot change them.
pub(crate) fn object_path(path: &RelativePath) -> Result<Path> {
    Path::parse(path.as_str()).map_err(|error| Error::new(ErrorKind::Internal, "not an object name").caused_by(error))
}
