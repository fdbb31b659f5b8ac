//! Tenants, and the lifetimes of their keys.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Actor, KeyType, Label, Limits, RetentionDays, TenantId};

/// A tenant: the owner of keys and streams.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its id, for ever.
    pub id: TenantId,
    /// Its display name.
    pub name: Option<Label>,
    /// The key types that are suspended.
    pub suspended: BTreeSet<KeyType>,
    /// The limits of all its keys together.
    pub limits: Limits,
    /// The lifetimes of its keys.
    pub lifetimes: Lifetimes,
    /// How long events are kept in streams that do not say; `None` as the server says.
    pub retention_days: Option<RetentionDays>,
    /// When it was created; `None` for the default tenant.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed; `None` when the document does not say.
    pub modified_at: Option<DateTime<Utc>>,
    /// Who changed it last; `None` when the document does not say.
    pub modified_by: Option<Actor>,
    /// Whether only a tombstone is left: none of its keys authenticates and its id is not given again.
    pub deleted: bool,
    /// Whether its events are erased with it.
    pub erased: bool,
}

/// The lifetimes of a tenant's keys, in seconds from the request. Existing keys are unaffected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetimes {
    /// The lifetime of a key whose request sets no expiry.
    pub default_seconds: Option<NonZeroU32>,
    /// The longest lifetime; with one, a key that never expires is refused.
    pub max_seconds: Option<NonZeroU32>,
}

/// Why a requested expiry is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongEnd {
    /// It is in the past.
    #[error("expiresAt must be in the future")]
    Past,
    /// It is beyond the longest lifetime of the tenant.
    #[error("keys of this tenant last at most {max_seconds} seconds")]
    TooLate {
        /// The longest lifetime.
        max_seconds: NonZeroU32,
    },
}

/// The default lifetime of a tenant's keys is longer than the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("defaultKeyLifetimeSeconds must not be above maxKeyLifetimeSeconds")]
pub struct DefaultAboveMax;

impl Lifetimes {
    /// Resolves a requested expiry at `now`: `None` when the request sets none, `Some(None)` for never. A maximum
    /// without a default is also the default.
    ///
    /// # Errors
    /// [`WrongEnd`] when the expiry is refused.
    pub fn first_end(
        &self,
        requested: Option<Option<DateTime<Utc>>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, WrongEnd> {
        match requested {
            Some(end) => self.check_end(end, now).map(|()| end),
            None => {
                let seconds = self.default_seconds.into_iter().chain(self.max_seconds).min();
                Ok(seconds.map(|seconds| after(now, seconds)))
            }
        }
    }

    /// Checks an expiry that is requested at `now`; `None` is never.
    ///
    /// # Errors
    /// [`WrongEnd`] when it is refused.
    pub fn check_end(&self, end: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), WrongEnd> {
        match self.max_seconds {
            _ if end.is_some_and(|end| end <= now) => Err(WrongEnd::Past),
            Some(max_seconds) if end.is_none_or(|end| end > after(now, max_seconds)) => {
                Err(WrongEnd::TooLate { max_seconds })
            }
            _ => Ok(()),
        }
    }

    /// Checks that the default is not above the maximum.
    ///
    /// # Errors
    /// [`DefaultAboveMax`] when it is.
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
            retention_days: None,
            created_at: None,
            modified_at: None,
            modified_by: None,
            deleted: false,
            erased: false,
        }
    }

    /// A tenant whose document cannot be read: all use is refused, because the document may suspend it.
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
