//! Documents of the kinds that every node holds in memory: read at the start, from a snapshot or one by one, followed
//! by the change log, compared with the bucket by full reconciles, and reported when they cannot be used.
//!
//! A kind says what its documents are ([`HeldKind`]), and everything else follows. Keys and tenants have a memory of
//! their own, the cache: it finds a key by its secret, and knows millions of them.
//!
//! 1. [`Held`]: all documents of one kind.  [`HeldDocuments`]: the same without the type, for the replica.
//! 2. [`memory`]: the maps.  [`line`]: a document as a line of a snapshot.  [`watchers`]: who follows changes.

mod line;
mod memory;
mod watchers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::{Mutex, RwLock};
use relative_path::RelativePathBuf;
use serde::Serialize;

pub use self::line::DocumentLine;
use self::memory::Memory;
pub use self::watchers::{Watcher, Watchers};
use super::found::attributed;
use super::{AuditAction, ChangedObject, LoggedChange};
use crate::cache::UnreadableDocuments;
use crate::documents::{Audited, Document, Documents, Found, LastWrite, Read};
use crate::error::Result;
use crate::key::TenantId;
use crate::layout::ObjectName;
use crate::store::{Bucket, Tag};

/// How many documents are read, or folders listed, at once.
const READS: usize = 32;
/// Why a file is no document.
const NO_ID: &str = "its name is not <id>.json";

/// A kind of document that every node holds in memory. Two documents are equal when they are of the same write.
#[async_trait]
pub trait HeldKind:
    Document<Id: Clone + Ord + Debug + Display + FromStr + 'static>
    + Audited
    + Debug
    + PartialEq
    + Serialize
    + Sync
    + 'static
{
    /// What the change log and snapshots call it.
    const KIND: &'static str;

    /// The tenant under which a document is reported that cannot be used.
    fn tenant(id: &Self::Id) -> TenantId;

    /// Whether two documents with one hash may be in conflict: where many share one, that would take long to say.
    const HASHES_ARE_OWN: bool = true;

    /// What [`Held::find`] finds it by, beside its id: hashes that may collide.
    fn hashes(&self) -> Vec<u64>;

    /// Why neither of two documents that have a hash in common counts, if that is so and no chance.
    fn conflict(&self, other: &Self) -> Option<&'static str>;

    /// What is in the folders of the kind, while the bucket has these tenants.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    async fn list(bucket: &Bucket, tenants: &[TenantId]) -> Result<KindListing<Self::Id>>;

    /// What people call a document; nothing where they do not.
    fn name(&self) -> Option<String> {
        None
    }

    /// Its last write. Documents without are taken for changed by hand.
    fn last_write(&self) -> LastWrite {
        LastWrite::default()
    }

    /// What makes one state of a document out of another.
    fn action(_before: Option<&Self>, _after: &Self) -> Option<AuditAction> {
        None
    }

    /// The change that an entry of the log names.
    fn changed(id: &Self::Id) -> ChangedObject {
        ChangedObject::Held { kind: Self::KIND.to_owned(), id: id.to_string() }
    }
}

/// What is in the folders of a kind.
#[derive(Debug)]
pub struct KindListing<Id> {
    /// The documents, and the state of each where the store tells.
    pub documents: Vec<(Id, Option<Tag>)>,
    /// What is no document of the kind by its name, and in the folder of which tenant it is.
    pub foreign: Vec<(TenantId, RelativePathBuf)>,
}

impl<Id> KindListing<Id> {
    /// What is in these folders, each with the tenant under which it is reported. `id` says which document of the kind
    /// an object is, if it is one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn of(
        bucket: &Bucket,
        folders: impl IntoIterator<Item = (TenantId, RelativePathBuf)>,
        id: impl Fn(ObjectName) -> Option<Id>,
    ) -> Result<Self> {
        let list =
            |(tenant, folder): (TenantId, RelativePathBuf)| async move { Ok((bucket.list(&folder).await?, tenant)) };
        let folders: Vec<_> = folders.into_iter().collect();
        let listed = stream::iter(folders.into_iter().map(|folder| list(folder).boxed())).buffered(READS);
        let mut listing = Self { documents: Vec::new(), foreign: Vec::new() };
        for (objects, tenant) in listed.try_collect::<Vec<_>>().await? {
            for object in objects {
                match ObjectName::parse(&object.path).and_then(&id) {
                    Some(id) => listing.documents.push((id, object.tag)),
                    None => listing.foreign.push((tenant.clone(), object.path)),
                }
            }
        }
        Ok(listing)
    }
}

