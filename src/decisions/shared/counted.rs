//! What all nodes have counted of some events, beside the windows of this node.

use std::sync::Arc;

use super::Ask;
use crate::policy::entity::Entity;
use crate::policy::window::{Kept, State, WindowKey, Windows};
use crate::policy_book::Version;

/// What all nodes have counted of some events that are decided about next. The default is that of a node that counts
/// alone.
#[derive(Debug, Default)]
pub struct Counted {
    /// The version whose windows were asked, which is to decide.
    pub(super) version: Option<Arc<Version>>,
    /// For each event.
    pub(super) events: Vec<CountedEvent>,
}

/// What all nodes have counted of an event.
#[derive(Debug)]
pub(super) enum CountedEvent {
    /// It asks no window.
    AsksNothing,
    /// Redis did not answer.
    Silent,
    /// The windows that it asks.
    Known(Vec<CountedWindow>),
}

/// A window as all nodes have counted it.
#[derive(Debug)]
pub(super) struct CountedWindow {
    pub entity: Entity,
    pub window: WindowKey,
    /// `None` when nobody has counted in it.
    pub kept: Option<Kept>,
}

impl CountedWindow {
    /// The answer to a question.
    pub fn read(ask: &Ask, bytes: &[u8]) -> Self {
        Self { entity: ask.entity, window: ask.window, kept: Kept::read(ask.window, bytes) }
    }
}

/// The same of one event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts<'c> {
    version: Option<&'c Arc<Version>>,
    event: Option<&'c CountedEvent>,
}

impl Counted {
    /// That of one event.
    pub fn of(&self, at: usize) -> Counts<'_> {
        Counts { version: self.version.as_ref(), event: self.events.get(at) }
    }
}

impl<'c> Counts<'c> {
    /// The version whose windows were asked.
    pub fn version(self) -> Option<&'c Arc<Version>> {
        self.version
    }

    /// Whether other nodes could not be asked.
    pub fn is_degraded(self) -> bool {
        matches!(self.event, Some(CountedEvent::Silent))
    }

    /// The windows, counted by `own`, too.
    pub fn beside(self, own: &'c State) -> impl Windows + 'c {
        let together = match self.event {
            Some(CountedEvent::Known(windows)) => windows.as_slice(),
            Some(CountedEvent::AsksNothing | CountedEvent::Silent) | None => &[],
        };
        Beside { own, together }
    }
}

/// The windows of this node, and those of all. The larger count holds: Redis may have lost what this node has seen.
struct Beside<'c> {
    own: &'c State,
    together: &'c [CountedWindow],
}

impl Beside<'_> {
    fn kept(&self, entity: Entity, window: WindowKey) -> Option<&Kept> {
        self.together.iter().find(|one| one.entity == entity && one.window == window)?.kept.as_ref()
    }
}

impl Windows for Beside<'_> {
    fn hit(&self, entity: Entity, window: WindowKey, at_ms: i64, value: Option<u32>) -> u32 {
        let own = self.own.hit(entity, window, at_ms, value);
        self.kept(entity, window).map_or(own, |kept| kept.count(at_ms).max(own))
    }

    fn count(&self, entity: Entity, window: WindowKey, at_ms: i64) -> u32 {
        let own = self.own.count(entity, window, at_ms);
        self.kept(entity, window).map_or(own, |kept| kept.count(at_ms).max(own))
    }

    fn below_at_ms(&self, entity: Entity, window: WindowKey, threshold: u32) -> Option<i64> {
        let together = self.kept(entity, window).map(|kept| kept.below_at_ms(threshold));
        together.max(self.own.below_at_ms(entity, window, threshold))
    }
}
