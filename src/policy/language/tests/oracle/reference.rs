//! What the documentation says of an expression, as plainly as it can be computed.

use std::collections::BTreeMap;

use super::FLAG;
use super::expression::{Condition, Number, Text};

/// What a field holds.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Text(String),
    Number(i64),
    Flag(bool),
}

/// The fields that are there, and whether the event is each action.
#[derive(Debug, Clone, Default)]
pub(super) struct Event {
    pub(super) fields: BTreeMap<&'static str, Known>,
    pub(super) actions: [bool; 2],
}

impl Event {
    pub(super) fn get(&self, name: &str) -> Option<&Known> {
        self.fields.get(name)
    }
}

/// Null compares with nothing.
fn compared<T: PartialOrd>(order: &str, left: Option<T>, right: Option<T>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return false };
    match order {
        "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left >= right,
    }
}

impl Condition {
    /// Null is false.
    pub(super) fn truth(&self, event: &Event) -> bool {
        self.value(event).unwrap_or(false)
    }

    fn value(&self, event: &Event) -> Option<bool> {
        Some(match self {
            Self::Literal(truth) => *truth,
            Self::Flag => match event.get(FLAG) {
                Some(Known::Flag(flag)) => *flag,
                _ => return None,
            },
            Self::Has(name) => event.get(name).is_some(),
            Self::Action(name) => event.actions[usize::from(*name != "login")],
            Self::Not(inner) => !inner.truth(event),
            Self::All(parts) => parts.iter().all(|part| part.truth(event)),
            Self::Any(parts) => parts.iter().any(|part| part.truth(event)),
            Self::Choice(parts) => {
                let [condition, then, other] = &**parts;
                return if condition.truth(event) { then.value(event) } else { other.value(event) };
            }
            Self::Numbers(order, a, b) => compared(order, a.value(event), b.value(event)),
            Self::Texts(order, a, b) => {
                let points = |text: &Text| Some(text.value(event).chars().collect::<Vec<char>>());
                compared(order, points(a), points(b))
            }
            Self::Conditions(order, sides) => compared(order, sides[0].value(event), sides[1].value(event)),
            Self::OneText(text, list) => list.contains(&text.value(event)),
            Self::OneNumber(number, list) => number.value(event).is_some_and(|number| list.contains(&number)),
            Self::Find(how, a, b) => {
                let (a, b) = (a.value(event), b.value(event));
                match *how {
                    "startsWith" => a.starts_with(&b),
                    "endsWith" => a.ends_with(&b),
                    _ => a.contains(&b),
                }
            }
            Self::Matches(text, pattern) => regex::Regex::new(pattern).unwrap().is_match(&text.value(event)),
        })
    }
}

impl Number {
    fn value(&self, event: &Event) -> Option<i64> {
        let wide = |number: i128| i64::try_from(number).ok();
        match self {
            Self::Literal(number) => Some(*number),
            Self::Field(name) => match event.get(name) {
                Some(Known::Number(number)) => Some(*number),
                _ => None,
            },
            Self::Negate(inner) => wide(-i128::from(inner.value(event)?)),
            Self::Sum(first, more) => {
                let mut total = first.value(event)?;
                for (sign, part) in more {
                    let part = i128::from(part.value(event)?);
                    total = wide(i128::from(total) + if *sign == '+' { part } else { -part })?;
                }
                Some(total)
            }
            Self::Remainder(sides) => match (sides[0].value(event)?, sides[1].value(event)?) {
                (_, 0) | (i64::MIN, -1) => None,
                (left, right) => wide(i128::from(left) % i128::from(right)),
            },
            Self::Size(text) => i64::try_from(text.value(event).chars().count()).ok(),
            Self::Choice(choice) => {
                if choice.0.truth(event) {
                    choice.1.value(event)
                } else {
                    choice.2.value(event)
                }
            }
        }
    }
}

impl Text {
    fn value(&self, event: &Event) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Field(name) => match event.get(name) {
                Some(Known::Text(text)) => text.clone(),
                _ => String::new(),
            },
            Self::Concat(sides) => sides[0].value(event) + &sides[1].value(event),
            Self::Lower(text) => text.value(event).to_ascii_lowercase(),
            Self::Choice(choice) => {
                if choice.0.truth(event) {
                    choice.1.value(event)
                } else {
                    choice.2.value(event)
                }
            }
        }
    }
}
