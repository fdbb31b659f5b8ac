//! Tests of the language.

mod bounds;
mod explain;
mod faults;
mod meaning;
mod oracle;
mod pattern;

use super::{ActionBits, ActionSlot, Actions, Patterns, Program, Scope, compile};
use crate::policy::{Fault, Field, Fields, Value, Values};

/// The set in which the expressions of these tests stand: its actions are `login` and `search`.
#[derive(Default)]
struct Set {
    fields: Fields,
    patterns: Patterns,
}

impl Set {
    fn compile(&mut self, source: &str) -> Result<Program, Vec<Fault>> {
        let slots = [0, 1].map(|index| ActionSlot::new(index).unwrap());
        let actions = Actions::named(["login", "search"].into_iter().zip(slots));
        compile(source, &mut Scope { fields: &mut self.fields, patterns: &mut self.patterns, actions: &actions })
    }
}

/// Text that comes as JSON or as a number.
fn value(text: &'static str) -> Value<'static> {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse().map_or_else(|_| Value::Text(text.into()), Value::Int),
    }
}

fn values<'a>(fields: &Fields, event: &[(&str, Value<'a>)]) -> Values<'a> {
    Values::read(fields, |field: &Field| {
        let name = field.name();
        event.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    })
}

/// Whether an expression holds for an event, which is the action `login`.
#[track_caller]
fn holds_for(source: &str, event: &[(&str, Value<'_>)]) -> bool {
    let mut set = Set::default();
    let program = set.compile(source).unwrap_or_else(|faults| panic!("{source}: {faults:#?}"));
    let mut actions = ActionBits::default();
    actions.set(ActionSlot::new(0).unwrap());
    program.eval(&values(&set.fields, event), &actions)
}

/// The faults of an expression, as `line:column+length message (hint)`.
fn faults(source: &str) -> Vec<String> {
    let faults = Set::default().compile(source).err().unwrap_or_default();
    let line = |fault: &Fault| {
        let place = fault.place.unwrap();
        let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}:{}+{} {}{hint}", place.line, place.column, place.length, fault.message)
    };
    faults.iter().map(line).collect()
}
