//! How documents and answers write instants: RFC 3339 in UTC with milliseconds and `Z`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

/// Writes an instant, or `null`.
#[allow(clippy::ref_option)] // serde passes the field by reference.
pub(crate) fn rfc3339<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        None => serializer.serialize_none(),
    }
}

/// Writes an instant that is always there.
pub(crate) fn required<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(&Some(*at), serializer)
}
