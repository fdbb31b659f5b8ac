//! The properties that a probe checks.

use std::fmt;

/// A property of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Property {
    /// A second create of one name is refused.
    CreateOnce,
    /// Of many creates of one name at once, one succeeds.
    RacingCreates,
    /// A replace with the `ETag` that was read succeeds.
    Replace,
    /// A replace with an older `ETag` is refused.
    StaleReplace,
    /// Of many replaces of one state at once, one succeeds.
    RacingReplaces,
    /// A read of what is known already is answered with 304.
    ConditionalRead,
    /// A list shows the `ETag` that a read shows.
    ListedTags,
}

impl Property {
    /// Its name, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateOnce => "create_once",
            Self::RacingCreates => "racing_creates",
            Self::Replace => "replace",
            Self::StaleReplace => "stale_replace",
            Self::RacingReplaces => "racing_replaces",
            Self::ConditionalRead => "conditional_read",
            Self::ListedTags => "listed_tags",
        }
    }

    /// Whether writers could overwrite each other's changes without it.
    pub fn is_needed(self) -> bool {
        !matches!(self, Self::ConditionalRead | Self::ListedTags)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
