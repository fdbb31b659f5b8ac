//! A kind of document, and the outcome of reading one.

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::Unreadable;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::ObjectName;

/// A kind of document in the bucket.
pub trait Document: Sized + Send {
    /// Which document of the kind.
    type Id: Send + Sync;

    /// Its name in errors, such as "the record of the tenant".
    const NAME: &'static str;

    /// The name of its object.
    fn object(id: &Self::Id) -> ObjectName;

    /// Reads one.
    ///
    /// # Errors
    /// [`Unreadable`] says why it cannot be used; nothing is guessed.
    fn parse(id: &Self::Id, body: &[u8]) -> Result<Self, Unreadable>;

    /// The bytes to store. Different at every call, so that a writer recognises its own write.
    fn to_bytes(&self) -> Bytes;
}

/// The bytes of a document with an id of its write, which `stamp` puts into it: what [`Document::to_bytes`] gives.
#[allow(clippy::disallowed_methods)] // Nothing depends on which id it is.
pub(crate) fn stamped<T: Clone + Serialize>(document: &T, stamp: impl FnOnce(&mut T, Uuid)) -> Bytes {
    let mut document = document.clone();
    stamp(&mut document, Uuid::new_v4());
    serde_json::to_vec_pretty(&document).unwrap_or_default().into()
}

/// The object in the bucket under the name of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// Nothing.
    Absent,
    /// A document.
    Usable(T),
    /// Something that cannot be used, and why.
    Unusable(Unreadable),
}

impl<T: Document> Found<T> {
    /// The document, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it cannot be used.
    pub fn usable(self) -> Result<Option<T>> {
        match self {
            Self::Absent => Ok(None),
            Self::Usable(document) => Ok(Some(document)),
            Self::Unusable(reason) => Err(corrupt::<T>(reason)),
        }
    }
}

/// The error of a caller that needs an unreadable document.
pub(crate) fn corrupt<T: Document>(reason: Unreadable) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{} cannot be read", T::NAME)).caused_by(reason)
}
