//! What the JSON of requests and the YAML of files have in common: instants, lists that can only be emptied, what `null`
//! means, and errors that do not repeat what they met.

use chrono::{DateTime, SubsecRound, Utc};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

/// An instant as RFC 3339 writes it, in milliseconds. chrono alone would also take a blank for the `T`, and years of
/// other lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339(pub DateTime<Utc>);

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let shaped = text
            .as_bytes()
            .get(..11)
            .is_some_and(|date| date[..4].iter().all(u8::is_ascii_digit) && date[10].eq_ignore_ascii_case(&b'T'));
        let instant = DateTime::parse_from_rfc3339(&text).ok().filter(|_| shaped);
        let instant = instant.ok_or_else(|| D::Error::custom("expected an instant such as 2027-01-01T00:00:00Z"))?;
        Ok(Self(instant.with_timezone(&Utc).trunc_subsecs(3)))
    }
}

/// A list that can only be emptied: `[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty;

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::<IgnoredAny>::deserialize(deserializer)?;
        if items.is_empty() {
            Ok(Self)
        } else {
            Err(D::Error::custom("expected an empty list: this can only be emptied"))
        }
    }
}

/// For a field that may be `null`: tells `null`, which clears, from a field that is not there.
///
/// # Errors
/// Those of the value.
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// For a field that may be missing but not `null`.
///
/// # Errors
/// Those of the value, and `null`.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// For a field that `null` gives its default.
///
/// # Errors
/// Those of the value.
pub fn cleared<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(|value| Some(value.unwrap_or_default()))
}

/// serde repeats what it met in its messages: of such a one, only what was expected is kept, because a secret may stand in
/// a wrong place.
pub fn without_values(message: &str) -> String {
    let kinds = ["invalid type", "invalid value", "invalid length", "unknown variant", "unknown field"];
    let Some(kind) = kinds.into_iter().find(|kind| message.starts_with(kind)) else { return message.to_owned() };
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{kind}, expected {expected}"),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_rfc_3339_says() {
        let read =
            |text: &str| serde_json::from_value::<Rfc3339>(text.into()).ok().map(|instant| instant.0.to_rfc3339());
        assert_eq!(read("2027-01-01T01:00:00.1239+01:00").unwrap(), "2027-01-01T00:00:00.123+00:00");
        for bad in ["2027-01-01 00:00:00Z", "+12027-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "2027-01-01", "now", ""]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_message_says_what_was_expected_and_not_what_was_met() {
        let said = without_values("invalid type: string \"canary, expected x\", expected u32");
        assert_eq!(said, "invalid type, expected u32");
        assert_eq!(without_values("unknown field `canary`"), "unknown field");
        assert_eq!(without_values("missing field `name`"), "missing field `name`");
    }
}
