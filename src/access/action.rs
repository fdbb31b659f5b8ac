//! What a credential is used for.

use crate::key::KeyType;

/// What a request is about to do with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Sending events.
    Ingest,
    /// Reading them.
    Query,
    /// Asking about the key itself: any good key may, even while its tenant is suspended.
    Inspect,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Query, Self::Inspect];

    /// The type that a key must have; `None` when any will do.
    pub const fn key_type(self) -> Option<KeyType> {
        match self {
            Self::Ingest => Some(KeyType::Ingestion),
            Self::Query => Some(KeyType::Query),
            Self::Inspect => None,
        }
    }
}

/// What keys of a type are for.
impl From<KeyType> for Action {
    fn from(key_type: KeyType) -> Self {
        match key_type {
            KeyType::Ingestion => Self::Ingest,
            KeyType::Query => Self::Query,
        }
    }
}
