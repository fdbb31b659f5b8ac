//! Comparisons of integers with floats, computed exactly.
//!
//! DataFusion 55 turns the integer into a float, so that 9007199254740993 equals 9007199254740992.0. No issue is known,
//! and no release that ends it. Here both keep their digits, where they may differ: beyond 2^53. Literals that have
//! lost digits are refused by [`super::exact_literals`]. `USING`, `UNION` and functions still turn integers into
//! floats, as other databases do.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::expr::{Between, InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, Case, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, binary_expr, cast, lit, not,
};

/// Up to here every integer is a float.
const ALL_FLOATS: i128 = 1 << 53;
/// How many parts an expression has that may be written twice.
const MAX_SHORT: usize = 8;
const TWO_63: f64 = 9_223_372_036_854_775_808.0;
/// From here on no integer of 64 bits is as large.
const NO_INTEGER: f64 = 18_446_744_073_709_551_616.0;

/// The rule. It has to stand in front of the one that settles types.
#[derive(Debug)]
pub(super) struct CompareNumbers;

impl FunctionRewrite for CompareNumbers {
    fn name(&self) -> &'static str {
        "compare_numbers"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let rewritten = match &expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => compared(left, *op, right, schema)?,
            Expr::Between(Between { expr, negated, low, high }) => {
                let pairs = [(Operator::GtEq, &**low), (Operator::LtEq, &**high)];
                each(expr, &pairs, schema)?.map(|[from, to]| {
                    let within = from.and(to);
                    if *negated { not(within) } else { within }
                })
            }
            Expr::InList(InList { expr, list, negated }) => {
                let pairs: Vec<_> = list.iter().map(|value| (Operator::Eq, value)).collect();
                let any = any_of(expr, &pairs, schema)?.and_then(|equal| equal.into_iter().reduce(Expr::or));
                any.map(|any| if *negated { not(any) } else { any })
            }
            Expr::Case(Case { expr: Some(operand), when_then_expr, else_expr }) => {
                let pairs: Vec<_> = when_then_expr.iter().map(|(when, _)| (Operator::Eq, &**when)).collect();
                any_of(operand, &pairs, schema)?.map(|equal| {
                    let then = when_then_expr.iter().map(|(_, then)| then.clone());
                    let when_then_expr = equal.into_iter().map(Box::new).zip(then).collect();
                    Expr::Case(Case { expr: None, when_then_expr, else_expr: else_expr.clone() })
                })
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => match &args[..] {
                [value, other] => any_of(value, &[(Operator::Eq, other)], schema)?.map(|equal| {
                    let null = Box::new(lit(ScalarValue::Null));
                    let when_then_expr = equal.into_iter().map(|equal| (Box::new(equal), null.clone())).collect();
                    Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(Box::new(value.clone())) })
                }),
                _ => None,
            },
            _ => None,
        };
        Ok(rewritten.map_or_else(|| Transformed::no(expr), Transformed::yes))
    }
}

/// The comparisons of a value with others, if one of them is not that of two floats or two integers.
fn any_of(value: &Expr, others: &[(Operator, &Expr)], schema: &DFSchema) -> Result<Option<Vec<Expr>>> {
    let exact = others.iter().map(|(op, other)| compared(value, *op, other, schema)).collect::<Result<Vec<_>>>()?;
    if exact.iter().all(Option::is_none) {
        return Ok(None);
    }
    // The value is written anew in each of them.
    if !is_short(value) {
        return plan_err!(
            "a computed value cannot be compared with integers and floats at once here: compute it in FROM, and use its \
             name"
        );
    }
    let plain = |(op, other): &(Operator, &Expr)| binary_expr(value.clone(), *op, (*other).clone());
    Ok(Some(exact.into_iter().zip(others).map(|(exact, other)| exact.unwrap_or_else(|| plain(other))).collect()))
}

/// [`any_of`] of a number of others that is known.
fn each<const N: usize>(value: &Expr, others: &[(Operator, &Expr); N], schema: &DFSchema) -> Result<Option<[Expr; N]>> {
    Ok(any_of(value, others, schema)?.and_then(|all| all.try_into().ok()))
}

