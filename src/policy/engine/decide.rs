//! The decision about one event.

use std::cmp::Reverse;

use super::decision::{Counted, Decision, Hold, Match, Outcome, Reason, Verdict};
use super::outside::Outside;
use super::step::Step;
use crate::policy::entity::{Entity, Pseudonyms};
use crate::policy::event::Event;
use crate::policy::set::{CompiledPolicy, CompiledSet, Mode, SetMode};
use crate::policy::window::Windows;

/// Decides about an event, and counts it in the windows.
///
/// The order is: who is exempt, who is held, what the policies say, what a clearance lifts. All policies are evaluated,
/// and all that match are named; the strongest outcome decides, then the lowest priority, then the lowest id. The same
/// set, windows, event and outside give the same decision and the same windows.
///
/// - An exempt client is answered as if there were no policy, and its events are not counted: it may share an entity
///   with others. Policies that match it are named, as exempted.
/// - An event that carries our own decision was judged before. Nothing is decided about it and it is not counted, so
///   that a block does not renew itself.
/// - A policy is named for a request or for its answer, as its own conditions need, and for a line of a log, which is
///   both: a request that is reported twice is named once.
pub fn decide<'s>(
    set: &'s CompiledSet,
    windows: &dyn Windows,
    pseudonyms: &Pseudonyms,
    event: &Event<'_>,
    outside: Outside<'_>,
) -> Decision<'s> {
    if set.mode == SetMode::Off || event.has_own_decision() {
        return Decision::allow(Reason::None);
    }
    let values = event.values(&set.fields);
    let mut step = Step::new(set, windows, pseudonyms, event, &values, outside.now_ms);
    step.count();
    judge(&mut step, outside)
}

/// The decision about an event that is counted already.
pub(super) fn judge<'s>(step: &mut Step<'s, '_>, outside: Outside<'_>) -> Decision<'s> {
    let mut decision = Decision::allow(Reason::None);
    for policy in step.policies() {
        if let Some(found) = match_of(policy, step, outside) {
            let held = held(policy, &found, step);
            decision.holds.extend(held.map(|(entity, until_ms)| Hold { policy, entity, until_ms }));
            if step.names(policy) {
                decision.matches.push(found);
            }
        }
    }
    let rank = |found: &Match<'_>| (Reverse(found.outcome.rank()), found.policy.priority, found.policy.id);
    decision.matches.sort_by_key(rank);
    decision.is_late = step.is_late();
    decision.actions = step.actions();
    decision.without_entity = step.without_entity();
    decision.verdict = decision.deciding().map_or(Verdict::Allow, |deciding| deciding.outcome.verdict());
    decision.reason = match decision.deciding() {
        _ if step.is_exempt() => Reason::Exempt,
        Some(deciding) if deciding.outcome == Outcome::Cleared => Reason::Clearance,
        Some(deciding) => deciding.reason,
        None if step.is_late() => Reason::Late,
        None => Reason::None,
    };
    decision
}

impl Outcome {
    /// Which of several matches decides. One that was lifted still says more than one that only records.
    const fn rank(self) -> u8 {
        match self {
            Self::Observe => 0,
            Self::Exempted => 1,
            Self::Cleared => 2,
            Self::Challenge => 3,
            Self::Block => 4,
        }
    }
}

/// Whether a policy matches.
fn match_of<'s>(policy: &'s CompiledPolicy, step: &mut Step<'s, '_>, outside: Outside<'_>) -> Option<Match<'s>> {
    if !step.is_in_scope(policy.scope.as_ref()) {
        return None;
    }
    let entity = match policy.entity {
        Some(definition) => Some(step.entity(definition)?),
        None => None,
    };
    let is_held = |until_ms: &i64| *until_ms > outside.now_ms;
    let held = entity.and_then(|entity| outside.holds.until_ms(policy, entity)).filter(is_held);
    let mut window = None;
    let applies = step.is_one_of(policy.actions.as_ref())
        && policy.window.is_none_or(|threshold| {
            window = step.counted(threshold.window).map(|(count, seconds)| Counted {
                count,
                threshold: threshold.count,
                seconds,
            });
            window.is_some_and(|window| window.count >= window.threshold)
        });
    let reason = match (held, applies, policy.window) {
        (Some(_), _, _) => Reason::Mitigation,
        (None, false, _) => return None,
        (None, true, Some(_)) => Reason::Window,
        (None, true, None) => Reason::Policy,
    };
    let outcome = outcome(policy, step, outside);
    let until_ms = match (held, policy.duration_seconds, policy.window) {
        (Some(until_ms), _, _) => Some(until_ms.saturating_sub(outside.now_ms)),
        (None, Some(seconds), _) => Some(i64::from(seconds).saturating_mul(1000)),
        (None, None, Some(threshold)) => step.below_in_ms(threshold),
        (None, None, None) => None,
    };
    let retry_after_seconds = until_ms.filter(|_| outcome.verdict() != Verdict::Allow).map(whole_seconds);
    Some(Match { policy, outcome, reason, entity, window, retry_after_seconds })
}

/// What comes of a match.
fn outcome(policy: &CompiledPolicy, step: &Step<'_, '_>, outside: Outside<'_>) -> Outcome {
    if step.is_exempt() {
        return Outcome::Exempted;
    }
    match policy.mode {
        _ if step.only_monitors() => Outcome::Observe,
        Mode::Monitor => Outcome::Observe,
        Mode::Challenge => {
            let definition = step.definition(policy);
            let lifts = |challenge| outside.clearances.iter().any(|shown| shown.lifts(challenge, definition));
            if policy.challenge.as_ref().is_some_and(lifts) { Outcome::Cleared } else { Outcome::Challenge }
        }
        Mode::Block => Outcome::Block,
    }
}

/// Whom a match holds from now on, and until when. One that is held already is not held for longer.
fn held(policy: &CompiledPolicy, found: &Match<'_>, step: &Step<'_, '_>) -> Option<(Entity, i64)> {
    let only_records = step.only_monitors() || policy.mode == Mode::Monitor;
    if only_records || step.is_exempt() || step.is_late() || found.reason == Reason::Mitigation {
        return None;
    }
    let held_ms = i64::from(policy.duration_seconds?).saturating_mul(1000);
    Some((found.entity?, step.now_ms().saturating_add(held_ms)))
}

/// Whole seconds, rounded up, at least one.
fn whole_seconds(milliseconds: i64) -> u32 {
    u32::try_from(milliseconds.saturating_add(999).div_euclid(1000)).unwrap_or_default().max(1)
}
