//! Whose keys they are.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{KeyType, Label, TenantId};

/// A tenant: the owner of keys and streams.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its id, for ever.
    pub id: TenantId,
    /// What people call it.
    pub name: Option<Label>,
    /// The kinds of use that are refused for now.
    pub suspended: BTreeSet<KeyType>,
    /// When it was created; `None` for the default tenant.
    pub created_at: Option<DateTime<Utc>>,
    /// Whether only a tombstone is left: none of its keys authenticates and its id is not given again.
    pub deleted: bool,
}

impl Tenant {
    /// A tenant with nothing suspended.
    pub fn new(id: TenantId) -> Self {
        Self { id, name: None, suspended: BTreeSet::new(), created_at: None, deleted: false }
    }

    /// A tenant whose record cannot be read: everything is refused until it can, because a suspension may stand in it.
    pub fn unreadable(id: TenantId) -> Self {
        Self { suspended: KeyType::ALL.into(), ..Self::new(id) }
    }
}
