//! The system stream `keyloft_audit`: a row for each record about a tenant, for SQL. Any node writes the rows, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::progress::{Progress, Range};
use super::read::AuditLog;
use super::record::Record;
use super::walk::Walk;
use crate::clock::Clock as _;
use crate::documents::{Contention, Document, Documents, Fields, Found};
use crate::error::{ErrorKind, Result};
use crate::jitter;
use crate::key::{KeyId, StreamName, TenantId};
use crate::keystore::Keystore;
use crate::operators::Accounts;
use crate::store::Written;
use crate::stream::system::AUDIT;
use crate::stream::{Field, FieldType, SystemRows, SystemStream};
use crate::sync::{history, log};

/// How many entries are written together.
const ENTRIES: u64 = 100;
/// For how many tenants at once.
const WRITES: usize = 8;
/// Rows of one entry have offsets of their own, and so have those of the next.
const OFFSETS: u64 = 1 << 16;

/// Writes the records of the audit into the streams of their tenants.
#[derive(Debug)]
pub struct AuditRows {
    audit: AuditLog,
    keystore: Keystore,
    accounts: Accounts,
    stream: Arc<dyn SystemStream>,
    progress: Documents<Progress>,
    /// The entries up to this one are in the stream, as far as this node knows.
    written: AtomicU64,
    unreadable: Mutex<Option<String>>,
}

impl AuditRows {
    /// Writes through `stream`.
    pub fn new(audit: AuditLog, keystore: Keystore, accounts: Accounts, stream: Arc<dyn SystemStream>) -> Self {
        let progress = Documents::new(audit.bucket.clone());
        let (written, unreadable) = Default::default();
        Self { audit, keystore, accounts, stream, progress, written, unreadable }
    }

    /// Writes what other nodes have not written, twice in `interval` or more often, until dropped. Without changes it
    /// asks the store for nothing.
    pub async fn follow(&self, interval: Duration) {
        let mut answered = true;
        loop {
            tokio::time::sleep(jitter::around(interval / 4)).await;
            if !self.is_behind() {
                continue;
            }
            // So that one node does it for all, most often.
            tokio::time::sleep(jitter::up_to(interval / 4)).await;
            let written = self.write().await;
            match &written {
                Err(error) if answered => tracing::warn!("the audit cannot be written to its stream now: {error:?}"),
                Ok(()) if !answered => tracing::info!("the audit is written to its stream again"),
                _ => {}
            }
            answered = written.is_ok();
        }
    }

    fn is_behind(&self) -> bool {
        self.keystore.cache().is_verified() && self.keystore.replica().log_end() > self.written.load(Ordering::Relaxed)
    }

    /// Writes the records of all entries that this node has read, unless others have.
    ///
    /// A range of entries is chosen by a compare-and-swap first. Each node that goes on with it writes the same rows
    /// into objects of the same names, which are created once, and which count once however often they were merged.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: nothing is lost, and nothing is written twice.
    pub async fn write(&self) -> Result<()> {
        let end = self.keystore.replica().log_end();
        let mut contention = Contention::over("the progress of the audit's stream");
        loop {
            let read = self.progress.read(&()).await?;
            *self.unreadable.lock() = match &read.found {
                Found::Unusable(reason) => Some(reason.to_string()),
                Found::Absent | Found::Usable(_) => None,
            };
            let found = match read.found.usable()? {
                Some(found) => found,
                None => Progress::after(self.first().await?.saturating_sub(1)),
            };
            self.written.store(found.written, Ordering::Relaxed);
            let claimed = found.range.map_or(found.written, |range| range.last);
            let next = match found.range {
                _ if claimed > end && self.is_cut_off_before(claimed).await? => {
                    let end = self.keystore.replica().log_end();
                    tracing::error!(
                        end,
                        claimed,
                        "entries of the change log are gone that were written to its streams"
                    );
                    found.back_at(end)
                }
                Some(range) => {
                    self.write_range(&found, range).await?;
                    found.done()
                }
                None if found.written >= end => return Ok(()),
                None => {
                    let at = self.keystore.replica().store_clock().now();
                    let last = end.min(found.written + ENTRIES);
                    found.beginning(Range { last, at })
                }
            };
            if self.progress.write(&(), &read.place, &next).await? == Written::Conflict {
                contention.lost().await?;
            }
        }
    }

    /// Whether the log has ended before an entry that it had, by all that can be read now: another node may have
    /// written what this one had not read yet.
    async fn is_cut_off_before(&self, seq: u64) -> Result<bool> {
        let replica = self.keystore.replica();
        replica.catch_up().await?;
        Ok(replica.log_end() < seq)
    }

    /// Why the document cannot be used that says how far the streams are, as far as this node knows.
    pub fn unreadable(&self) -> Option<(String, String)> {
        let reason = self.unreadable.lock().clone()?;
        Some((Progress::object(&()).path().into_string(), reason))
    }

    /// The number of the first entry that there is.
    async fn first(&self) -> Result<u64> {
        let in_history = history::ranges(&self.audit.bucket, 0).await?.first().map(|range| range.first);
        let in_log = log::first_after(&self.audit.bucket, 0).await?;
        Ok(in_history.into_iter().chain(in_log).min().unwrap_or(1))
    }

