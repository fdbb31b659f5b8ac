//! What a key is for, and the state it is in.

use serde::{Deserialize, Serialize};

/// What a key is for. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// Sends events.
    Ingestion,
    /// Reads them.
    Query,
}

impl KeyType {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Ingestion, Self::Query];

    /// The word of documents, routes and metrics.
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

/// What an operator has decided about a key. Expiry is no state: it is derived from the clock on use.
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
    /// The word of documents, routes and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

/// Display and `FromStr` by the same words that serde uses.
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
