//! Refuses a literal that is compared and has lost digits when it was read.
//!
//! DataFusion 55 reads a number with a fraction or an exponent as a float. From 2^53 on it may be another number than
//! the one that was written: `id = 9007199254740993.0` would find 9007199254740992.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use crate::error::Error;

/// Up to here a fraction is rounded, and nothing else.
const ALL_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// From here on no integer of 64 bits is as large.
const NO_INTEGER: f64 = 18_446_744_073_709_551_616.0;

/// Checks the operands of a comparison.
pub(super) fn check(expr: &Expr) -> ControlFlow<Error> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq, Spaceship};
    match expr {
        Expr::BinaryOp { left, op: Eq | NotEq | Lt | LtEq | Gt | GtEq | Spaceship, right }
        | Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right) => {
            [left, right].into_iter().try_for_each(|operand| keeps_digits(operand))
        }
        Expr::Between { expr, negated: _, low, high } => {
            [expr, low, high].into_iter().try_for_each(|operand| keeps_digits(operand))
        }
        Expr::InList { expr: _, list, negated: _ } => list.iter().try_for_each(keeps_digits),
        Expr::Case { operand: Some(_), conditions, .. } => {
            conditions.iter().try_for_each(|when| keeps_digits(&when.condition))
        }
        _ => ControlFlow::Continue(()),
    }
}

fn keeps_digits(expr: &Expr) -> ControlFlow<Error> {
    match expr {
        Expr::Nested(expr) | Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => {
            keeps_digits(expr)
        }
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) if !is_exact(text) => ControlFlow::Break(Error::invalid(
                "a number of this size loses digits when it has a fraction or an exponent: compare with a number that \
                 has neither",
            )),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    }
}

/// Whether the float that a text is read as is the number that is written, or one whose fraction was rounded.
fn is_exact(text: &str) -> bool {
    if !text.contains(['.', 'e', 'E']) {
        return true;
    }
    let Ok(value) = text.parse::<f64>() else { return true };
    if !(ALL_INTEGERS..NO_INTEGER).contains(&value) {
        return true;
    }
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let places = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent);
    let Ok(places) = usize::try_from(places) else { return false };
    let all = format!("{whole}{fraction}");
    let (before, behind) = all.split_at_checked(places).unwrap_or((&all, ""));
    let missing = places.saturating_sub(before.len());
    let written = before.trim_start_matches('0');
    let exact = format!("{value:.0}");
    behind.bytes().all(|digit| digit == b'0')
        && written.len().checked_add(missing) == Some(exact.len())
        && exact.starts_with(written)
        && exact[written.len()..].bytes().all(|digit| digit == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_exact_when_its_digits_are_those_of_the_float() {
        for text in ["9007199254740992.0", "1e18", "1e100", "9007199254740993", "0.1", "12345.678", "1E22", "1e999"] {
            assert!(is_exact(text), "{text}");
        }
        for text in ["9007199254740993.0", "9007199254740992.5", "9.007199254740993e15", "123456789012345678.9"] {
            assert!(!is_exact(text), "{text}");
        }
    }
}
