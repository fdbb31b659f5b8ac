//! Objects of another system that has the bucket to itself or shares it: read, and removed when their keys have moved.

use std::error::Error as _;

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStoreExt};
use relative_path::RelativePath;

use super::bucket::{Bucket, LARGE_PATIENCE, within};
use super::object::{self, unavailable};
use super::types::{Stored, Version, Written, object_path};
use crate::error::{Error, ErrorKind, Result};

#[doc(hidden)]
impl Bucket {
    /// Reads an object that is not ours, of at most `max_bytes`; `None` when there is none.
    ///
    /// # Errors
    /// As for [`Bucket::read`].
    pub async fn read_foreign(&self, path: &RelativePath, max_bytes: u64) -> Result<Option<Stored>> {
        let (store, path) = (self.object_store(), object_path(path)?);
        within(LARGE_PATIENCE, object::read(&store, &path, max_bytes)).await.map_err(|error| match is_denied(&error) {
            true => Error::new(ErrorKind::Corrupt, format!("{path} may not be read")).caused_by(error),
            false => error,
        })
    }

    /// Writes an object that is not ours in place of the version that was read.
    ///
    /// # Errors
    /// As for [`Bucket::replace`].
    pub async fn replace_foreign(&self, path: &RelativePath, body: Bytes, version: &Version) -> Result<Written> {
        self.swap(path, body, version).await
    }

    /// Removes an object that is not ours; one that is gone already is no error.
    ///
    /// # Errors
    /// As for [`Bucket::remove`].
    pub async fn remove_foreign(&self, path: &RelativePath) -> Result<()> {
        let (store, path) = (self.object_store(), object_path(path)?);
        within(LARGE_PATIENCE, async {
            match store.delete(&path).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }
}

/// Whether one object is kept from us; the store itself answers.
fn is_denied(error: &Error) -> bool {
    std::iter::successors(error.source(), |cause| (*cause).source()).any(|cause| {
        let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        cause.downcast_ref::<std::io::Error>().is_some_and(denied)
            || matches!(cause.downcast_ref(), Some(StoreError::PermissionDenied { .. }))
    })
}
