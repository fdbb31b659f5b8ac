//! The chain of the change log: each entry names the bytes of the one before it. So nobody changes, removes or swaps an
//! entry without changing all that follow, and the end of the log stands for all of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::{Digest, InvalidId};

/// The SHA-256 of an entry as it is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntryHash(Digest);

impl EntryHash {
    /// The hash of an entry.
    pub fn of(stored: &[u8]) -> Self {
        Self(Digest::of(stored))
    }
}

impl fmt::Display for EntryHash {
    /// `sha256:` and 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_document())
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryHash({self})")
    }
}

impl FromStr for EntryHash {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Digest::parse(text).map(Self)
    }
}

impl Serialize for EntryHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
