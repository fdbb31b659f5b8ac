//! How long the events of a stream are kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};

use super::InvalidId;

/// The longest retention but for ever: a hundred years.
const MAX_DAYS: u32 = 36_500;
const EXPECTED: &str = "whole days such as 30d, at most 36500d, or 0d for ever";

/// How many whole days events are kept after the day on which they arrived; 0 for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct RetentionDays(u32);

impl RetentionDays {
    /// The number of days; 0 for ever.
    pub fn days(self) -> u32 {
        self.0
    }

    /// The fewest days that are at least so long.
    ///
    /// # Errors
    /// [`InvalidId`] for more days than a retention has.
    pub fn covering(time: Duration) -> Result<Self, InvalidId> {
        u32::try_from(time.as_secs().div_ceil(24 * 60 * 60)).unwrap_or(u32::MAX).try_into()
    }

    /// The first day, in UTC, whose events are kept; `None` when all are.
    pub fn first_day(self, today: NaiveDate) -> Option<NaiveDate> {
        (self.0 > 0).then(|| today.checked_sub_days(Days::new(self.0.into()))).flatten()
    }
}

impl TryFrom<u32> for RetentionDays {
    type Error = InvalidId;

    fn try_from(days: u32) -> Result<Self, InvalidId> {
        if days <= MAX_DAYS { Ok(Self(days)) } else { Err(InvalidId::new("a retention", EXPECTED)) }
    }
}

impl From<RetentionDays> for u32 {
    fn from(retention: RetentionDays) -> Self {
        retention.0
    }
}

impl fmt::Display for RetentionDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}d", self.0)
    }
}

impl FromStr for RetentionDays {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let days = text.strip_suffix('d').filter(|days| days.bytes().all(|byte| byte.is_ascii_digit()));
        let days = days.and_then(|days| days.parse().ok());
        days.ok_or_else(|| InvalidId::new("a retention", EXPECTED)).and_then(|days: u32| Self::try_from(days))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_counts_whole_days_and_nothing_else_is_read() {
        let today = NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
        let first = |text: &str| text.parse::<RetentionDays>().unwrap().first_day(today);
        assert_eq!(first("1d"), NaiveDate::from_ymd_opt(2026, 11, 26));
        assert_eq!(first("30d"), NaiveDate::from_ymd_opt(2026, 10, 28));
        assert_eq!(first("0d"), None);
        for text in ["", "d", "30", "30h", "-1d", "+1d", "1.5d", "36501d", "99999999999d"] {
            assert!(text.parse::<RetentionDays>().is_err(), "{text}");
        }
        assert_eq!("7d".parse::<RetentionDays>().unwrap().to_string(), "7d");
    }
}
