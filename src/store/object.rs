//! One object of an `object_store`: read, and written under a condition with an outcome that can be trusted.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, ObjectStore, PutMode, PutOptions, UpdateVersion};

use super::types::{Stored, Tag, Version, Written};
use crate::error::{Error, ErrorKind, Result};

/// How often a write is repeated that was refused although its condition held.
const ATTEMPTS: usize = 3;

pub(super) type Store = Arc<dyn ObjectStore>;

/// When an object may be written.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// There is none of its name.
    Absent,
    /// It is still this one.
    Unchanged(UpdateVersion),
}

impl Condition {
    fn mode(&self) -> PutMode {
        match self {
            Self::Absent => PutMode::Create,
            Self::Unchanged(version) => PutMode::Update(version.clone()),
        }
    }

    /// Whether the condition held when this was read.
    fn holds(&self, found: Option<&Stored>) -> bool {
        match (self, found) {
            (Self::Absent, found) => found.is_none(),
            (Self::Unchanged(_), None) => false,
            // A store without `ETag`s has versions instead.
            (Self::Unchanged(version), Some(found)) => {
                Tag::of(version.e_tag.as_deref()) == found.tag && version.version == found.version.0.version
            }
        }
    }
}

impl Version {
    /// The condition that nothing changed since; some stores know their own `ETag` only without its quotes.
    pub(super) fn condition(&self, quoted: bool) -> Condition {
        let bare = |e_tag: &String| if quoted { e_tag.clone() } else { e_tag.trim_matches('"').to_owned() };
        Condition::Unchanged(UpdateVersion { e_tag: self.0.e_tag.as_ref().map(bare), ..self.0.clone() })
    }
}

/// Reads an object of at most `max_bytes`; `None` when there is none.
pub(super) async fn read(store: &Store, path: &Path, max_bytes: u64) -> Result<Option<Stored>> {
    let answer = match store.get_opts(path, GetOptions::default()).await {
        Ok(answer) => answer,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(StoreError::NotSupported { source }) => return Err(Error::new(ErrorKind::Corrupt, source.to_string())),
        Err(error) => return Err(unavailable(error)),
    };
    if answer.meta.size > max_bytes {
        return Err(Error::new(ErrorKind::Corrupt, format!("{path} is larger than {max_bytes} bytes")));
    }
    let version = UpdateVersion { e_tag: answer.meta.e_tag.clone(), version: answer.meta.version.clone() };
    let tag = Tag::of(answer.meta.e_tag.as_deref());
    let body = answer.bytes().await.map_err(unavailable)?;
    Ok(Some(Stored { body, version: Version(version), tag }))
}

/// Writes an object under a condition. The client library repeats a PUT whose answer got lost and then reports our own
/// success as a conflict, so anything but success is settled by reading back: `body` must be unique. `None` when the
/// store knows no such condition.
pub(super) async fn write(
    store: &Store,
    path: &Path,
    body: &Bytes,
    condition: &Condition,
    max_bytes: u64,
) -> Result<Option<Written>> {
    for _ in 0..ATTEMPTS {
        let put = store.put_opts(path, body.clone().into(), PutOptions::from(condition.mode())).await;
        let error = match put {
            Ok(_) => return Ok(Some(Written::Done)),
            Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => return Ok(None),
            Err(error) => error,
        };
        match read(store, path, max_bytes).await {
            Ok(Some(stored)) if stored.body == *body => return Ok(Some(Written::Done)),
            // A 409 also means "not now": it is believed only when the object says so too.
            Ok(found) => match error {
                StoreError::AlreadyExists { .. } if condition.holds(found.as_ref()) => {}
                StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
                    return Ok(Some(Written::Conflict));
                }
                error => return Err(unavailable(error)),
            },
            Err(_) => return Err(unavailable(error)),
        }
    }
    Err(Error::new(ErrorKind::Unavailable, "the store refuses a write whose condition holds"))
}

/// The same for a store that ignores conditions, where nobody else writes: look first, then write.
pub(super) async fn write_alone(
    store: &Store,
    path: &Path,
    body: &Bytes,
    condition: &Condition,
    max_bytes: u64,
) -> Result<Written> {
    let found = read(store, path, max_bytes).await?;
    if found.as_ref().is_some_and(|stored| stored.body == *body) {
        return Ok(Written::Done);
    }
    if !condition.holds(found.as_ref()) {
        return Ok(Written::Conflict);
    }
    match store.put_opts(path, body.clone().into(), PutOptions::from(PutMode::Overwrite)).await {
        Ok(_) => Ok(Written::Done),
        Err(error) => match read(store, path, max_bytes).await {
            Ok(Some(stored)) if stored.body == *body => Ok(Written::Done),
            _ => Err(unavailable(error)),
        },
    }
}

pub(super) fn unavailable(error: StoreError) -> Error {
    Error::new(ErrorKind::Unavailable, "the store cannot be used right now").caused_by(error)
}
