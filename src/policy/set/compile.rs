//! A set as it is evaluated, or all of its faults.

use std::collections::{BTreeMap, HashMap};

use super::check::check;
use super::compiled::{CompiledAction, CompiledEntity, CompiledPolicy, CompiledSet, CompiledWindow, Count, Threshold};
use super::document::PolicySet;
use super::ids::{ActionId, EntityDefinitionId, MitigationId};
use super::limits::{MAX_POLICY_COST, MAX_SET_COST};
use super::parts::{Action, EntityDefinition, Mitigation, Mode, Policy, Window};
use super::starters;
use crate::policy::window::WindowKey;
use crate::policy::{ActionBits, ActionSlot, Actions, Fault, Field, Fields, Patterns, Program, Scope, Slot};

/// Compiles a set. What is disabled is checked, too.
///
/// # Errors
/// All faults of the set at once, each with the member of the document, and its place in an expression.
pub fn compile(set: &PolicySet) -> Result<CompiledSet, Vec<Fault>> {
    let mut faults = check(set);
    let mut compiler = Compiler::new(set);
    let compiled = compiler.set(set);
    faults.append(&mut compiler.faults);
    if faults.is_empty() { Ok(compiled) } else { Err(faults) }
}

/// What a window counts, the actions that it asks for, and whether it reads answers.
struct Counting {
    count: Count,
    asked: ActionBits,
    reads_response: bool,
}

/// A compiled expression, and the actions that it asks for.
struct Expression {
    program: Program,
    asked: ActionBits,
}

impl Expression {
    fn program(self) -> Program {
        self.program
    }
}

/// An action with its place among those of the set; a disabled one has none.
#[derive(Clone, Copy)]
struct Known {
    slot: Option<ActionSlot>,
    reads_response: bool,
}

struct Compiler<'s> {
    actions: Vec<Action>,
    entities: Vec<EntityDefinition>,
    mitigations: HashMap<MitigationId, Mitigation>,
    known: HashMap<ActionId, Known>,
    names: Actions,
    fields: Fields,
    patterns: Patterns,
    faults: Vec<Fault>,
    /// Where each definition of an entity stands in the compiled set.
    used: BTreeMap<EntityDefinitionId, Option<usize>>,
    compiled: CompiledSet,
    windows: HashMap<(usize, WindowKey), usize>,
    cost: u32,
    set: &'s PolicySet,
}

impl<'s> Compiler<'s> {
    fn new(set: &'s PolicySet) -> Self {
        let mut actions = set.actions.clone();
        actions.extend(starters::actions().into_iter().filter(|starter| is_used(starter, set)));
        let mut entities = set.entities.clone();
        entities.extend(starters::entities());
        let mitigations = starters::mitigations().into_iter().chain(set.mitigations.iter().cloned());
        Self {
            actions,
            entities,
            mitigations: mitigations.filter_map(|part| Some((part.mitigation_id?, part))).collect(),
            known: HashMap::new(),
            names: Actions::none(),
            fields: Fields::default(),
            patterns: Patterns::default(),
            faults: Vec::new(),
            used: BTreeMap::new(),
            compiled: CompiledSet::default(),
            windows: HashMap::new(),
            cost: 0,
            set,
        }
    }

    fn set(&mut self, set: &PolicySet) -> CompiledSet {
        let none = Actions::none();
        self.compiled.mode = set.mode;
        self.compiled.exempt = self.optional(set.exempt.as_deref(), "exempt", &none).map(Expression::program);
        self.actions();
        // Those that no policy names are checked, too.
        for at in 0..self.set.entities.len() {
            self.entity(at);
        }
        for (at, policy) in set.policies.iter().enumerate() {
            self.policy(at, policy);
        }
        if self.cost > MAX_SET_COST {
            let message = format!("the expressions cost {} units together, and at most {MAX_SET_COST}", self.cost);
            self.faults.push(Fault::new("policies", message).hint("fewer or smaller patterns"));
        }
        let mut compiled = std::mem::take(&mut self.compiled);
        compiled.fields = std::mem::take(&mut self.fields);
        compiled
    }

    /// Compiles an expression; its faults are noted.
    fn program(&mut self, source: &str, path: &str, actions: &Actions) -> Option<Expression> {
        actions.take_asked();
        let mut scope = Scope { fields: &mut self.fields, patterns: &mut self.patterns, actions };
        match crate::policy::compile(source, &mut scope) {
            Ok(program) => {
                self.cost = self.cost.saturating_add(program.cost());
                Some(Expression { program, asked: actions.take_asked() })
            }
            Err(faults) => {
                self.faults.extend(faults.into_iter().map(|fault| fault.at(path)));
                None
            }
        }
    }

    /// An expression that may be left out.
    fn optional(&mut self, source: Option<&str>, path: &str, actions: &Actions) -> Option<Expression> {
        source.and_then(|source| self.program(source, path, actions))
    }

