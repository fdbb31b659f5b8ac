//! Durations as CEL and Go write them: `1h30m`, `5s`, `250ms`, `-1.5s`.

/// Milliseconds in a unit.
const UNITS: [(&str, i64); 4] = [("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1_000)];

/// A duration in milliseconds.
///
/// # Errors
/// Why it is none: a unit is missing, it is no whole number of milliseconds, or it is too long.
pub(super) fn milliseconds(text: &str) -> Result<i64, &'static str> {
    const NONE: &str = "this is no duration";
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    let mut total: i64 = 0;
    if rest.is_empty() {
        return Err(NONE);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(NONE)?;
        let (number, behind) = rest.split_at_checked(digits).ok_or(NONE)?;
        if matches!(behind.get(..2), Some("us" | "ns")) || behind.starts_with("µs") {
            return Err("durations are whole milliseconds");
        }
        let (unit, factor) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit)).ok_or(NONE)?;
        total = part(number, *factor)?.checked_add(total).ok_or("the duration is too long")?;
        rest = behind.get(unit.len()..).unwrap_or_default();
    }
    Ok(sign * total)
}

/// A number of units in milliseconds.
fn part(number: &str, factor: i64) -> Result<i64, &'static str> {
    const NONE: &str = "this is no duration";
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(NONE);
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| "the duration is too long")? };
    let mut total = whole.checked_mul(factor).ok_or("the duration is too long")?;
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9);
        let scale = 10_i64.pow(digits.ok_or("durations are whole milliseconds")?);
        let parts: i64 = fraction.parse().map_err(|_| NONE)?;
        let scaled = parts.checked_mul(factor).ok_or("the duration is too long")?;
        if scaled % scale != 0 {
            return Err("durations are whole milliseconds");
        }
        total = total.checked_add(scaled / scale).ok_or("the duration is too long")?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_cel_reads_them() {
        for (text, expected) in [
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("-250ms", -250),
            (".5s", 500),
            ("0", 0),
            ("1h1m1s1ms", 3_661_001),
            ("0.001s", 1),
        ] {
            assert_eq!(milliseconds(text), Ok(expected), "{text}");
        }
        for text in
            ["", "5", "m", "5 m", "5d", "1.2.3s", ".s", "-", "1us", "0.0001s", "9223372036854775807h", "５s", "1e3s"]
        {
            assert!(milliseconds(text).is_err(), "{text}");
        }
    }
}
