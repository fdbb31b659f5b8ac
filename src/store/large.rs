//! Objects that are larger than any document: parts of a snapshot.

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStoreExt};

use super::bucket::{Bucket, location, patiently, unavailable};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::ObjectName;

impl Bucket {
    /// Writes a large object that nobody else writes, durably.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the outcome cannot be learnt.
    pub async fn write_large(&self, name: &ObjectName, body: Bytes) -> Result<()> {
        self.put(name, body).await
    }

    /// Reads a large object of at most `max_bytes`; `None` when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the object is larger.
    pub async fn read_large(&self, name: &ObjectName, max_bytes: u64) -> Result<Option<Bytes>> {
        let (store, path) = (self.object_store(), location(&name.path())?);
        patiently(async {
            let answer = match store.get(&path).await {
                Ok(answer) => answer,
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(unavailable(error)),
            };
            if answer.meta.size > max_bytes {
                return Err(Error::new(ErrorKind::Corrupt, format!("{path} is larger than {max_bytes} bytes")));
            }
            answer.bytes().await.map(Some).map_err(unavailable)
        })
        .await
    }
}
