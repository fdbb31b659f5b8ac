//! The type and the state of a key.

use serde::{Deserialize, Serialize};

/// The type of a key. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyType {
    /// Sends events.
    Ingestion,
    /// Reads them.
    Query,
}

impl KeyType {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Ingestion, Self::Query];

    /// The name in documents, routes and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingestion => "ingestion",
            Self::Query => "query",
        }
    }

    /// What every API key of this type starts with. Secret scanners match on it: never change it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Ingestion => "kl_ing_",
            Self::Query => "kl_qry_",
        }
    }
}

/// The state that an operator sets. Expiry is no state: it is derived from the clock on use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Usable.
    #[default]
    Active,
    /// Refused until it is made active again.
    Disabled,
    /// Refused for ever. Kept as a record; its name is free again.
    Revoked,
}

impl KeyState {
    /// The name in documents, routes and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

/// Display and `FromStr` with the names that serde uses.
macro_rules! worded {
    ($name:ident, $what:literal, $rule:literal, [$($word:ident),*]) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $name {
            type Err = super::InvalidId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                [$(Self::$word),*]
                    .into_iter()
                    .find(|word| word.as_str() == text)
                    .ok_or(super::InvalidId::new($what, $rule))
            }
        }
    };
}

worded!(KeyType, "a key type", "`ingestion` or `query`", [Ingestion, Query]);
worded!(KeyState, "a key state", "`active`, `disabled` or `revoked`", [Active, Disabled, Revoked]);
