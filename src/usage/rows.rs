//! The system stream `keyloft_usage`: one row per key and flush interval, for the tenant's own queries.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::StreamExt;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{Tally, UsageTable};
use crate::error::{ErrorKind, Result};
use crate::key::{ApiKey, KeyId, NodeId, StreamName, TenantId};
use crate::stream::system::USAGE;
use crate::stream::{Field, FieldType, SystemRows, SystemStream};

/// How many tenants are written for at once.
const WRITES: usize = 8;

/// What is still to be written, by tenant.
#[derive(Debug, Default)]
pub(super) struct Rows(Mutex<HashMap<TenantId, Pending>>);

/// The counts of one tenant.
#[derive(Debug, Default)]
struct Pending {
    /// Those of an object whose writing has begun, and its id.
    begun: Option<(Uuid, Counts)>,
    /// Those that came since.
    counted: Option<Counts>,
}

#[derive(Debug, Clone)]
struct Counts {
    at: DateTime<Utc>,
    tallies: HashMap<KeyId, Tally>,
}

/// The stream for rows, and the node that they name.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) stream: Arc<dyn SystemStream>,
    pub(super) node_id: NodeId,
}

impl Rows {
    /// Adds the counts of an interval that ends at `at` to those that could not be written before.
    pub(super) fn add(&self, counted: &UsageTable, at: DateTime<Utc>) {
        let mut pending = self.0.lock();
        for (tenant, key_id, tally) in counted.iter() {
            let counts = &mut pending.entry(tenant.clone()).or_default().counted;
            let counts = counts.get_or_insert_with(|| Counts { at, tallies: HashMap::new() });
            counts.tallies.entry(key_id).or_default().add(tally);
        }
    }

    /// Writes one object for each tenant with counts. `find` looks a key up.
    ///
    /// # Errors
    /// The first one; what could not be written is kept.
    pub(super) async fn write(
        &self,
        target: &Target,
        find: impl Fn(&TenantId, KeyId) -> Option<Arc<ApiKey>>,
    ) -> Result<()> {
        let Ok(stream) = StreamName::parse(USAGE) else { return Ok(()) };
        let tenants: Vec<TenantId> = self.0.lock().keys().cloned().collect();
        let writes = futures::stream::iter(tenants).map(|tenant| self.write_one(target, &stream, tenant, &find));
        writes.buffer_unordered(WRITES).fold(Ok(()), async |all, one| all.and(one)).await
    }

    async fn write_one(
        &self,
        target: &Target,
        stream: &StreamName,
        tenant: TenantId,
        find: &impl Fn(&TenantId, KeyId) -> Option<Arc<ApiKey>>,
    ) -> Result<()> {
        loop {
            let Some((id, counts)) = self.begin(target, stream, &tenant) else { return Ok(()) };
            let rows = counts.tallies.into_iter().filter_map(|(id, tally)| Some((find(&tenant, id)?, tally))).collect();
            let written = target.write(&tenant, stream, id, counts.at, rows).await;
            match &written {
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    tracing::error!(%tenant, "rows of usage do not fit their stream, and are dropped: {error:?}");
                }
                Err(_) => return written,
                Ok(()) => {}
            }
            self.end(&tenant);
        }
    }

    /// The next counts to write, and the id of their object, which holds these and nothing else however often it is
    /// written.
    fn begin(&self, target: &Target, stream: &StreamName, tenant: &TenantId) -> Option<(Uuid, Counts)> {
        let mut pending = self.0.lock();
        let pending = pending.get_mut(tenant)?;
        if pending.begun.is_none() {
            let counts = pending.counted.take()?;
            pending.begun = Some((target.stream.id(tenant, stream), counts));
        }
        pending.begun.clone()
    }

    fn end(&self, tenant: &TenantId) {
        let mut all = self.0.lock();
        let Some(pending) = all.get_mut(tenant) else { return };
        pending.begun = None;
        if pending.counted.is_none() {
            all.remove(tenant);
        }
    }
}

impl Target {
    async fn write(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        id: Uuid,
        at: DateTime<Utc>,
        rows: Vec<(Arc<ApiKey>, Tally)>,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let about = rows.iter().map(|(key, _)| (Some(key.key_id), key.settings.source_id.clone())).collect();
        let (fields, columns) = columns(self.node_id, &rows);
        let (tenant, stream) = (tenant.clone(), stream.clone());
        self.stream.write(SystemRows { tenant, stream, id, at, first_offset: None, about, fields, columns }).await
    }
}

fn columns(node_id: NodeId, rows: &[(Arc<ApiKey>, Tally)]) -> (Vec<Field>, Vec<ArrayRef>) {
    let texts = |text: &dyn Fn(&ApiKey, &Tally) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|(key, tally)| text(key, tally)).collect::<StringArray>())
    };
    let numbers = |number: &dyn Fn(&Tally) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|(_, tally)| i64::try_from(number(tally)).unwrap_or(i64::MAX)),
        ))
    };
    let columns = [
        ("node_id", FieldType::Text, texts(&|_, _| Some(node_id.to_string()))),
        ("key_id", FieldType::Text, texts(&|key, _| Some(key.key_id.to_string()))),
        ("key_name", FieldType::Text, texts(&|key, _| Some(key.name.to_string()))),
        ("key_type", FieldType::Text, texts(&|key, _| Some(key.key_type.to_string()))),
        ("requests", FieldType::Integer, numbers(&|tally| tally.requests)),
        ("refused", FieldType::Integer, numbers(&Tally::refusals)),
        ("refused_by_reason", FieldType::Text, texts(&|_, tally| reasons(tally))),
        ("events", FieldType::Integer, numbers(&|tally| tally.events)),
        ("bytes", FieldType::Integer, numbers(&|tally| tally.bytes)),
        ("last_used_at", FieldType::Text, texts(&|_, tally| last_used_at(tally))),
        ("last_address", FieldType::Text, texts(&|_, tally| Some(tally.last_address?.to_string()))),
    ];
    columns.into_iter().map(|(name, field_type, column)| (Field { name: name.into(), field_type }, column)).unzip()
}

fn reasons(tally: &Tally) -> Option<String> {
    (!tally.refused.is_empty()).then(|| serde_json::to_string(&tally.refused).unwrap_or_default())
}

fn last_used_at(tally: &Tally) -> Option<String> {
    Some(tally.last_used?.start().to_rfc3339_opts(SecondsFormat::Millis, true))
}