/// All documents of one kind in memory. A document that cannot be used stays what it was, and is reported.
#[derive(Debug)]
pub struct Held<T: HeldKind> {
    bucket: Bucket,
    documents: Documents<T>,
    memory: RwLock<Memory<T>>,
    unreadable: Mutex<BTreeMap<T::Id, String>>,
    /// Of the last full reconcile.
    foreign: Mutex<UnreadableDocuments>,
    watchers: Watchers,
}

/// What was in memory before a read or a write.
#[derive(Debug)]
pub struct Before<T> {
    document: Option<Arc<T>>,
    removals: u64,
}

/// The documents of one kind, for the routines that treat all kinds alike.
#[async_trait]
pub trait HeldDocuments: Debug + Send + Sync {
    /// What the change log and snapshots call the kind.
    fn kind(&self) -> &'static str;

    /// Takes in the document that an entry of the log names.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: apply the same again later.
    async fn apply(&self, id: &str) -> Result<()>;

    /// Makes memory equal to the bucket, which has these tenants. Gives what was different. With `verifying`, memory
    /// was never compared with the bucket: what cannot be used is dropped then, as a start would not take it in.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    async fn reconcile(&self, tenants: &[TenantId], verifying: bool) -> Result<Vec<LoggedChange>>;

    /// What a snapshot holds of the kind: what is in memory, without the documents that cannot be used now.
    fn lines(&self) -> Vec<DocumentLine>;

    /// Fills memory at the start.
    fn take_in(&self, lines: Vec<DocumentLine>);

    /// The documents that cannot be used.
    fn unreadable(&self) -> UnreadableDocuments;

    /// Calls `watcher` after every change of what is in memory.
    fn watch(&self, watcher: Watcher);
}

impl<T: HeldKind> Held<T> {
    /// Nothing yet of the documents in `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        let (memory, unreadable, foreign) = (RwLock::new(Memory::default()), Mutex::default(), Mutex::default());
        let (documents, watchers) = (Documents::new(bucket.clone()), Watchers::default());
        Self { documents, bucket, memory, unreadable, foreign, watchers }
    }

    /// The document in memory.
    pub fn get(&self, id: &T::Id) -> Option<Arc<T>> {
        self.memory.read().get(id).cloned()
    }

    /// The documents in memory that have a hash. Another document may have it by chance.
    pub fn find(&self, hash: u64) -> Vec<(T::Id, Arc<T>)> {
        self.memory.read().find(hash)
    }

    /// All documents in memory, in order of id.
    pub fn all(&self) -> Vec<(T::Id, Arc<T>)> {
        self.memory.read().iter().map(|(id, document, _)| (id.clone(), document.clone())).collect()
    }

    /// The documents in the bucket.
    pub fn documents(&self) -> &Documents<T> {
        &self.documents
    }

    /// Takes in a document as it stands in the bucket. Says whether it is another one than before.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn refresh(&self, id: &T::Id) -> Result<bool> {
        self.read(id, false).await
    }

    /// Puts a document in memory that was just written, where it cannot be read back, unless one was removed since
    /// `before`: it may be this one.
    pub fn put(&self, id: &T::Id, document: T, before: &Before<T>) {
        let mut memory = self.memory.write();
        if memory.removals() == before.removals {
            memory.put(id.clone(), Arc::new(document), None);
        }
        drop(memory);
        self.watchers.notify();
    }

    /// Takes a document out of memory that was just removed.
    pub fn forget(&self, id: &T::Id) {
        self.memory.write().remove(id);
        self.note(id, None);
        self.watchers.notify();
    }

    async fn read(&self, id: &T::Id, verifying: bool) -> Result<bool> {
        loop {
            let before = self.before(id);
            let read = self.documents.read(id).await?;
            if let Some(is_other) = self.take_in_read(id, &before, read, verifying) {
                return Ok(is_other);
            }
        }
    }

    /// What is in memory before a read or a write.
    pub fn before(&self, id: &T::Id) -> Before<T> {
        let memory = self.memory.read();
        Before { document: memory.get(id).cloned(), removals: memory.removals() }
    }

    /// Takes in what was read. Says whether it is another document; `None` when what is in memory now may be newer.
    pub(in crate::sync) fn take_in_read(
        &self,
        id: &T::Id,
        before: &Before<T>,
        read: Read<T>,
        verifying: bool,
    ) -> Option<bool> {
        let mut memory = self.memory.write();
        let held = before.document.as_ref();
        if memory.get(id).map(Arc::as_ptr) != held.map(Arc::as_ptr) || memory.removals() != before.removals {
            return None;
        }
        let (is_other, reason) = match read.found {
            Found::Usable(document) => {
                let same = held.filter(|held| ***held == document).cloned();
                let is_other = same.is_none();
                memory.put(id.clone(), same.unwrap_or_else(|| Arc::new(document)), read.tag);
                (is_other, None)
            }
            Found::Absent => (held.is_some() && memory.remove(id), None),
            Found::Unusable(reason) => (verifying && held.is_some() && memory.remove(id), Some(reason.to_string())),
        };
        drop(memory);
        self.note(id, reason);
        if is_other {
            self.watchers.notify();
        }
        Some(is_other)
    }

    /// Notes why a document cannot be used; `None` that it can.
    fn note(&self, id: &T::Id, reason: Option<String>) {
        let mut unreadable = self.unreadable.lock();
        match reason {
            Some(reason) => {
                if unreadable.get(id) != Some(&reason) {
                    let object = T::object(id).path();
                    tracing::warn!(tenant = %T::tenant(id), %object, %reason, "a document cannot be used");
                }
                unreadable.insert(id.clone(), reason);
            }
            None => _ = unreadable.remove(id),
        }
    }
}

