//! Where events are counted: in the memory of a node, or by all nodes together.

use super::state::{State, WindowKey};
use crate::policy::entity::Entity;

/// Where events are counted.
pub trait Windows {
    /// Counts an event of an entity, and says how many the window holds now, this one included. With a value, it counts
    /// different values instead of events.
    fn hit(&self, entity: Entity, window: WindowKey, at_ms: i64, value: Option<u32>) -> u32;

    /// How many events the window of an entity holds, without a new one.
    fn count(&self, entity: Entity, window: WindowKey, at_ms: i64) -> u32;

    /// When the window of an entity holds fewer than `threshold`, if no more come; `None` when nothing is known of it.
    fn below_at_ms(&self, entity: Entity, window: WindowKey, threshold: u32) -> Option<i64>;
}

impl Windows for State {
    fn hit(&self, entity: Entity, window: WindowKey, at_ms: i64, value: Option<u32>) -> u32 {
        Self::hit(self, entity, window, at_ms, value)
    }

    fn count(&self, entity: Entity, window: WindowKey, at_ms: i64) -> u32 {
        Self::count(self, entity, window, at_ms)
    }

    fn below_at_ms(&self, entity: Entity, window: WindowKey, threshold: u32) -> Option<i64> {
        Self::below_at_ms(self, entity, window, threshold)
    }
}
