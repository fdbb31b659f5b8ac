//! Expressions of the subset, well typed.

use proptest::prelude::*;

use super::{FLAG, NUMBERS, TEXTS, number, text};

#[derive(Debug, Clone)]
pub(super) enum Condition {
    Literal(bool),
    Flag,
    Has(&'static str),
    Action(&'static str),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Choice(Box<[Self; 3]>),
    Numbers(&'static str, Number, Number),
    Texts(&'static str, Text, Text),
    Conditions(&'static str, Box<[Self; 2]>),
    OneText(Text, Vec<String>),
    OneNumber(Number, Vec<i64>),
    Find(&'static str, Text, Text),
    Matches(Text, &'static str),
}

#[derive(Debug, Clone)]
pub(super) enum Number {
    Literal(i64),
    Field(&'static str),
    Negate(Box<Self>),
    Sum(Box<Self>, Vec<(char, Self)>),
    Remainder(Box<[Self; 2]>),
    Size(Box<Text>),
    Choice(Box<(Condition, Self, Self)>),
}

#[derive(Debug, Clone)]
pub(super) enum Text {
    Literal(String),
    Field(&'static str),
    Concat(Box<[Self; 2]>),
    Lower(Box<Self>),
    Choice(Box<(Condition, Self, Self)>),
}

pub(super) const PATTERNS: [&str; 6] = ["a", "^ab?$", "(?i)zZ", "ü|😀", r"\\d|[0-9]+", "."];
const ORDERS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

/// Conditions that nest five deep.
pub(super) fn conditions() -> impl Strategy<Value = Condition> {
    let field = proptest::sample::select([&TEXTS[..], &NUMBERS[..], &[FLAG]].concat());
    let leaf = prop_oneof![
        any::<bool>().prop_map(Condition::Literal),
        Just(Condition::Flag),
        field.prop_map(Condition::Has),
        proptest::sample::select(vec!["login", "search"]).prop_map(Condition::Action),
        comparisons(leaf_numbers().boxed(), leaf_texts().boxed()),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let inner = inner.boxed();
        let (numbers, texts) = (numbers(inner.clone()), texts(inner.clone()));
        let many = proptest::collection::vec(inner.clone(), 2..4);
        let choice = (inner.clone(), inner.clone(), inner.clone());
        let equal = proptest::sample::select(vec!["==", "!="]);
        prop_oneof![
            inner.clone().prop_map(|inner| Condition::Not(Box::new(inner))),
            many.clone().prop_map(Condition::All),
            many.prop_map(Condition::Any),
            choice.prop_map(|(condition, then, other)| Condition::Choice(Box::new([condition, then, other]))),
            (equal, inner.clone(), inner).prop_map(|(order, a, b)| Condition::Conditions(order, Box::new([a, b]))),
            comparisons(numbers, texts),
        ]
    })
}

fn comparisons(numbers: BoxedStrategy<Number>, texts: BoxedStrategy<Text>) -> impl Strategy<Value = Condition> {
    let order = || proptest::sample::select(&ORDERS[..]);
    let find = proptest::sample::select(vec!["startsWith", "endsWith", "contains"]);
    prop_oneof![
        (order(), numbers.clone(), numbers.clone()).prop_map(|(order, a, b)| Condition::Numbers(order, a, b)),
        (order(), texts.clone(), texts.clone()).prop_map(|(order, a, b)| Condition::Texts(order, a, b)),
        (texts.clone(), proptest::collection::vec(text(), 1..5))
            .prop_map(|(text, list)| Condition::OneText(text, list)),
        (numbers, proptest::collection::vec(-3..5_i64, 1..5)).prop_map(|(a, list)| Condition::OneNumber(a, list)),
        (find, texts.clone(), texts.clone()).prop_map(|(how, a, b)| Condition::Find(how, a, b)),
        (texts, proptest::sample::select(&PATTERNS[..])).prop_map(|(text, pattern)| Condition::Matches(text, pattern)),
    ]
}

fn leaf_numbers() -> impl Strategy<Value = Number> {
    prop_oneof![number().prop_map(Number::Literal), proptest::sample::select(&NUMBERS[..]).prop_map(Number::Field)]
}

fn leaf_texts() -> impl Strategy<Value = Text> {
    prop_oneof![text().prop_map(Text::Literal), proptest::sample::select(&TEXTS[..]).prop_map(Text::Field)]
}

fn numbers(conditions: BoxedStrategy<Condition>) -> BoxedStrategy<Number> {
    let more = || leaf_numbers().boxed();
    let part = (proptest::sample::select(vec!['+', '-']), leaf_numbers());
    let sums = (leaf_numbers(), proptest::collection::vec(part, 1..4)).boxed();
    prop_oneof![
        more(),
        more().prop_map(|number| Number::Negate(Box::new(number))),
        sums.clone().prop_map(|(first, more)| Number::Sum(Box::new(first), more)),
        (sums, more()).prop_map(|((first, more), right)| {
            Number::Remainder(Box::new([Number::Sum(Box::new(first), more), right]))
        }),
        (more(), more()).prop_map(|(left, right)| Number::Remainder(Box::new([left, right]))),
        leaf_texts().prop_map(|text| Number::Size(Box::new(text))),
        (conditions, more(), more()).prop_map(|(condition, a, b)| Number::Choice(Box::new((condition, a, b)))),
    ]
    .boxed()
}

fn texts(conditions: BoxedStrategy<Condition>) -> BoxedStrategy<Text> {
    let more = || leaf_texts().boxed();
    prop_oneof![
        more(),
        (more(), more()).prop_map(|(a, b)| Text::Concat(Box::new([a, b]))),
        more().prop_map(|text| Text::Lower(Box::new(text))),
        (conditions, more(), more()).prop_map(|(condition, a, b)| Text::Choice(Box::new((condition, a, b)))),
    ]
    .boxed()
}

/// How tight the parts of an expression hold together: choice, or, and, comparison, sum, remainder, sign, the rest.
type Tightness = u8;

/// A part in a place that asks for this tightness, with parentheses where they are needed and nowhere else.
fn placed((written, tightness): (String, Tightness), needed: Tightness) -> String {
    if tightness < needed { format!("({written})") } else { written }
}

fn literal(text: &str) -> String {
    let mut written = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => written.push_str("\\'"),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\u{202e}' | '\0' => written.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => written.push(c),
        }
    }
    written + "'"
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

impl Condition {
    /// As it is written here.
    pub(super) fn written(&self) -> String {
        self.write(false).0
    }

    /// As it is written in CEL, which has neither `has` of a name nor actions: variables stand for them.
    pub(super) fn written_for_cel(&self) -> String {
        self.write(true).0
    }

    fn write(&self, cel: bool) -> (String, Tightness) {
        let join = |parts: &[Self], sign: &str, needed| {
            parts.iter().map(|part| placed(part.write(cel), needed)).collect::<Vec<_>>().join(sign)
        };
        let between = |left: String, sign: &str, right: String| (format!("{left} {sign} {right}"), 3);
        match self {
            Self::Literal(truth) => (truth.to_string(), 7),
            Self::Flag => (FLAG.to_owned(), 7),
            Self::Has(name) if cel => (format!("has_{name}"), 7),
            Self::Has(name) => (format!("has({name})"), 7),
            Self::Action(name) if cel => (format!("action_{name}"), 7),
            Self::Action(name) => (format!("action('{name}')"), 7),
            Self::Not(inner) => (format!("!{}", placed(inner.write(cel), 6)), 6),
            Self::All(parts) => (join(parts, " && ", 3), 2),
            Self::Any(parts) => (join(parts, " || ", 2), 1),
            Self::Choice(parts) => {
                let [condition, then, other] = parts.each_ref().map(|part| part.write(cel));
                (format!("{} ? {} : {}", placed(condition, 1), placed(then, 1), other.0), 0)
            }
            Self::Numbers(order, a, b) => between(placed(a.write(cel), 4), order, placed(b.write(cel), 4)),
            Self::Texts(order, a, b) => between(placed(a.write(cel), 4), order, placed(b.write(cel), 4)),
            Self::Conditions(order, sides) => {
                between(placed(sides[0].write(cel), 3), order, placed(sides[1].write(cel), 4))
            }
            Self::OneText(text, texts) => {
                between(placed(text.write(cel), 4), "in", list(texts.iter().map(|text| literal(text))))
            }
            Self::OneNumber(number, numbers) => {
                // A sign before a literal in a list is no literal of ours to CEL, but its value is the same.
                between(placed(number.write(cel), 4), "in", list(numbers.iter().map(i64::to_string)))
            }
            Self::Find(how, a, b) => (format!("{}.{how}({})", placed(a.write(cel), 7), b.write(cel).0), 7),
            Self::Matches(text, pattern) => (format!("{}.matches(r'{pattern}')", placed(text.write(cel), 7)), 7),
        }
    }
}

impl Number {
    fn write(&self, cel: bool) -> (String, Tightness) {
        match self {
            Self::Literal(number) => (number.to_string(), 7),
            Self::Field(name) => ((*name).to_owned(), 7),
            Self::Negate(inner) => (format!("-{}", placed(inner.write(cel), 6)), 6),
            Self::Sum(first, more) => {
                let mut written = placed(first.write(cel), 4);
                for (sign, part) in more {
                    written += &format!(" {sign} {}", placed(part.write(cel), 5));
                }
                (written, 4)
            }
            Self::Remainder(sides) => {
                (format!("{} % {}", placed(sides[0].write(cel), 5), placed(sides[1].write(cel), 6)), 5)
            }
            Self::Size(text) => (format!("{}.size()", placed(text.write(cel), 7)), 7),
            Self::Choice(choice) => {
                let (condition, then, other) = (choice.0.write(cel), choice.1.write(cel), choice.2.write(cel));
                (format!("{} ? {} : {}", placed(condition, 1), placed(then, 1), other.0), 0)
            }
        }
    }
}

impl Text {
    fn write(&self, cel: bool) -> (String, Tightness) {
        match self {
            Self::Literal(text) => (literal(text), 7),
            Self::Field(name) => ((*name).to_owned(), 7),
            Self::Concat(sides) => {
                (format!("{} + {}", placed(sides[0].write(cel), 4), placed(sides[1].write(cel), 5)), 4)
            }
            Self::Lower(text) => (format!("{}.lowerAscii()", placed(text.write(cel), 7)), 7),
            Self::Choice(choice) => {
                let (condition, then, other) = (choice.0.write(cel), choice.1.write(cel), choice.2.write(cel));
                (format!("{} ? {} : {}", placed(condition, 1), placed(then, 1), other.0), 0)
            }
        }
    }
}
