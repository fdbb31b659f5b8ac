//! A set that is tried: its windows and whom it holds are its own, and nothing of the running node changes.

use std::collections::HashMap;

use super::engine::{self, Decision, Holds, Outside};
use super::entity::{Entity, Pseudonyms};
use super::event::Event;
use super::set::{CompiledPolicy, CompiledSet, PolicyId};
use super::window::State;

/// How many entities are held at once.
const MAX_HELD: usize = 200_000;

/// A set that is tried.
#[derive(Debug)]
pub struct Trial<'s> {
    set: &'s CompiledSet,
    state: State,
    held: Held,
}

/// Whom policies hold, and until when, by the time of events.
#[derive(Debug, Default)]
struct Held {
    until: HashMap<(PolicyId, Entity), i64>,
    /// How many were not held, because too many were.
    beyond: u64,
}

impl Holds for Held {
    fn until_ms(&self, policy: &CompiledPolicy, entity: Entity) -> Option<i64> {
        self.until.get(&(policy.id, entity)).copied()
    }
}

impl Held {
    fn add(&mut self, policy: PolicyId, entity: Entity, until_ms: i64, now_ms: i64) {
        if self.until.len() >= MAX_HELD && !self.until.contains_key(&(policy, entity)) {
            self.until.retain(|_, until_ms| *until_ms > now_ms);
            if self.until.len() >= MAX_HELD {
                self.beyond += 1;
                return;
            }
        }
        self.until.insert((policy, entity), until_ms);
    }
}

/// The time of an event, as far as clocks show it: from 1970 to 9999.
pub fn shown(event: &Event<'_>) -> i64 {
    const LAST_MS: i64 = 253_402_300_799_999;
    event.observed_at_ms().clamp(0, LAST_MS)
}

impl<'s> Trial<'s> {
    /// A set whose windows take so many bytes.
    pub fn new(set: &'s CompiledSet, bytes: usize) -> Self {
        Self { set, state: State::new(bytes), held: Held::default() }
    }

    /// About how many bytes whom it holds takes at most.
    pub const fn held_bytes() -> usize {
        2 * MAX_HELD * size_of::<((PolicyId, Entity), i64)>()
    }

    /// Decides about an event at the time of the event. One that no clock shows is as one that is late.
    pub fn decide(&mut self, pseudonyms: &Pseudonyms, event: &Event<'_>) -> Decision<'s> {
        let now_ms = shown(event);
        let outside = Outside { holds: &self.held, ..Outside::at(now_ms) };
        let decision = engine::decide(self.set, &self.state, pseudonyms, event, outside);
        for hold in &decision.holds {
            self.held.add(hold.policy.id, hold.entity, hold.until_ms, now_ms);
        }
        decision
    }

    /// How many windows had to be forgotten for want of memory, and how many entities were not held.
    pub fn forgotten(&self) -> u64 {
        self.state.size().evicted.saturating_add(self.held.beyond)
    }
}
