//! Reading a snapshot, newest first. What is not whole does not count.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use uuid::Uuid;

use super::format::{MAX_PACKED_BYTES, Manifest, Part, unpack};
use super::list::{Snapshot, SnapshotList};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, TenantId};
use crate::layout::ObjectName;
use crate::store::{Bucket, Tag};

/// How many parts are in memory at once, packed and unpacked: some 60 MiB when they are full.
const PARTS: usize = 4;

/// A key as a document said, and which state of the document that was.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Candidate {
    pub(in crate::sync) tag: Tag,
    pub(in crate::sync) key: Arc<ApiKey>,
}

/// Keys that may be let in once a listing shows their documents in the very state they were read in.
#[derive(Debug, Default)]
pub(in crate::sync) struct Candidates {
    /// In order of id.
    keys: HashMap<TenantId, Vec<Candidate>>,
    /// Snapshots that are not whole.
    pub(in crate::sync) bad: Vec<Uuid>,
}

impl Candidates {
    /// Those of a tenant, in order of id.
    pub(in crate::sync) fn take(&mut self, tenant: &TenantId) -> Vec<Candidate> {
        self.keys.remove(tenant).unwrap_or_default()
    }

    fn add(&mut self, part: Vec<Candidate>) {
        for candidate in part {
            match self.keys.get_mut(&candidate.key.tenant) {
                Some(keys) => keys.push(candidate),
                None => _ = self.keys.insert(candidate.key.tenant.clone(), vec![candidate]),
            }
        }
    }
}

/// Reads the newest snapshot that is whole, or nothing: then every document is read.
pub(in crate::sync) async fn load(bucket: &Bucket, list: &SnapshotList) -> Candidates {
    let mut bad = Vec::new();
    for snapshot in list.newest_first() {
        match read(bucket, snapshot).await {
            Ok(candidates) => return Candidates { bad, ..candidates },
            Err(error) => {
                tracing::warn!(seq = snapshot.seq, id = %snapshot.id, "a snapshot cannot be used: {error:?}");
                if error.kind() == ErrorKind::Corrupt {
                    bad.push(snapshot.id);
                }
            }
        }
    }
    Candidates { bad, ..Candidates::default() }
}

async fn read(bucket: &Bucket, snapshot: &Snapshot) -> Result<Candidates> {
    let &Snapshot { seq, id, .. } = snapshot;
    let body = bucket.read(&ObjectName::Snapshot { seq, id }).await?.ok_or_else(|| bad("it is gone"))?;
    let manifest = Manifest::parse(&body.body, seq, id).ok_or_else(|| bad("its table of contents cannot be read"))?;
    let mut candidates = Candidates::default();
    let mut parts = stream::iter(manifest.parts)
        .map(|part| {
            let name = ObjectName::SnapshotPart { seq, id, part: part.part };
            read_part(bucket, name, part).boxed()
        })
        .buffered(PARTS);
    while let Some(part) = parts.try_next().await? {
        candidates.add(part);
    }
    let found = candidates.keys.values().map(|keys| keys.len() as u64).sum::<u64>();
    if found != manifest.keys {
        return Err(bad("it holds another number of keys"));
    }
    for keys in candidates.keys.values_mut() {
        keys.sort_by_key(|candidate| candidate.key.key_id);
    }
    Ok(candidates)
}

async fn read_part(bucket: &Bucket, name: ObjectName, part: Part) -> Result<Vec<Candidate>> {
    let body = bucket.read_large(&name, MAX_PACKED_BYTES).await?.ok_or_else(|| bad("a part of it is gone"))?;
    let unpacked = tokio::task::spawn_blocking(move || unpack(&body, &part)).await;
    unpacked.map_err(|error| bad("a part of it cannot be read").caused_by(error))?.map_err(bad)
}

fn bad(reason: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, reason)
}
