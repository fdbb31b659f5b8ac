//! The bytes of a segment, and of a piece of the archive: zstd-compressed lines of JSON, the first of which says what
//! it is.

use std::io::{BufRead, BufReader, Read};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::tenant_set::TenantSet;
use super::{Tally, UsageTable};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, NodeId, TenantId};

const VERSION: u32 = 1;
/// Half a second for a million keys; higher levels save a tenth of the size.
const LEVEL: i32 = 3;
/// A line has at most a few KiB, and a piece of the archive is the object with most lines.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    version: u32,
    /// Which segment, or which piece of the archive.
    pub(super) id: Uuid,
    /// The node that writes it.
    pub(super) node_id: NodeId,
    /// Counts its writings, from 1.
    pub(super) rev: u64,
    /// Whether it is never written again, so that it may be archived.
    pub(super) sealed: bool,
    /// When it was written, by the clock of the node that wrote it.
    pub(super) at: DateTime<Utc>,
}

impl Head {
    pub(super) fn new(id: Uuid, node_id: NodeId, rev: u64, sealed: bool, at: DateTime<Utc>) -> Self {
        Self { version: VERSION, id, node_id, rev, sealed, at }
    }

    /// The same, written for the last time.
    pub(super) fn sealed_at(self, at: DateTime<Utc>) -> Self {
        Self { sealed: true, at, ..self }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    tenant: &'a str,
    key_id: KeyId,
    #[serde(flatten)]
    tally: std::borrow::Cow<'a, Tally>,
}

/// Takes long for many keys: run it on a blocking thread.
///
/// # Errors
/// [`ErrorKind::Internal`] when it cannot be compressed.
pub(super) fn pack<'a>(head: &Head, tallies: impl Iterator<Item = (&'a TenantId, KeyId, &'a Tally)>) -> Result<Bytes> {
    let internal = |error| Error::new(ErrorKind::Internal, "usage cannot be packed").caused_by(error);
    zstd::bulk::compress(&lines(head, tallies), LEVEL).map(Bytes::from).map_err(internal)
}

fn lines<'a>(head: &Head, tallies: impl Iterator<Item = (&'a TenantId, KeyId, &'a Tally)>) -> Vec<u8> {
    // Writing into memory cannot fail.
    let mut lines = serde_json::to_vec(head).unwrap_or_default();
    lines.push(b'\n');
    for (tenant, key_id, tally) in tallies {
        let line = Line { tenant: tenant.as_str(), key_id, tally: std::borrow::Cow::Borrowed(tally) };
        let _ = serde_json::to_writer(&mut lines, &line);
        lines.push(b'\n');
    }
    lines
}

/// Reads all of it. Takes long, as [`pack`] does.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when it is not a segment, or of a later version.
pub(super) fn unpack(packed: &[u8]) -> Result<(Head, UsageTable)> {
    let mut reader = reader(packed)?;
    let head = read_head(&mut reader)?;
    let mut table = UsageTable::default();
    let (mut text, mut last): (String, Option<TenantId>) = (String::new(), None);
    while reader.read_line(&mut text).map_err(corrupt)? > 0 {
        let line: Line<'_> = serde_json::from_str(&text).map_err(corrupt)?;
        // The keys of one tenant share one name of it.
        let tenant = match last.take().filter(|last| last.as_str() == line.tenant) {
            Some(tenant) => tenant,
            None => TenantId::parse(line.tenant).map_err(corrupt)?,
        };
        table.change(&tenant, line.key_id, |tally| tally.add(&line.tally));
        last = Some(tenant);
        text.clear();
    }
    Ok((head, table))
}

/// What a scan takes from the line of a key.
pub(super) type Pick<T> = fn(KeyId, Tally) -> Option<T>;

/// The part of every line that says whom it is about.
#[derive(Deserialize)]
struct Owner<'a> {
    tenant: &'a str,
}

