//! The names of limits: scope and dimension.

/// The scope of a limit: whose use it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// One key.
    Key,
    /// All keys of a tenant together.
    Tenant,
}

impl Scope {
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
    pub scope: Scope,
    /// Its dimension.
    pub dimension: Dimension,
}

impl LimitId {
    /// The name in header fields.
    pub const fn name(self) -> &'static str {
        match (self.scope, self.dimension) {
            (Scope::Key, Dimension::Requests) => "key-requests",
            (Scope::Key, Dimension::Events) => "key-events",
            (Scope::Key, Dimension::Bytes) => "key-bytes",
            (Scope::Tenant, Dimension::Requests) => "tenant-requests",
            (Scope::Tenant, Dimension::Events) => "tenant-events",
            (Scope::Tenant, Dimension::Bytes) => "tenant-bytes",
        }
    }
}
