//! What a request is about to do, as a type: the right that a handler needs stands in its signature.

use crate::key::KeyType;

/// A use of a key.
pub trait Action: 'static {
    /// The type a key must have; `None` when either will do.
    const KEY_TYPE: Option<KeyType>;
}

/// Sending events.
#[derive(Debug, Clone, Copy)]
pub enum Ingestion {}

/// Reading them.
#[derive(Debug, Clone, Copy)]
pub enum Query {}

/// Asking about the key itself: any good key may, even while its tenant is suspended.
#[derive(Debug, Clone, Copy)]
pub enum AnyUse {}

impl Action for Ingestion {
    const KEY_TYPE: Option<KeyType> = Some(KeyType::Ingestion);
}

impl Action for Query {
    const KEY_TYPE: Option<KeyType> = Some(KeyType::Query);
}

impl Action for AnyUse {
    const KEY_TYPE: Option<KeyType> = None;
}
