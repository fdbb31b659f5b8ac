//! Every stream of every tenant, in memory; what `schema.json` says is what counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use relative_path::RelativePath;

use super::{Conflict, Field, StreamSchema};
use crate::cache::UnreadableDocuments;
use crate::documents::Document as _;
use crate::documents::{Documents, Edit, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, TenantId};
use crate::layout;
use crate::store::Bucket;

/// How many streams one tenant may have: a leaked ingestion key cannot fill the memory with names.
pub const MAX_STREAMS: usize = 10_000;
/// How many schemas are read at once.
const RELOADS: usize = 16;

/// The streams of all tenants. Lookups touch memory only.
#[derive(Debug)]
pub struct StreamCatalog {
    bucket: Bucket,
    schemas: Documents<StreamSchema>,
    streams: RwLock<BTreeMap<TenantId, BTreeMap<StreamName, Arc<StreamSchema>>>>,
    unreadable: Mutex<UnreadableDocuments>,
    widened: OnceLock<Widened>,
}

/// Who is told of a stream that was created or widened here.
struct Widened(Box<Told>);

type Told = dyn Fn(&TenantId, &StreamName) + Send + Sync;

impl std::fmt::Debug for Widened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Widened(..)")
    }
}

impl StreamCatalog {
    /// A catalog that knows no stream yet.
    pub fn new(bucket: Bucket) -> Self {
        let (streams, unreadable, widened) = Default::default();
        Self { schemas: Documents::new(bucket.clone()), bucket, streams, unreadable, widened }
    }

    /// Calls `told` after a stream was created or widened here, durably. The first call counts.
    pub fn on_widened(&self, told: impl Fn(&TenantId, &StreamName) + Send + Sync + 'static) {
        let _ = self.widened.set(Widened(Box::new(told)));
    }

    /// Takes in one stream as it stands in the store.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the schema cannot be read.
    pub async fn reload(&self, tenant: &TenantId, stream: &StreamName) -> Result<()> {
        match self.schemas.read(&(tenant.clone(), stream.clone())).await?.found.usable()? {
            // What memory already holds may be newer than what was just read.
            Some(schema) if self.holds(tenant, stream, &schema) => {}
            Some(schema) => _ = self.remember(tenant, stream, Arc::new(schema)),
            None => self.forget(tenant, stream),
        }
        Ok(())
    }

    /// Makes memory equal to the store, for every tenant. A schema that cannot be read is reported and changes nothing; a
    /// stream whose schema is gone is forgotten, so that its next event creates it anew.
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
        *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = unreadable;
        Ok(())
    }

    /// The schemas that could not be read at the last sync.
    pub fn unreadable(&self) -> UnreadableDocuments {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn sync_tenant(&self, tenant: TenantId, unreadable: &mut UnreadableDocuments) -> Result<()> {
        let folders = self.bucket.folders(&layout::streams(&tenant)).await?;
        let stored = folders.iter().filter_map(|folder| StreamName::parse(folder).ok());
        let known = self.list(&tenant).into_iter().map(|(stream, _)| stream);
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

    /// The schema of a stream, if it exists.
    pub fn get(&self, tenant: &TenantId, stream: &StreamName) -> Option<Arc<StreamSchema>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get(tenant)?.get(stream).cloned()
    }

    /// The streams of a tenant, sorted by name.
    pub fn list(&self, tenant: &TenantId) -> Vec<(StreamName, Arc<StreamSchema>)> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let Some(streams) = streams.get(tenant) else { return Vec::new() };
        streams.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect()
    }

    /// The schema of a stream, made to hold `batch` too, durably; the stream is created when it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the batch does not fit ([`super::Conflict`] says why), or the tenant has
    /// [`MAX_STREAMS`]; [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn widen(&self, tenant: &TenantId, stream: &StreamName, batch: &[Field]) -> Result<Arc<StreamSchema>> {
        let known = self.get(tenant, stream);
        if let Some(known) = &known
            && fit(known, batch)?.is_none()
        {
            return Ok(known.clone());
        }
        if known.is_none() && self.count(tenant) >= MAX_STREAMS {
            return Err(Error::invalid("this tenant has as many streams as one may have"));
        }
        // Another node may have widened it since: what is stored is the truth.
        let edit = |found: Found<StreamSchema>| {
            let stored = found.usable()?;
            let wider = fit(stored.as_ref().unwrap_or(&StreamSchema::default()), batch)?;
            Ok(match (stored, wider) {
                (_, Some(wider)) => Edit::Write(wider.clone(), (wider, true)),
                (Some(schema), None) => Edit::Keep((schema, false)),
                (None, None) => Edit::Write(StreamSchema::default(), (StreamSchema::default(), true)),
            })
        };
        let (schema, is_wider) = self.schemas.update(&(tenant.clone(), stream.clone()), edit).await?;
        if is_wider && let Some(Widened(told)) = self.widened.get() {
            told(tenant, stream);
        }
        Ok(self.remember(tenant, stream, Arc::new(schema)))
    }

    fn remember(&self, tenant: &TenantId, stream: &StreamName, schema: Arc<StreamSchema>) -> Arc<StreamSchema> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.entry(tenant.clone()).or_default().insert(stream.clone(), schema.clone());
        schema
    }

    fn forget(&self, tenant: &TenantId, stream: &StreamName) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.get_mut(tenant).map(|streams| streams.remove(stream));
    }

    fn holds(&self, tenant: &TenantId, stream: &StreamName, schema: &StreamSchema) -> bool {
        self.get(tenant, stream).is_some_and(|known| matches!(known.widen(schema.fields()), Ok(None)))
    }

    fn count(&self, tenant: &TenantId) -> usize {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get(tenant).map_or(0, BTreeMap::len)
    }
}

fn fit(schema: &StreamSchema, batch: &[Field]) -> Result<Option<StreamSchema>> {
    schema.widen(batch).map_err(Conflict::into_error)
}