    async fn write_range(&self, progress: &Progress, range: Range) -> Result<()> {
        let Ok(stream) = StreamName::parse(AUDIT) else { return Ok(()) };
        let records = self.records(progress.written, range.last).await?;
        let writes = stream::iter(records).map(|(tenant, records)| {
            let first_offset = i64::try_from((progress.written + 1).saturating_mul(OFFSETS)).unwrap_or(i64::MAX);
            let about = records.iter().map(|record| (key(record), None)).collect();
            let (fields, columns) = columns(&records);
            let (id, at, stream) = (progress.id(), range.at, stream.clone());
            let rows = SystemRows { tenant, stream, id, at, first_offset: Some(first_offset), about, fields, columns };
            self.write_tenant(rows)
        });
        writes.buffer_unordered(WRITES).try_collect().await
    }

    /// Writes the rows of one tenant. Rows that can never be written hold up nothing: the log has the records.
    async fn write_tenant(&self, rows: SystemRows) -> Result<()> {
        let tenant = rows.tenant.clone();
        match self.stream.write(rows).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::StoreNotSafe) => Err(error),
            Err(error) => {
                tracing::error!(%tenant, "records of the audit do not fit their stream, and are left out: {error:?}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The records of the entries after `written`, up to `last`, in their order, by tenant. A tenant that was deleted
    /// has no streams any more.
    async fn records(&self, written: u64, last: u64) -> Result<BTreeMap<TenantId, Vec<Record>>> {
        let end = self.keystore.replica().log_end().max(last);
        let mut walk = Walk::new(&self.audit.bucket, &self.audit.recent, end, last);
        let mut entries = Vec::new();
        while let Some((seq, entry)) = walk.next().await? {
            if seq <= written {
                break;
            }
            entries.push((seq, entry));
        }
        let mut records: BTreeMap<TenantId, Vec<Record>> = BTreeMap::new();
        for (seq, entry) in entries.iter().rev() {
            for mut record in (0..entry.changes.len()).filter_map(|index| Record::new(*seq, entry, index)) {
                let Some(tenant) = record.target.tenant.clone() else { continue };
                if self.keystore.tenant(&tenant).is_ok() {
                    record.name_actor(&self.accounts);
                    records.entry(tenant).or_default().push(record);
                }
            }
        }
        Ok(records)
    }
}

/// The key that a record is about.
fn key(record: &Record) -> Option<KeyId> {
    (record.target.kind == "key").then(|| KeyId::parse(&record.target.id).ok()).flatten()
}

fn columns(records: &[Record]) -> (Vec<Field>, Vec<ArrayRef>) {
    let texts = |text: &dyn Fn(&Record) -> Option<String>| -> ArrayRef {
        Arc::new(records.iter().map(text).collect::<StringArray>())
    };
    let numbers = |number: &dyn Fn(&Record) -> Option<u64>| -> ArrayRef {
        let number = |record| number(record).map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        Arc::new(records.iter().map(number).collect::<Int64Array>())
    };
    let columns = [
        ("audit_id", FieldType::Text, texts(&|record| Some(record.audit_id.to_string()))),
        ("at", FieldType::Text, texts(&|record| Some(instant(record.at)))),
        ("actor_kind", FieldType::Text, texts(&|record| Some(record.actor.kind.as_str().to_owned()))),
        ("actor_id", FieldType::Text, texts(&|record| record.actor.id.clone())),
        ("actor_label", FieldType::Text, texts(&|record| record.actor.label.clone())),
        ("actor_role", FieldType::Text, texts(&|record| record.actor.role.as_ref().map(ToString::to_string))),
        ("action", FieldType::Text, texts(&|record| record.action.map(|action| action.to_string()))),
        ("target_kind", FieldType::Text, texts(&|record| Some(record.target.kind.clone()))),
        ("target_id", FieldType::Text, texts(&|record| Some(record.target.id.clone()))),
        ("target_name", FieldType::Text, texts(&|record| record.target.name.clone())),
        ("request_id", FieldType::Text, texts(&|record| record.request.id.map(|id| id.to_string()))),
        ("route", FieldType::Text, texts(&|record| record.request.route.clone())),
        ("address", FieldType::Text, texts(&|record| record.request.address.map(|address| address.to_string()))),
        ("outcome", FieldType::Text, texts(&|record| Some(record.outcome.as_str().to_owned()))),
        ("status", FieldType::Integer, numbers(&|record| record.status.map(u64::from))),
        ("code", FieldType::Text, texts(&|record| record.code.clone())),
        ("count", FieldType::Integer, numbers(&|record| Some(record.count))),
        ("change_seq", FieldType::Integer, numbers(&|record| Some(record.change_seq))),
        ("before", FieldType::Text, texts(&|record| json(record.before.as_ref()))),
        ("after", FieldType::Text, texts(&|record| json(record.after.as_ref()))),
    ];
    columns.into_iter().map(|(name, field_type, column)| (Field { name: name.into(), field_type }, column)).unzip()
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn json(fields: Option<&Fields>) -> Option<String> {
    serde_json::to_string(fields?).ok()
}
