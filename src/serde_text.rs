//! Shared by JSON requests and YAML files: instants, lists that can only be emptied, the meaning of `null`, and errors
//! that do not repeat values.

use chrono::{DateTime, SubsecRound, Utc};
use std::fmt;

use serde::de::{DeserializeOwned, Error as _, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

/// An instant as RFC 3339 writes it, in milliseconds. chrono alone would also take a blank for the `T`, and years of
/// other lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339(pub DateTime<Utc>);

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Instant;

        impl Visitor<'_> for Instant {
            type Value = Rfc3339;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an instant such as 2027-01-01T00:00:00Z")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rfc3339, E> {
                let shaped = text.as_bytes().get(..11).is_some_and(|date| {
                    date[..4].iter().all(u8::is_ascii_digit) && date[10].eq_ignore_ascii_case(&b'T')
                });
                let instant = DateTime::parse_from_rfc3339(text).ok().filter(|_| shaped);
                let instant = instant.ok_or_else(|| E::custom("expected an instant such as 2027-01-01T00:00:00Z"))?;
                Ok(Rfc3339(instant.with_timezone(&Utc).trunc_subsecs(3)))
            }
        }

        deserializer.deserialize_str(Instant)
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

/// For a field that may be `null`: distinguishes `null`, which clears, from a missing field.
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

/// For a field whose `null` means its default.
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

/// Why a JSON text cannot be read: where, and what was expected there. Never repeats a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The field, when it is known, and what was expected.
    pub reason: String,
}

/// Reads a whole JSON text.
///
/// # Errors
/// [`JsonError`].
pub fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read: Result<T, _> = serde_path_to_error::deserialize(&mut deserializer);
    let read = read.map_err(|error| (known_field(&error), error.into_inner()));
    let ended = read.and_then(|value| deserializer.end().map(|()| value).map_err(|error| (String::new(), error)));
    ended.map_err(|(field, error)| {
        let message = error.to_string();
        let reason = without_values(message.split_once(" at line ").map_or(message.as_str(), |(reason, _)| reason));
        let reason = if field.is_empty() { reason } else { format!("{field}: {reason}") };
        JsonError { line: error.line(), column: error.column(), reason }
    })
}

/// Reads a value of any form. The error names the field, when it is known, and what was expected there.
///
/// # Errors
/// The field and the reason. Never repeats a value.
pub fn read_value<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, String> {
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let (field, reason) = (known_field(&error), without_values(&error.inner().to_string()));
        if field.is_empty() { reason } else { format!("{field}: {reason}") }
    })
}

/// The field that an error is about, as far as it is a known one; else empty.
fn known_field<E: fmt::Display>(error: &serde_path_to_error::Error<E>) -> String {
    // The path to an unknown field ends with its name, which may be a secret.
    let unknown = usize::from(error.inner().to_string().starts_with("unknown field"));
    field(error.path(), error.path().iter().len().saturating_sub(unknown))
}

/// A path such as `keys[3].expiresAt`. It ends before anything that is no known field: that may be a secret.
fn field(path: &Path, segments: usize) -> String {
    let mut field = String::new();
    for segment in path.iter().take(segments) {
        match segment {
            Segment::Seq { index } => field.push_str(&format!("[{index}]")),
            Segment::Map { key } if key.len() <= 24 && key.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                if !field.is_empty() {
                    field.push('.');
                }
                field.push_str(key);
            }
            _ => break,
        }
    }
    field
}

/// Removes values from a message of serde, which repeats them: only the expectation is kept, because the value may be a
/// secret in the wrong place.
pub fn without_values(message: &str) -> String {
    let kinds = ["invalid type", "invalid value", "invalid length", "unknown variant", "unknown field"];
    let Some(kind) = kinds.into_iter().find(|kind| message.starts_with(kind)) else { return message.to_owned() };
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{kind}, expected {}", without_rust(expected)),
        None => kind.to_owned(),
    }
}

/// What serde calls by a type of Rust, in words.
fn without_rust(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero u64" => "a whole number from 1",
        "a map" => "an object",
        "a sequence" => "an array",
        words if words.starts_with("struct ") => "an object",
        words => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field_and_what_it_takes_and_no_value() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[allow(dead_code)]
        struct Body {
            start_time: Option<Rfc3339>,
            #[serde(default)]
            keys: Vec<std::collections::BTreeMap<String, u8>>,
        }
        let reason = |text: &str| read_json::<Body>(text.as_bytes()).unwrap_err().reason;
        for bad in [r#""2026-11-26""#, r#""now""#, r#""2026-11-26T00:00:00""#] {
            let expected = "startTime: expected an instant such as 2027-01-01T00:00:00Z";
            assert_eq!(reason(&format!("{{\"startTime\": {bad}}}")), expected);
        }
        let expected = "startTime: invalid type, expected an instant such as 2027-01-01T00:00:00Z";
        assert_eq!(reason(r#"{"startTime": 1700000000000}"#), expected);
        assert_eq!(
            reason(r#"{"keys": [{}, {"a": "secret"}]}"#),
            "keys[1].a: invalid type, expected a whole number from 0 to 255"
        );
        assert_eq!(
            reason(r#"{"keys": [{"kl_qry_secret": 300}]}"#),
            "keys[0]: invalid value, expected a whole number from 0 to 255"
        );
        assert_eq!(reason(r#"{"keys": [{}], "canary": 1}"#), "unknown field, expected `startTime` or `keys`");
        assert_eq!(reason(r#"{"secret": 1}"#), "unknown field, expected `startTime` or `keys`");
        assert_eq!(read_json::<Body>(b"{}\n x").unwrap_err().line, 2);
    }

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
        assert_eq!(said, "invalid type, expected a whole number from 0 to 4294967295");
        assert_eq!(without_values("unknown field `canary`"), "unknown field");
        assert_eq!(without_values("missing field `name`"), "missing field `name`");
    }
}
