//! Reading a snapshot, newest first. Incomplete ones are passed over.

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use uuid::Uuid;

use super::contents::Contents;
use super::line::{KeyLine, TenantLine};
use super::list::{Snapshot, SnapshotList};
use super::manifest::SnapshotManifest;
use super::part::{MAX_PACKED_BYTES, Part, unpack};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Tenant, TenantId};
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::sync::held::DocumentLine;
use crate::sync::tags::TaggedKey;

/// How many parts are in memory at once, packed and unpacked: some 60 MiB when they are full.
const PARTS: usize = 4;

/// The newest complete snapshot.
#[derive(Debug, Default)]
pub(in crate::sync) struct Loaded {
    /// Nothing when there is none: then every document is read.
    pub(in crate::sync) contents: Option<Contents>,
    /// Snapshots with missing or damaged parts.
    pub(in crate::sync) bad: Vec<Uuid>,
}

/// Reads the newest snapshot whose parts are all there: keys, tenants, and the documents of `kinds`. With `complete`,
/// it must hold all tenants and keys too.
pub(in crate::sync) async fn load(
    bucket: &Bucket,
    list: &SnapshotList,
    complete: bool,
    kinds: &[&'static str],
) -> Loaded {
    let mut loaded = Loaded::default();
    for snapshot in list.newest_first() {
        match read(bucket, snapshot, complete, kinds).await {
            Ok(contents) => {
                loaded.contents = contents;
                break;
            }
            Err(error) => {
                tracing::warn!(seq = snapshot.seq, id = %snapshot.id, "a snapshot cannot be used: {error:?}");
                if error.kind() == ErrorKind::Corrupt {
                    loaded.bad.push(snapshot.id);
                }
            }
        }
    }
    loaded
}

/// `None` when it does not hold everything and must.
async fn read(
    bucket: &Bucket,
    snapshot: &Snapshot,
    complete: bool,
    kinds: &[&'static str],
) -> Result<Option<Contents>> {
    let &Snapshot { seq, id, .. } = snapshot;
    let body = bucket.read(&ObjectName::Snapshot { seq, id }).await?.ok_or_else(|| bad("it is gone"))?;
    let manifest =
        SnapshotManifest::parse(&body.body, seq, id).ok_or_else(|| bad("its table of contents cannot be read"))?;
    let tenants = match manifest.tenants {
        Some(parts) => Some(read_parts(bucket, snapshot, parts, read_tenants).try_concat().await?),
        None if complete => return Ok(None),
        None => None,
    };
    let mut contents = Contents::new(seq, tenants);
    for (kind, parts) in manifest.documents.into_iter().filter(|(kind, _)| kinds.contains(&kind.as_str())) {
        let lines = read_parts(bucket, snapshot, parts, read_documents).try_concat().await?;
        contents.documents.insert(kind, lines);
    }
    let mut parts = read_parts(bucket, snapshot, manifest.parts, read_keys);
    while let Some(part) = parts.try_next().await? {
        contents.add(part);
    }
    if contents.key_count() != manifest.keys {
        return Err(bad("it holds another number of keys"));
    }
    contents.sort();
    Ok(Some(contents))
}

/// What a part holds, if it is as it should be.
type Records<T> = std::result::Result<Vec<T>, &'static str>;

/// The parts in their order; each is unpacked on a thread of its own.
fn read_parts<'a, T: Send + 'static>(
    bucket: &'a Bucket,
    &Snapshot { seq, id, .. }: &Snapshot,
    parts: Vec<Part>,
    read: fn(&[u8], &Part) -> Records<T>,
) -> BoxStream<'a, Result<Vec<T>>> {
    let read_part = move |part: Part| async move {
        let name = ObjectName::SnapshotPart { seq, id, part: part.part };
        let body = bucket.read_large(&name, MAX_PACKED_BYTES).await?.ok_or_else(|| bad("a part of it is gone"))?;
        let records = tokio::task::spawn_blocking(move || read(&body, &part)).await;
        records.map_err(|error| bad("a part of it cannot be read").caused_by(error))?.map_err(bad)
    };
    stream::iter(parts).map(read_part).buffered(PARTS).boxed()
}

fn read_keys(body: &[u8], part: &Part) -> Records<TaggedKey> {
    let mut tenant: Option<TenantId> = None;
    unpack(body, part, |line| {
        let line: KeyLine<'_> = serde_json::from_slice(line).ok()?;
        let tagged = line.key(tenant.as_ref())?;
        if tenant.as_ref() != Some(&tagged.key.tenant) {
            tenant = Some(tagged.key.tenant.clone());
        }
        Some(tagged)
    })
}

fn read_tenants(body: &[u8], part: &Part) -> Records<Tenant> {
    unpack(body, part, |line| Some(serde_json::from_slice::<TenantLine>(line).ok()?.into()))
}

fn read_documents(body: &[u8], part: &Part) -> Records<DocumentLine> {
    unpack(body, part, |line| serde_json::from_slice(line).ok())
}

fn bad(reason: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, reason)
}
