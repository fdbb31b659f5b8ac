//! Spellings that DataFusion 55 does not know, written in those that it knows: `mod(a, b)`, `date(x)`, and `ESCAPE`
//! with another character than the backslash.
//!
//! A null in a list after `IN` is written apart, because DataFusion 55 drops it when it merges two lists: `x NOT IN (1,
//! 3) OR x NOT IN (1, NULL)` was true for 3. No report upstream is known; remove it when the test of its name passes
//! without it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Query, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::numbered_subqueries::{NumberSubqueries, number_grouped};
use crate::error::{Error, Result};

/// How many values a row may have that is compared: each is written twice.
const MAX_ROW: usize = 8;
/// How long a row before `IN` may be in all, written once for each row of the list.
const MAX_WRITTEN: usize = 128 * 1024;

/// Rewrites a query.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when `ESCAPE` is not one character, or does not follow a literal pattern.
pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    match query.visit(&mut Rewrite::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Rewrite {
    subqueries: NumberSubqueries,
    /// Whether this is within a comparison of rows.
    is_in_rows: bool,
}

fn compares_rows(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { left, right, .. } => matches!((&**left, &**right), (Expr::Tuple(_), Expr::Tuple(_))),
        Expr::InList { expr, .. } => matches!(**expr, Expr::Tuple(_)),
        _ => false,
    }
}

impl VisitorMut for Rewrite {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        number_grouped(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        // Each level would double what is within it.
        if compares_rows(expr) && std::mem::replace(&mut self.is_in_rows, true) {
            return ControlFlow::Break(Error::invalid("rows that are compared hold no comparison of rows"));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.is_in_rows &= !compares_rows(expr);
        match expr {
            Expr::Function(function) => {
                if let FunctionArguments::List(arguments) = &mut function.args {
                    let _ = arguments.visit(&mut self.subqueries);
                }
                let _ = function.filter.visit(&mut self.subqueries);
                if let Some(written) = plain(function) {
                    *expr = written;
                }
            }
            Expr::InList { expr: operand, list, negated } if matches!(**operand, Expr::Tuple(_)) => {
                let Expr::Tuple(row) = &**operand else { return ControlFlow::Continue(()) };
                let found = one_of(row, list)?;
                *expr = if *negated { not(found) } else { found };
            }
            Expr::InList { expr: operand, list, negated } if list.iter().any(is_null) => {
                list.retain(|value| !is_null(value));
                let null = Expr::Cast {
                    kind: CastKind::Cast,
                    expr: Box::new(Expr::Value(Value::Null.into())),
                    data_type: DataType::Boolean,
                    array: false,
                    format: None,
                };
                if list.is_empty() {
                    *expr = null;
                } else {
                    let list = Expr::InList { expr: operand.clone(), list: std::mem::take(list), negated: *negated };
                    let op = if *negated { BinaryOperator::And } else { BinaryOperator::Or };
                    let known = Expr::BinaryOp { left: Box::new(list), op, right: Box::new(null) };
                    *expr = Expr::Nested(Box::new(known));
                }
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if let Some(character) = escape_char.take() {
                    escape(pattern, &character)?;
                }
            }
            Expr::BinaryOp { left, op, right } => {
                if let (Expr::Tuple(left), Expr::Tuple(right)) = (&**left, &**right) {
                    *expr = rows(left, op, right)?;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Writes a comparison of rows as comparisons of their values: DataFusion 55 compares rows as wholes, for which a null
/// is less than all else (no issue is known), and takes names and literals only.
fn rows(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> ControlFlow<Error, Expr> {
    let refuse = |message: String| ControlFlow::Break(Error::invalid(message));
    if left.len() != right.len() || left.is_empty() {
        return refuse("rows that are compared have as many values".to_owned());
    }
    if left.len() > MAX_ROW {
        return refuse(format!("rows that are compared have at most {MAX_ROW} values"));
    }
    if left.iter().chain(right).any(|value| matches!(value, Expr::Tuple(_))) {
        return refuse("rows that are compared hold no rows".to_owned());
    }
    let binary = |left: Expr, op: BinaryOperator, right: Expr| {
        Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }))
    };
    let (strict, joins) = match op {
        BinaryOperator::Eq => (None, BinaryOperator::And),
        BinaryOperator::NotEq => (None, BinaryOperator::Or),
        BinaryOperator::Lt | BinaryOperator::LtEq => (Some(BinaryOperator::Lt), BinaryOperator::Or),
        BinaryOperator::Gt | BinaryOperator::GtEq => (Some(BinaryOperator::Gt), BinaryOperator::Or),
        _ => return refuse(format!("rows cannot be compared with {op}: write a comparison for each value")),
    };
    let mut pairs = left.iter().cloned().zip(right.iter().cloned()).rev();
    let Some((last_left, last_right)) = pairs.next() else { return refuse("a row has values".to_owned()) };
    let mut whole = binary(last_left, op.clone(), last_right);
    for (left, right) in pairs {
        whole = match &strict {
            None => binary(binary(left, op.clone(), right), joins.clone(), whole),
            Some(strict) => {
                let is_equal = binary(left.clone(), BinaryOperator::Eq, right.clone());
                let goes_on = binary(is_equal, BinaryOperator::And, whole);
                binary(binary(left, strict.clone(), right), joins.clone(), goes_on)
            }
        };
    }
    ControlFlow::Continue(whole)
}

/// Writes a row `IN` a list of rows as comparisons with each of them, for the reason of [`rows`].
fn one_of(row: &[Expr], list: &[Expr]) -> ControlFlow<Error, Expr> {
    let refuse = |message: String| ControlFlow::Break(Error::invalid(message));
    let written: usize = row.iter().map(|value| value.to_string().len()).sum();
    if written.saturating_mul(list.len()) > MAX_WRITTEN {
        return refuse("the row before IN is too long for so long a list: compute its values in FROM".to_owned());
    }
    let mut found = Vec::with_capacity(list.len());
    for other in list {
        let Expr::Tuple(other) = other else { return refuse("after IN a row is compared with rows".to_owned()) };
        found.push(rows(row, &BinaryOperator::Eq, other)?);
    }
    // In pairs, so that a long list is no deep tree.
    while found.len() > 1 {
        let mut pairs = found.into_iter();
        found = Vec::new();
        while let Some(left) = pairs.next() {
            found.push(match pairs.next() {
                Some(right) => {
                    let (left, right) = (Box::new(left), Box::new(right));
                    Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Or, right }))
                }
                None => left,
            });
        }
    }
    match found.pop() {
        Some(found) => ControlFlow::Continue(found),
        None => refuse("IN takes a list of rows".to_owned()),
    }
}

fn not(expr: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) }))
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => value.value == Value::Null,
        Expr::Cast { expr, .. } | Expr::Nested(expr) => is_null(expr),
        _ => false,
    }
}

