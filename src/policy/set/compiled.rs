//! A set as it is evaluated.

use super::document::SetMode;
use super::ids::{ActionId, EntityDefinitionId, MitigationId, PolicyId};
use super::parts::{Challenge, Mode, OnMissing};
use crate::policy::window::WindowKey;
use crate::policy::{ActionBits, ActionSlot, Fields, Program, Slot};

/// A set that has no faults, ready to be evaluated. Only what is enabled is in it. The default is the empty set.
#[derive(Debug, Clone, Default)]
pub struct CompiledSet {
    /// Whether decisions are enforced.
    pub mode: SetMode,
    /// The fields that it reads.
    pub fields: Fields,
    /// Whom nothing is done about.
    pub exempt: Option<Program>,
    /// What traffic is.
    pub actions: Vec<CompiledAction>,
    /// Who acts: the definitions that policies name.
    pub entities: Vec<CompiledEntity>,
    /// The different windows of its policies.
    pub windows: Vec<CompiledWindow>,
    /// Its policies.
    pub policies: Vec<CompiledPolicy>,
}

impl CompiledSet {
    /// The windows of one policy, or of all.
    pub fn windows_of(&self, policy: Option<PolicyId>) -> impl Iterator<Item = WindowKey> {
        let of_policies = self.policies.iter().filter(move |one| policy.is_none_or(|policy| one.id == policy));
        let thresholds = of_policies.filter_map(|policy| policy.window);
        thresholds.filter_map(|threshold| self.windows.get(threshold.window)).map(|window| window.key)
    }
}

/// An action.
#[derive(Debug, Clone)]
pub struct CompiledAction {
    /// Its id.
    pub id: ActionId,
    /// Its name.
    pub name: Box<str>,
    /// Its place in [`ActionBits`].
    pub slot: ActionSlot,
    /// Its condition.
    pub program: Program,
}

/// A definition of entities.
#[derive(Debug, Clone)]
pub struct CompiledEntity {
    /// Its id.
    pub id: EntityDefinitionId,
    /// Its name.
    pub name: Box<str>,
    /// The fields whose values make the entity.
    pub key: Box<[Slot]>,
    /// Which events have one.
    pub matches: Option<Program>,
    /// What happens to an event that lacks a field.
    pub on_missing: OnMissing,
}

/// A window of an entity. Policies that differ only in their thresholds share one.
#[derive(Debug, Clone)]
pub struct CompiledWindow {
    /// What the state knows it by.
    pub key: WindowKey,
    /// Whose events it counts: the place in [`CompiledSet::entities`].
    pub entity: usize,
    /// Which events it counts.
    pub count: Count,
    /// The field whose different values it counts, instead of events.
    pub distinct: Option<Slot>,
    /// Whether it counts answers: its condition reads what only a response has.
    pub reads_response: bool,
}

/// Which events a window counts.
#[derive(Debug, Clone)]
pub enum Count {
    /// Those of which this is true.
    Program(Program),
    /// Those that the expression and the actions of its policy match.
    Policy {
        /// The expression.
        scope: Option<Program>,
        /// The actions.
        actions: Option<ActionBits>,
    },
}

/// A policy.
#[derive(Debug, Clone)]
pub struct CompiledPolicy {
    /// Its id.
    pub id: PolicyId,
    /// Its name.
    pub name: Box<str>,
    /// Which of several of the strongest mode is named as the reason: the lowest.
    pub priority: u32,
    /// Its scope; every event when there is none.
    pub scope: Option<Program>,
    /// The actions of which an event has to be one; any event when there are none.
    pub actions: Option<ActionBits>,
    /// Whether its scope or one of its actions reads what only a response has.
    pub reads_response: bool,
    /// Whom it is about: the place in [`CompiledSet::entities`].
    pub entity: Option<usize>,
    /// What it does.
    pub mitigation: MitigationId,
    /// The name of that.
    pub mitigation_name: Box<str>,
    /// How strong that is.
    pub mode: Mode,
    /// How long an entity that it matches is held.
    pub duration_seconds: Option<u32>,
    /// The challenge, in the mode `challenge`.
    pub challenge: Option<Challenge>,
    /// How often it has to happen.
    pub window: Option<Threshold>,
}

/// From how many events of a window on a policy applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// The place of the window in [`CompiledSet::windows`].
    pub window: usize,
    /// How many.
    pub count: u32,
}
