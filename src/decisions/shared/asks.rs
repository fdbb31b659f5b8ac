//! What an event asks its windows.

use std::cell::RefCell;

use crate::policy::engine::{self, Outside};
use crate::policy::entity::{Entity, Pseudonyms};
use crate::policy::event::Event;
use crate::policy::set::CompiledSet;
use crate::policy::window::{WindowKey, Windows};

/// A question to the window of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Whose.
    pub entity: Entity,
    /// Which.
    pub window: WindowKey,
    /// The time of the event.
    pub at_ms: i64,
    /// What it does there.
    pub what: What,
}

/// What an event does in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It asks how many others there are.
    Look,
    /// It counts.
    Event,
    /// It counts if no other event had the value that this stands for.
    Value(u32),
}

impl Ask {
    /// What the windows are asked when a set decides about an event. That does not depend on what they answer, so
    /// windows that hold nothing are asked first.
    pub fn of_decision(set: &CompiledSet, pseudonyms: &Pseudonyms, event: &Event<'_>, now_ms: i64) -> Vec<Self> {
        let noted = Noted::default();
        drop(engine::decide(set, &noted, pseudonyms, event, Outside::at(now_ms)));
        noted.0.into_inner()
    }

    /// The same for an explanation, which counts nothing.
    pub fn of_explanation(set: &CompiledSet, pseudonyms: &Pseudonyms, event: &Event<'_>, now_ms: i64) -> Vec<Self> {
        let noted = Noted::default();
        drop(engine::explain(set, &noted, pseudonyms, event, Outside::at(now_ms)));
        noted.0.into_inner()
    }
}

/// Windows that hold nothing, and note what they are asked.
#[derive(Default)]
struct Noted(RefCell<Vec<Ask>>);

impl Windows for Noted {
    fn hit(&self, entity: Entity, window: WindowKey, at_ms: i64, value: Option<u32>) -> u32 {
        let what = value.map_or(What::Event, What::Value);
        self.0.borrow_mut().push(Ask { entity, window, at_ms, what });
        0
    }

    fn count(&self, entity: Entity, window: WindowKey, at_ms: i64) -> u32 {
        self.0.borrow_mut().push(Ask { entity, window, at_ms, what: What::Look });
        0
    }

    fn below_at_ms(&self, _: Entity, _: WindowKey, _: u32) -> Option<i64> {
        None
    }
}
