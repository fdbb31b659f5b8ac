//! Instants and durations as people type them.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};

use crate::config::parse_duration;

/// `2027-01-01T00:00:00Z`, or a date alone, which means its first moment in UTC.
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let instant = DateTime::parse_from_rfc3339(text).map(|instant| instant.with_timezone(&Utc));
    instant.or_else(|_| date()).map_err(|_| {
        if parse_duration(text).is_ok() {
            "must be an instant or a date; a duration such as 30d belongs to --expires-in"
        } else {
            "must be an instant such as 2027-01-01T00:00:00Z, or a date such as 2027-01-01 (its first moment in UTC)"
        }
    })
}

/// Whole seconds, such as 90s, 1h or 30d.
pub(super) fn seconds(text: &str) -> Result<Duration, &'static str> {
    let read = parse_duration(text)?;
    let whole = read.subsec_nanos() == 0 && u32::try_from(read.as_secs()).is_ok();
    if whole { Ok(read) } else { Err("must be whole seconds, and not more than 136 years") }
}

/// A point in time: an instant, or a distance from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    At(DateTime<Utc>),
    Distance(Duration),
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = instant(text) {
            return Ok(Self::At(at));
        }
        parse_duration(text).map(Self::Distance).map_err(|rule| {
            if text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(char::is_alphabetic) {
                rule
            } else {
                "must be a duration such as 30d, an instant such as 2027-01-01T00:00:00Z, or a date such as 2027-01-01"
            }
        })
    }
}

impl Moment {
    /// As a server reads it, with a distance into the past; not before 1970.
    pub(super) fn past(self, now: DateTime<Utc>) -> String {
        self.text(|distance| now.checked_sub_signed(distance).unwrap_or_default())
    }

    /// As a server reads it, with a distance into the future; not after the year 9999.
    pub(super) fn future(self, now: DateTime<Utc>) -> String {
        self.text(|distance| now.checked_add_signed(distance).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    fn text(self, from_now: impl FnOnce(TimeDelta) -> DateTime<Utc>) -> String {
        const LAST: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z
        let at = match self {
            Self::At(at) => at,
            Self::Distance(distance) => from_now(TimeDelta::from_std(distance).unwrap_or(TimeDelta::MAX)),
        };
        let last = DateTime::from_timestamp(LAST, 0).unwrap_or_default();
        at.clamp(DateTime::UNIX_EPOCH, last).to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_may_be_a_date_and_a_duration_is_sent_to_its_own_option() {
        assert_eq!(instant("2027-01-01").unwrap(), instant("2027-01-01T01:00:00+01:00").unwrap());
        assert!(instant("90d").unwrap_err().contains("--expires-in"));
        for bad in ["tomorrow", "now", "2027-1", "2027-02-30", "1700000000000", ""] {
            assert!(instant(bad).unwrap_err().contains("2027-01-01T00:00:00Z"), "{bad}");
        }
    }

    #[test]
    fn a_lifetime_is_whole_seconds_of_units_that_have_one_length() {
        assert_eq!(seconds("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(seconds("365d"), Ok(Duration::from_secs(365 * 86_400)));
        for ambiguous in ["1M", "1month", "1y", "2years 3d"] {
            assert!(seconds(ambiguous).unwrap_err().contains("365d"), "{ambiguous}");
        }
        assert!(seconds("1500ms").is_err() && seconds("9999999d").is_err() && seconds("-1s").is_err());
    }

    #[test]
    fn a_moment_is_an_instant_or_its_distance_from_now() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let past = |text: &str| text.parse().map(|moment: Moment| moment.past(now));
        let future = |text: &str| text.parse().map(|moment: Moment| moment.future(now));
        assert_eq!(past("1h").unwrap(), "2026-09-21T13:13:20.000Z");
        assert_eq!(future("1h").unwrap(), "2026-09-21T15:13:20.000Z");
        assert_eq!(past("2026-01-01T01:00:00+01:00").unwrap(), "2026-01-01T00:00:00.000Z");
        assert_eq!(future("2027-01-01").unwrap(), "2027-01-01T00:00:00.000Z");
        assert_eq!(past("9999999999d").unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(future("9999999999d").unwrap(), "9999-12-31T23:59:59.000Z");
        assert!(past("1M").unwrap_err().contains("365d"));
        for bad in ["yesterday", "30", "now"] {
            assert!(past(bad).unwrap_err().contains("2027-01-01"), "{bad}");
        }
    }
}
