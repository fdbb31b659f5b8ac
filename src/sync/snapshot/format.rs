//! The bytes of a snapshot: a table of contents, written last, and parts of zstd-compressed lines of JSON.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::load::Candidate;
use crate::key::settings::sparse;
use crate::key::{
    Actor, ApiKey, Digest, Hint, KeyId, KeyName, KeySettings, KeyState, KeyType, Networks, NodeId, OlderSecret,
    OlderSecrets, TenantId,
};
use crate::store::Tag;

/// Version 1 called the field `allowedCidrs` of a line `networks`. A node that knows only version 1 must not take a snapshot of
/// version 2: it would miss the networks of its keys.
const VERSION: u32 = 2;
const OLDEST_VERSION: u32 = 1;
/// A part is closed when it holds so many keys,
pub(super) const PART_KEYS: usize = 64 * 1024;
/// or so many bytes of lines.
const PART_BYTES: usize = 32 * 1024 * 1024;
/// No line is longer, so no part of ours is larger than this when it is unpacked.
const MAX_UNPACKED_BYTES: usize = PART_BYTES + 1024 * 1024;
/// What does not compress at all is no larger than this.
pub(super) const MAX_PACKED_BYTES: u64 = 40 * 1024 * 1024;
/// 256 million keys.
const MAX_PARTS: usize = 4096;
/// Half a second for a million keys; higher levels win a tenth of the size.
const LEVEL: i32 = 3;

/// The table of contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    version: u32,
    /// What is in it is at least as new as this entry of the change log.
    pub(super) seq: u64,
    pub(super) id: Uuid,
    /// How many lines all parts have.
    pub(super) keys: u64,
    pub(super) parts: Vec<Part>,
    written_by: NodeId,
    at: DateTime<Utc>,
}

/// A part, as the table of contents describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) part: u16,
    pub(super) keys: u64,
    /// Its size, compressed.
    pub(super) bytes: u64,
    /// Of the compressed bytes.
    pub(super) sha256: String,
}

impl Manifest {
    /// The contents of a snapshot whose parts are written.
    pub(super) fn new(seq: u64, id: Uuid, parts: Vec<Part>, written_by: NodeId, at: DateTime<Utc>) -> Self {
        let keys = parts.iter().map(|part| part.keys).sum();
        Self { version: VERSION, seq, id, keys, parts, written_by, at }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads the contents of the snapshot of this name; `None` when they are none, or of a later version, or claim sizes
    /// that no snapshot of ours has.
    pub(super) fn parse(body: &[u8], seq: u64, id: Uuid) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(body).ok()?;
        let sane = |part: &Part| part.bytes <= MAX_PACKED_BYTES && part.keys <= PART_KEYS as u64;
        let understood = (OLDEST_VERSION..=VERSION).contains(&manifest.version);
        let good = understood && (manifest.seq, manifest.id) == (seq, id);
        (good && manifest.parts.len() <= MAX_PARTS && manifest.parts.iter().all(sane)).then_some(manifest)
    }
}

/// A key, and the state of the document it was read from. What a key has by default is left out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    tenant: &'a str,
    tag: Tag,
    key_id: KeyId,
    key_name: KeyName,
    key_type: KeyType,
    digest: String,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    hint: &'a str,
    #[serde(default, skip_serializing_if = "is_default")]
    own_secret: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    older: Vec<OlderLine>,
    #[serde(default, skip_serializing_if = "is_default")]
    state: KeyState,
    #[serde(flatten, serialize_with = "sparse")]
    settings: KeySettings,
    /// What version 1 called the networks.
    #[serde(default, skip_serializing)]
    networks: Option<Networks>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<Actor>,
    #[serde(default, with = "chrono::serde::ts_milliseconds_option", skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    #[serde(default, with = "chrono::serde::ts_milliseconds_option", skip_serializing_if = "Option::is_none")]
    modified_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified_by: Option<Actor>,
    #[serde(default, with = "chrono::serde::ts_milliseconds_option", skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    rev: u64,
}

