//! What an operator sets of traffic policies.

use std::time::Duration;

use zeroize::Zeroizing;

/// The settings of decisions.
#[derive(Clone)]
pub struct PolicySettings {
    /// How many bytes of memory the windows of all tenants take at most.
    pub memory: usize,
    /// The secret of pseudonyms and clearances; without it, a node makes one and keeps it in the bucket.
    pub secret: Option<Zeroizing<Vec<u8>>>,
    /// A second secret, which verifies challenges and clearances and makes none.
    pub other_secret: Option<Zeroizing<Vec<u8>>>,
    /// How long a challenge can be solved.
    pub challenge_ttl: Duration,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self { memory: 64 << 20, secret: None, other_secret: None, challenge_ttl: Duration::from_secs(600) }
    }
}

impl std::fmt::Debug for PolicySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySettings")
            .field("memory", &self.memory)
            .field("has_secret", &self.secret.is_some())
            .field("has_other_secret", &self.other_secret.is_some())
            .field("challenge_ttl", &self.challenge_ttl)
            .finish()
    }
}
