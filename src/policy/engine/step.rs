//! What is known about one event while it is judged: each thing is worked out once, when it is first needed.

use crate::policy::entity::{Entity, Pseudonyms};
use crate::policy::event::Event;
use crate::policy::set::{
    CompiledPolicy, CompiledSet, CompiledWindow, Count, EntityDefinitionId, OnMissing, SetMode, Threshold,
};
use crate::policy::window::Windows;
use crate::policy::{ActionBits, Program, Value, Values};

/// Older events are judged without windows.
pub const MAX_AGE_MS: i64 = 24 * 3_600_000;
/// Events further ahead are judged without windows.
pub const MAX_AHEAD_MS: i64 = 60_000;

/// An entity of the event, once it was looked for.
#[derive(Clone, Copy)]
enum Known {
    Not,
    None,
    Entity(Entity),
}

pub(super) struct Step<'s, 'e> {
    set: &'s CompiledSet,
    windows: &'e dyn Windows,
    pseudonyms: &'e Pseudonyms,
    event: &'e Event<'e>,
    values: &'e Values<'e>,
    now_ms: i64,
    actions: ActionBits,
    is_exempt: bool,
    entities: Vec<Known>,
    lacking: Vec<usize>,
    counts: Vec<Option<u32>>,
}

impl<'s, 'e> Step<'s, 'e> {
    pub fn new(
        set: &'s CompiledSet,
        windows: &'e dyn Windows,
        pseudonyms: &'e Pseudonyms,
        event: &'e Event<'e>,
        values: &'e Values<'e>,
        now_ms: i64,
    ) -> Self {
        let mut actions = ActionBits::default();
        for action in &set.actions {
            if action.program.eval(values, &ActionBits::default()) {
                actions.set(action.slot);
            }
        }
        let is_exempt = set.exempt.as_ref().is_some_and(|exempt| exempt.eval(values, &actions));
        let entities = vec![Known::Not; set.entities.len()];
        let counts = vec![None; set.windows.len()];
        Self {
            set,
            windows,
            pseudonyms,
            event,
            values,
            now_ms,
            actions,
            is_exempt,
            entities,
            lacking: Vec::new(),
            counts,
        }
    }

    /// Whether nothing is done about the client.
    pub fn is_exempt(&self) -> bool {
        self.is_exempt
    }

    /// Whether the event is too old, or too far in the future, for windows.
    pub fn is_late(&self) -> bool {
        let age_ms = self.now_ms.saturating_sub(self.event.observed_at_ms());
        !(-MAX_AHEAD_MS..=MAX_AGE_MS).contains(&age_ms)
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub fn actions(&self) -> ActionBits {
        self.actions
    }

    pub fn only_monitors(&self) -> bool {
        self.set.mode == SetMode::Monitor
    }

    /// The definitions whose fields the event lacks.
    pub fn without_entity(&self) -> Vec<EntityDefinitionId> {
        self.lacking.iter().filter_map(|at| self.set.entities.get(*at)).map(|definition| definition.id).collect()
    }

    /// Whether an expression is true of the event; true without one.
    pub fn is_in_scope(&self, scope: Option<&Program>) -> bool {
        scope.is_none_or(|scope| scope.eval(self.values, &self.actions))
    }

    /// Whether the event is one of the actions; true without any.
    pub fn is_one_of(&self, actions: Option<&ActionBits>) -> bool {
        actions.is_none_or(|actions| self.actions.intersects(actions))
    }

    /// The entity of a definition, if the event has one.
    pub fn entity(&mut self, definition: usize) -> Option<Entity> {
        match self.entities.get(definition)? {
            Known::Entity(entity) => return Some(*entity),
            Known::None => return None,
            Known::Not => {}
        }
        let found = self.look_for(definition);
        if let Some(known) = self.entities.get_mut(definition) {
            *known = found.map_or(Known::None, Known::Entity);
        }
        found
    }

    fn look_for(&mut self, at: usize) -> Option<Entity> {
        let definition = self.set.entities.get(at)?;
        if !self.is_in_scope(definition.matches.as_ref()) {
            return None;
        }
        let values: Vec<&Value<'_>> = definition.key.iter().map(|slot| self.values.get(*slot)).collect();
        let lacks = definition.on_missing == OnMissing::Skip && values.iter().any(|value| !value.is_present());
        if lacks {
            self.lacking.push(at);
            return None;
        }
        Some(self.pseudonyms.entity(definition.id, values))
    }

    /// All policies.
    pub fn policies(&self) -> &'s [CompiledPolicy] {
        &self.set.policies
    }

    /// The definition of the entities that a policy is about.
    pub fn definition(&self, policy: &CompiledPolicy) -> Option<EntityDefinitionId> {
        policy.entity.and_then(|at| self.set.entities.get(at)).map(|definition| definition.id)
    }

    /// Whether a policy that matches is named for this event.
    pub fn names(&self, policy: &CompiledPolicy) -> bool {
        self.event.phase().counts(policy.reads_response)
    }

    /// Counts the event in every window that counts it.
    pub fn count(&mut self) {
        let set = self.set;
        for (at, window) in set.windows.iter().enumerate() {
            if !self.is_counted(window) {
                continue;
            }
            let Some(entity) = self.entity(window.entity) else { continue };
            let value = window.distinct.map(|slot| self.values.get(slot));
            if value.is_some_and(|value| !value.is_present()) {
                continue; // What is not there is no value.
            }
            let value = value.map(|value| self.pseudonyms.distinct(value));
            let count = self.windows.hit(entity, window.key, self.event.observed_at_ms(), value);
            if let Some(known) = self.counts.get_mut(at) {
                *known = Some(count);
            }
        }
    }

    /// Expects the counts that [`Step::count`] would give, and changes nothing. Where different values are counted, the
    /// value at hand is taken for a known one.
    pub fn look_ahead(&mut self) {
        let set = self.set;
        for (at, window) in set.windows.iter().enumerate() {
            if !self.is_counted(window) {
                continue;
            }
            let new = u32::from(window.distinct.is_none());
            if let Some((count, _)) = self.counted(at)
                && let Some(known) = self.counts.get_mut(at)
            {
                *known = Some(count.saturating_add(new).max(1));
            }
        }
    }

    /// Whether a window counts the event.
    pub fn is_counted(&self, window: &CompiledWindow) -> bool {
        !self.is_exempt
            && !self.is_late()
            && self.event.phase().counts(window.reads_response)
            && match &window.count {
                Count::Program(program) => program.eval(self.values, &self.actions),
                Count::Policy { scope, actions } => {
                    self.is_in_scope(scope.as_ref()) && self.is_one_of(actions.as_ref())
                }
            }
    }

    /// How many events a window of the event's entity holds, and its length; `None` when it is not looked at.
    pub fn counted(&mut self, at: usize) -> Option<(u32, u16)> {
        if self.is_late() {
            return None;
        }
        let window = self.set.windows.get(at)?;
        let entity = self.entity(window.entity)?;
        let known = self.counts.get_mut(at)?;
        let at_ms = self.event.observed_at_ms();
        let count = known.get_or_insert_with(|| self.windows.count(entity, window.key, at_ms));
        Some((*count, window.key.seconds))
    }

    /// In how many milliseconds the window holds fewer events than its threshold.
    pub fn below_in_ms(&mut self, threshold: Threshold) -> Option<i64> {
        let window = self.set.windows.get(threshold.window)?;
        let entity = self.entity(window.entity)?;
        let below_at_ms = self.windows.below_at_ms(entity, window.key, threshold.count)?;
        Some(below_at_ms.saturating_sub(self.event.observed_at_ms()))
    }
}
