//! Writing a snapshot: the parts first, their table of contents last, so that what can be found is whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::line::{KeyLine, TenantLine};
use super::manifest::SnapshotManifest;
use super::part::{PART_LINES, Packed, Part, pack};
use crate::cache::{KeyCache, UnreadableDocuments};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, NodeId, Tenant, TenantId};
use crate::layout::ObjectName;
use crate::store::{Bucket, Written};
use crate::sync::HeldDocuments;
use crate::sync::held::DocumentLine;
use crate::sync::tags::{TaggedKey, Tags};

/// How many keys are looked at between two chances for others to run.
const STEP: usize = 1024;

/// Writes all keys and tenants in memory, which holds every entry of the log up to `seq`, and the documents of the
/// kinds in `held`. Gives how many keys those were.
///
/// A key whose document cannot be used is left out, although it is still in memory: a start does not take it in.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer: what was written is no snapshot then.
#[allow(clippy::disallowed_methods)]
pub(in crate::sync) async fn write(
    bucket: &Bucket,
    cache: &KeyCache,
    tags: &Tags,
    held: &[Arc<dyn HeldDocuments>],
    seq: u64,
    written_by: NodeId,
    at: DateTime<Utc>,
) -> Result<u64> {
    let mut writing = Writing { bucket, seq, id: Uuid::new_v4(), parts: 0 };
    let written = writing.whole(cache, tags, held, written_by, at).await;
    if written.is_err() {
        writing.give_up().await;
    }
    written
}

struct Writing<'a> {
    bucket: &'a Bucket,
    seq: u64,
    id: Uuid,
    /// How many parts were begun.
    parts: u16,
}

impl Writing<'_> {
    async fn whole(
        &mut self,
        cache: &KeyCache,
        tags: &Tags,
        held: &[Arc<dyn HeldDocuments>],
        written_by: NodeId,
        at: DateTime<Utc>,
    ) -> Result<u64> {
        let unreadable = cache.unreadable();
        let is_unreadable = |tenant: &TenantId, object: ObjectName| is_noted(&unreadable, tenant, object);
        let tagged = |key: Arc<ApiKey>| TaggedKey { tag: tags.of(&key), key };
        // Keys that share a secret stand apart, and may cease to do so at any time: they are taken before and after the
        // others.
        let mut keys: Vec<TaggedKey> = cache.duplicate_secrets().into_iter().map(tagged).collect();
        let (mut parts, mut records) = (Vec::new(), Vec::new());
        for tenant in cache.tenants() {
            let id = &tenant.id;
            let readable = !is_unreadable(id, ObjectName::Tenant { tenant: id.clone() });
            records.push(if readable { (*tenant).clone() } else { Tenant::unreadable(id.clone()) });
            let mut after = None;
            loop {
                let page = cache.scan(id, after, STEP, |_| true);
                let Some(last) = page.last() else { break };
                after = Some(last.key_id);
                let usable =
                    |key: &Arc<ApiKey>| !is_unreadable(id, ObjectName::Key { tenant: id.clone(), key_id: key.key_id });
                keys.extend(page.into_iter().filter(usable).map(tagged));
                if keys.len() + STEP > PART_LINES {
                    parts.extend(self.keys(std::mem::take(&mut keys)).await?);
                }
                tokio::task::yield_now().await;
            }
        }
        keys.extend(cache.duplicate_secrets().into_iter().map(tagged));
        parts.extend(self.keys(keys).await?);
        let tenants = self.tenants(records).await?;
        let mut documents = BTreeMap::new();
        for held in held {
            documents.insert(held.kind().to_owned(), self.documents(held.lines()).await?);
        }
        let manifest = SnapshotManifest::new(self.seq, self.id, parts, tenants, documents, written_by, at);
        match self.bucket.create(&ObjectName::Snapshot { seq: self.seq, id: self.id }, manifest.to_bytes()).await? {
            Written::Done => Ok(manifest.keys),
            Written::Conflict => Err(Error::new(ErrorKind::Unavailable, "a snapshot of this name is there already")),
        }
    }

    /// Removes the table of contents first, so that none names missing parts. Parts that cannot be removed now are
    /// removed later as orphans.
    async fn give_up(&self) {
        if self.bucket.remove(&ObjectName::Snapshot { seq: self.seq, id: self.id }).await.is_err() {
            return;
        }
        for part in 0..self.parts {
            let _ = self.bucket.remove(&ObjectName::SnapshotPart { seq: self.seq, id: self.id, part }).await;
        }
    }

    async fn keys(&mut self, keys: Vec<TaggedKey>) -> Result<Vec<Part>> {
        self.write(move || pack(keys.iter().map(KeyLine::new))).await
    }

    async fn tenants(&mut self, tenants: Vec<Tenant>) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for some in tenants.chunks(PART_LINES) {
            let some = some.to_vec();
            parts.extend(self.write(move || pack(some.iter().map(TenantLine::from))).await?);
        }
        Ok(parts)
    }

    async fn documents(&mut self, lines: Vec<DocumentLine>) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for some in lines.chunks(PART_LINES) {
            let some = some.to_vec();
            parts.extend(self.write(move || pack(some.iter())).await?);
        }
        Ok(parts)
    }

    async fn write(
        &mut self,
        pack: impl FnOnce() -> std::io::Result<Vec<Packed>> + Send + 'static,
    ) -> Result<Vec<Part>> {
        let failed = |reason: String| Error::new(ErrorKind::Internal, "a snapshot cannot be packed").caused_by(reason);
        let packed = tokio::task::spawn_blocking(pack).await.map_err(|error| failed(error.to_string()))?;
        let mut written = Vec::new();
        for Packed { lines, body, sha256 } in packed.map_err(|error| failed(error.to_string()))? {
            let (part, bytes) = (self.parts, body.len() as u64);
            self.parts = part.checked_add(1).ok_or_else(|| failed("it has too many parts".to_owned()))?;
            self.bucket.write_large(&ObjectName::SnapshotPart { seq: self.seq, id: self.id, part }, body).await?;
            written.push(Part { part, lines, bytes, sha256 });
        }
        Ok(written)
    }
}

fn is_noted(unreadable: &UnreadableDocuments, tenant: &TenantId, object: ObjectName) -> bool {
    !unreadable.is_empty() && unreadable.contains_key(&(tenant.clone(), object.path().to_string()))
}
