//! How documents are changed, depending on the properties of the store.

use std::fmt;

/// How this process changes documents in its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreMode {
    /// Conditional writes hold: any number of nodes may write.
    Cas,
    /// They hold for `ETag`s that are sent without their quotes (Ceph).
    CasUnquoted,
    /// A local directory: conditional writes are made under a file lock.
    Local,
    /// Conditional writes do not hold, and this process is configured as the only writer.
    SingleWriter {
        /// The first needed property that the store lacks.
        missing: Property,
    },
    /// Conditional writes do not hold: changes are refused, reading and authentication go on.
    Unsafe {
        /// The first needed property that the store lacks.
        missing: Property,
    },
}

impl StoreMode {
    /// The word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cas => "cas",
            Self::CasUnquoted => "cas-unquoted",
            Self::Local => "local",
            Self::SingleWriter { .. } => "single-writer",
            Self::Unsafe { .. } => "unsafe",
        }
    }

    /// Whether any number of nodes may write.
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Cas | Self::CasUnquoted | Self::Local)
    }
}

impl fmt::Display for StoreMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A property of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Property {
    /// A second create of one name is refused.
    CreateOnce,
    /// Of many creates of one name at once, one succeeds.
    RacingCreates,
    /// A replace with the `ETag` that was read succeeds.
    Replace,
    /// A replace with an older `ETag` is refused.
    StaleReplace,
    /// Of many replaces of one state at once, one succeeds.
    RacingReplaces,
    /// A read of what is known already is answered with 304.
    ConditionalRead,
    /// A list shows the `ETag` that a read shows.
    ListedTags,
}

impl Property {
    /// Its name, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateOnce => "create_once",
            Self::RacingCreates => "racing_creates",
            Self::Replace => "replace",
            Self::StaleReplace => "stale_replace",
            Self::RacingReplaces => "racing_replaces",
            Self::ConditionalRead => "conditional_read",
            Self::ListedTags => "listed_tags",
        }
    }

    /// Whether writers could overwrite each other's changes without it.
    pub fn is_needed(self) -> bool {
        !matches!(self, Self::ConditionalRead | Self::ListedTags)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
