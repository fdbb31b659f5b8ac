//! The bounds of ingest as data, and who sends.

use std::time::Duration;

use crate::key::{KeyId, Label, TenantId};

/// The bounds of ingest.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// The largest body of one request, decompressed, in bytes. At most 1 GiB counts.
    pub max_body_bytes: usize,
    /// How long the first request of a group waits for others.
    pub window: Duration,
    /// How many bytes of requests, decompressed, share one object.
    pub max_group_bytes: usize,
    /// How many bytes of requests, decompressed, may be under way over all streams.
    pub max_in_flight_bytes: usize,
    /// How long a request waits for room when as many bytes are under way as may be.
    pub patience: Duration,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 << 20,
            window: Duration::from_millis(20),
            max_group_bytes: 32 << 20,
            max_in_flight_bytes: 256 << 20,
            patience: Duration::from_secs(5),
        }
    }
}

/// Who sends: known from the key, never from what the client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whose stream.
    pub tenant: TenantId,
    /// The key that was presented.
    pub key_id: KeyId,
    /// The source that key stands for.
    pub source_id: Option<Label>,
}
