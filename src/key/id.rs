//! Ids. Each is parsed once, at the edge; a value of a type keeps the rules that the type lists.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not a valid id or name. The message states the rule, never the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct InvalidId {
    what: &'static str,
    rule: &'static str,
}

impl InvalidId {
    pub(crate) const fn new(what: &'static str, rule: &'static str) -> Self {
        Self { what, rule }
    }
}

/// The id of a tenant.
///
/// - `[a-z0-9][a-z0-9_-]{0,62}`: safe as a path segment, never hidden, never a traversal.
/// - not `streams`, which the default tenant uses as a folder.
///
/// ```
/// use keyloft::key::TenantId;
/// assert!(TenantId::parse("acme").is_ok());
/// assert!(TenantId::parse("../acme").is_err());
/// assert!(TenantId::parse("streams").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The name of the tenant that always exists.
    pub const DEFAULT: &'static str = "default";
    const RULE: InvalidId =
        InvalidId::new("a tenant id", "1-63 of a-z, 0-9, _ and -, starting with a letter or digit, and not reserved");

    /// Reads a tenant id.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_segment(text) && text != "streams" { Ok(Self(text.into())) } else { Err(Self::RULE) }
    }

    /// Whether this is the tenant whose objects stand at the root of the store.
    pub fn is_default(&self) -> bool {
        &*self.0 == Self::DEFAULT
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

/// The id of a key: a UUID, lower case with dashes. Uniform, so that a listing splits into ranges.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Uuid);

impl KeyId {
    /// A fresh random id (UUID v4).
    #[allow(clippy::disallowed_methods)]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads the one accepted spelling of an id.
    ///
    /// # Errors
    /// [`InvalidId`] for any other text, upper case and missing dashes included: one key has one object name.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a key id", "a UUID in lower case with dashes");
        let id = Uuid::try_parse(text).map_err(|_| RULE)?;
        if id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text { Ok(Self(id)) } else { Err(RULE) }
    }
}

impl KeyId {
    /// A hash for in-memory tables. The id is uniform already, so some of its bits serve.
    pub fn table_hash(self) -> u64 {
        self.0.as_u64_pair().1
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random id (UUID v4).
            #[allow(clippy::disallowed_methods)]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// Reads the one accepted spelling of an id.
            ///
            /// # Errors
            /// [`InvalidId`] for any other text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let wrong = |_| InvalidId::new($what, "a UUID in lower case with dashes");
                KeyId::parse(text).map(|id| Self(id.0)).map_err(wrong)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

uuid_id! {
    /// The id of a node: a UUID, made anew at every start.
    NodeId, "a node id"
}

uuid_id! {
    /// The id of a machine: a UUID, for ever.
    MachineId, "the id of a machine"
}

/// `[a-z0-9][a-z0-9_-]{0,62}`, the rule that tenants and streams share.
pub(crate) fn is_segment(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && (bytes[0].is_ascii_lowercase() || bytes[0].is_ascii_digit())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// Text in, text out: display, debug, `FromStr` and serde of a name type, all through its `parse`.
macro_rules! textual {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}
pub(crate) use textual;

macro_rules! display_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
pub(crate) use display_inner;

display_inner!(TenantId);
textual!(TenantId, KeyId, NodeId, MachineId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_is_a_safe_path_segment() {
        for good in ["a", "default", "acme-2_x", &"a".repeat(63)] {
            assert!(TenantId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "_a", ".a", "a/b", "a.b", "ü", "streams", ".settings", "a b", &"a".repeat(64)] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_id_has_one_spelling() {
        let id = KeyId::random();
        assert_eq!(KeyId::parse(&id.to_string()), Ok(id));
        assert!(KeyId::parse(&id.to_string().to_uppercase()).is_err());
        assert!(KeyId::parse(&id.to_string().replace('-', "")).is_err());
    }
}
