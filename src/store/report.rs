//! The report of a probe: one finding for each property.

use super::mode::{Property, StoreMode};

/// Whether a store has a [`Property`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckOutcome {
    /// The store has it.
    Ok,
    /// The store behaves differently.
    Failed,
    /// The store answers that it does not support it.
    NotThere,
}

impl CheckOutcome {
    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::NotThere => "not there",
        }
    }
}

/// The finding about one [`Property`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The property.
    pub property: Property,
    /// Whether the store has it.
    pub outcome: CheckOutcome,
    /// What was observed, for people.
    pub detail: String,
}

/// One finding for each [`Property`], in their order.
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
        let lacking = |finding: &&Finding| finding.property.is_needed() && finding.outcome != CheckOutcome::Ok;
        self.findings.iter().find(lacking).map(|finding| finding.property)
    }

    /// The mode that follows; `good` for a store without a missing property.
    pub(super) fn mode(&self, good: StoreMode) -> StoreMode {
        match self.missing() {
            Some(missing) => StoreMode::Unsafe { missing },
            None if self.unquoted => StoreMode::CasUnquoted,
            None => good,
        }
    }
}