    fn slot(&mut self, name: &str, path: String) -> Option<(Slot, Field)> {
        let field = match Field::parse(name) {
            Ok(field) => field,
            Err(unknown) => {
                let hint = unknown.nearest.join(", ");
                let fault = Fault::new(path, unknown.to_string());
                self.faults.push(if hint.is_empty() { fault } else { fault.hint(hint) });
                return None;
            }
        };
        match self.fields.slot(field.clone()) {
            Ok(slot) => Some((slot, field)),
            Err(many) => {
                self.faults.push(Fault::new(path, many.to_string()));
                None
            }
        }
    }

    fn actions(&mut self) {
        let (none, actions) = (Actions::none(), std::mem::take(&mut self.actions));
        let mut compiled = Vec::new();
        for (at, action) in actions.iter().enumerate() {
            let path = format!("actions[{at}].expression");
            let Some(Expression { program, .. }) = self.program(&action.expression, &path, &none) else { continue };
            let slot = ActionSlot::new(at).filter(|_| action.enabled);
            let id = action.action_id.unwrap_or_default();
            self.known.insert(id, Known { slot, reads_response: program.reads_response() });
            compiled.extend(slot.map(|slot| CompiledAction { id, name: action.name.as_str().into(), slot, program }));
        }
        // Names of disabled and of faulty actions are known: to ask for one is no fault of the expression. Those of the
        // set come last, and win over starters.
        let named = actions.iter().enumerate().rev();
        let named = named.filter_map(|(at, action)| Some((&*action.name, ActionSlot::new(at)?)));
        self.names = Actions::named(named);
        self.compiled.actions = compiled;
        self.actions = actions;
    }

    /// Compiles the definition at a place, once.
    fn entity(&mut self, at: usize) -> Option<usize> {
        let definition = self.entities.get(at)?.clone();
        let id = definition.entity_definition_id.unwrap_or_default();
        if let Some(known) = self.used.get(&id) {
            return *known;
        }
        let path = format!("entities[{at}]");
        let key: Vec<(Slot, Field)> = (0..)
            .zip(&definition.key_fields)
            .filter_map(|(index, name): (usize, _)| self.slot(name, format!("{path}.keyFields[{index}]")))
            .collect();
        if key.len() == definition.key_fields.len()
            && !key.is_empty()
            && !key.iter().any(|(_, field)| is_telling(field))
        {
            let message = "these fields do not tell one client from another";
            let hint =
                "add client_ip, client_network, or a cookie, header or part of the payload that names the client";
            self.faults.push(Fault::new(format!("{path}.keyFields"), message).hint(hint));
        }
        let matches = definition.match_expression.as_deref();
        let matches =
            self.optional(matches, &format!("{path}.matchExpression"), &Actions::none()).map(Expression::program);
        let place = self.compiled.entities.len();
        self.compiled.entities.push(CompiledEntity {
            id,
            name: definition.name.as_str().into(),
            key: key.into_iter().map(|(slot, _)| slot).collect(),
            matches,
            on_missing: definition.on_missing,
        });
        self.used.insert(id, Some(place));
        Some(place)
    }

    fn policy(&mut self, at: usize, policy: &Policy) {
        let path = format!("policies[{at}]");
        let before = std::mem::take(&mut self.cost);
        let names = self.names.clone();
        let scope = self.optional(policy.expression.as_deref(), &format!("{path}.expression"), &names);
        let (actions, actions_read_response) = self.actions_of(policy, &path);
        let entity = policy.entity_definition_id.and_then(|id| {
            let place = self.entities.iter().position(|part| part.entity_definition_id == Some(id));
            if place.is_none() {
                self.faults.push(Fault::new(format!("{path}.entityDefinitionId"), format!("there is no entity {id}")));
            }
            self.entity(place?)
        });
        let reads_response = actions_read_response || scope.as_ref().is_some_and(|scope| self.reads_response(scope));
        let (scope, asked) = scope.map_or((None, ActionBits::default()), |scope| (Some(scope.program), scope.asked));
        let window = policy.window.as_ref().and_then(|window| {
            let count = Count::Policy { scope: scope.clone(), actions };
            self.window(&path, window, entity, Counting { count, asked, reads_response })
        });
        if self.cost > MAX_POLICY_COST {
            let message =
                format!("the expressions of the policy cost {} units, and at most {MAX_POLICY_COST}", self.cost);
            self.faults.push(Fault::new(&*path, message).hint("fewer or smaller patterns"));
        }
        self.cost = self.cost.saturating_add(before);
        let Some(mitigation) = self.mitigations.get(&policy.mitigation_id) else {
            let message = format!("there is no mitigation {}", policy.mitigation_id);
            self.faults.push(Fault::new(format!("{path}.mitigationId"), message));
            return;
        };
        if mitigation.duration_seconds.is_some() && policy.entity_definition_id.is_none() {
            let message = format!("the mitigation {} holds an entity, and there is none", mitigation.name);
            self.faults.push(Fault::new(format!("{path}.mitigationId"), message).hint("name an entity"));
        }
        if !policy.enabled {
            return;
        }
        let compiled = CompiledPolicy {
            id: policy.policy_id.unwrap_or_default(),
            name: policy.name.as_str().into(),
            priority: policy.priority,
            scope,
            actions,
            reads_response,
            entity,
            mitigation: policy.mitigation_id,
            mitigation_name: mitigation.name.as_str().into(),
            mode: mitigation.mode,
            duration_seconds: mitigation.duration_seconds,
            challenge: (mitigation.mode == Mode::Challenge).then(|| mitigation.challenge.clone().unwrap_or_default()),
            window,
        };
        self.compiled.policies.push(compiled);
    }

