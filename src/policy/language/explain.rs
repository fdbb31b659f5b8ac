//! Why an expression is true or false for an event.

use serde::Serialize;

use super::program::{Address, Check, Facts, Flag, Number, Test, Text};
use crate::policy::fault::Place;
use crate::policy::field::{Fields, Slot};
use crate::policy::value::Values;

/// A condition of an expression, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// How many conditions it stands in.
    pub depth: u32,
    /// Its text.
    pub expression: String,
    /// Whether it holds.
    pub truth: bool,
    /// The fields that it compares; those of the conditions in it stand there.
    pub fields: Vec<SeenField>,
}

/// What a condition saw in a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenField {
    /// The field.
    pub name: String,
    /// Its value as text; none when it is absent, and `(hidden)` when it may be a secret.
    pub value: Option<String>,
}

/// What stands for a value that may be a secret.
const HIDDEN: &str = "(hidden)";

/// Every condition of a program in the order of the source, with what it saw.
pub(super) fn explain(test: &Test, source: &str, facts: Facts<'_>, fields: &Fields) -> Vec<Step> {
    let mut found = Vec::new();
    conditions(test, 0, &mut found);
    found.sort_by_key(|(depth, test)| (test.span.start, std::cmp::Reverse(test.span.end), *depth));
    let step = |(depth, test): (u32, &Test)| {
        let mut slots = Vec::new();
        if below(test).is_empty() {
            slots_of(test, &mut slots);
        }
        Step {
            place: test.span.place(source),
            depth,
            expression: test.span.text(source).to_owned(),
            truth: test.holds(facts),
            fields: slots.into_iter().filter_map(|slot| seen(slot, facts.values, fields)).collect(),
        }
    };
    found.into_iter().map(step).collect()
}

/// A field and its value, unless that may be a secret.
fn seen(slot: Slot, values: &Values<'_>, fields: &Fields) -> Option<SeenField> {
    let field = fields.get(slot)?;
    let value = values.get(slot);
    let shown = if field.is_secret() { HIDDEN.to_owned() } else { value.text().into_owned() };
    Some(SeenField { name: field.name(), value: value.is_present().then_some(shown) })
}

fn conditions<'t>(test: &'t Test, depth: u32, found: &mut Vec<(u32, &'t Test)>) {
    found.push((depth, test));
    for test in below(test) {
        conditions(test, depth + 1, found);
    }
}

/// The conditions directly in this one.
fn below(test: &Test) -> Vec<&Test> {
    match &test.check {
        Check::All(tests) | Check::Any(tests) => tests.iter().collect(),
        Check::Not(test) => vec![test],
        Check::Choice(tests) => tests.iter().collect(),
        _ => Vec::new(),
    }
}

/// The fields that a condition reads, each once, in the order in which they stand.
pub(super) fn slots_of(test: &Test, slots: &mut Vec<Slot>) {
    match &test.check {
        Check::Always(_) | Check::Action(_) => {}
        Check::All(tests) | Check::Any(tests) => tests.iter().for_each(|test| slots_of(test, slots)),
        Check::Not(test) => slots_of(test, slots),
        Check::Choice(tests) => tests.iter().for_each(|test| slots_of(test, slots)),
        Check::Flag(flag) => of_flag(flag, slots),
        Check::Flags(_, flags) => flags.iter().for_each(|flag| of_flag(flag, slots)),
        Check::Has(slot)
        | Check::Contains(slot, _)
        | Check::Is(slot, ..)
        | Check::HasPart(_, slot, _)
        | Check::Number(_, slot, _) => {
            note(*slot, slots);
        }
        Check::Texts(_, texts) | Check::Find(_, texts) => texts.iter().for_each(|text| of_text(text, slots)),
        Check::OneOf(text, _) | Check::Matches(text, _) => of_text(text, slots),
        Check::Numbers(_, numbers) => numbers.iter().for_each(|number| of_number(number, slots)),
        Check::InNumbers(number, _) => of_number(number, slots),
        Check::Addresses(_, addresses) => addresses.iter().for_each(|address| of_address(address, slots)),
        Check::InAddresses(address, _) | Check::InNetworks(address, _) => of_address(address, slots),
    }
}

fn note(slot: Slot, slots: &mut Vec<Slot>) {
    if !slots.contains(&slot) {
        slots.push(slot);
    }
}

fn of_flag(flag: &Flag, slots: &mut Vec<Slot>) {
    match flag {
        Flag::Field(slot) => note(*slot, slots),
        Flag::Test(test) => slots_of(test, slots),
        Flag::Choice(test, choices) => {
            slots_of(test, slots);
            choices.iter().for_each(|flag| of_flag(flag, slots));
        }
    }
}

fn of_text(text: &Text, slots: &mut Vec<Slot>) {
    match text {
        Text::Literal(_) => {}
        Text::Field(slot) => note(*slot, slots),
        Text::Concat(parts) => parts.iter().for_each(|text| of_text(text, slots)),
        Text::Lower(text) => of_text(text, slots),
        Text::Choice(choice) => {
            slots_of(&choice.0, slots);
            of_text(&choice.1, slots);
            of_text(&choice.2, slots);
        }
    }
}

fn of_number(number: &Number, slots: &mut Vec<Slot>) {
    match number {
        Number::Literal(_) => {}
        Number::Field(slot) => note(*slot, slots),
        Number::Negate(number) => of_number(number, slots),
        Number::Sum(parts) => parts.iter().for_each(|(_, number)| of_number(number, slots)),
        Number::Remainder(sides) => sides.iter().for_each(|number| of_number(number, slots)),
        Number::Size(text) => of_text(text, slots),
        Number::Choice(choice) => {
            slots_of(&choice.0, slots);
            of_number(&choice.1, slots);
            of_number(&choice.2, slots);
        }
    }
}

fn of_address(address: &Address, slots: &mut Vec<Slot>) {
    match address {
        Address::Literal(_) => {}
        Address::Field(slot) => note(*slot, slots),
        Address::Text(text) => of_text(text, slots),
        Address::Choice(choice) => {
            slots_of(&choice.0, slots);
            of_address(&choice.1, slots);
            of_address(&choice.2, slots);
        }
    }
}
