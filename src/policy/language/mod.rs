//! The language of expressions: CEL's syntax, a typed subset, compiled once and evaluated without errors.
//!
//! | module | what lives there |
//! |---|---|
//! | `span` | places in a source |
//! | `token`, `literal`, `duration` | a source as words, literals and signs |
//! | `tree`, `parse` | tokens as a tree |
//! | `check`, `form`, `typed` | names and types; literals that no value can equal |
//! | `pattern`, `networks`, `actions` | what expressions refer to |
//! | `compile`, `program` | the tree as a program, and its evaluation |
//! | `explain` | why an expression is true or false for an event |
//! | `stages` | a door for each stage, for fuzzing |
//!
//! # What can be written
//!
//! Text `'a'`, `"a"`, `'''a'''`, raw `r'\d+'`, with the escapes of CEL; whole numbers of 64 bits, also `0x1f`; `true`,
//! `false`; durations `duration('1m30s')`; [fields](super::Field); `&& || !`, `== != < <= > >=`, `in ['a', 'b']`,
//! `+ - %`, `a ? b : c`, parentheses, comments from `//` to the end of the line; and the functions
//! `a.startsWith(b)`, `a.endsWith(b)`, `a.contains(b)`, `a.matches('pattern')`, `a.lowerAscii()`, `a.size()`,
//! `has(field)`, `ip_in(client_ip, ['10.0.0.0/8'])`, `action('login')`.
//!
//! It means what it means in [CEL](https://github.com/google/cel-spec/blob/master/doc/langdef.md), wherever CEL has a
//! value and no error:
//!
//! - Texts are compared by code point, `size` counts code points, and nothing is normalised.
//! - `matches` looks for a match anywhere in the text. Patterns are those of the crate `regex`; `\d`, `\w`, `\s` and
//!   `\b` know ASCII only, as in RE2. One that could take long on some text is refused.
//! - The result of `%` has the sign of its left side.
//! - Neither `&&` nor `||` has an order.
//!
//! Where CEL has an error, there is a value here, so that no rule fails open or closed:
//!
//! - An absent field is empty as text, false as a condition, and null as a number or an address. `has(field)` tells; a
//!   field that is there and empty is there.
//! - A number that overflows is null, and so is `a % 0`. What is computed with null is null.
//! - A comparison with null is false, whichever: `response_status != 200` is false without a response, and
//!   `!(response_status == 200)` is true.
//! - A part of the payload is text, a number or a bool, as what stands beside it asks. A number is text too, in
//!   decimal; text is never a number. Two parts of the payload are compared as text.
//!
//! Beyond CEL: `has` takes a field, `ip_in` and `action` exist, `client_ip` is an address and compared as one, and
//! `duration_ms` is a number that also compares with a duration, for which a text may stand: `duration_ms > '5s'`.
//!
//! Not in language 1: maps, macros, bytes, floats, unsigned numbers, null, `*`, `/`, indices, conversions, lists other
//! than those of literals behind `in` and in `ip_in`. Characters that cannot be seen are written as escapes. A literal
//! that no value of its field can equal is a fault: `request_method == 'post'`.

mod actions;
mod check;
mod compile;
mod duration;
mod explain;
mod form;
mod literal;
mod networks;
mod parse;
mod pattern;
mod program;
mod span;
#[doc(hidden)]
pub mod stages;
mod token;
mod tree;
mod typed;

#[cfg(test)]
mod tests;

pub use actions::{ActionBits, ActionSlot, Actions};
pub use explain::{SeenField, Step};
pub use pattern::Patterns;

use program::{Facts, Test};
use span::{Problem, Span};

use super::fault::Fault;
use super::field::{Fields, Slot};
use super::value::Values;

