//! Every stream of every tenant, in memory; `schema.json` is the truth.
//!
//! 1. [`StreamCatalog`]: looking streams up, and widening them.  [`settings`]: changing what is set of them.
//! 2. [`trust`]: when memory may be used without reading the store. [`deletion`]: the steps of a deletion. [`lost`]: a
//!    schema that is missing. [`hooks`]: callbacks into the rest of the node.

mod deletion;
mod hooks;
mod lost;
mod settings;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use parking_lot::{Mutex, RwLock};
use relative_path::RelativePath;

use self::hooks::{InContact, Retention};
use super::objects::UnreadableObjects;
use super::{Conflict, Field, NewObjects, StreamSchema};
use crate::cache::UnreadableDocuments;
use crate::documents::{Document as _, Documents, Edit, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, TenantId};
use crate::layout;
use crate::store::{Bucket, Tag};

/// How many streams one tenant may have: a leaked ingestion key cannot fill the memory with names.
pub const MAX_STREAMS: usize = 10_000;
/// A tenant with too many streams stays so for a while: an operator must remove some.
const STREAM_LIMIT_RETRY: Duration = Duration::from_secs(60);
/// How many schemas are read at once.
const RELOADS: usize = 16;

/// The streams of all tenants. Lookups touch memory only.
#[derive(Debug)]
pub struct StreamCatalog {
    bucket: Bucket,
    schemas: Documents<StreamSchema>,
    streams: RwLock<BTreeMap<TenantId, BTreeMap<StreamName, Known>>>,
    unreadable: Mutex<UnreadableDocuments>,
    widened: OnceLock<Widened>,
    in_contact: OnceLock<InContact>,
    retention: OnceLock<Retention>,
    /// Counts the announcements of other nodes.
    announcements: AtomicU64,
    /// The streams whose deletion has something left to do.
    deleting: Mutex<BTreeSet<(TenantId, StreamName)>>,
    /// The streams that were deleted, here or elsewhere, whose days this node has not scheduled for removal yet.
    deleted: Mutex<BTreeSet<(TenantId, StreamName)>>,
    new_objects: NewObjects,
    unreadable_objects: UnreadableObjects,
}

/// A schema in memory.
#[derive(Debug, Clone)]
struct Known {
    schema: Arc<StreamSchema>,
    /// The state of `schema.json` that holds the same; `None` after a write of our own, and where the store has no
    /// tags.
    tag: Option<Tag>,
    /// The number of the last announcement of it that may not be in `schema`.
    announced: u64,
    /// How many announcements there were when `schema` began to be read.
    read: u64,
}

/// Called after a stream was created or widened here.
struct Widened(Box<Listener>);

type Listener = dyn Fn(&TenantId, &StreamName) + Send + Sync;

impl std::fmt::Debug for Widened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Widened(..)")
    }
}

impl StreamCatalog {
    /// A catalog that knows no stream yet.
    pub fn new(bucket: Bucket) -> Self {
        let schemas = Documents::new(bucket.clone());
        let (streams, unreadable, widened, new_objects, unreadable_objects) = Default::default();
        let (in_contact, retention, announcements, deleting, deleted) = Default::default();
        Self {
            schemas,
            bucket,
            streams,
            unreadable,
            widened,
            in_contact,
            retention,
            announcements,
            deleting,
            deleted,
            new_objects,
            unreadable_objects,
        }
    }

    /// Calls `listener` after a stream was created or widened here, durably. Only the first listener is kept.
    pub fn on_widened(&self, listener: impl Fn(&TenantId, &StreamName) + Send + Sync + 'static) {
        let _ = self.widened.set(Widened(Box::new(listener)));
    }

    /// Reads one stream from the store into memory.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the schema cannot be
    /// read.
    pub async fn reload(&self, tenant: &TenantId, stream: &StreamName) -> Result<()> {
        self.reload_through(&self.bucket, tenant, stream).await
    }

    /// The same through other connections to the store.
    ///
    /// # Errors
    /// As for [`StreamCatalog::reload`].
    pub async fn reload_through(&self, bucket: &Bucket, tenant: &TenantId, stream: &StreamName) -> Result<()> {
        let began = self.announcements.load(Ordering::SeqCst);
        let read = Documents::<StreamSchema>::new(bucket.clone()).read(&(tenant.clone(), stream.clone())).await?;
        match read.found.usable()? {
            Some(schema) => _ = self.remember(tenant, stream, Arc::new(schema), read.tag, began),
            None => {
                if let Err(error) = self.check_gone(bucket, tenant, stream).await {
                    self.announced(tenant, stream); // The next event makes it anew.
                    return Err(error);
                }
                self.forget(tenant, stream);
            }
        }
        Ok(())
    }

