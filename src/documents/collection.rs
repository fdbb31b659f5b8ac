//! All documents of one kind in a bucket. The only place that changes a document by compare-and-swap.

use std::marker::PhantomData;

use super::document::corrupt;
use super::{Contention, Document, Found, Unreadable};
use crate::error::{ErrorKind, Result};
use crate::store::{Bucket, Tag, Version, Written};

/// All documents of one kind in a bucket.
///
/// This holds nothing in memory, because kinds differ in what a node needs of them:
/// - machines, and kinds to come: all of them. `sync::held` has the memory, the lines in snapshots, the entries
///   of the change log and the list of what cannot be used, the same for every such kind;
/// - keys and tenants: all of them too, in a cache of their own, which finds a key by its secret among millions;
/// - schemas of streams: all of them, but they are few enough to be listed at each start, so no lines in snapshots;
/// - the manifests of days and the archive of usage: read when they are needed. No other node waits for them, so their
///   changes are not logged either.
#[derive(Debug)]
pub struct Documents<T> {
    bucket: Bucket,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Documents<T> {
    fn clone(&self) -> Self {
        Self { bucket: self.bucket.clone(), kind: PhantomData }
    }
}

/// A document as it was read.
#[derive(Debug)]
pub struct Read<T> {
    /// The outcome of the read.
    pub found: Found<T>,
    /// The tag that a listing shows for it; `None` when the store has no tags.
    pub tag: Option<Tag>,
    /// The base for [`Documents::write`].
    pub place: Place,
}

/// The base of a write: what it replaces.
#[derive(Debug, Clone)]
pub struct Place(Occupied);

#[derive(Debug, Clone)]
enum Occupied {
    No,
    By(Version),
    /// By something that cannot be replaced.
    ForGood(Unreadable),
}

/// The outcome of an update: the new document, and the answer.
#[derive(Debug)]
pub enum Edit<T, R> {
    /// It stays as it is.
    Keep(R),
    /// This takes its place.
    Write(T, R),
}

impl<T: Document> Documents<T> {
    /// The documents of this kind in `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, kind: PhantomData }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn read(&self, id: &T::Id) -> Result<Read<T>> {
        let stored = match self.bucket.read(&T::object(id)).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Read { found: Found::Absent, tag: None, place: Place(Occupied::No) }),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let reason = Unreadable::Object(error.message().to_owned());
                let place = Place(Occupied::ForGood(reason.clone()));
                return Ok(Read { found: Found::Unusable(reason), tag: None, place });
            }
            Err(error) => return Err(error),
        };
        let found = T::parse(id, &stored.body).map_or_else(Found::Unusable, Found::Usable);
        Ok(Read { found, tag: stored.tag, place: Place(Occupied::By(stored.version)) })
    }

    /// Writes a document that must not exist yet. Returns whether it was written.
    ///
    /// # Errors
    /// As for [`Bucket::create`].
    pub async fn create(&self, id: &T::Id, document: &T) -> Result<Written> {
        self.bucket.create(&T::object(id), document.to_bytes()).await
    }

    /// Replaces the document that was read, or creates one where there was none. Returns whether it was written.
    ///
    /// # Errors
    /// As for [`Bucket::replace`]; [`ErrorKind::Corrupt`] when what was read cannot be replaced.
    pub async fn write(&self, id: &T::Id, place: &Place, document: &T) -> Result<Written> {
        match &place.0 {
            Occupied::No => self.create(id, document).await,
            Occupied::By(version) => self.bucket.replace(&T::object(id), document.to_bytes(), version).await,
            Occupied::ForGood(reason) => Err(corrupt::<T>(reason.clone())),
        }
    }

    /// Changes a document by compare-and-swap: reads it, applies `change`, writes the result, and repeats when another
    /// writer was faster. `change` may be called several times, each time with the latest document. Its
    /// last answer is returned once the write is durable.
    ///
    /// # Errors
    /// Those of `change`, which end the update; [`ErrorKind::Unavailable`] when the store does not answer or too many
    /// others are writing; as for [`Documents::write`].
    pub async fn update<R>(
        &self,
        id: &T::Id,
        mut change: impl FnMut(Found<T>) -> Result<Edit<T, R>> + Send,
    ) -> Result<R> {
        self.update_after(id, || std::future::ready(Ok(())), |(), found| change(found)).await
    }

    /// Like [`Documents::update`]: each try awaits `look` before it reads the document, and `change` is given what that
    /// found. So whatever is written after the look is not part of the change.
    ///
    /// # Errors
    /// Those of `look`; as for [`Documents::update`].
    pub async fn update_after<L: Future<Output = Result<S>> + Send, S: Send, R>(
        &self,
        id: &T::Id,
        mut look: impl FnMut() -> L + Send,
        mut change: impl FnMut(S, Found<T>) -> Result<Edit<T, R>> + Send,
    ) -> Result<R> {
        let mut contention = Contention::over(T::NAME);
        loop {
            let looked = look().await?;
            let Read { found, place, .. } = self.read(id).await?;
            match change(looked, found)? {
                Edit::Keep(outcome) => return Ok(outcome),
                Edit::Write(document, outcome) => {
                    if self.write(id, &place, &document).await? == Written::Done {
                        return Ok(outcome);
                    }
                }
            }
            contention.lost().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use futures::FutureExt;

    use super::*;
    use crate::documents::TenantDocument;
    use crate::error::Error;
    use crate::key::{Label, TenantId};

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn tenants() -> Documents<TenantDocument> {
        Documents::new(Bucket::in_memory())
    }

    fn named(name: &str) -> TenantDocument {
        TenantDocument::new(Label::parse(name).ok(), Some(NOW))
    }

    fn name(document: &TenantDocument) -> &str {
        document.name.as_ref().map_or("", Label::as_str)
    }

    #[tokio::test]
    async fn an_update_creates_what_is_not_there_and_is_asked_again_when_another_writer_was_faster() {
        let (tenants, id) = (tenants(), TenantId::default());
        let create = |found: Found<TenantDocument>| Ok(Edit::Write(named("first"), matches!(found, Found::Absent)));
        assert!(tenants.update(&id, create).await.unwrap());
        // What was read is replaced before the change is made.
        let place = tenants.read(&id).await.unwrap().place;
        assert_eq!(tenants.write(&id, &place, &named("second")).await.unwrap(), Written::Done);
        assert_eq!(tenants.write(&id, &place, &named("third")).await.unwrap(), Written::Conflict);
        let seen = |found: Found<TenantDocument>| {
            let document = found.usable()?.ok_or_else(|| Error::invalid("gone"))?;
            Ok(Edit::Keep(name(&document).to_owned()))
        };
        assert_eq!(tenants.update(&id, seen).await.unwrap(), "second");
    }

    #[tokio::test]
    async fn an_update_looks_again_before_each_try() {
        let (tenants, id) = (tenants(), TenantId::default());
        let mut looks = 0;
        let look = || {
            looks += 1;
            std::future::ready(Ok(looks))
        };
        let change = |looks, found: Found<TenantDocument>| {
            if looks == 1 {
                let faster = tenants.create(&id, &named("first")).now_or_never();
                assert_eq!(faster.unwrap().unwrap(), Written::Done);
            }
            Ok(Edit::Write(named("second"), (looks, matches!(found, Found::Absent))))
        };
        assert_eq!(tenants.update_after(&id, look, change).await.unwrap(), (2, false));
    }

    #[tokio::test]
    async fn a_document_that_cannot_be_used_is_overwritten_only_on_request() {
        let (tenants, id) = (tenants(), TenantId::default());
        let _ = tenants.bucket.create(&TenantDocument::object(&id), "{}".into()).await.unwrap();
        let careful = |found: Found<TenantDocument>| Ok(Edit::<TenantDocument, _>::Keep(found.usable()?.is_some()));
        let error = tenants.update(&id, careful).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, "the record of the tenant cannot be read"));
        tenants.update(&id, |_| Ok(Edit::Write(named("new"), ()))).await.unwrap();
        assert!(matches!(tenants.read(&id).await.unwrap().found, Found::Usable(document) if name(&document) == "new"));
    }
}