/// The operator or the cast that a call stands for.
fn plain(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let decorated = function.over.is_some()
        || function.filter.is_some()
        || function.null_treatment.is_some()
        || !function.within_group.is_empty()
        || !list.clauses.is_empty()
        || list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    if decorated {
        return None;
    }
    let mut given = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(Box::new(expr.clone())),
        _ => None,
    });
    match (function.name.to_string().to_ascii_lowercase().as_str(), list.args.len()) {
        ("mod", 2) => {
            let (left, right) = (given.next()??, given.next()??);
            Some(Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Modulo, right })))
        }
        ("date", 1) => Some(Expr::Cast {
            kind: CastKind::Cast,
            expr: given.next()??,
            data_type: DataType::Date,
            array: false,
            format: None,
        }),
        _ => None,
    }
}

/// Writes a pattern with the backslash for the character that escapes.
fn escape(pattern: &mut Expr, character: &ValueWithSpan) -> ControlFlow<Error> {
    let refuse = |message: &str| ControlFlow::Break(Error::invalid(message));
    let Value::SingleQuotedString(character) = &character.value else { return refuse("ESCAPE takes one character") };
    let mut characters = character.chars();
    let (character, None) = (characters.next(), characters.next()) else { return refuse("ESCAPE takes one character") };
    let Expr::Value(value) = pattern else { return refuse("ESCAPE needs a pattern that is a literal text") };
    let Value::SingleQuotedString(text) = &value.value else {
        return refuse("ESCAPE needs a pattern that is a literal text");
    };
    let mut written = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let literal = if Some(letter) == character { letters.next() } else { None };
        match literal {
            Some(literal @ ('%' | '_' | '\\')) => written.extend(['\\', literal]),
            Some(literal) => written.push(literal),
            None if Some(letter) == character => return refuse("the pattern ends with its ESCAPE character"),
            None if letter == '\\' => written.push_str("\\\\"),
            None => written.push(letter),
        }
    }
    value.value = Value::SingleQuotedString(written);
    ControlFlow::Continue(())
}
