//! How documents are changed, depending on the capabilities of the store.

use std::fmt;

use super::property::Property;

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
