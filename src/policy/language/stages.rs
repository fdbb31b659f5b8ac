//! One door for each stage of compiling, for programs that try hostile input.

use super::{ActionBits, Actions, Fields, Patterns, Problem, Scope, Values, compile, compiled, parse, token};
use crate::policy::value::Value;

/// Cuts a text into tokens: how many, or how many faults.
///
/// # Errors
/// The number of faults.
pub fn tokens(source: &str) -> Result<usize, usize> {
    token::tokens(source).map(|tokens| tokens.len()).map_err(|problems| problems.len())
}

/// Parses a text: how deep it nests.
///
/// # Errors
/// The number of faults.
pub fn tree(source: &str) -> Result<usize, usize> {
    let tokens = token::tokens(source).map_err(|problems| problems.len())?;
    parse::parse(source, &tokens).map(|tree| tree.depth).map_err(|_| 1)
}

/// Checks and compiles a text: what it costs.
///
/// # Errors
/// The number of faults.
pub fn program(source: &str) -> Result<u32, usize> {
    let (mut fields, mut patterns, actions) = (Fields::default(), Patterns::default(), Actions::none());
    let mut scope = Scope { fields: &mut fields, patterns: &mut patterns, actions: &actions };
    let compiled: Result<_, Vec<Problem>> = compiled(source, &mut scope);
    compiled.map(|program| program.cost()).map_err(|problems| problems.len())
}

/// Compiles a text, evaluates and explains it where every field holds the same value. `None` when it has faults.
pub fn truth(source: &str, value: &Value<'_>) -> Option<bool> {
    let (mut fields, mut patterns, actions) = (Fields::default(), Patterns::default(), Actions::none());
    let mut scope = Scope { fields: &mut fields, patterns: &mut patterns, actions: &actions };
    let program = compile(source, &mut scope).ok()?;
    let values = Values::read(&fields, |_| value.clone());
    let truth = program.eval(&values, &ActionBits::default());
    let steps = program.explain(&values, &ActionBits::default(), &fields);
    (steps.first()?.truth == truth).then_some(truth)
}
