//! Reading the text of an option: durations, sizes, counts and switches, and their bounds. Messages state the rule.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

pub(super) const KIB: usize = 1 << 10;
pub(super) const MIB: usize = 1 << 20;
pub(super) const GIB: usize = 1 << 30;

/// `250ms`, `30s`, `5m`, `90d`: a number needs its unit. Months and years have no fixed length, and `1M` is too near to
/// `1m`.
///
/// # Errors
/// The rule that the text breaks.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    let differs = |unit: &str| matches!(unit, "M" | "month" | "months" | "y" | "yr" | "yrs" | "year" | "years");
    if text.split(|c: char| !c.is_alphabetic()).any(differs) {
        return Err("must count in s, m (minutes), h, d or w: months and years differ in length, so say 30d or 365d");
    }
    humantime::parse_duration(text).map_err(|_| "must be a duration such as 250ms, 30s or 5m")
}

/// A duration within bounds.
pub(super) fn duration(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let read = parse_duration(text)?;
    let show = |bound: &Duration| humantime::format_duration(*bound).to_string();
    within(read, &bounds, show)
}

/// `10MiB`, `64KiB`; a plain number is bytes.
pub(super) fn size(text: &str, bounds: RangeInclusive<usize>) -> Result<usize, String> {
    let rule = || "must be a size such as 64KiB or 10MiB".to_owned();
    let read = text.parse::<ByteSize>().map_err(|_| rule())?;
    let read = usize::try_from(read.as_u64()).map_err(|_| rule())?;
    within(read, &bounds, |bound| ByteSize::b(*bound as u64).to_string())
}

/// A whole number.
pub(super) fn count<T>(text: &str, bounds: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let read =
        text.parse().map_err(|_| format!("must be a whole number from {} to {}", bounds.start(), bounds.end()))?;
    within(read, &bounds, T::to_string)
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

fn within<T: PartialOrd>(read: T, bounds: &RangeInclusive<T>, show: impl Fn(&T) -> String) -> Result<T, String> {
    if bounds.contains(&read) {
        Ok(read)
    } else {
        Err(format!("must be from {} to {}", show(bounds.start()), show(bounds.end())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        let read = |text| duration(text, Duration::from_millis(1)..=Duration::from_secs(3600));
        assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(read("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(read("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "5", "-5s", "5 bananas", "99999999999999999999s"] {
            assert_eq!(read(bad), Err("must be a duration such as 250ms, 30s or 5m".to_owned()), "{bad}");
        }
        for ambiguous in ["1M", "1month", "1y"] {
            assert!(read(ambiguous).unwrap_err().contains("months and years"), "{ambiguous}");
        }
        assert_eq!(read("2h"), Err("must be from 1ms to 1h".to_owned()));
        assert_eq!(read("0s"), Err("must be from 1ms to 1h".to_owned()));
    }

    #[test]
    fn sizes_are_binary_when_they_say_so() {
        let read = |text| size(text, 1..=GIB);
        assert_eq!(read("10MiB"), Ok(10 << 20));
        assert_eq!(read("64KiB"), Ok(64 * KIB));
        assert_eq!(read("10MB"), Ok(10_000_000));
        assert_eq!(read("512"), Ok(512));
        for bad in ["", "MiB", "-1MiB", "ten"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("2GiB"), Err("must be from 1 B to 1.0 GiB".to_owned()));
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!(count("8", 1..=64usize), Ok(8));
        assert!(count("8.5", 1..=64usize).is_err());
        assert!(count("0", 1..=64usize).is_err());
    }
}
