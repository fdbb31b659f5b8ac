//! One active mitigation.

use uuid::Uuid;

use crate::policy::entity::Entity;
use crate::policy::set::limits::MAX_HOLD_SECONDS;
use crate::policy::set::{Mode, PolicyId};

/// The longest that anybody is held, whatever a document or a clock says.
pub fn max_hold_ms() -> i64 {
    i64::from(MAX_HOLD_SECONDS).saturating_mul(1000)
}

/// Who is held by which policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldKey {
    /// The policy. It holds within its own expression only.
    pub policy: PolicyId,
    /// Whom.
    pub entity: Entity,
}

/// Since when, until when, and by what. Times are those of the store's clock, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// When the entity crossed.
    pub since_ms: i64,
    /// When it is let go.
    pub until_ms: i64,
    /// What was done about it. In another mode, the policy holds nobody whom it held in this one.
    pub mode: Mode,
    /// By which version of the set.
    pub version: u64,
    /// By which decision.
    pub decision: Uuid,
}

impl Hold {
    /// Whether it holds at a time. One that would hold for longer than anything may is of a wrong clock.
    pub fn is_active(&self, now_ms: i64) -> bool {
        self.until_ms > now_ms && self.until_ms.saturating_sub(now_ms) <= max_hold_ms()
    }

    /// Whether it counts beside another of the same policy and entity: the longer, and of two modes the newer.
    pub fn supersedes(&self, other: &Self) -> bool {
        if self.mode == other.mode { self.until_ms > other.until_ms } else { self.version > other.version }
    }
}
