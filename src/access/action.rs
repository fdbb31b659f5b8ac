//! The actions of credentials.

use crate::key::KeyType;

/// The action of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Sending events.
    Ingest,
    /// Reading them.
    Query,
    /// Reading the key's own settings: every valid key may, even while its tenant is suspended.
    Inspect,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Query, Self::Inspect];

    /// The key type that it needs; `None` for any.
    pub const fn key_type(self) -> Option<KeyType> {
        match self {
            Self::Ingest => Some(KeyType::Ingestion),
            Self::Query => Some(KeyType::Query),
            Self::Inspect => None,
        }
    }
}

/// The action of a key type.
impl From<KeyType> for Action {
    fn from(key_type: KeyType) -> Self {
        match key_type {
            KeyType::Ingestion => Self::Ingest,
            KeyType::Query => Self::Query,
        }
    }
}
