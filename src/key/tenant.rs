//! Whose keys they are.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Actor, KeyType, Label, Limits, TenantId};

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
    /// When it was last changed; `None` when the document does not say.
    pub modified_at: Option<DateTime<Utc>>,
    /// Who changed it last; `None` when the document does not say.
    pub modified_by: Option<Actor>,
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

/// When a key would end, and may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongEnd {
    /// It would never have worked.
    #[error("expiresAt must be in the future")]
    Past,
    /// It would last longer than the tenant's keys may.
    #[error("keys of this tenant last at most {max_seconds} seconds")]
    TooLate {
        /// How long they may last.
        max_seconds: NonZeroU32,
    },
}

/// The default lifetime of a tenant's keys is longer than the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("defaultKeyLifetimeSeconds must not be above maxKeyLifetimeSeconds")]
pub struct DefaultAboveMax;

impl Lifetimes {
    /// When a key ends of which this is said at `now`: `None` is nothing, `Some(None)` that it never ends. A maximum is
    /// also the default of those who set none.
    ///
    /// # Errors
    /// [`WrongEnd`] when that may not be said.
    pub fn first_end(
        &self,
        said: Option<Option<DateTime<Utc>>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, WrongEnd> {
        match said {
            Some(end) => self.check_end(end, now).map(|()| end),
            None => {
                let seconds = self.default_seconds.into_iter().chain(self.max_seconds).min();
                Ok(seconds.map(|seconds| after(now, seconds)))
            }
        }
    }

    /// Whether a key may end at `end` when that is said at `now`; `None` is never.
    ///
    /// # Errors
    /// [`WrongEnd`] when it may not.
    pub fn check_end(&self, end: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), WrongEnd> {
        match self.max_seconds {
            _ if end.is_some_and(|end| end <= now) => Err(WrongEnd::Past),
            Some(max_seconds) if end.is_none_or(|end| end > after(now, max_seconds)) => {
                Err(WrongEnd::TooLate { max_seconds })
            }
            _ => Ok(()),
        }
    }

    /// Whether the two fit.
    ///
    /// # Errors
    /// [`DefaultAboveMax`] when they do not.
    pub fn check(&self) -> Result<(), DefaultAboveMax> {
        match (self.default_seconds, self.max_seconds) {
            (Some(default), Some(max)) if default > max => Err(DefaultAboveMax),
            _ => Ok(()),
        }
    }
}

fn after(now: DateTime<Utc>, seconds: NonZeroU32) -> DateTime<Utc> {
    now + TimeDelta::seconds(seconds.get().into())
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
            modified_at: None,
            modified_by: None,
            deleted: false,
        }
    }

    /// A tenant whose record cannot be read: everything is refused until it can, because a suspension may stand in it.
    pub fn unreadable(id: TenantId) -> Self {
        Self { suspended: KeyType::ALL.into(), ..Self::new(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetimes(default: u32, max: u32) -> Lifetimes {
        Lifetimes { default_seconds: NonZeroU32::new(default), max_seconds: NonZeroU32::new(max) }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_key_of_which_nothing_is_said_gets_the_default_and_never_more_than_the_maximum() {
        let end = |default, max| lifetimes(default, max).first_end(None, at(100)).unwrap();
        assert_eq!(end(0, 0), None);
        assert_eq!(end(60, 0), Some(at(160)));
        assert_eq!(end(0, 90), Some(at(190)));
        assert_eq!(end(60, 90), Some(at(160)));
        assert_eq!(end(90, 60), Some(at(160)), "written by hand");
        assert_eq!(lifetimes(90, 60).check(), Err(DefaultAboveMax));
        assert!([lifetimes(60, 60), lifetimes(60, 0), lifetimes(0, 60)].iter().all(|fit| fit.check().is_ok()));
    }

    #[test]
    fn what_is_said_counts_as_long_as_it_may_be_said() {
        let said = |max, said| lifetimes(60, max).first_end(Some(said), at(100));
        let late = |max| Err(WrongEnd::TooLate { max_seconds: NonZeroU32::new(max).unwrap() });
        assert_eq!(said(0, None), Ok(None));
        assert_eq!(said(0, Some(at(1_000_000))), Ok(Some(at(1_000_000))));
        assert_eq!(said(0, Some(at(100))), Err(WrongEnd::Past));
        assert_eq!(said(90, Some(at(190))), Ok(Some(at(190))));
        assert_eq!(said(90, Some(at(191))), late(90));
        assert_eq!(said(90, None), late(90));
        assert_eq!(said(90, Some(at(99))), Err(WrongEnd::Past));
    }
}
