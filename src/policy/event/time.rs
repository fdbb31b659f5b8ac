//! Times of events, in milliseconds since 1970.

use chrono::{DateTime, NaiveDate};

use crate::policy::Value;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// RFC 3339, any offset.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
}

/// The time of an access log: `17/May/2015:10:05:03 +0000`.
pub(super) fn access_log(text: &str) -> Option<i64> {
    let (time, offset) = text.split_once(' ')?;
    let mut parts = time.split(['/', ':']);
    let day = number(parts.next()?)?;
    let name = parts.next()?;
    let month = u32::try_from(MONTHS.iter().position(|month| *month == name)?).ok()?.checked_add(1)?;
    let year = i32::try_from(number(parts.next()?)?).ok()?;
    let (hour, minute, second) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let at = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hour, minute, second.min(59))?;
    let (sign, digits) = match offset.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = (digits.get(..2)?, digits.get(2..).filter(|minutes| minutes.len() == 2)?);
    let offset_minutes = i64::from(number(hours)?.checked_mul(60)?.checked_add(number(minutes)?)?);
    let offset_ms = offset_minutes.checked_mul(60_000 * sign)?;
    parts.next().is_none().then(|| at.and_utc().timestamp_millis().checked_sub(offset_ms)).flatten()
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// A time as logs write one: either of the above, seconds since 1970 with a fraction (`1763.250`), or a whole number of
/// milliseconds.
pub(super) fn any(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(milliseconds) => Some(*milliseconds),
        Value::Text(text) => rfc3339(text).or_else(|| access_log(text)).or_else(|| thousandths(text)),
        _ => None,
    }
}

/// A decimal number in thousandths, further digits cut off: seconds in milliseconds.
pub(super) fn thousandths(text: &str) -> Option<i64> {
    const MAX_DIGITS: usize = 15;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > MAX_DIGITS || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let digits = fraction.bytes().chain(*b"000").take(3).map(char::from);
    whole.chars().chain(digits).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_logs_write_them() {
        assert_eq!(rfc3339("2026-11-29T08:00:00.250+01:00"), Some(1_795_935_600_250));
        assert_eq!(access_log("17/May/2015:10:05:03 +0000"), Some(1_431_857_103_000));
        assert_eq!(access_log("17/May/2015:12:35:03 +0230"), Some(1_431_857_103_000));
        assert_eq!(access_log("17/May/2015:09:05:03 -0100"), Some(1_431_857_103_000));
        assert_eq!(thousandths("1431857103.2509"), Some(1_431_857_103_250));
        assert_eq!((thousandths("0.005"), thousandths("7"), thousandths("1.")), (Some(5), Some(7000), Some(1000)));
        for none in ["", "17/Mai/2015:10:05:03 +0000", "31/Feb/2015:10:05:03 +0000", "17/May/2015:10:05:03", "+1", "."]
        {
            assert_eq!(any(&Value::Text(none.into())), None, "{none}");
        }
        for none in ["17/May/2015:10:05 +0000", "17/May/2015:10:05:03:04 +0000", "17/May/2015:10:05:03 +é0"] {
            assert_eq!(access_log(none), None, "{none}");
        }
    }
}
