//! The time of arrival in the names of event objects.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Timelike, Utc};
use uuid::Uuid;

use super::parse_uuid;

/// A minute of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(DateTime<Utc>);

impl Minute {
    /// The minute that `at` lies in.
    pub fn of(at: DateTime<Utc>) -> Self {
        let into = i64::from(at.second()) * 1000 + i64::from(at.timestamp_subsec_millis());
        let start = at.timestamp_millis() - into;
        Self(DateTime::from_timestamp_millis(start).unwrap_or(at))
    }

    /// Reads `HHMM` of a day.
    pub fn parse(date: NaiveDate, text: &str) -> Option<Self> {
        let is_digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        let (hour, minute) = text.split_at_checked(2).filter(|_| is_digits)?;
        let time = NaiveTime::from_hms_opt(hour.parse().ok()?, minute.parse().ok()?, 0)?;
        Some(Self(date.and_time(time).and_utc()))
    }

    /// Its day.
    pub fn date(self) -> NaiveDate {
        self.0.date_naive()
    }

    /// The four digits that [`Minute::parse`] reads.
    pub fn hhmm(self) -> String {
        self.0.format("%H%M").to_string()
    }

    /// Its first instant.
    pub fn start(self) -> DateTime<Utc> {
        self.0
    }
}

/// When all events of an object arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrivalTime {
    /// Within this minute.
    Minute(Minute),
    /// On this day or around its midnights: names of 2026 state the day only.
    Day(NaiveDate),
}

impl ArrivalTime {
    /// The day whose folder the object is in.
    pub fn date(self) -> NaiveDate {
        match self {
            Self::Minute(minute) => minute.date(),
            Self::Day(date) => date,
        }
    }

    /// The first instant at which an event may have arrived, and the first at which none can have; `None` stands for no
    /// bound.
    pub fn bounds(self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
        match self {
            Self::Minute(Minute(start)) => (Some(start), start.checked_add_signed(chrono::TimeDelta::minutes(1))),
            Self::Day(date) => {
                (date.checked_sub_days(Days::new(1)).map(midnight), date.checked_add_days(Days::new(2)).map(midnight))
            }
        }
    }
}

/// The last part of the name of an object of ingest.
pub fn events_file(arrived: ArrivalTime, id: Uuid) -> String {
    let minute = match arrived {
        ArrivalTime::Minute(minute) => minute.hhmm() + "-",
        ArrivalTime::Day(_) => String::new(),
    };
    format!("{minute}{}.parquet", id.as_hyphenated())
}

/// Reads the last part of such a name back, of an object in the folder of a day.
pub(super) fn events_of_day(date: NaiveDate, file: &str) -> Option<(ArrivalTime, Uuid)> {
    let file = file.strip_suffix(".parquet")?;
    // No UUID begins with four digits and a hyphen.
    let (arrived, id) = match file.split_once('-').filter(|(minute, _)| minute.len() == 4) {
        Some((minute, id)) => (ArrivalTime::Minute(Minute::parse(date, minute)?), id),
        None => (ArrivalTime::Day(date), file),
    };
    Some((arrived, parse_uuid(id)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_instant_lies_in_its_minute_and_the_minute_reads_back(
            millis in -4_000_000_000_000i64..40_000_000_000_000
        ) {
            let at = DateTime::from_timestamp_millis(millis).unwrap();
            let minute = Minute::of(at);
            let (start, end) = ArrivalTime::Minute(minute).bounds();
            prop_assert!(start.unwrap() <= at && at < end.unwrap());
            prop_assert_eq!(start.unwrap(), minute.start());
            prop_assert_eq!((end.unwrap() - start.unwrap()).num_milliseconds(), 60_000);
            prop_assert_eq!(Minute::parse(at.date_naive(), &minute.hhmm()), Some(minute));
        }
    }

    #[test]
    fn what_is_no_minute_is_not_read() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 26).unwrap();
        assert_eq!(Minute::parse(date, "2359").unwrap().start().to_rfc3339(), "2026-11-26T23:59:00+00:00");
        for text in ["", "093", "09300", "2400", "0960", "+930", "9 30", "é30", "ab12"] {
            assert_eq!(Minute::parse(date, text), None, "{text}");
        }
    }
}
