//! Why a set decides as it does about an event.

use serde::Serialize;

use super::decide::judge;
use super::decision::{Counted, Decision, Outcome, Reason};
use super::outside::Outside;
use super::step::Step as Known;
use crate::policy::entity::{Entity, Pseudonyms};
use crate::policy::event::Event;
use crate::policy::set::{CompiledSet, CompiledWindow, Count};
use crate::policy::window::Windows;
use crate::policy::{Program, Step};

/// Why a set decides as it does about an event. It shows no secret, and no value that is part of an entity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation<'s> {
    /// What would be decided.
    #[serde(skip)]
    pub decision: Decision<'s>,
    /// Who is exempt.
    pub exempt: Option<ExplainedExpression>,
    /// What the event is.
    pub actions: Vec<ExplainedAction<'s>>,
    /// What each policy says about it.
    pub policies: Vec<ExplainedPolicy<'s>>,
}

/// An expression, and each condition in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedExpression {
    /// Whether it is true.
    pub truth: bool,
    /// Its conditions in the order of the source.
    pub steps: Vec<Step>,
}

/// An action.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedAction<'s> {
    /// Its name.
    pub name: &'s str,
    /// Whether the event is one, and why.
    pub expression: ExplainedExpression,
}

/// A policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedPolicy<'s> {
    /// Its id.
    pub policy_id: String,
    /// Its name.
    pub name: &'s str,
    /// Its scope.
    pub expression: Option<ExplainedExpression>,
    /// Whether the event is one of its actions.
    pub is_one_of_its_actions: bool,
    /// The definition of its entity.
    pub entity_name: Option<&'s str>,
    /// Whom it is about.
    pub entity: Option<String>,
    /// Its window.
    pub window: Option<ExplainedWindow>,
    /// What comes of it, if it matches.
    pub outcome: Option<Outcome>,
    /// Why it matches.
    pub reason: Option<Reason>,
}

/// The window of a policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedWindow {
    /// How many it would hold with this event; absent for an event without the entity, and for a late one.
    pub counted: Option<Counted>,
    /// Whether it counts this event.
    pub counts_this_event: bool,
    /// The condition of its own.
    pub count: Option<ExplainedExpression>,
}

/// Explains what `decide` would decide. Nothing is counted, and nobody is held.
pub fn explain<'s>(
    set: &'s CompiledSet,
    windows: &dyn Windows,
    pseudonyms: &Pseudonyms,
    event: &Event<'_>,
    outside: Outside<'_>,
) -> Explanation<'s> {
    let values = event.values(&set.fields);
    let mut known = Known::new(set, windows, pseudonyms, event, &values, outside.now_ms);
    known.look_ahead();
    let mut decision = judge(&mut known, outside);
    decision.holds.clear();
    let actions = known.actions();
    let of = |program: &Program| {
        let mut steps = program.explain(&values, &actions, &set.fields);
        let shown = steps.iter_mut().flat_map(|step| &mut step.fields);
        shown
            .filter(|field| is_key(set, &field.name))
            .for_each(|field| field.value = field.value.take().map(|_| "(hidden)".to_owned()));
        ExplainedExpression { truth: program.eval(&values, &actions), steps }
    };
    let policies = set.policies.iter().map(|policy| {
        let found = decision.matches.iter().find(|found| found.policy.id == policy.id);
        let window = policy.window.and_then(|threshold| {
            let window = set.windows.get(threshold.window)?;
            let counted = known.counted(threshold.window);
            Some(ExplainedWindow {
                counted: counted.map(|(count, seconds)| Counted { count, threshold: threshold.count, seconds }),
                counts_this_event: known.is_counted(window),
                count: own_condition(window).map(of),
            })
        });
        let entity: Option<Entity> = policy.entity.and_then(|at| known.entity(at));
        ExplainedPolicy {
            policy_id: policy.id.to_string(),
            name: &policy.name,
            expression: policy.scope.as_ref().map(of),
            is_one_of_its_actions: known.is_one_of(policy.actions.as_ref()),
            entity_name: policy.entity.and_then(|at| set.entities.get(at)).map(|definition| &*definition.name),
            entity: entity.map(|entity| entity.to_string()),
            window,
            outcome: found.map(|found| found.outcome),
            reason: found.map(|found| found.reason),
        }
    });
    let policies = policies.collect();
    let explained = set.actions.iter();
    let actions = explained.map(|action| ExplainedAction { name: &action.name, expression: of(&action.program) });
    Explanation { exempt: set.exempt.as_ref().map(of), actions: actions.collect(), policies, decision }
}

/// Whether a field is part of an entity, or says as much: of those, nothing but the pseudonym is shown.
fn is_key(set: &CompiledSet, name: &str) -> bool {
    let is_address = |name: &str| matches!(name, "client_ip" | "client_network");
    let slots = set.entities.iter().flat_map(|definition| &definition.key);
    let mut names = slots.filter_map(|slot| set.fields.get(*slot)).map(|field| field.name());
    names.any(|key| key == name || is_address(&key) && is_address(name))
}

fn own_condition(window: &CompiledWindow) -> Option<&Program> {
    match &window.count {
        Count::Program(program) => Some(program),
        Count::Policy { .. } => None,
    }
}