/// Reads what `pick` takes of the lines of one tenant, and which tenants there are. Takes long, as [`pack`] does.
///
/// # Errors
/// As for [`unpack`].
pub(super) fn unpack_tenant<T>(packed: &[u8], tenant: &TenantId, pick: Pick<T>) -> Result<(TenantSet, Vec<T>)> {
    let mut reader = reader(packed)?;
    read_head(&mut reader)?;
    let (mut tenants, mut picked, mut text) = (TenantSet::default(), Vec::new(), String::new());
    while reader.read_line(&mut text).map_err(corrupt)? > 0 {
        let owner: Owner<'_> = serde_json::from_str(&text).map_err(corrupt)?;
        tenants.insert(owner.tenant);
        if owner.tenant == tenant.as_str() {
            let line: Line<'_> = serde_json::from_str(&text).map_err(corrupt)?;
            picked.extend(pick(line.key_id, line.tally.into_owned()));
        }
        text.clear();
    }
    Ok((tenants, picked))
}

/// Reads the first line only.
///
/// # Errors
/// As for [`unpack`].
pub(super) fn head(packed: &[u8]) -> Result<Head> {
    read_head(&mut reader(packed)?)
}

fn reader(packed: &[u8]) -> Result<BufReader<impl Read>> {
    let decoder = zstd::Decoder::with_buffer(packed).map_err(corrupt)?;
    Ok(BufReader::new(decoder.take(MAX_UNPACKED_BYTES)))
}

fn read_head(reader: &mut impl BufRead) -> Result<Head> {
    let mut text = String::new();
    reader.read_line(&mut text).map_err(corrupt)?;
    let head: Head = serde_json::from_str(&text).map_err(corrupt)?;
    if head.version == VERSION { Ok(head) } else { Err(Error::new(ErrorKind::Corrupt, "a segment of a later version")) }
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, "a segment of usage cannot be read").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../fixtures/usage/v1/sheet.ndjson");

    #[test]
    fn a_golden_sheet_parses_for_ever_and_is_written_as_it_was_read() {
        let (head, table) = unpack(&zstd::bulk::compress(GOLDEN.as_bytes(), LEVEL).unwrap()).unwrap();
        assert_eq!((head.rev, head.sealed, table.len()), (7, false, 2));
        let mut tallies: Vec<_> = table.iter().collect();
        tallies.sort_by_key(|(tenant, key_id, _)| ((*tenant).clone(), *key_id));
        assert_eq!(String::from_utf8(lines(&head, tallies.into_iter())).unwrap(), GOLDEN);
    }

    #[test]
    fn what_is_packed_is_unpacked_and_the_head_alone_can_be_read() {
        let (_, table) = unpack(&zstd::bulk::compress(GOLDEN.as_bytes(), LEVEL).unwrap()).unwrap();
        let head_of = Head::new(Uuid::nil(), NodeId::random(), 1, true, DateTime::UNIX_EPOCH);
        let packed = pack(&head_of, table.iter()).unwrap();
        assert_eq!(unpack(&packed).unwrap(), (head_of, table));
        assert_eq!(head(&packed).unwrap(), head_of);
    }

    #[test]
    fn what_is_no_sheet_of_this_version_is_not_guessed_about() {
        let later = GOLDEN.replace("{\"version\":1", "{\"version\":2");
        let torn = &GOLDEN[..GOLDEN.len() - 9];
        for text in ["", "{}", &later, torn] {
            let packed = zstd::bulk::compress(text.as_bytes(), LEVEL).unwrap();
            assert_eq!(unpack(&packed).unwrap_err().kind(), ErrorKind::Corrupt, "{text}");
            let of_a_tenant = unpack_tenant(&packed, &TenantId::default(), |id, _| Some(id));
            assert_eq!(of_a_tenant.unwrap_err().kind(), ErrorKind::Corrupt, "{text}");
        }
        assert!(unpack(b"plain").is_err());
    }
}