/// A secret that was rotated away: digest, hint, and until when it works.
#[derive(Debug, Serialize, Deserialize)]
struct OlderLine(String, String, #[serde(with = "chrono::serde::ts_milliseconds")] DateTime<Utc>);

impl OlderLine {
    fn new(older: &OlderSecret) -> Self {
        Self(older.digest.to_document(), older.hint.as_str().to_owned(), older.until)
    }

    fn read(self) -> Option<OlderSecret> {
        Some(OlderSecret { digest: Digest::parse(&self.0).ok()?, hint: Hint::parse(&self.1).ok()?, until: self.2 })
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> Line<'a> {
    fn new(tag: Tag, key: &'a ApiKey) -> Self {
        Self {
            tenant: key.tenant.as_str(),
            tag,
            key_id: key.key_id,
            key_name: key.name.clone(),
            key_type: key.key_type,
            digest: key.digest.to_document(),
            hint: key.hint.as_str(),
            own_secret: key.own_secret,
            older: key.older.iter().map(OlderLine::new).collect(),
            state: key.state,
            settings: key.settings.clone(),
            networks: None,
            created_by: key.created_by.clone(),
            created_at: key.created_at,
            modified_at: key.modified_at,
            modified_by: key.modified_by.clone(),
            expires_at: key.expires_at,
            rev: key.rev,
        }
    }

    /// `known` is the tenant of the line before: a million keys of one tenant share one name of it.
    fn candidate(self, known: Option<&TenantId>) -> Option<Candidate> {
        let tenant = match known.filter(|known| known.as_str() == self.tenant) {
            Some(known) => known.clone(),
            None => TenantId::parse(self.tenant).ok()?,
        };
        let mut settings = self.settings;
        if let Some(networks) = self.networks {
            settings.allowed_cidrs = networks;
        }
        let key = ApiKey {
            tenant,
            key_id: self.key_id,
            name: self.key_name,
            key_type: self.key_type,
            state: self.state,
            digest: Digest::parse(&self.digest).ok()?,
            hint: Hint::parse(self.hint).ok()?,
            own_secret: self.own_secret,
            older: OlderSecrets::try_from(self.older.into_iter().map(OlderLine::read).collect::<Option<Vec<_>>>()?)
                .ok()?,
            settings,
            created_by: self.created_by,
            created_at: self.created_at,
            modified_at: self.modified_at,
            modified_by: self.modified_by,
            expires_at: self.expires_at,
            rev: self.rev,
        };
        Some(Candidate { tag: self.tag, key: Arc::new(key) })
    }
}

/// A part that is about to be written.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) keys: u64,
    pub(super) body: Bytes,
    pub(super) sha256: String,
}

/// Packs up to [`PART_KEYS`] keys, into more than one part when they are unusually large. Takes a while: not for a thread
/// that others wait for.
pub(super) fn pack(keys: &[Candidate]) -> std::io::Result<Vec<Packed>> {
    let (mut parts, mut lines, mut count) = (Vec::new(), Vec::new(), 0);
    for (at, Candidate { tag, key }) in keys.iter().enumerate() {
        serde_json::to_writer(&mut lines, &Line::new(*tag, key))?;
        lines.push(b'\n');
        count += 1;
        if lines.len() >= PART_BYTES || at + 1 == keys.len() {
            let body = zstd::bulk::compress(&lines, LEVEL)?;
            parts.push(Packed { keys: count, sha256: Digest::of(&body).hex(), body: body.into() });
            lines.clear();
            count = 0;
        }
    }
    Ok(parts)
}

/// Unpacks a part. Takes a while, as [`pack`] does.
///
/// # Errors
/// What is wrong with it; then none of it counts.
pub(super) fn unpack(body: &[u8], part: &Part) -> Result<Vec<Candidate>, &'static str> {
    if body.len() as u64 != part.bytes || Digest::of(body).hex() != part.sha256 {
        return Err("its checksum is wrong");
    }
    let mut lines = Vec::new();
    let decoder = zstd::Decoder::with_buffer(body).map_err(|_| "it cannot be unpacked")?;
    decoder.take(MAX_UNPACKED_BYTES as u64 + 1).read_to_end(&mut lines).map_err(|_| "it cannot be unpacked")?;
    if lines.len() > MAX_UNPACKED_BYTES {
        return Err("it is larger than a part can be");
    }
    let mut keys: Vec<Candidate> = Vec::with_capacity(usize::try_from(part.keys).unwrap_or_default().min(PART_KEYS));
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line<'_> = serde_json::from_slice(line).map_err(|_| "a line of it is no key")?;
        let key = line.candidate(keys.last().map(|last| &last.key.tenant)).ok_or("a line of it is no key")?;
        keys.push(key);
    }
    if keys.len() as u64 == part.keys { Ok(keys) } else { Err("it holds another number of keys") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(lines: &str) -> Vec<Candidate> {
        let read = |line| serde_json::from_str::<Line<'_>>(line).unwrap().candidate(None).unwrap();
        lines.lines().map(read).collect()
    }

    #[test]
    fn golden_lines_parse_for_ever_and_those_of_today_are_written_as_they_were_read() {
        let old = candidates(include_str!("../../../fixtures/snapshot/v1/lines.ndjson"));
        let golden = include_str!("../../../fixtures/snapshot/v2/lines.ndjson");
        let written = |Candidate { tag, key }: &Candidate| serde_json::to_string(&Line::new(*tag, key)).unwrap() + "\n";
        let lines: String = candidates(golden).iter().map(written).collect();
        assert_eq!(lines, golden);
        assert_eq!(old.iter().map(written).collect::<String>(), golden, "the same keys");
        assert!(!old[1].key.settings.allowed_cidrs.is_any());
    }

    fn part_of(body: &[u8], keys: u64) -> Part {
        Part { part: 0, keys, bytes: body.len() as u64, sha256: Digest::of(body).hex() }
    }

    #[test]
    fn a_table_of_contents_is_read_as_it_was_written_and_only_under_its_own_name() {
        let part = part_of(b"abc", 7);
        let at = DateTime::from_timestamp_millis(1_790_000_000_123).unwrap_or_default();
        let manifest = Manifest::new(5, Uuid::nil(), vec![part.clone(), part], NodeId::random(), at);
        let body = manifest.to_bytes();
        assert!(body.starts_with(b"{\"version\":2,\"seq\":5,\"id\":"));
        assert_eq!((manifest.keys, Manifest::parse(&body, 5, Uuid::nil())), (14, Some(manifest.clone())));
        assert_eq!(Manifest::parse(&body, 6, Uuid::nil()), None);
        assert_eq!(Manifest::parse(&body, 5, Uuid::max()), None);
        let of_version = |version: &str| {
            let body = String::from_utf8(body.to_vec()).unwrap().replace("\"version\":2", version);
            Manifest::parse(body.as_bytes(), 5, Uuid::nil()).is_some()
        };
        assert!(of_version("\"version\":1") && !of_version("\"version\":3"));
        let huge = Manifest { parts: vec![Part { bytes: MAX_PACKED_BYTES + 1, ..part_of(b"", 1) }], ..manifest };
        assert_eq!(Manifest::parse(&huge.to_bytes(), 5, Uuid::nil()), None);
    }

    #[test]
    fn a_part_that_is_not_what_it_says_does_not_count() {
        let refused = |lines: &[u8], keys| {
            let body = zstd::bulk::compress(lines, LEVEL).unwrap();
            unpack(&body, &part_of(&body, keys)).unwrap_err()
        };
        assert_eq!(unpack(b"plain", &part_of(b"plain", 0)).unwrap_err(), "it cannot be unpacked");
        assert_eq!(unpack(b"plain", &part_of(b"other", 0)).unwrap_err(), "its checksum is wrong");
        assert_eq!(refused(b"{}\n", 1), "a line of it is no key");
        assert_eq!(refused(b"", 1), "it holds another number of keys");
        assert_eq!(refused(&vec![b'\n'; MAX_UNPACKED_BYTES + 1], 0), "it is larger than a part can be");
    }
}