    /// Makes memory equal to the store, for every tenant. A schema that cannot be read, or is missing while objects of
    /// the stream are there, is reported and changes nothing. A stream that is gone is forgotten.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn sync(&self) -> Result<()> {
        let mut unreadable = UnreadableDocuments::new();
        self.sync_tenant(TenantId::default(), &mut unreadable).await?;
        for folder in self.bucket.folders(RelativePath::new("")).await? {
            if let Ok(tenant) = TenantId::parse(&folder)
                && !tenant.is_default()
            {
                self.sync_tenant(tenant, &mut unreadable).await?;
            }
        }
        *self.unreadable.lock() = unreadable;
        Ok(())
    }

    /// The schemas that could not be read at the last sync, and the manifests and objects of events that a query or
    /// compaction could not read.
    pub fn unreadable(&self) -> UnreadableDocuments {
        let mut documents = self.unreadable.lock().clone();
        for (object, (tenant, reason)) in self.unreadable_objects.lock().iter() {
            documents.insert((tenant.clone(), object.clone()), reason.clone());
        }
        documents
    }

    /// Where manifests and objects of events that cannot be read are noted.
    pub fn unreadable_objects(&self) -> &UnreadableObjects {
        &self.unreadable_objects
    }

    async fn sync_tenant(&self, tenant: TenantId, unreadable: &mut UnreadableDocuments) -> Result<()> {
        let folders = self.bucket.entries(&layout::streams(&tenant)).await?;
        let stored = folders.iter().filter_map(|folder| StreamName::parse(folder).ok());
        let known: Vec<_> = self.streams.read().get(&tenant).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        let streams: BTreeSet<StreamName> = stored.chain(known).collect();
        let reload = |stream: StreamName| {
            let tenant = &tenant;
            async move { (self.reload(tenant, &stream).await, stream) }.boxed()
        };
        let mut reloads = stream::iter(streams.into_iter().map(reload)).buffer_unordered(RELOADS);
        while let Some((reloaded, stream)) = reloads.next().await {
            match reloaded {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(%tenant, %stream, "the schema of a stream cannot be read: {error}");
                    let object = StreamSchema::object(&(tenant.clone(), stream.clone())).path().into_string();
                    let reason =
                        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                    unreadable.insert((tenant.clone(), object), reason);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The schema of a stream, if it exists. One that was deleted exists for as long as some node may not have heard.
    pub fn get(&self, tenant: &TenantId, stream: &StreamName) -> Option<Arc<StreamSchema>> {
        self.known(tenant, stream).filter(|schema| !schema.is_unused() || schema.is_being_deleted())
    }

    /// The same, also of a stream that was deleted.
    pub fn known(&self, tenant: &TenantId, stream: &StreamName) -> Option<Arc<StreamSchema>> {
        Some(self.streams.read().get(tenant)?.get(stream)?.schema.clone())
    }

    /// Every stream of every tenant, also those that were deleted.
    pub fn all(&self) -> Vec<(TenantId, StreamName)> {
        let streams = self.streams.read();
        let of = |(tenant, streams): (&TenantId, &BTreeMap<StreamName, Known>)| {
            streams.keys().map(|stream| (tenant.clone(), stream.clone())).collect::<Vec<_>>()
        };
        streams.iter().flat_map(of).collect()
    }

    /// The objects that this process writes into the streams.
    pub fn new_objects(&self) -> &NewObjects {
        &self.new_objects
    }

    /// The streams of a tenant, sorted by name.
    pub fn list(&self, tenant: &TenantId) -> Vec<(StreamName, Arc<StreamSchema>)> {
        let streams = self.streams.read();
        let Some(streams) = streams.get(tenant) else { return Vec::new() };
        let used = streams.iter().filter(|(_, known)| !known.schema.is_unused());
        used.map(|(name, known)| (name.clone(), known.schema.clone())).collect()
    }

    /// The schema of a stream, made to hold as many of `batches` as can be held together, in their order, by one
    /// durable change. The stream is created when it does not exist. Returns for each batch why it does not fit, if so.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyStreams`] when the tenant has [`MAX_STREAMS`], [`ErrorKind::Unavailable`] when the store
    /// does not answer, [`ErrorKind::Corrupt`] when the schema cannot be read.
    pub async fn widen_by_all(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        batches: &[&[Field]],
    ) -> Result<(Arc<StreamSchema>, Vec<Option<Conflict>>)> {
        // A conflict with a field that was deleted may be over since.
        let is_sure = |schema: &StreamSchema, conflicts: &[Option<Conflict>]| {
            !schema.has_former_fields() || conflicts.iter().all(Option::is_none)
        };
        if let Some(known) = self.trusted(tenant, stream)
            && let (None, conflicts) = known.widen_by_all(batches)
            && is_sure(&known, &conflicts)
        {
            return Ok((known, conflicts));
        }
        self.widen_stored(tenant, stream, batches, None).await
    }

    /// The same by what is stored, whatever memory holds; with `deletions`, only if the stream has been deleted just so
    /// often.
    ///
    /// # Errors
    /// As for [`StreamCatalog::widen_by_all`]; [`ErrorKind::Unavailable`] when the stream was deleted once more.
    pub async fn widen_stored(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        batches: &[&[Field]],
        deletions: Option<u64>,
    ) -> Result<(Arc<StreamSchema>, Vec<Option<Conflict>>)> {
        if self.get(tenant, stream).is_none() {
            self.check_count(tenant, stream)?;
        }
        let began = self.announcements.load(Ordering::SeqCst);
        // Another node may have widened it since: what is stored is the truth.
        let edit = |found: Found<StreamSchema>| {
            let stored = found.usable()?;
            let exists = stored.as_ref().is_some_and(|schema| !schema.is_unused());
            let schema = stored.unwrap_or_default().used();
            if deletions.is_some_and(|deletions| deletions != schema.deletions()) {
                return Err(Error::new(ErrorKind::Unavailable, "the stream was deleted meanwhile"));
            }
            let (wider, conflicts) = schema.widen_by_all(batches);
            Ok(match wider {
                None if exists => Edit::Keep((schema, conflicts, false)),
                wider => {
                    let schema = wider.unwrap_or(schema);
                    Edit::Write(schema.clone(), (schema, conflicts, true))
                }
            })
        };
        let (schema, conflicts, is_wider) = self.update(tenant, stream, edit).await?;
        if is_wider && let Some(Widened(listener)) = self.widened.get() {
            listener(tenant, stream);
        }
        Ok((self.remember_widened(tenant, stream, Arc::new(schema), began), conflicts))
    }

    /// Whether one stream more fits. Streams that the server writes itself always do.
    fn check_count(&self, tenant: &TenantId, stream: &StreamName) -> Result<()> {
        if stream.is_system() || self.count(tenant) < MAX_STREAMS {
            return Ok(());
        }
        let message = format!("the tenant has {MAX_STREAMS} streams, as many as it may have: remove some");
        Err(Error::new(ErrorKind::TooManyStreams, message).retry_after(STREAM_LIMIT_RETRY))
    }

    /// Stores a schema that was read or written, unless memory already holds at least as much: a schema only widens.
    /// Returns the schema in memory.
    fn remember(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        schema: Arc<StreamSchema>,
        tag: Option<Tag>,
        began: u64,
    ) -> Arc<StreamSchema> {
        let mut streams = self.streams.write();
        let streams = streams.entry(tenant.clone()).or_default();
        let deletions = streams.get(stream).map_or(0, |known| known.schema.deletions());
        let announced = match streams.get_mut(stream) {
            Some(known) if known.schema.holds(&schema) => {
                if schema.holds(&known.schema) {
                    known.tag = tag.or(known.tag);
                }
                known.read = known.read.max(began);
                return known.schema.clone();
            }
            Some(known) => known.announced,
            None => self.announcements.load(Ordering::SeqCst),
        };
        let id = (tenant.clone(), stream.clone());
        if schema.deletions() > deletions {
            self.note_deleted(id.clone());
        }
        match schema.is_being_deleted() {
            true => self.deleting.lock().insert(id),
            false => self.deleting.lock().remove(&id),
        };
        streams.insert(stream.clone(), Known { schema: schema.clone(), tag, announced, read: began });
        schema
    }

    fn forget(&self, tenant: &TenantId, stream: &StreamName) {
        let mut streams = self.streams.write();
        streams.get_mut(tenant).map(|streams| streams.remove(stream));
        self.deleting.lock().remove(&(tenant.clone(), stream.clone()));
    }

    fn count(&self, tenant: &TenantId) -> usize {
        let streams = self.streams.read();
        streams.get(tenant).map_or(0, |streams| streams.values().filter(|known| !known.schema.is_unused()).count())
    }
}