/// Whether an expression may be written twice, without making a text that nests such comparisons grow.
fn is_short(expr: &Expr) -> bool {
    let mut nodes = 0;
    let counted = expr.apply(|_| {
        nodes += 1;
        Ok(if nodes > MAX_SHORT { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    counted.is_ok() && nodes <= MAX_SHORT
}

/// A comparison in which one side is an integer and the other a float that may be another number when both are floats.
fn compared(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let is_comparison = op.supports_propagation()
        || matches!(op, Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
    if !is_comparison {
        return Ok(None);
    }
    // The rule that settles types reports one that cannot be found out.
    let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) else { return Ok(None) };
    let is_whole = |found: &DataType| matches!(found, DataType::Int64 | DataType::UInt64);
    let (whole, whole_type, float, op) = if is_whole(&left_type) && right_type.is_floating() {
        (left, left_type, right, op)
    } else if left_type.is_floating() && is_whole(&right_type) {
        let Some(swapped) = op.swap().or(Some(op).filter(|op| !op.supports_propagation())) else { return Ok(None) };
        (right, right_type, left, swapped)
    } else {
        return Ok(None);
    };
    if let Some(value) = literal(whole)
        && value.to_string().parse::<f64>().is_ok_and(|float| float as i128 == value)
    {
        return Ok(None);
    }
    if let Some(value) = float_literal(float) {
        if value.abs() < ALL_FLOATS as f64 || value.abs() >= NO_INTEGER || value.is_nan() {
            return Ok(None);
        }
        // It is whole, and an integer can be looked up in statistics.
        if whole_type == DataType::Int64 && (-TWO_63..TWO_63).contains(&value) {
            return Ok(Some(binary_expr(whole.clone(), op, lit(value as i64))));
        }
    }
    let is_short = is_short(whole) && is_short(float);
    let (whole, float) = (whole.clone(), cast(float.clone(), DataType::Float64));
    let order = |nulls| {
        let function = Arc::new(ScalarUDF::from(Order::new(nulls)));
        Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![whole.clone(), float.clone()]))
    };
    Ok(Some(match op {
        // A join needs an equation of its sides.
        Operator::Eq if is_short => {
            cast(whole.clone(), DataType::Float64).eq(float.clone()).and(order(Nulls::Unknown).eq(lit(0_i64)))
        }
        Operator::IsNotDistinctFrom => order(Nulls::Values).eq(lit(0_i64)),
        Operator::IsDistinctFrom => order(Nulls::Values).not_eq(lit(0_i64)),
        op => binary_expr(order(Nulls::Unknown), op, lit(0_i64)),
    }))
}

fn literal(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Negative(expr) => literal(expr).map(|value| -value),
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some((*value).into()),
        Expr::Literal(ScalarValue::UInt64(Some(value)), _) => Some((*value).into()),
        _ => None,
    }
}

fn float_literal(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Negative(expr) => float_literal(expr).map(|value| -value),
        Expr::Literal(ScalarValue::Float64(Some(value)), _) => Some(*value),
        _ => None,
    }
}

/// Whether an integer is less than a float (-1), equal (0) or greater (1). NaN is greater than all integers.
fn order(whole: i128, float: f64) -> i64 {
    if float.is_nan() || float >= NO_INTEGER {
        return -1;
    }
    if float < -NO_INTEGER {
        return 1;
    }
    // Within these bounds the whole part of a float is an integer of 128 bits, without rounding.
    match whole.cmp(&(float.trunc() as i128)) {
        Ordering::Less => -1,
        Ordering::Greater => 1,
        Ordering::Equal if float.fract() > 0.0 => -1,
        Ordering::Equal if float.fract() < 0.0 => 1,
        Ordering::Equal => 0,
    }
}

/// What a null is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Nulls {
    /// The order is unknown.
    Unknown,
    /// A value that equals null only.
    Values,
}

/// [`order`] of an integer and a float.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Order {
    nulls: Nulls,
    signature: Signature,
}

impl Order {
    fn new(nulls: Nulls) -> Self {
        Self { nulls, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn of<W: Into<i128>>(&self, whole: Option<W>, float: Option<f64>) -> Option<i64> {
        match (whole, float) {
            (Some(whole), Some(float)) => Some(order(whole.into(), float)),
            _ if self.nulls == Nulls::Unknown => None,
            (None, None) => Some(0),
            _ => Some(1),
        }
    }
}

impl ScalarUDFImpl for Order {
    fn name(&self) -> &'static str {
        match self.nulls {
            Nulls::Unknown => "order_of_numbers",
            Nulls::Values => "order_of_numbers_and_nulls",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [whole, float] = &args.args[..] else { return internal_err!("`order_of_numbers` takes two arguments") };
        let (whole, float) = (whole.to_array(args.number_rows)?, float.to_array(args.number_rows)?);
        let Some(floats) = float.as_primitive_opt::<Float64Type>() else {
            return internal_err!("`order_of_numbers` takes a float, not {}", float.data_type());
        };
        let orders: Int64Array = match whole.data_type() {
            DataType::Int64 => whole
                .as_primitive::<Int64Type>()
                .iter()
                .zip(floats)
                .map(|(whole, float)| self.of(whole, float))
                .collect(),
            DataType::UInt64 => whole
                .as_primitive::<UInt64Type>()
                .iter()
                .zip(floats)
                .map(|(whole, float)| self.of(whole, float))
                .collect(),
            other => return internal_err!("`order_of_numbers` takes an integer, not {other}"),
        };
        Ok(ColumnarValue::Array(Arc::new(orders)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_compared_with_a_float_to_the_last_digit() {
        let largest = i128::from(i64::MAX);
        for (whole, float, expected) in [
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, 1),
            (9_007_199_254_740_992, 9_007_199_254_740_992.0, 0),
            (-9_007_199_254_740_993, -9_007_199_254_740_992.0, -1),
            (largest, 9_223_372_036_854_775_808.0, -1),
            (-largest - 1, -9_223_372_036_854_775_808.0, 0),
            (u64::MAX.into(), NO_INTEGER, -1),
            (1, 1.5, -1),
            (2, 1.5, 1),
            (-1, -1.5, 1),
            (-2, -1.5, -1),
            (0, -0.0, 0),
            (0, f64::NAN, -1),
            (largest, f64::INFINITY, -1),
            (-largest, f64::NEG_INFINITY, 1),
        ] {
            assert_eq!(order(whole, float), expected, "{whole} {float}");
        }
    }
}
