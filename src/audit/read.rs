//! Records out of the entries of the change log, the newest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::filter::{AuditFilter, AuditScope};
use super::recent::Recent;
use super::record::{AuditId, Record};
use super::requests::Requests;
use super::walk::Walk;
use crate::error::Result;
use crate::key::TenantId;
use crate::store::Bucket;
use crate::sync::Replica;
use crate::sync::log::LogEntry;

/// A page asks the store for entries no more than this often; it may have few records then, or none.
const MAX_ASKED: usize = 32;
/// Records that are looked at together.
const PAGE: usize = 100;

/// What happened, as the change log and its history have it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditLog {
    pub(super) bucket: Bucket,
    pub(super) recent: Arc<Mutex<Recent>>,
    pub(super) requests: Arc<Mutex<Requests>>,
    /// The policy sets whose versions up to this number were looked for in the log.
    pub(super) versions: Arc<Mutex<BTreeMap<TenantId, u64>>>,
}

/// Some records, and where the next ones are.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// The records, the newest first.
    pub items: Vec<Record>,
    /// The cursor of the next page; `None` when nothing older is there.
    pub next_cursor: Option<AuditId>,
}

impl AuditLog {
    /// The audit of a bucket.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, recent: Arc::default(), requests: Arc::default(), versions: Arc::default() }
    }

    /// Keeps the entries in memory that a replica reads and writes from now on.
    pub fn listen(&self, replica: &Replica) {
        let this = self.clone();
        replica.on_entry(move |seq, entry: &LogEntry| this.note(seq, entry));
    }

    /// Keeps an entry in memory. The entries before the first one are taken in as they are read.
    pub(super) fn note(&self, seq: u64, entry: &LogEntry) {
        self.recent.lock().push(seq, Arc::new(entry.clone()));
    }

    /// Whether the log has a record of which this is true.
    ///
    /// # Errors
    /// As for [`AuditLog::page`].
    pub(super) async fn has(
        &self,
        scope: &AuditScope,
        filter: &AuditFilter,
        end: u64,
        is_it: impl Fn(&Record) -> bool,
    ) -> Result<bool> {
        let mut cursor = None;
        loop {
            let page = self.page(scope, filter, end, cursor, PAGE).await?;
            let has = page.items.iter().any(&is_it);
            cursor = page.next_cursor;
            if has || cursor.is_none() {
                return Ok(has);
            }
        }
    }

    /// The records that stand before `cursor`, or from the entry `end` on: `limit` of them at most, the newest first.
    /// Entries that come meanwhile change nothing about the pages that follow.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn page(
        &self,
        scope: &AuditScope,
        filter: &AuditFilter,
        end: u64,
        cursor: Option<AuditId>,
        limit: usize,
    ) -> Result<AuditPage> {
        let from = cursor.map_or(end, |cursor| cursor.seq.min(end));
        let mut walk = Walk::new(&self.bucket, &self.recent, end, from);
        let mut page = AuditPage::default();
        while let Some((seq, entry)) = walk.next().await? {
            if filter.ends_at(&entry) {
                return Ok(page);
            }
            for index in (0..entry.changes.len()).rev() {
                let id = AuditId { seq, index };
                if cursor.is_some_and(|cursor| cursor <= id) {
                    continue;
                }
                let record = Record::new(seq, &entry, index).filter(|record| filter.matches(scope, record));
                page.items.extend(record);
                if page.items.len() >= limit {
                    page.next_cursor = Some(id);
                    return Ok(page);
                }
            }
            if walk.asked >= MAX_ASKED && walk.place() > 0 {
                page.next_cursor = Some(AuditId { seq, index: 0 });
                return Ok(page);
            }
        }
        Ok(page)
    }
}
