//! What is counted, and for whom.

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The key's own.
    Key,
    /// That of all keys of the tenant together.
    Tenant,
}

impl Holder {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tenant => "tenant",
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Requests.
    Requests,
    /// Events.
    Events,
    /// Bytes of bodies as they were sent.
    Bytes,
}

impl Kind {
    /// How much of it is counted as one, at least: bytes in whole KiB.
    pub const fn cell(self) -> u64 {
        match self {
            Self::Requests | Self::Events => 1,
            Self::Bytes => 1024,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Events => "events",
            Self::Bytes => "bytes",
        }
    }
}

/// A limit by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Whose it is.
    pub holder: Holder,
    /// What it bounds.
    pub kind: Kind,
}

impl Policy {
    /// The name in header fields.
    pub const fn name(self) -> &'static str {
        match (self.holder, self.kind) {
            (Holder::Key, Kind::Requests) => "key-requests",
            (Holder::Key, Kind::Events) => "key-events",
            (Holder::Key, Kind::Bytes) => "key-bytes",
            (Holder::Tenant, Kind::Requests) => "tenant-requests",
            (Holder::Tenant, Kind::Events) => "tenant-events",
            (Holder::Tenant, Kind::Bytes) => "tenant-bytes",
        }
    }
}
