//! A compiled expression: what is evaluated for every event. Evaluation is total. It has no errors, allocates only
//! where texts are joined, lowered or written from numbers, and nests no deeper than [`super::MAX_DEPTH`].

use std::borrow::Cow;
use std::net::IpAddr;

use memchr::memmem::{self, Finder};

use super::actions::{ActionBits, ActionSlot};
use super::networks::Networks;
use super::pattern::Pattern;
use super::span::Span;
use super::tree::{Comparison, Sign};
use super::typed::Part;
use crate::policy::event::unwrapped;
use crate::policy::field::Slot;
use crate::policy::value::{Value, Values};

/// What an expression is evaluated on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'e> {
    pub(super) values: &'e Values<'e>,
    pub(super) actions: &'e ActionBits,
}

/// A condition and its place.
#[derive(Debug, Clone)]
pub(super) struct Test {
    pub(super) check: Check,
    pub(super) span: Span,
}

/// A condition. Comparisons with null are false.
#[derive(Debug, Clone)]
pub(super) enum Check {
    Always(bool),
    /// All hold; the cheapest comes first.
    All(Box<[Test]>),
    /// One holds; the cheapest comes first.
    Any(Box<[Test]>),
    Not(Box<Test>),
    Choice(Box<[Test; 3]>),
    Flag(Box<Flag>),
    Flags(Comparison, Box<[Flag; 2]>),
    Has(Slot),
    Action(ActionSlot),
    /// A field is this text, or is not.
    Is(Slot, bool, Box<str>),
    Texts(Comparison, Box<[Text; 2]>),
    /// Sorted by length, then by bytes.
    OneOf(Box<Text>, Box<[Box<str>]>),
    /// A field has this text at a place.
    HasPart(Part, Slot, Box<str>),
    /// A field has this text somewhere.
    Contains(Slot, Box<Finder<'static>>),
    Find(Part, Box<[Text; 2]>),
    Matches(Box<Text>, Pattern),
    /// A field compared with a number.
    Number(Comparison, Slot, i64),
    Numbers(Comparison, Box<[Number; 2]>),
    /// Sorted.
    InNumbers(Box<Number>, Box<[i64]>),
    Addresses(Comparison, Box<[Address; 2]>),
    /// Sorted.
    InAddresses(Box<Address>, Box<[IpAddr]>),
    InNetworks(Box<Address>, Box<Networks>),
}

/// True, false or null.
#[derive(Debug, Clone)]
pub(super) enum Flag {
    Field(Slot),
    Test(Test),
    Choice(Test, Box<[Self; 2]>),
}

/// A text. An absent one is empty.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Literal(Box<str>),
    Field(Slot),
    Concat(Box<[Self]>),
    Lower(Box<Self>),
    Choice(Box<(Test, Self, Self)>),
}

/// A number or null. What overflows is null, as is what is divided by zero.
#[derive(Debug, Clone)]
pub(super) enum Number {
    Literal(i64),
    Field(Slot),
    Negate(Box<Self>),
    Sum(Box<[(Sign, Self)]>),
    Remainder(Box<[Self; 2]>),
    Size(Box<Text>),
    Choice(Box<(Test, Self, Self)>),
}

/// An address or null.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Literal(IpAddr),
    Field(Slot),
    Text(Text),
    Choice(Box<(Test, Self, Self)>),
}

impl Test {
    /// Whether it holds.
    pub(super) fn holds(&self, facts: Facts<'_>) -> bool {
        let values = facts.values;
        match &self.check {
            Check::Always(truth) => *truth,
            Check::All(tests) => tests.iter().all(|test| test.holds(facts)),
            Check::Any(tests) => tests.iter().any(|test| test.holds(facts)),
            Check::Not(test) => !test.holds(facts),
            Check::Choice(tests) => {
                let [condition, then, other] = &**tests;
                if condition.holds(facts) { then.holds(facts) } else { other.holds(facts) }
            }
            Check::Flag(flag) => flag.get(facts).unwrap_or(false),
            Check::Flags(comparison, flags) => {
                let [left, right] = &**flags;
                compared(*comparison, left.get(facts), right.get(facts))
            }
            Check::Has(slot) => values.get(*slot).is_present(),
            Check::Action(slot) => facts.actions.has(*slot),
            Check::Is(slot, equal, literal) => is(values.get(*slot), literal) == *equal,
            Check::Texts(comparison, texts) => {
                let [left, right] = &**texts;
                comparison.holds(&*left.get(facts), &*right.get(facts))
            }
            Check::OneOf(text, list) => {
                let text = text.get(facts);
                list.binary_search_by(|word| by_length(word, &text)).is_ok()
            }
            Check::HasPart(part, slot, literal) => match values.get(*slot) {
                Value::Text(text) => found(*part, text, literal),
                value => found(*part, &value.text(), literal),
            },
            Check::Contains(slot, finder) => match values.get(*slot) {
                Value::Text(text) => finder.find(text.as_bytes()).is_some(),
                value => finder.find(value.text().as_bytes()).is_some(),
            },
            Check::Find(part, texts) => {
                let [text, searched] = &**texts;
                found(*part, &text.get(facts), &searched.get(facts))
            }
            Check::Matches(text, pattern) => pattern.matches(&text.get(facts)),
            Check::Number(comparison, slot, literal) => {
                values.get(*slot).int().is_some_and(|number| comparison.holds(&number, literal))
            }
            Check::Numbers(comparison, numbers) => {
                let [left, right] = &**numbers;
                compared(*comparison, left.get(facts), right.get(facts))
            }
            Check::InNumbers(number, list) => {
                number.get(facts).is_some_and(|number| list.binary_search(&number).is_ok())
            }
            Check::Addresses(comparison, addresses) => {
                let [left, right] = &**addresses;
                compared(*comparison, left.get(facts), right.get(facts))
            }
            Check::InAddresses(address, list) => {
                address.get(facts).is_some_and(|address| list.binary_search(&address).is_ok())
            }
            Check::InNetworks(address, networks) => address.get(facts).is_some_and(|address| networks.contain(address)),
        }
    }
}

