//! The table of contents of a snapshot, which is written last.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::part::{MAX_PACKED_BYTES, PART_LINES, Part};
use crate::key::NodeId;

/// Version 1 called the field `allowedCidrs` of a line `networks`. A node that knows only version 1 must not take a
/// snapshot of version 2: it would miss the networks of its keys.
const VERSION: u32 = 2;
const OLDEST_VERSION: u32 = 1;
/// 256 million keys.
const MAX_PARTS: usize = 4096;

/// The table of contents.
///
/// Every kind beside keys and tenants stands in `documents`, with parts that hold only lines of that kind. Nodes that
/// do not know a kind pass over it, and write snapshots without it. So a kind that is missing means that the snapshot
/// says nothing about it, and its documents are read then. It never means that there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotManifest {
    version: u32,
    /// The contents are at least as new as this entry of the change log.
    pub(super) seq: u64,
    pub(super) id: Uuid,
    /// How many lines the parts of keys have.
    pub(super) keys: u64,
    pub(super) parts: Vec<Part>,
    /// The parts that hold the records of all tenants. `None` in a snapshot of an older version, which lacks the keys
    /// whose state was not known: it spares reads, and cannot be relied on alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tenants: Option<Vec<Part>>,
    /// The parts that hold the documents of other kinds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) documents: BTreeMap<String, Vec<Part>>,
    written_by: NodeId,
    at: DateTime<Utc>,
}

impl SnapshotManifest {
    /// The contents of a snapshot whose parts are written.
    pub(super) fn new(
        seq: u64,
        id: Uuid,
        parts: Vec<Part>,
        tenants: Vec<Part>,
        documents: BTreeMap<String, Vec<Part>>,
        written_by: NodeId,
        at: DateTime<Utc>,
    ) -> Self {
        let keys = parts.iter().map(|part| part.lines).sum();
        Self { version: VERSION, seq, id, keys, parts, tenants: Some(tenants), documents, written_by, at }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads the contents of the snapshot of this name; `None` when they are none, or of a later version, or claim
    /// sizes that no snapshot of ours has.
    pub(super) fn parse(body: &[u8], seq: u64, id: Uuid) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(body).ok()?;
        let others = || manifest.tenants.iter().chain(manifest.documents.values()).flatten();
        let parts = || manifest.parts.iter().chain(others());
        let sane = |part: &Part| part.bytes <= MAX_PACKED_BYTES && part.lines <= PART_LINES as u64;
        let understood = (OLDEST_VERSION..=VERSION).contains(&manifest.version);
        let good = understood && (manifest.seq, manifest.id) == (seq, id) && parts().count() <= MAX_PARTS;
        (good && parts().all(sane)).then_some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        Part { part: 0, lines: 7, bytes: 3, sha256: "ab".into() }
    }

    fn manifest() -> SnapshotManifest {
        let at = DateTime::from_timestamp_millis(1_790_000_000_123).unwrap_or_default();
        let documents = BTreeMap::from([("members".to_owned(), vec![part()])]);
        SnapshotManifest::new(5, Uuid::nil(), vec![part(), part()], vec![part()], documents, NodeId::random(), at)
    }

    #[test]
    fn a_table_of_contents_is_read_as_it_was_written_and_only_under_its_own_name() {
        let manifest = manifest();
        let body = manifest.to_bytes();
        assert!(body.starts_with(b"{\"version\":2,\"seq\":5,\"id\":"));
        assert_eq!((manifest.keys, SnapshotManifest::parse(&body, 5, Uuid::nil())), (14, Some(manifest)));
        assert_eq!(SnapshotManifest::parse(&body, 6, Uuid::nil()), None);
        assert_eq!(SnapshotManifest::parse(&body, 5, Uuid::max()), None);
        let of_version = |version: &str| {
            let body = String::from_utf8(body.to_vec()).unwrap().replace("\"version\":2", version);
            SnapshotManifest::parse(body.as_bytes(), 5, Uuid::nil()).is_some()
        };
        assert!(of_version("\"version\":1") && !of_version("\"version\":3"));
    }

    #[test]
    fn sizes_that_no_snapshot_has_are_refused() {
        let read =
            |manifest: &SnapshotManifest| SnapshotManifest::parse(&manifest.to_bytes(), 5, Uuid::nil()).is_some();
        let huge = Part { bytes: MAX_PACKED_BYTES + 1, ..part() };
        assert!(read(&manifest()));
        assert!(!read(&SnapshotManifest { parts: vec![huge.clone()], ..manifest() }));
        assert!(!read(&SnapshotManifest { tenants: Some(vec![huge.clone()]), ..manifest() }));
        assert!(!read(&SnapshotManifest { documents: BTreeMap::from([("a".into(), vec![huge])]), ..manifest() }));
        assert!(!read(&SnapshotManifest { tenants: Some(vec![part(); MAX_PARTS]), ..manifest() }));
    }

    #[test]
    fn a_table_of_contents_of_an_older_version_names_no_tenants() {
        let golden = include_str!("../../../fixtures/snapshot/v2/manifest.json");
        let id = Uuid::try_parse("0d2e9a5c-6f0b-4b0e-9a64-2f1c7b3d5e80").unwrap();
        let manifest = SnapshotManifest::parse(golden.as_bytes(), 42, id).unwrap();
        assert_eq!((manifest.keys, manifest.parts.len(), &manifest.tenants), (70_000, 2, &None));
        assert_eq!(std::str::from_utf8(&manifest.to_bytes()).unwrap(), golden.trim_end());
    }
}
