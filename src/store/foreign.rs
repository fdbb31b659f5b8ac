//! Objects of another system that has the bucket to itself or shares it: read, and removed when their keys have moved.

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStoreExt};
use relative_path::RelativePath;

use super::bucket::{Bucket, LARGE_PATIENCE, Stored, Version, Written, location, within};
use super::object::{self, unavailable};
use crate::error::Result;

impl Bucket {
    /// Reads an object that is not ours, of at most `max_bytes`; `None` when there is none.
    ///
    /// # Errors
    /// As for [`Bucket::read`].
    pub async fn read_foreign(&self, path: &RelativePath, max_bytes: u64) -> Result<Option<Stored>> {
        let (store, path) = (self.object_store(), location(path)?);
        within(LARGE_PATIENCE, object::read(&store, &path, max_bytes)).await
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
        let (store, path) = (self.object_store(), location(path)?);
        within(LARGE_PATIENCE, async {
            match store.delete(&path).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }
}
