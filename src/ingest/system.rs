//! Rows that the server writes about its own work.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use super::Batch;
use super::batcher::{Put, Widened, Writer};
use super::write::parquet_about;
use crate::clock::StoreClock;
use crate::error::Result;
use crate::key::{StreamName, TenantId};
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::stream::{StreamCatalog, SystemRows, SystemStream};

/// Writes system streams as objects of their own, beside the queues of clients.
#[derive(Debug, Clone)]
pub struct SystemWriter(Writer);

impl SystemWriter {
    /// Writes into `bucket`, one object at a time, while the clock of this node is right.
    pub fn new(bucket: Bucket, catalog: Arc<StreamCatalog>, clock: Arc<StoreClock>) -> Self {
        Self(Writer { bucket, catalog, clock, cpu: Arc::new(Semaphore::new(1)) })
    }

    pub(super) fn sharing(writer: Writer) -> Self {
        Self(writer)
    }
}

#[async_trait]
impl SystemStream for SystemWriter {
    fn id(&self, tenant: &TenantId, stream: &StreamName) -> Uuid {
        self.0.catalog.new_objects().id(tenant, stream)
    }

    async fn write(&self, rows: SystemRows) -> Result<()> {
        let SystemRows { tenant, stream, id, at, first_offset, about, fields, columns } = rows;
        if about.is_empty() {
            return Ok(());
        }
        let since = Instant::now();
        let (schema, conflicts) = self.0.catalog.widen_by_all(&tenant, &stream, &[&fields]).await?;
        if let Some(conflict) = conflicts.into_iter().flatten().next() {
            return Err(conflict.into_error());
        }
        let put = if first_offset.is_some() { Put::Once } else { Put::New };
        let first_offset =
            first_offset.unwrap_or_else(|| self.0.catalog.new_objects().events(&tenant, &stream, about.len()));
        let name = ObjectName::events(tenant, stream, at, id);
        let batch = Batch { fields, rows: about.len(), columns };
        let fields = batch.fields.clone();
        let widened = Widened { fields: &[&fields], deletions: schema.deletions(), since };
        self.0.write(&name, widened, put, move || parquet_about(&schema, &batch, about, at, first_offset)).await
    }
}
