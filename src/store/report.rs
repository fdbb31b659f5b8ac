//! What a probe found out about a store, property by property.

use std::fmt;

use super::mode::StoreMode;

/// Something that is asked of a store.
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

    /// Whether writers could undo each other's work without it.
    pub fn is_needed(self) -> bool {
        !matches!(self, Self::ConditionalRead | Self::ListedTags)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a store has a [`Property`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It has it.
    Ok,
    /// It does something else.
    Failed,
    /// It says that it has not, or cannot.
    NotThere,
}

impl Verdict {
    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::NotThere => "not there",
        }
    }
}

/// What was found out about one [`Property`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was asked.
    pub property: Property,
    /// What came out.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
}

/// What was found out about a store: one finding for each [`Property`], in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
    /// Whether `ETag`s must be sent without their quotes.
    pub(super) unquoted: bool,
}

impl Report {
    /// The first needed property that the store lacks.
    pub fn missing(&self) -> Option<Property> {
        let lacking = |finding: &&Finding| finding.property.is_needed() && finding.verdict != Verdict::Ok;
        self.findings.iter().find(lacking).map(|finding| finding.property)
    }

    /// What the store can be relied on for; a store that keeps every promise is `good`.
    pub(super) fn mode(&self, good: StoreMode) -> StoreMode {
        match self.missing() {
            Some(missing) => StoreMode::Unsafe { missing },
            None if self.unquoted => StoreMode::CasUnquoted,
            None => good,
        }
    }
}