#[async_trait]
impl<T: HeldKind> HeldDocuments for Held<T> {
    fn kind(&self) -> &'static str {
        T::KIND
    }

    async fn apply(&self, id: &str) -> Result<()> {
        let Some(id) = T::Id::from_str(id).ok() else {
            tracing::warn!(kind = T::KIND, "an entry of the change log names no document: it is passed over");
            return Ok(());
        };
        self.refresh(&id).await.map(drop)
    }

    async fn reconcile(&self, tenants: &[TenantId], verifying: bool) -> Result<Vec<LoggedChange>> {
        let KindListing { documents: listed, foreign } = T::list(&self.bucket, tenants).await?;
        let named = |(tenant, path): (TenantId, RelativePathBuf)| ((tenant, path.into_string()), NO_ID.to_owned());
        *self.foreign.lock() = foreign.into_iter().map(named).collect();
        let mut to_read: BTreeSet<T::Id> = self.unreadable.lock().keys().cloned().collect();
        {
            let memory = self.memory.read();
            let mut missed: BTreeSet<&T::Id> = memory.iter().map(|(id, ..)| id).collect();
            for (id, tag) in &listed {
                missed.remove(id);
                if tag.is_none() || memory.tag(id) != *tag {
                    to_read.insert(id.clone());
                }
            }
            // A weak listing may miss an object: only a read that finds nothing takes it out of memory.
            to_read.extend(missed.into_iter().cloned());
        }
        let read = |id: T::Id| {
            let read = async move {
                let before = self.get(&id);
                let is_other = self.read(&id, verifying).await?;
                Ok(is_other.then(|| found(&id, before.as_deref(), self.get(&id).as_deref())))
            };
            read.boxed()
        };
        let read = stream::iter(to_read.into_iter().map(read)).buffer_unordered(READS);
        let read: Vec<Option<LoggedChange>> = read.try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    fn lines(&self) -> Vec<DocumentLine> {
        let unreadable: BTreeSet<T::Id> = self.unreadable.lock().keys().cloned().collect();
        let memory = self.memory.read();
        let usable = memory.iter().filter(|(id, ..)| !unreadable.contains(id));
        usable.map(|(id, document, tag)| DocumentLine::of(id, &**document, tag)).collect()
    }

    fn take_in(&self, lines: Vec<DocumentLine>) {
        let mut memory = self.memory.write();
        for (id, document, tag) in lines.into_iter().filter_map(DocumentLine::read::<T>) {
            memory.put(id, Arc::new(document), tag);
        }
        drop(memory);
        self.watchers.notify();
    }

    fn watch(&self, watcher: Watcher) {
        self.watchers.add(watcher);
    }

    fn unreadable(&self) -> UnreadableDocuments {
        let unreadable = self.unreadable.lock();
        let name = |id: &T::Id| (T::tenant(id), T::object(id).path().into_string());
        let documents = unreadable.iter().map(|(id, reason)| (name(id), reason.clone()));
        let conflicts = self.memory.read().conflicts();
        let conflicts = conflicts.iter().map(|(id, reason)| (name(id), (*reason).to_owned()));
        documents.chain(conflicts).chain(self.foreign.lock().clone()).collect()
    }
}

/// The change of a document that a full reconcile has found and the log does not say; `None` where there is none.
fn found<T: HeldKind>(id: &T::Id, before: Option<&T>, after: Option<&T>) -> LoggedChange {
    let name = after.or(before).and_then(HeldKind::name);
    let written = after.and_then(|after| {
        let last = after.last_write();
        let known = before.and_then(|before| before.last_write().write_id);
        (last.write_id.is_some() && last.write_id != known).then(|| (last, T::action(before, after)))
    });
    attributed(T::changed(id), written).named(name).between(before, after)
}
