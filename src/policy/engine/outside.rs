//! What a decision depends on beside the set, the event and the windows.

use std::fmt;

use crate::policy::entity::Entity;
use crate::policy::set::{Challenge, CompiledPolicy, EntityDefinitionId, Level};

/// Which entities are held by an active mitigation.
pub trait Holds {
    /// Until when a policy holds an entity, in milliseconds since 1970; `None` when it does not, as it is now.
    fn until_ms(&self, policy: &CompiledPolicy, entity: Entity) -> Option<i64>;
}

/// Nobody is held.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHolds;

impl Holds for NoHolds {
    fn until_ms(&self, _: &CompiledPolicy, _: Entity) -> Option<i64> {
        None
    }
}

/// What a client showed for a challenge that it solved. It is verified already: signature, expiry, tenant, and that it
/// was given to this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearance {
    /// How much work it was given for.
    pub level: Level,
    /// Whether it was given for waiting instead.
    pub is_weak: bool,
    /// About which entities it was given; `None` when it was by a policy about none.
    pub definition: Option<EntityDefinitionId>,
}

impl Clearance {
    /// Whether it is good for a challenge of a policy about these entities.
    pub fn lifts(self, challenge: &Challenge, definition: Option<EntityDefinitionId>) -> bool {
        let is_enough = self.level >= challenge.level && (!self.is_weak || challenge.accept_weak);
        is_enough && self.definition == definition
    }
}

/// What a decision depends on beside the set, the event and the windows.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// The time of the decision, in milliseconds since 1970. Where events of the past are judged, it is theirs.
    pub now_ms: i64,
    /// Who is held.
    pub holds: &'a dyn Holds,
    /// What the client showed.
    pub clearances: &'a [Clearance],
}

impl fmt::Debug for Outside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("now_ms", &self.now_ms).field("clearances", &self.clearances).finish()
    }
}

impl Outside<'_> {
    /// A time alone: nobody is held, and no clearance is shown.
    pub const fn at(now_ms: i64) -> Self {
        Self { now_ms, holds: &NoHolds, clearances: &[] }
    }
}
