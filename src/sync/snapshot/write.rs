//! Writing a snapshot: the parts first, their table of contents last, so that what can be found is whole.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::format::{Manifest, PART_KEYS, Packed, Part, pack};
use super::load::Candidate;
use crate::cache::KeyCache;
use crate::error::{Error, ErrorKind, Result};
use crate::key::NodeId;
use crate::layout::ObjectName;
use crate::store::{Bucket, Written};
use crate::sync::tags::Tags;

/// How many keys are looked at between two chances for others to run.
const STEP: usize = 1024;

/// Writes the keys in memory whose documents are known to be in that state. Gives how many those were.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer: what was written is no snapshot then.
#[allow(clippy::disallowed_methods)]
pub(in crate::sync) async fn write(
    bucket: &Bucket,
    cache: &KeyCache,
    tags: &Tags,
    seq: u64,
    written_by: NodeId,
    at: DateTime<Utc>,
) -> Result<u64> {
    let mut writing = Writing { bucket, seq, id: Uuid::new_v4(), parts: Vec::new() };
    let written = writing.whole(cache, tags, written_by, at).await;
    if written.is_err() {
        writing.give_up().await;
    }
    written
}

struct Writing<'a> {
    bucket: &'a Bucket,
    seq: u64,
    id: Uuid,
    parts: Vec<Part>,
}

impl Writing<'_> {
    async fn whole(&mut self, cache: &KeyCache, tags: &Tags, written_by: NodeId, at: DateTime<Utc>) -> Result<u64> {
        let mut keys = Vec::with_capacity(PART_KEYS);
        for tenant in cache.tenants() {
            let mut after = None;
            loop {
                let page = cache.scan(&tenant.id, after, STEP, |_| true);
                let Some(last) = page.last() else { break };
                after = Some(last.key_id);
                keys.extend(page.into_iter().filter_map(|key| Some(Candidate { tag: tags.of(&key)?, key })));
                if keys.len() + STEP > PART_KEYS {
                    self.part(std::mem::take(&mut keys)).await?;
                }
                tokio::task::yield_now().await;
            }
        }
        self.part(keys).await?;
        let manifest = Manifest::new(self.seq, self.id, self.parts.clone(), written_by, at);
        match self.bucket.create(&ObjectName::Snapshot { seq: self.seq, id: self.id }, manifest.to_bytes()).await? {
            Written::Done => Ok(manifest.keys),
            Written::Conflict => Err(Error::new(ErrorKind::Unavailable, "a snapshot of this name is there already")),
        }
    }

    /// Parts without a table of contents are of no use, and one that is there without its parts misleads. Whatever cannot
    /// be removed now is removed as an orphan.
    async fn give_up(&self) {
        if self.bucket.remove(&ObjectName::Snapshot { seq: self.seq, id: self.id }).await.is_err() {
            return;
        }
        for &Part { part, .. } in &self.parts {
            let _ = self.bucket.remove(&ObjectName::SnapshotPart { seq: self.seq, id: self.id, part }).await;
        }
    }

    async fn part(&mut self, keys: Vec<Candidate>) -> Result<()> {
        let failed = |reason: String| Error::new(ErrorKind::Internal, "a snapshot cannot be packed").caused_by(reason);
        let packed =
            tokio::task::spawn_blocking(move || pack(&keys)).await.map_err(|error| failed(error.to_string()))?;
        for Packed { keys, body, sha256 } in packed.map_err(|error| failed(error.to_string()))? {
            let part = u16::try_from(self.parts.len()).map_err(|error| failed(error.to_string()))?;
            let bytes = body.len() as u64;
            self.bucket.write_large(&ObjectName::SnapshotPart { seq: self.seq, id: self.id, part }, body).await?;
            self.parts.push(Part { part, keys, bytes, sha256 });
        }
        Ok(())
    }
}
