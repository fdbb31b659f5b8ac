//! Rate limits of keys and tenants.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{InvalidId, KeyType};

/// Rate limits; `None` is no limit. They are independent: a request counts against all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
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
    /// Whether there is no limit.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The limits of a key. Most keys have none, which takes no memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyLimits(Option<Box<Limits>>);

impl KeyLimits {
    /// The limits.
    pub fn get(&self) -> Limits {
        self.0.as_deref().copied().unwrap_or_default()
    }

    /// Whether there is no limit.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Checks that keys of this type do what is limited.
    ///
    /// # Errors
    /// [`InvalidId`] for a query key with limits on events or bytes, which it never sends.
    pub fn check(&self, key_type: KeyType) -> Result<(), InvalidId> {
        let Limits { requests: _, events, bytes } = self.get();
        match key_type {
            KeyType::Query if events.is_some() || bytes.is_some() => {
                Err(InvalidId::new("the limits of a query key", "on requests only, without events and bytes"))
            }
            KeyType::Query | KeyType::Ingestion => Ok(()),
        }
    }
}

impl From<Limits> for KeyLimits {
    fn from(limits: Limits) -> Self {
        Self((!limits.is_none()).then(|| Box::new(limits)))
    }
}

impl Serialize for KeyLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Limits::deserialize(deserializer).map(Self::from)
    }
}

/// A rate: in any window at most `burst`, and `per_minute` for each minute of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// How much becomes available in a minute.
    pub per_minute: NonZeroU64,
    /// How much may be used at once; `per_minute` by default.
    pub burst: NonZeroU64,
}

impl Rate {
    /// The largest number in a rate: a tebibyte a minute.
    pub const MAX: u64 = 1 << 40;

    /// A rate whose burst is `per_minute`.
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

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        struct Fields {
            requests: Option<Rate>,
            events: Option<Rate>,
            bytes: Option<Rate>,
        }
        let Fields { requests, events, bytes } = object(deserializer)?;
        Ok(Self { requests, events, bytes })
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Fields {
            per_minute: u64,
            burst: Option<u64>,
        }
        let Fields { per_minute, burst } = object(deserializer)?;
        Self::new(per_minute, burst.unwrap_or(per_minute)).map_err(serde::de::Error::custom)
    }
}

/// Accepts an object only: what serde derives also accepts an array of the fields.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
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
            r#"{"requests":[600]}"#,
            "[]",
            r#"{"queries":{"perMinute":1}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
