//! The history of the change log: copies of its entries, in ranges, which stay when the log is trimmed.
//!
//! Any node writes them. Two that do so at once write ranges that overlap, with the same entries.

use std::io::Read;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;

use super::log;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Listed, Written};

/// So many bytes of entries stand in one object, and one entry more.
const RANGE_BYTES: usize = 768 * 1024;
/// A range that takes more than this is none of ours: an entry is a document, too, and in base64 a third longer.
const MAX_UNPACKED_BYTES: u64 = 4 * 1024 * 1024;
/// No range has more entries than this: one takes more than a hundred bytes.
const LONGEST_RANGE: u64 = 8192;
/// How many entries are read at once.
const READS: usize = 16;
/// As for snapshots.
const LEVEL: i32 = 3;

/// A range of entries that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptRange {
    /// The number of its first entry.
    pub first: u64,
    /// The number of its last entry.
    pub last: u64,
}

/// An entry as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Its number.
    pub seq: u64,
    /// Its bytes.
    pub stored: Bytes,
}

/// The ranges that begin at `seq` or later, in their order. One listing.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn ranges(bucket: &Bucket, seq: u64) -> Result<Vec<KeptRange>> {
    let after = ObjectName::HistoryRange { first: seq, last: 0 };
    let mut ranges: Vec<_> = bucket.list_after(&layout::history(), &after).await?.iter().filter_map(range).collect();
    ranges.sort_unstable();
    Ok(ranges)
}

/// Keeps the entries of the log after `kept`, up to `last`. Gives the number up to which all are kept that there are.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer: what was written stays.
pub async fn keep(bucket: &Bucket, kept: u64, last: u64) -> Result<u64> {
    // Another node may have kept them in a range that began earlier. One beyond `last` may have been made by hand, and
    // does not count: what it does not hold would be trimmed.
    let known = ranges(bucket, kept.saturating_sub(LONGEST_RANGE)).await?.into_iter().map(|range| range.last);
    let mut kept = known.filter(|known| *known <= last).max().unwrap_or(0);
    let Some(first) = log::first_after(bucket, kept).await? else { return Ok(kept) };
    let reads = (first..=last).map(|seq| async move { Ok((seq, log::stored(bucket, seq).await?)) }.boxed());
    let mut reads = stream::iter(reads).buffered(READS);
    let mut lines = Lines::default();
    while let Some((seq, stored)) = reads.try_next().await? {
        match stored {
            Some(stored) => lines.push(seq, &stored),
            None => tracing::warn!(seq, "an entry of the change log is missing, or is none: it is not kept"),
        }
        if lines.text.len() >= RANGE_BYTES {
            kept = std::mem::take(&mut lines).write(bucket).await?;
        }
    }
    if lines.range.is_some() {
        kept = lines.write(bucket).await?;
    }
    Ok(kept)
}

/// Reads a range.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when it is no range,
/// [`ErrorKind::NotFound`] when there is none.
pub async fn read(bucket: &Bucket, range: KeptRange) -> Result<Vec<KeptEntry>> {
    let KeptRange { first, last } = range;
    let Some(packed) = bucket.read_large(&ObjectName::HistoryRange { first, last }, MAX_UNPACKED_BYTES).await? else {
        return Err(Error::new(ErrorKind::NotFound, format!("the entries {first} to {last} are not kept any more")));
    };
    let mut text = Vec::new();
    let decoder = zstd::Decoder::with_buffer(packed.as_ref()).map_err(corrupt)?;
    decoder.take(MAX_UNPACKED_BYTES).read_to_end(&mut text).map_err(corrupt)?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| parse(line).ok_or_else(|| Error::new(ErrorKind::Corrupt, "a line of it is no entry"))).collect()
}

/// One entry; `None` when it is not kept, or cannot be read.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn stored(bucket: &Bucket, seq: u64) -> Result<Option<Bytes>> {
    for range in ranges(bucket, seq.saturating_sub(LONGEST_RANGE)).await? {
        if !(range.first..=range.last).contains(&seq) {
            continue;
        }
        match read(bucket, range).await {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {}
            entries => {
                if let Some(found) = entries?.into_iter().find(|entry| entry.seq == seq) {
                    return Ok(Some(found.stored));
                }
            }
        }
    }
    Ok(None)
}

/// Removes the ranges that were written before `before`, by the clock of the store.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer; what is left is removed another time.
pub async fn forget(bucket: &Bucket, before: DateTime<Utc>) -> Result<usize> {
    let listed = bucket.list(&layout::history()).await?;
    let old: Vec<KeptRange> = listed.iter().filter(|listed| listed.written_at < before).filter_map(range).collect();
    for KeptRange { first, last } in &old {
        bucket.remove(&ObjectName::HistoryRange { first: *first, last: *last }).await?;
    }
    Ok(old.len())
}

fn range(listed: &Listed) -> Option<KeptRange> {
    match ObjectName::parse(&listed.path)? {
        ObjectName::HistoryRange { first, last } if last <= log::MAX_SEQ => Some(KeptRange { first, last }),
        _ => None,
    }
}

/// The lines of a range: `{"seq":7,"entry":{…}}`, where the entry has the bytes that it has in the log. What is not one
/// line of JSON stands as `{"seq":7,"base64":"…"}`.
#[derive(Default)]
struct Lines {
    range: Option<RangeInclusive<u64>>,
    text: Vec<u8>,
}

