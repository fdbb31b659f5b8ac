//! The names of limits, scope and dimension, and why a limit refuses a request with a valid credential.

use std::time::Duration;

/// The scope of a limit: whose use it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitScope {
    /// One key.
    Key,
    /// All keys of a tenant together.
    Tenant,
}

impl LimitScope {
    /// The name in answers and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tenant => "tenant",
        }
    }
}

/// The dimension of a limit: what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dimension {
    /// Requests.
    Requests,
    /// Events.
    Events,
    /// Bytes of bodies as they were sent.
    Bytes,
}

impl Dimension {
    /// The size of one unit: bytes are counted in whole KiB.
    pub const fn cell(self) -> u64 {
        match self {
            Self::Requests | Self::Events => 1,
            Self::Bytes => 1024,
        }
    }

    /// The name in answers and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Events => "events",
            Self::Bytes => "bytes",
        }
    }
}

/// One of the limits that a request may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LimitId {
    /// Its scope.
    pub scope: LimitScope,
    /// Its dimension.
    pub dimension: Dimension,
}

impl LimitId {
    /// The name in header fields.
    pub const fn name(self) -> &'static str {
        match (self.scope, self.dimension) {
            (LimitScope::Key, Dimension::Requests) => "key-requests",
            (LimitScope::Key, Dimension::Events) => "key-events",
            (LimitScope::Key, Dimension::Bytes) => "key-bytes",
            (LimitScope::Tenant, Dimension::Requests) => "tenant-requests",
            (LimitScope::Tenant, Dimension::Events) => "tenant-events",
            (LimitScope::Tenant, Dimension::Bytes) => "tenant-bytes",
        }
    }
}

/// Why limits refuse a request. Nothing was taken from any limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A limit is exceeded for now.
    #[error("The {}'s limit of {} a minute is exceeded for now.", .limit.scope.as_str(), .limit.dimension.as_str())]
    Rate {
        /// The first limit that refused.
        limit: LimitId,
        /// After how long the same request may be admitted.
        wait: Duration,
    },
    /// The request is larger than the burst of a limit.
    #[error(
        "{amount} {} in one request are more than the {}'s limit lets pass at once, which is {most}: send fewer.",
        .limit.dimension.as_str(), .limit.scope.as_str()
    )]
    Never {
        /// The first limit that refused.
        limit: LimitId,
        /// How much the request takes.
        amount: u64,
        /// How much may pass at once.
        most: u64,
    },
}
