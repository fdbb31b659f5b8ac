//! What a step of compaction may have in memory, by its own count: what the allocator keeps beside it is not known.

use super::plan::FULL_BYTES;
use crate::stream::object_writer::{DECOMPRESSOR_BYTES, MAX_COMPRESSED};

/// What a value takes at least, and a text that is a view.
pub(super) const VALUE_BYTES: usize = 16;
/// What an array takes besides its values.
pub(super) const ARRAY_BYTES: usize = 512;

/// How much memory a step of compaction may take: half of it for what is read, half for the object in the making and
/// its next row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    bytes: usize,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes }
    }

    /// For what is read.
    pub(super) fn sources(self) -> usize {
        self.bytes / 16 * 7
    }

    /// For the object in the making.
    pub(super) fn object(self) -> usize {
        (self.bytes / 2).min(usize::try_from(FULL_BYTES).unwrap_or(usize::MAX))
    }

    /// The encoded size at which a row group ends: two objects with such row groups fit [`Memory::sources`].
    pub(super) fn row_group(self) -> usize {
        self.bytes / 16
    }

    /// The same, decoded: all of it is in memory before it is encoded.
    pub(super) fn decoded_row_group(self) -> usize {
        self.bytes / 32 * 3
    }

    /// How many columns of an object are compressed.
    pub(super) fn compressed_columns(self) -> usize {
        (self.bytes / 16 / DECOMPRESSOR_BYTES).clamp(1, MAX_COMPRESSED)
    }
}