/// A comparison of what may be null.
#[inline]
fn compared<T: Ord>(comparison: Comparison, left: Option<T>, right: Option<T>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => comparison.holds(&left, &right),
        _ => false,
    }
}

#[inline]
fn is(value: &Value<'_>, literal: &str) -> bool {
    match value {
        Value::Text(text) => &**text == literal,
        Value::Absent => literal.is_empty(),
        other => *other.text() == *literal,
    }
}

#[inline]
fn found(part: Part, text: &str, searched: &str) -> bool {
    match part {
        Part::Whole => text == searched,
        Part::Start => text.starts_with(searched),
        Part::End => text.ends_with(searched),
        Part::Anywhere => memmem::find(text.as_bytes(), searched.as_bytes()).is_some(),
    }
}

/// The order of [`Check::OneOf`]: most texts differ in length from most others.
pub(super) fn by_length(left: &str, right: &str) -> std::cmp::Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl Flag {
    fn get(&self, facts: Facts<'_>) -> Option<bool> {
        match self {
            Self::Field(slot) => facts.values.get(*slot).bool(),
            Self::Test(test) => Some(test.holds(facts)),
            Self::Choice(condition, choices) => {
                let [then, other] = &**choices;
                if condition.holds(facts) { then.get(facts) } else { other.get(facts) }
            }
        }
    }
}

impl Text {
    fn get<'e>(&'e self, facts: Facts<'e>) -> Cow<'e, str> {
        match self {
            Self::Literal(text) => Cow::Borrowed(text),
            Self::Field(slot) => facts.values.get(*slot).text(),
            Self::Concat(parts) => {
                let mut joined = String::new();
                for part in parts {
                    joined.push_str(&part.get(facts));
                }
                Cow::Owned(joined)
            }
            Self::Lower(text) => {
                let text = text.get(facts);
                if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    Cow::Owned(text.to_ascii_lowercase())
                } else {
                    text
                }
            }
            Self::Choice(choice) => {
                let (condition, then, other) = &**choice;
                if condition.holds(facts) { then.get(facts) } else { other.get(facts) }
            }
        }
    }
}

impl Number {
    fn get(&self, facts: Facts<'_>) -> Option<i64> {
        match self {
            Self::Literal(number) => Some(*number),
            Self::Field(slot) => facts.values.get(*slot).int(),
            Self::Negate(number) => number.get(facts)?.checked_neg(),
            Self::Sum(parts) => {
                let mut total: i64 = 0;
                for (sign, part) in parts {
                    let part = part.get(facts)?;
                    total = match sign {
                        Sign::Plus => total.checked_add(part)?,
                        Sign::Minus => total.checked_sub(part)?,
                    };
                }
                Some(total)
            }
            Self::Remainder(sides) => {
                let [left, right] = &**sides;
                left.get(facts)?.checked_rem(right.get(facts)?)
            }
            Self::Size(text) => i64::try_from(text.get(facts).chars().count()).ok(),
            Self::Choice(choice) => {
                let (condition, then, other) = &**choice;
                if condition.holds(facts) { then.get(facts) } else { other.get(facts) }
            }
        }
    }
}

impl Address {
    fn get(&self, facts: Facts<'_>) -> Option<IpAddr> {
        match self {
            Self::Literal(address) => Some(*address),
            Self::Field(slot) => facts.values.get(*slot).ip(),
            Self::Text(text) => text.get(facts).parse::<IpAddr>().ok().map(unwrapped),
            Self::Choice(choice) => {
                let (condition, then, other) = &**choice;
                if condition.holds(facts) { then.get(facts) } else { other.get(facts) }
            }
        }
    }
}
