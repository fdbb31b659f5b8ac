//! The parts of a snapshot: lines of JSON, compressed with zstd.

use std::io::Read;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::key::Digest;

/// A part is closed when it holds this many lines,
pub(super) const PART_LINES: usize = 64 * 1024;
/// or this many bytes of lines.
const PART_BYTES: usize = 32 * 1024 * 1024;
/// No line is longer, so no part of ours is larger than this when it is unpacked.
const MAX_UNPACKED_BYTES: usize = PART_BYTES + 1024 * 1024;
/// What does not compress at all is no larger than this.
pub(super) const MAX_PACKED_BYTES: u64 = 40 * 1024 * 1024;
/// Half a second for a million keys; higher levels win a tenth of the size.
const LEVEL: i32 = 3;

/// A part, as the table of contents describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    pub(super) part: u16,
    /// How many lines it has, of keys or of tenants.
    #[serde(rename = "keys")]
    pub(super) lines: u64,
    /// Its size, compressed.
    pub(super) bytes: u64,
    /// Of the compressed bytes.
    pub(super) sha256: String,
}

/// A part that is about to be written.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) lines: u64,
    pub(super) body: Bytes,
    pub(super) sha256: String,
}

/// Packs up to [`PART_LINES`] lines, into more than one part when they are unusually large. Takes a while: not for a
/// thread that others wait for.
pub(super) fn pack<T: Serialize>(records: impl Iterator<Item = T>) -> std::io::Result<Vec<Packed>> {
    let (mut parts, mut text, mut lines) = (Vec::new(), Vec::new(), 0);
    let mut records = records.peekable();
    while let Some(record) = records.next() {
        serde_json::to_writer(&mut text, &record)?;
        text.push(b'\n');
        lines += 1;
        if text.len() >= PART_BYTES || records.peek().is_none() {
            let body = zstd::bulk::compress(&text, LEVEL)?;
            parts.push(Packed { lines, sha256: Digest::of(&body).hex(), body: body.into() });
            text.clear();
            lines = 0;
        }
    }
    Ok(parts)
}

/// Unpacks a part, and reads each of its lines. Takes a while, as [`pack`] does.
///
/// # Errors
/// What is wrong with it; then none of it counts.
pub(super) fn unpack<T>(
    body: &[u8],
    part: &Part,
    mut read: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Vec<T>, &'static str> {
    if body.len() as u64 != part.bytes || Digest::of(body).hex() != part.sha256 {
        return Err("its checksum is wrong");
    }
    let mut text = Vec::new();
    let decoder = zstd::Decoder::with_buffer(body).map_err(|_| "it cannot be unpacked")?;
    decoder.take(MAX_UNPACKED_BYTES as u64 + 1).read_to_end(&mut text).map_err(|_| "it cannot be unpacked")?;
    if text.len() > MAX_UNPACKED_BYTES {
        return Err("it is larger than a part can be");
    }
    let mut records = Vec::with_capacity(usize::try_from(part.lines).unwrap_or_default().min(PART_LINES));
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        records.push(read(line).ok_or("a line of it cannot be read")?);
    }
    if records.len() as u64 == part.lines { Ok(records) } else { Err("it has another number of lines") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part_of(body: &[u8], lines: u64) -> Part {
        Part { part: 0, lines, bytes: body.len() as u64, sha256: Digest::of(body).hex() }
    }

    fn unpacked(body: &[u8], part: &Part) -> Result<Vec<u64>, &'static str> {
        unpack(body, part, |line| serde_json::from_slice(line).ok())
    }

    #[test]
    fn what_was_packed_is_unpacked_in_order() {
        let packed = pack(0..1_000_u64).unwrap().remove(0);
        assert_eq!(unpacked(&packed.body, &part_of(&packed.body, 1_000)), Ok((0..1_000).collect()));
        let large = "x".repeat(PART_BYTES / 2);
        let parts = pack([&large, &large, &large].into_iter()).unwrap();
        assert_eq!(parts.iter().map(|part| part.lines).collect::<Vec<_>>(), [2, 1]);
        assert!(pack(std::iter::empty::<u64>()).unwrap().is_empty());
    }

    #[test]
    fn a_part_that_is_not_what_it_says_does_not_count() {
        let refused = |lines: &[u8], count| {
            let body = zstd::bulk::compress(lines, LEVEL).unwrap();
            unpacked(&body, &part_of(&body, count)).unwrap_err()
        };
        assert_eq!(unpacked(b"plain", &part_of(b"plain", 0)).unwrap_err(), "it cannot be unpacked");
        assert_eq!(unpacked(b"plain", &part_of(b"other", 0)).unwrap_err(), "its checksum is wrong");
        assert_eq!(refused(b"{}\n", 1), "a line of it cannot be read");
        assert_eq!(refused(b"", 1), "it has another number of lines");
        assert_eq!(refused(&vec![b'\n'; MAX_UNPACKED_BYTES + 1], 0), "it is larger than a part can be");
    }
}
