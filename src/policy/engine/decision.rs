//! What was decided about an event, and why.

use serde::Serialize;

use crate::policy::entity::Entity;
use crate::policy::set::{Challenge, CompiledAction, CompiledPolicy, CompiledSet, EntityDefinitionId, Mode};
use crate::policy::{ActionBits, ActionSlot};

/// What the client is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The request goes on.
    Allow,
    /// The client has to solve a challenge.
    Challenge,
    /// The request is refused.
    Block,
}

impl Verdict {
    /// The word of answers and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Challenge => "challenge",
            Self::Block => "block",
        }
    }
}

impl From<Mode> for Verdict {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Monitor => Self::Allow,
            Mode::Challenge => Self::Challenge,
            Mode::Block => Self::Block,
        }
    }
}

/// What came of one match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was recorded: by its mode, or because the whole set only monitors.
    Observe,
    /// It asked for a challenge.
    Challenge,
    /// It asked for a challenge that the client had solved.
    Cleared,
    /// It refused the request.
    Block,
    /// The client is exempt.
    Exempted,
}

impl Outcome {
    /// The word of rows and results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Challenge => "challenge",
            Self::Cleared => "cleared",
            Self::Block => "block",
            Self::Exempted => "exempted",
        }
    }

    /// What the client would be answered if it were the only one.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Observe | Self::Cleared | Self::Exempted => Verdict::Allow,
            Self::Challenge => Verdict::Challenge,
            Self::Block => Verdict::Block,
        }
    }
}

/// Why something was decided, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// No policy matched.
    None,
    /// The client is exempt.
    Exempt,
    /// An active mitigation holds the entity.
    Mitigation,
    /// The entity reached the threshold of a window.
    Window,
    /// The event matched a policy without a window.
    Policy,
    /// The client had solved the challenge.
    Clearance,
    /// The event is too old, or too far in the future, to be judged by windows, and nothing else matched.
    Late,
}

impl Reason {
    /// The word of answers and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Exempt => "exempt",
            Self::Mitigation => "mitigation",
            Self::Window => "window",
            Self::Policy => "policy",
            Self::Clearance => "clearance",
            Self::Late => "late",
        }
    }
}

/// How many events a window held, beside what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// How many, this event included if it counts.
    pub count: u32,
    /// From how many on the policy applies.
    pub threshold: u32,
    /// The length of the window.
    pub seconds: u16,
}

/// A policy that matched.
#[derive(Debug, Clone)]
pub struct Match<'s> {
    /// The policy.
    pub policy: &'s CompiledPolicy,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it matched: [`Reason::Mitigation`], [`Reason::Window`] or [`Reason::Policy`].
    pub reason: Reason,
    /// Whom it is about.
    pub entity: Option<Entity>,
    /// Its window, if it has one that was looked at.
    pub window: Option<Counted>,
    /// In how many seconds the client is let through again if it stays away until then, where that is known.
    pub retry_after_seconds: Option<u32>,
}

/// An entity that is to be held from now on.
#[derive(Debug, Clone)]
pub struct Hold<'s> {
    /// By which policy. It is held within the expression of this policy only.
    pub policy: &'s CompiledPolicy,
    /// Whom.
    pub entity: Entity,
    /// Until when, in milliseconds since 1970.
    pub until_ms: i64,
}

/// What was decided about an event.
#[derive(Debug, Clone)]
pub struct Decision<'s> {
    /// What the client is answered.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// All policies that matched, the one that decided first: the strongest outcome, then the lowest priority, then the
    /// lowest id.
    pub matches: Vec<Match<'s>>,
    /// What the event is.
    pub actions: ActionBits,
    /// Whether the event was too old, or too far in the future, for windows.
    pub is_late: bool,
    /// Whom to hold. Nobody is held because of a match that is only recorded.
    pub holds: Vec<Hold<'s>>,
    /// Definitions of entities whose fields the event lacks, so that policies about them did not apply.
    pub without_entity: Vec<EntityDefinitionId>,
}

impl<'s> Decision<'s> {
    /// Nothing is done.
    pub(super) fn allow(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Allow,
            reason,
            matches: Vec::new(),
            actions: ActionBits::default(),
            is_late: false,
            holds: Vec::new(),
            without_entity: Vec::new(),
        }
    }

    /// The match that decided.
    pub fn deciding(&self) -> Option<&Match<'s>> {
        self.matches.first()
    }

    /// The challenge that the client is given: one that is enough for all policies which challenge it about the same
    /// entities as the one that decided, so that it solves one and not one after the other.
    pub fn challenge(&self) -> Option<Challenge> {
        let deciding = self.deciding().filter(|_| self.verdict == Verdict::Challenge)?.policy;
        let challenging = self.matches.iter().filter(|found| found.outcome == Outcome::Challenge);
        let of_same = challenging.filter(|found| found.policy.entity == deciding.entity);
        of_same.filter_map(|found| found.policy.challenge.clone()).reduce(|all, one| Challenge {
            level: all.level.max(one.level),
            ttl_seconds: all.ttl_seconds.min(one.ttl_seconds),
            accept_weak: all.accept_weak && one.accept_weak,
        })
    }

    /// The names of the actions that the event is.
    pub fn action_names(&self, set: &'s CompiledSet) -> impl Iterator<Item = &'s str> {
        let actions = self.actions;
        let is = move |slot: ActionSlot| actions.has(slot);
        set.actions.iter().filter(move |action: &&CompiledAction| is(action.slot)).map(|action| &*action.name)
    }
}
