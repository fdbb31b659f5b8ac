//! How much of a key or a tenant may be used in a minute.

use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidId;

/// Bounds on use; `None` is no bound. Each stands for itself: a request counts against all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Rate>,
    /// Events, for ingestion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Rate>,
    /// Bytes of request bodies as they were sent, for ingestion; counted in whole KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Rate>,
}

impl Limits {
    /// Whether nothing is bounded.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// So much in a minute: whatever window one looks at, no more than `burst`, and `per_minute` for each minute of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Written")]
pub struct Rate {
    /// What comes back in a minute.
    pub per_minute: NonZeroU64,
    /// What may be used at once; as much as `per_minute` when nobody says otherwise.
    pub burst: NonZeroU64,
}

impl Rate {
    /// The largest number in a rate: a tebibyte a minute.
    pub const MAX: u64 = 1 << 40;

    /// A rate whose burst is what comes back in a minute.
    ///
    /// # Errors
    /// [`InvalidId`] outside 1 to [`Rate::MAX`].
    pub fn per_minute(per_minute: u64) -> Result<Self, InvalidId> {
        Self::new(per_minute, per_minute)
    }

    /// A rate.
    ///
    /// # Errors
    /// [`InvalidId`] when a number is outside 1 to [`Rate::MAX`].
    pub fn new(per_minute: u64, burst: u64) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a limit", "perMinute and burst from 1 to 1099511627776");
        let bounded = |number| NonZeroU64::new(number).filter(|number| number.get() <= Self::MAX).ok_or(RULE);
        Ok(Self { per_minute: bounded(per_minute)?, burst: bounded(burst)? })
    }
}

impl FromStr for Rate {
    type Err = InvalidId;

    /// Reads `600`, or with another burst `600:50`.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a limit", "a number a minute such as 600, or with its burst 600:50");
        let number = |text: &str| text.parse().map_err(|_| RULE);
        match text.split_once(':') {
            Some((per_minute, burst)) => Self::new(number(per_minute)?, number(burst)?),
            None => Self::per_minute(number(text)?),
        }
    }
}

/// A rate as documents and bodies have it: the burst may be missing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    per_minute: u64,
    burst: Option<u64>,
}

impl TryFrom<Written> for Rate {
    type Error = InvalidId;

    fn try_from(written: Written) -> Result<Self, InvalidId> {
        Self::new(written.per_minute, written.burst.unwrap_or(written.per_minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_with_its_burst_or_without() {
        assert_eq!("600".parse(), Rate::new(600, 600));
        assert_eq!("600:50".parse(), Rate::new(600, 50));
        for bad in ["", "600:", ":5", "0", "600:0", "6e2", "-1", "1:2:3"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_needs_no_burst_and_nothing_is_zero_or_boundless() {
        let read = |text| serde_json::from_str::<Limits>(text);
        let limits = read(r#"{"requests":{"perMinute":600},"bytes":{"perMinute":1024,"burst":2048}}"#).unwrap();
        assert_eq!(limits.requests, Rate::new(600, 600).ok());
        assert_eq!(limits.bytes, Rate::new(1024, 2048).ok());
        assert!(read("{}").unwrap().is_none());
        for bad in [
            r#"{"requests":{"perMinute":0}}"#,
            r#"{"requests":{"perMinute":1,"burst":0}}"#,
            r#"{"requests":{"perMinute":1099511627777}}"#,
            r#"{"requests":{"perSecond":1}}"#,
            r#"{"requests":600}"#,
            r#"{"queries":{"perMinute":1}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