/// Longest source, in bytes.
pub const MAX_BYTES: usize = 4 << 10;
/// Most parts of an expression. A list of literals is one.
pub const MAX_NODES: usize = 256;
/// How deep an expression nests.
pub const MAX_DEPTH: usize = 32;
/// Most units that one expression may cost, some two nanoseconds each.
pub const MAX_COST: u32 = 10_000;
/// The bytes to which a value is cut before it is evaluated.
pub const MAX_VALUE_BYTES: usize = 1 << 10;
/// More faults of one expression than these are not reported.
const MAX_FAULTS: usize = 64;

/// What the expressions of one set share.
#[derive(Debug)]
pub struct Scope<'s> {
    /// The fields that they read.
    pub fields: &'s mut Fields,
    /// Their patterns.
    pub patterns: &'s mut Patterns,
    /// The actions that this one may ask for.
    pub actions: &'s Actions,
}

/// Compiles an expression.
///
/// ```
/// use keyloft::policy::{Actions, ActionBits, Fields, Patterns, Scope, Value, Values, compile};
/// let (mut fields, mut patterns) = (Fields::default(), Patterns::default());
/// let actions = Actions::none();
/// let mut scope = Scope { fields: &mut fields, patterns: &mut patterns, actions: &actions };
/// let program = compile("request_method == 'POST'", &mut scope).unwrap();
/// let faults = compile("request_method == 'post'", &mut scope).unwrap_err();
/// assert_eq!(faults[0].to_string(), ":1:19: this is never true: methods are in upper case ('POST')");
/// let values = Values::read(&fields, |_| Value::Text("POST".into()));
/// assert!(program.eval(&values, &ActionBits::default()));
/// ```
///
/// # Errors
/// All faults of the expression, in the order of their places; their `path` is empty.
pub fn compile(source: &str, scope: &mut Scope<'_>) -> Result<Program, Vec<Fault>> {
    compiled(source, scope).map_err(|mut problems| {
        problems.sort_by_key(|problem| problem.span);
        problems.into_iter().map(|problem| problem.fault(source)).collect()
    })
}

fn compiled(source: &str, scope: &mut Scope<'_>) -> Result<Program, Vec<Problem>> {
    let start = Span::new(0, 0);
    if source.len() > MAX_BYTES {
        let message = format!("the expression has {} bytes, and at most {MAX_BYTES}", source.len());
        return Err(vec![Problem::new(start, message)]);
    }
    let tokens = token::tokens(source)?;
    let tree = parse::parse(source, &tokens).map_err(|problem| vec![problem])?;
    let typed = check::check(source, &tree, scope)?;
    let compiled = compile::compile(&typed);
    let (test, cost) = compiled.ok_or_else(|| vec![Problem::new(tree.span, "the expression cannot be compiled")])?;
    if cost > MAX_COST {
        let message = format!("the expression costs {cost} units, and at most {MAX_COST}");
        return Err(vec![Problem::new(tree.span, message).hint("use fewer patterns, or split it into policies")]);
    }
    let mut slots = Vec::new();
    explain::slots_of(&test, &mut slots);
    let reads = |slot: &Slot| scope.fields.get(*slot).is_some_and(|field| field.reads_response());
    let reads_response = slots.iter().any(reads);
    Ok(Program { source: source.into(), test, cost, slots: slots.into(), reads_response })
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Program {
    source: Box<str>,
    test: Test,
    cost: u32,
    slots: Box<[Slot]>,
    reads_response: bool,
}

impl Program {
    /// Whether it is true for an event. The values are those of the fields of the same scope.
    #[inline]
    pub fn eval(&self, values: &Values<'_>, actions: &ActionBits) -> bool {
        self.test.holds(Facts { values, actions })
    }

    /// Each condition in it with its place, in the order of the source, and what it saw.
    pub fn explain(&self, values: &Values<'_>, actions: &ActionBits, fields: &Fields) -> Vec<Step> {
        explain::explain(&self.test, &self.source, Facts { values, actions }, fields)
    }

    /// The units that it costs at most.
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// The fields that it reads.
    pub fn fields(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether it reads what only an event with a response has.
    pub fn reads_response(&self) -> bool {
        self.reads_response
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }
}
