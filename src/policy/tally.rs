//! What a set would have done with events of the past: counts by policy, in bounded memory.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};

use super::engine::{Match, Outcome};
use super::entity::Entity;
use super::set::PolicyId;

/// How many entities are counted each, those of all policies together.
pub const MAX_ENTITIES: usize = 1_000_000;
/// How many hours are counted each, those of all policies together.
pub const MAX_HOURS: usize = 100_000;
/// How many entities of a policy are named.
pub const TOP: usize = 10;
const HOUR_MS: i64 = 3_600_000;

/// How often what came of a match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// All of them.
    pub total: u64,
    /// It was only recorded.
    pub observe: u64,
    /// It asked for a challenge.
    pub challenge: u64,
    /// It refused the request.
    pub block: u64,
    /// The client was exempt.
    pub exempted: u64,
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.total = self.total.saturating_add(1);
        let one = match outcome {
            Outcome::Observe => &mut self.observe,
            // Nobody showed a clearance to events of the past.
            Outcome::Challenge | Outcome::Cleared => &mut self.challenge,
            Outcome::Block => &mut self.block,
            Outcome::Exempted => &mut self.exempted,
        };
        *one = one.saturating_add(1);
    }
}

/// What one policy would have done.
#[derive(Debug, Default)]
pub struct Tally {
    totals: Totals,
    entities: HashMap<Entity, u64>,
    hours: BTreeMap<i64, Totals>,
    is_cut: bool,
}

/// An entity, and how often a policy matched it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Often {
    /// Whom.
    #[serde(serialize_with = "shown")]
    pub entity: Entity,
    /// How often.
    pub events: u64,
}

fn shown<S: Serializer>(entity: &Entity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(entity)
}

impl Tally {
    /// How often what came of it.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How many entities it matched; at least so many, when [`Tally::is_cut`].
    pub fn entities(&self) -> usize {
        self.entities.len()
    }

    /// Whether there were more entities or hours than are counted each. The totals hold all the same.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The entities that it matched most often.
    pub fn top(&self) -> Vec<Often> {
        let mut top: Vec<Often> = Vec::with_capacity(TOP + 1);
        for (entity, events) in &self.entities {
            let often = Often { entity: *entity, events: *events };
            let order = |often: &Often| (std::cmp::Reverse(often.events), often.entity);
            let at = top.partition_point(|known| order(known) < order(&often));
            if at < TOP {
                top.insert(at, often);
                top.truncate(TOP);
            }
        }
        top
    }

    /// The same by hours in which it matched: the first millisecond of each.
    pub fn hours(&self) -> impl Iterator<Item = (i64, Totals)> {
        self.hours.iter().map(|(hour, totals)| (hour.saturating_mul(HOUR_MS), *totals))
    }
}

/// What all policies of a set would have done.
#[derive(Debug, Default)]
pub struct Tallies {
    policies: BTreeMap<PolicyId, Tally>,
    entities: usize,
    hours: usize,
}

impl Tallies {
    /// Counts the matches of one event.
    pub fn add(&mut self, at_ms: i64, matches: &[Match<'_>]) {
        for found in matches {
            let tally = self.policies.entry(found.policy.id).or_default();
            tally.totals.add(found.outcome);
            let hour = at_ms.div_euclid(HOUR_MS);
            match tally.hours.get_mut(&hour) {
                Some(totals) => totals.add(found.outcome),
                None if self.hours < MAX_HOURS => {
                    self.hours = self.hours.saturating_add(1);
                    tally.hours.entry(hour).or_default().add(found.outcome);
                }
                None => tally.is_cut = true,
            }
            let Some(entity) = found.entity else { continue };
            match tally.entities.get_mut(&entity) {
                Some(events) => *events = events.saturating_add(1),
                None if self.entities < MAX_ENTITIES => {
                    self.entities = self.entities.saturating_add(1);
                    tally.entities.insert(entity, 1);
                }
                None => tally.is_cut = true,
            }
        }
    }

    /// What a policy would have done; `None` when it matched nothing.
    pub fn of(&self, policy: PolicyId) -> Option<&Tally> {
        self.policies.get(&policy)
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        const ENTITY: usize = 2 * (size_of::<(Entity, u64)>() + 1); // A table is half empty at worst.
        const HOUR: usize = 2 * size_of::<(i64, Totals)>();
        self.entities.saturating_mul(ENTITY).saturating_add(self.hours.saturating_mul(HOUR))
    }
}

/// A policy of a set, and what it would have done, for tables and answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTally<'t> {
    /// Its name.
    pub name: &'t str,
    /// How often what came of it.
    #[serde(flatten)]
    pub totals: Totals,
    /// How many entities it matched.
    pub entities: usize,
}

impl<'t> PolicyTally<'t> {
    /// A policy of this name.
    pub fn new(name: &'t str, tally: Option<&Tally>) -> Self {
        let (totals, entities) = tally.map_or_else(Default::default, |tally| (tally.totals(), tally.entities()));
        Self { name, totals, entities }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_entities_are_named_and_equal_ones_in_their_order() {
        let mut tally = Tally::default();
        for entity in 0..100_u64 {
            tally.entities.insert(Entity::of_bits(u128::from(entity)), entity / 2);
        }
        let expected: Vec<Often> = [98, 99, 96, 97, 94, 95, 92, 93, 90, 91]
            .map(|entity: u64| Often { entity: Entity::of_bits(u128::from(entity)), events: entity / 2 })
            .into();
        assert_eq!(tally.top(), expected);
        assert!(Tally::default().top().is_empty());
    }
}
