//! What the scans of one query read, and how much that may be.

use bytesize::ByteSize;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::key::StreamName;

pub(super) const ADVICE: &str = "narrow it with startTime and endTime, or with a condition on p_timestamp";

/// How much one query may read; 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadLimits {
    /// How many objects it may open.
    pub(super) max_objects: usize,
    /// How many bytes these objects may have together.
    pub(super) max_bytes: u64,
}

/// What a scan reads of the objects that it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadDepth {
    /// Their footers only, which are small whatever the size of an object.
    Footers,
    /// Columns, or all of them.
    Columns,
}

/// What one scan of a stream reads.
#[derive(Debug, Clone)]
pub(super) struct ScanReads {
    pub(super) stream: StreamName,
    pub(super) days_listed: u64,
    pub(super) days_pruned: u64,
    /// Objects that stand in the days that were listed.
    pub(super) listed: u64,
    /// Those of them that the names and the manifests rule out.
    pub(super) pruned: u64,
    pub(super) opened: u64,
    /// The size of those that are opened.
    pub(super) bytes: u64,
}

/// What the scans of one query read together.
#[derive(Debug)]
pub(super) struct Reads {
    limits: ReadLimits,
    scans: Mutex<Vec<ScanReads>>,
    bytes: Mutex<u64>,
}

impl Reads {
    pub(super) fn new(limits: ReadLimits) -> Self {
        Self { limits, scans: Mutex::default(), bytes: Mutex::default() }
    }

    /// The scans are planned anew.
    pub(super) fn restart(&self) {
        self.scans.lock().clear();
        *self.bytes.lock() = 0;
    }

    /// How many objects may still be opened.
    pub(super) fn objects_left(&self) -> usize {
        match self.limits.max_objects {
            0 => usize::MAX,
            most => most.saturating_sub(usize::try_from(self.opened()).unwrap_or(usize::MAX)),
        }
    }

    fn opened(&self) -> u64 {
        self.scans.lock().iter().map(|scan| scan.opened).sum()
    }

    /// Counts a scan. `is_cut` says that it would open more objects than were counted.
    ///
    /// # Errors
    /// [`ErrorKind::QueryTooLarge`] when the query opens or reads too much with it.
    pub(super) fn add(&self, scan: ScanReads, is_cut: bool, depth: ReadDepth) -> Result<()> {
        let ReadLimits { max_objects, max_bytes } = self.limits;
        if depth == ReadDepth::Columns {
            *self.bytes.lock() += scan.bytes;
        }
        self.scans.lock().push(scan);
        let (opened, bytes) = (self.opened(), *self.bytes.lock());
        if is_cut || max_objects > 0 && opened > max_objects as u64 {
            let about = if is_cut { "at least " } else { "" };
            let most = format!("a query may open {max_objects} (--query-max-objects)");
            return Err(too_large(format!("the query would open {about}{opened} objects, and {most}")));
        }
        if max_bytes > 0 && bytes > max_bytes {
            let most = format!("a query may read {} (--query-max-bytes)", ByteSize::b(max_bytes));
            let wanted = format!("{opened} objects of {} together", ByteSize::b(bytes));
            return Err(too_large(format!("the query would read {wanted}, and {most}")));
        }
        Ok(())
    }

    /// The scans, by stream.
    pub(super) fn scans(&self) -> Vec<ScanReads> {
        let mut scans = self.scans.lock().clone();
        scans.sort_by(|a, b| a.stream.cmp(&b.stream));
        scans
    }
}

fn too_large(why: String) -> Error {
    Error::new(ErrorKind::QueryTooLarge, format!("{why}: {ADVICE}"))
}
