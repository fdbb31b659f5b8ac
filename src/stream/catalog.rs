//! Every stream of every tenant, in memory; what `schema.json` says is what counts.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use relative_path::RelativePath;

use super::{Field, StreamSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Version, Written};

/// How many streams one tenant may have: a leaked ingestion key cannot fill the memory with names.
pub const MAX_STREAMS: usize = 10_000;
/// How often a compare-and-swap is tried before we say that the store is too busy.
const ATTEMPTS: usize = 8;

/// The streams of all tenants. Lookups touch memory only.
#[derive(Debug)]
pub struct StreamCatalog {
    bucket: Bucket,
    streams: RwLock<BTreeMap<TenantId, BTreeMap<StreamName, Arc<StreamSchema>>>>,
}

impl StreamCatalog {
    /// A catalog that knows no stream yet.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, streams: RwLock::default() }
    }

    /// Reads the streams of every tenant from the store. A schema that cannot be read is logged and passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn sync(&self) -> Result<()> {
        self.sync_tenant(&TenantId::default()).await?;
        for folder in self.bucket.folders(RelativePath::new("")).await? {
            if let Ok(tenant) = TenantId::parse(&folder)
                && !tenant.is_default()
            {
                self.sync_tenant(&tenant).await?;
            }
        }
        Ok(())
    }

    async fn sync_tenant(&self, tenant: &TenantId) -> Result<()> {
        for folder in self.bucket.folders(&layout::streams(tenant)).await? {
            let Ok(stream) = StreamName::parse(&folder) else { continue };
            match self.load(tenant, &stream).await {
                // What memory already holds may be newer than what was just read.
                Ok(Some((schema, _))) if !self.holds(tenant, &stream, &schema) => {
                    self.remember(tenant, &stream, Arc::new(schema));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(%tenant, %stream, "the schema of a stream cannot be read: {error}");
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
        for _ in 0..ATTEMPTS {
            // Another node may have widened it since: what is stored is the truth.
            let (schema, version) = match self.load(tenant, stream).await? {
                Some((schema, version)) => (schema, Some(version)),
                None => (StreamSchema::default(), None),
            };
            let wider = match fit(&schema, batch)? {
                Some(wider) => wider,
                None if version.is_some() => return Ok(self.remember(tenant, stream, Arc::new(schema))),
                None => schema,
            };
            if self.save(tenant, stream, &wider, version.as_ref()).await? == Written::Done {
                return Ok(self.remember(tenant, stream, Arc::new(wider)));
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the schema of the stream is being changed by too many writers"))
    }

    async fn load(&self, tenant: &TenantId, stream: &StreamName) -> Result<Option<(StreamSchema, Version)>> {
        let Some(stored) = self.bucket.read(&name(tenant, stream)).await? else { return Ok(None) };
        Ok(Some((StreamSchema::parse(&stored.body)?, stored.version)))
    }

    async fn save(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        schema: &StreamSchema,
        version: Option<&Version>,
    ) -> Result<Written> {
        let (name, body) = (name(tenant, stream), schema.to_bytes());
        match version {
            Some(version) => self.bucket.replace(&name, body, version).await,
            None => self.bucket.create(&name, body).await,
        }
    }

    fn remember(&self, tenant: &TenantId, stream: &StreamName, schema: Arc<StreamSchema>) -> Arc<StreamSchema> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.entry(tenant.clone()).or_default().insert(stream.clone(), schema.clone());
        schema
    }

    fn holds(&self, tenant: &TenantId, stream: &StreamName, schema: &StreamSchema) -> bool {
        self.get(tenant, stream).is_some_and(|known| matches!(known.widen(schema.fields()), Ok(None)))
    }

    fn count(&self, tenant: &TenantId) -> usize {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get(tenant).map_or(0, BTreeMap::len)
    }
}

fn name(tenant: &TenantId, stream: &StreamName) -> ObjectName {
    ObjectName::Schema { tenant: tenant.clone(), stream: stream.clone() }
}

fn fit(schema: &StreamSchema, batch: &[Field]) -> Result<Option<StreamSchema>> {
    schema.widen(batch).map_err(|conflict| Error::invalid(conflict.to_string()))
}