impl Lines {
    fn push(&mut self, seq: u64, stored: &[u8]) {
        let is_line = !stored.contains(&b'\n') && serde_json::from_slice::<serde::de::IgnoredAny>(stored).is_ok();
        self.text.extend(if is_line { entry_prefix(seq) } else { format!("{{\"seq\":{seq},\"base64\":\"") }.bytes());
        match is_line {
            true => self.text.extend(stored),
            false => self.text.extend(format!("{}\"", STANDARD.encode(stored)).bytes()),
        }
        self.text.extend(b"}\n");
        let first = self.range.as_ref().map_or(seq, |range| *range.start());
        self.range = Some(first..=seq);
    }

    /// Gives the number of the last entry.
    async fn write(self, bucket: &Bucket) -> Result<u64> {
        let (first, last) = self.range.unwrap_or(0..=0).into_inner();
        let packed = zstd::bulk::compress(&self.text, LEVEL).map_err(corrupt)?;
        match bucket.create(&ObjectName::HistoryRange { first, last }, packed.into()).await? {
            Written::Done | Written::Conflict => Ok(last), // Another node has kept the same.
        }
    }
}

fn entry_prefix(seq: u64) -> String {
    format!("{{\"seq\":{seq},\"entry\":")
}

fn parse(line: &[u8]) -> Option<KeptEntry> {
    #[derive(Deserialize)]
    struct Line {
        seq: u64,
        base64: Option<String>,
    }

    let Line { seq, base64 } = serde_json::from_slice(line).ok()?;
    let stored = match base64 {
        Some(base64) => STANDARD.decode(base64).ok()?.into(),
        None => Bytes::copy_from_slice(line.strip_prefix(entry_prefix(seq).as_bytes())?.strip_suffix(b"}")?),
    };
    Some(KeptEntry { seq, stored })
}

fn corrupt(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Corrupt, "a range of the history cannot be read").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeId;
    use crate::sync::log::LogEntry;

    async fn put(bucket: &Bucket, seq: u64, body: impl Into<Bytes>) {
        assert_eq!(bucket.create(&ObjectName::LogEntry { seq }, body.into()).await.unwrap(), Written::Done);
    }

    fn entry() -> Bytes {
        LogEntry::new(NodeId::random(), DateTime::UNIX_EPOCH, Vec::new()).to_bytes()
    }

    #[tokio::test]
    async fn entries_are_kept_as_they_are_whatever_they_are() {
        let bucket = Bucket::in_memory();
        let stored = [entry(), "{\"a\":\n1}".into(), "no JSON".into(), vec![0xff, 0x0a].into(), entry()];
        for (seq, body) in (1..).zip(&stored) {
            put(&bucket, seq, body.clone()).await;
        }
        assert_eq!(keep(&bucket, 0, 4).await.unwrap(), 4);
        assert_eq!(keep(&bucket, 4, 5).await.unwrap(), 5);
        assert_eq!(keep(&bucket, 0, 5).await.unwrap(), 5, "nothing is kept twice");
        assert_eq!(keep(&bucket, 2, 5).await.unwrap(), 5, "nor by a node that had kept less");
        let by_hand = ObjectName::HistoryRange { first: 1, last: 1 << 40 };
        bucket.put(&by_hand, "no range".into()).await.unwrap();
        assert_eq!(keep(&bucket, 5, 5).await.unwrap(), 5, "what a name claims is not kept");
        put(&bucket, 6, entry()).await;
        assert_eq!(keep(&bucket, 5, 6).await.unwrap(), 6);
        bucket.remove(&ObjectName::HistoryRange { first: 6, last: 6 }).await.unwrap();
        bucket.remove(&by_hand).await.unwrap();
        let kept = ranges(&bucket, 0).await.unwrap();
        assert_eq!(kept, [KeptRange { first: 1, last: 4 }, KeptRange { first: 5, last: 5 }]);
        let mut read_back = Vec::new();
        for range in kept {
            read_back.extend(read(&bucket, range).await.unwrap());
        }
        let expected: Vec<_> = (1..).zip(stored).map(|(seq, stored)| KeptEntry { seq, stored }).collect();
        assert_eq!(read_back, expected);
    }

    #[tokio::test]
    async fn many_entries_take_several_ranges_and_a_gap_is_none_of_them() {
        let bucket = Bucket::in_memory();
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(RANGE_BYTES / 3));
        for seq in [7, 8, 9, 10, 12] {
            put(&bucket, seq, long.clone()).await;
        }
        assert_eq!(keep(&bucket, 0, 12).await.unwrap(), 12);
        let kept = ranges(&bucket, 0).await.unwrap();
        assert_eq!(kept, [KeptRange { first: 7, last: 9 }, KeptRange { first: 10, last: 12 }]);
        let numbers: Vec<_> = read(&bucket, kept[1]).await.unwrap().iter().map(|entry| entry.seq).collect();
        assert_eq!(numbers, [10, 12]);
        assert_eq!(forget(&bucket, DateTime::<Utc>::UNIX_EPOCH).await.unwrap(), 0);
        assert_eq!(forget(&bucket, DateTime::<Utc>::MAX_UTC).await.unwrap(), 2);
        assert_eq!(read(&bucket, kept[0]).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_is_no_range_is_an_error() {
        let bucket = Bucket::in_memory();
        let line = zstd::bulk::compress(b"{\"seq\":1}\n", LEVEL).unwrap();
        for (first, body) in [(1, Bytes::from("no zstd")), (2, line.into())] {
            let range = KeptRange { first, last: first };
            let name = ObjectName::HistoryRange { first, last: first };
            assert_eq!(bucket.create(&name, body).await.unwrap(), Written::Done);
            assert_eq!(read(&bucket, range).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
