//! Whose keys they are.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};

use super::{KeyType, Label, Limits, TenantId};

/// A tenant: the owner of keys and streams.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its id, for ever.
    pub id: TenantId,
    /// What people call it.
    pub name: Option<Label>,
    /// The kinds of use that are refused for now.
    pub suspended: BTreeSet<KeyType>,
    /// How much all its keys together may be used.
    pub limits: Limits,
    /// How long its keys last.
    pub lifetimes: Lifetimes,
    /// When it was created; `None` for the default tenant.
    pub created_at: Option<DateTime<Utc>>,
    /// Whether only a tombstone is left: none of its keys authenticates and its id is not given again.
    pub deleted: bool,
}

/// How long the keys of a tenant last, in seconds, counted from when it is said. What was said of a key before stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetimes {
    /// What a key gets of which nothing is said.
    pub default_seconds: Option<NonZeroU32>,
    /// The most that may be said; a key that never expires is then refused.
    pub max_seconds: Option<NonZeroU32>,
}

impl Tenant {
    /// A tenant with nothing suspended.
    pub fn new(id: TenantId) -> Self {
        Self {
            id,
            name: None,
            suspended: BTreeSet::new(),
            limits: Limits::default(),
            lifetimes: Lifetimes::default(),
            created_at: None,
            deleted: false,
        }
    }

    /// A tenant whose record cannot be read: everything is refused until it can, because a suspension may stand in it.
    pub fn unreadable(id: TenantId) -> Self {
        Self { suspended: KeyType::ALL.into(), ..Self::new(id) }
    }
}
