//! Generated expressions mean what they mean in CEL, by the crate `cel`, wherever that has a value; where it has an
//! error, they mean what the documentation of the language says.

mod expression;
mod reference;

use std::sync::Arc;

use cel::{Context, Env, Value as Cel, extensions};
use expression::{Condition, conditions};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reference::{Event, Known};

use super::{Set, values};
use crate::policy::{ActionBits, ActionSlot, Value};

/// The fields that generated expressions read, of each kind.
const TEXTS: [&str; 4] = ["request_header_a", "request_header_b", "request_query_c", "user_agent"];
const NUMBERS: [&str; 3] = ["asn", "request_bytes", "response_status"];
const FLAG: &str = "request_malformed";

/// What texts and literals are made of.
fn text() -> impl Strategy<Value = String> {
    const PARTS: [&str; 16] =
        ["a", "B", "ab", "/", "0", " ", "'", "\"", "\\", "\n", "ü", "😀", "\u{202e}", "\\d", "Zz", "\u{0}"];
    proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..5).prop_map(|parts| parts.concat())
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -3..5_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN), 1 => any::<i64>()]
}

fn event() -> impl Strategy<Value = Event> {
    let texts = proptest::array::uniform4(proptest::option::weighted(0.7, text()));
    let numbers = proptest::array::uniform3(proptest::option::weighted(0.7, number()));
    (texts, numbers, proptest::option::of(any::<bool>()), any::<[bool; 2]>()).prop_map(
        |(texts, numbers, flag, actions)| {
            let mut event = Event { actions, ..Event::default() };
            for (name, text) in TEXTS.into_iter().zip(texts) {
                event.fields.extend(text.map(|text| (name, Known::Text(text))));
            }
            for (name, number) in NUMBERS.into_iter().zip(numbers) {
                event.fields.extend(number.map(|number| (name, Known::Number(number))));
            }
            event.fields.extend(flag.map(|flag| (FLAG, Known::Flag(flag))));
            event
        },
    )
}

/// What CEL says; `None` where it has an error.
fn by_cel(env: &Arc<Env>, condition: &Condition, event: &Event) -> Option<bool> {
    let program = env.compile(&condition.written_for_cel()).ok()?;
    let mut context = Context::with_env(Arc::clone(env));
    for (name, known) in &event.fields {
        let value = match known {
            Known::Text(text) => Cel::String(Arc::new(text.clone())),
            Known::Number(number) => Cel::Int(*number),
            Known::Flag(flag) => Cel::Bool(*flag),
        };
        context.add_variable_from_value(*name, value);
    }
    for name in TEXTS.iter().chain(&NUMBERS).chain([&FLAG]) {
        context.add_variable_from_value(format!("has_{name}"), Cel::Bool(event.get(name).is_some()));
    }
    for (name, is) in ["login", "search"].into_iter().zip(event.actions) {
        context.add_variable_from_value(format!("action_{name}"), Cel::Bool(is));
    }
    match program.execute(&context) {
        Ok(Cel::Bool(truth)) => Some(truth),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn an_expression_means_what_it_means_in_cel(
        condition in conditions(),
        events in proptest::collection::vec(event(), 4),
    ) {
        let mut env = Env::stdlib();
        env.add_extension(extensions::strings).unwrap();
        let env = Arc::new(env);
        let source = condition.written();
        let mut set = Set::default();
        let program = match set.compile(&source) {
            Ok(program) => program,
            // Comparisons that are never true have no meaning to compare, and large ones are too large.
            Err(faults) => {
                let known = |fault: &crate::policy::Fault| {
                    ["this is", "the expression"].iter().any(|start| fault.message.starts_with(start))
                };
                prop_assert!(faults.iter().all(known), "{source}: {faults:?}");
                return Ok(());
            }
        };
        for event in events {
            let known: Vec<_> = event.fields.iter().map(|(name, known)| (*name, match known {
                Known::Text(text) => Value::Text(text.as_str().into()),
                Known::Number(number) => Value::Int(*number),
                Known::Flag(flag) => Value::Bool(*flag),
            })).collect();
            let mut actions = ActionBits::default();
            for (index, _) in event.actions.iter().enumerate().filter(|(_, is)| **is) {
                actions.set(ActionSlot::new(index).unwrap());
            }
            let truth = program.eval(&values(&set.fields, &known), &actions);
            prop_assert_eq!(truth, condition.truth(&event), "{} by the documentation, for {:?}", source, event);
            if let Some(by_cel) = by_cel(&env, &condition, &event) {
                prop_assert_eq!(truth, by_cel, "{} by CEL, for {:?}", source, event);
            }
        }
    }
}

/// The property says something only while CEL has a value for most of what is generated.
#[test]
fn cel_knows_most_of_what_is_generated() {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).unwrap();
    let env = Arc::new(env);
    let mut runner = TestRunner::deterministic();
    let (mut known, mut compiled) = (0, 0);
    for _ in 0..300 {
        let condition = conditions().new_tree(&mut runner).unwrap().current();
        let event = event().new_tree(&mut runner).unwrap().current();
        known += usize::from(by_cel(&env, &condition, &event).is_some());
        compiled += usize::from(Set::default().compile(&condition.written()).is_ok());
    }
    assert!(compiled > 270, "{compiled} of 300 expressions are compiled");
    assert!(known > 120, "CEL has a value for {known} of 300 expressions");
}