    /// The actions that a policy names, and whether one of them reads an answer.
    fn actions_of(&mut self, policy: &Policy, path: &str) -> (Option<ActionBits>, bool) {
        let (mut bits, mut reads_response) = (ActionBits::default(), false);
        for (at, id) in policy.action_ids.iter().enumerate() {
            let exists = self.actions.iter().any(|action| action.action_id == Some(*id));
            if !exists {
                self.faults.push(Fault::new(format!("{path}.actionIds[{at}]"), format!("there is no action {id}")));
            }
            if let Some(known) = self.known.get(id) {
                reads_response |= known.reads_response;
                known.slot.into_iter().for_each(|slot| bits.set(slot));
            }
        }
        ((!policy.action_ids.is_empty()).then_some(bits), reads_response)
    }

    /// Whether an expression reads an answer, itself or through an action that it asks for.
    fn reads_response(&self, expression: &Expression) -> bool {
        let asked = |action: &CompiledAction| expression.asked.has(action.slot);
        expression.program.reads_response()
            || self.compiled.actions.iter().any(|action| action.program.reads_response() && asked(action))
    }

    fn window(&mut self, path: &str, window: &Window, entity: Option<usize>, of_policy: Counting) -> Option<Threshold> {
        let names = self.names.clone();
        let distinct = window.distinct.as_deref();
        let distinct_slot = distinct.map(|field| self.slot(field, format!("{path}.window.distinct")));
        let counting = match window.count.as_deref() {
            Some(source) => {
                let expression = self.program(source, &format!("{path}.window.count"), &names)?;
                let reads_response = self.reads_response(&expression);
                let Expression { program, asked } = expression;
                Counting { count: Count::Program(program), asked, reads_response }
            }
            None => of_policy,
        };
        let (entity, seconds) = (entity?, u16::try_from(window.seconds).ok()?);
        let distinct_slot = match distinct_slot {
            Some(found) => Some(found?.0),
            None => None,
        };
        let key = self.key(seconds, &counting, distinct);
        let next = self.compiled.windows.len();
        let place = *self.windows.entry((entity, key)).or_insert(next);
        if place == next {
            let Counting { count, reads_response, .. } = counting;
            self.compiled.windows.push(CompiledWindow { key, entity, count, distinct: distinct_slot, reads_response });
        }
        Some(Threshold { window: place, count: window.threshold })
    }

    /// A window is known by what it counts, not by the ids and names of who counts it: a new version that changes only
    /// those keeps the counts.
    fn key(&self, seconds: u16, counting: &Counting, distinct: Option<&str>) -> WindowKey {
        let expressions = |of: ActionBits| {
            let is_one = move |action: &&CompiledAction| of.has(action.slot);
            self.compiled.actions.iter().filter(is_one).map(|action| action.program.source())
        };
        let (kind, source, actions) = match &counting.count {
            Count::Program(program) => ("count", program.source(), None),
            Count::Policy { scope, actions } => ("policy", scope.as_ref().map_or("", Program::source), *actions),
        };
        let mut texts = vec![kind, source];
        texts.extend(expressions(counting.asked));
        texts.extend(actions.iter().flat_map(|_| ["actions"]));
        texts.extend(actions.into_iter().flat_map(expressions));
        texts.extend(distinct.iter().flat_map(|field| ["distinct", *field]));
        WindowKey::new(seconds, texts)
    }
}

/// Whether a set may ask for a starter: it costs nothing where nobody does.
fn is_used(starter: &Action, set: &PolicySet) -> bool {
    let names = |source: &Option<String>| source.as_ref().is_some_and(|source| source.contains(&starter.name));
    set.policies.iter().any(|policy| {
        let count = policy.window.as_ref().map(|window| &window.count);
        starter.action_id.is_some_and(|id| policy.action_ids.contains(&id))
            || names(&policy.expression)
            || count.is_some_and(names)
    })
}

/// Whether the values of a field tell one client from another.
fn is_telling(field: &Field) -> bool {
    !matches!(
        field,
        Field::Door
            | Field::TrustLevel
            | Field::Country
            | Field::TlsVersion
            | Field::RequestMethod
            | Field::RequestScheme
            | Field::RequestMalformed
            | Field::ContentType
            | Field::RequestBytes
            | Field::PayloadBytes
            | Field::PayloadFields
            | Field::ResponseStatus
            | Field::ResponseBytes
            | Field::DurationMs
            | Field::ObservedAt
            | Field::HourOfDay
            | Field::DayOfWeek
    )
}
