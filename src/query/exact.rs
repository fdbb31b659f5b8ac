//! Comparisons and decimals that DataFusion 55 answers wrongly, computed exactly. No issues are known.
//!
//! - Intervals compare by months, then days, then nanoseconds, so that 25 hours are less than a day. They are compared
//!   by their length, with months of 30 days and days of 24 hours, as other databases do.
//! - Lists after `IN`, `CASE x WHEN` and `nullif` tell the two zeros of floats apart, which `=` does not.
//! - A decimal of 39 digits is taken for one of 38, and loses its last digit when it is written.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Decimal128Array};
use arrow::datatypes::{
    DataType, Decimal128Type, DecimalType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::logical_expr::expr::{Between, InList, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, lit,
};

/// The length of an interval in nanoseconds.
const LENGTH: DataType = DataType::Decimal128(38, 0);
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const NANOS_OF_DAY: i128 = 24 * 3600 * 1_000_000_000;
/// Lists of up to three values become comparisons with `=`.
const SHORT_LIST: usize = 3;

/// What is computed in the place of a comparison, if it is one that would be wrong.
///
/// # Errors
/// When the type of an operand cannot be found out.
pub(super) fn comparison(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let is_interval = |expr: &Expr| -> Result<bool> { Ok(matches!(expr.get_type(schema)?, DataType::Interval(_))) };
    let is_float = |expr: &Expr| -> Result<bool> { Ok(expr.get_type(schema)?.is_floating() && !is_plain(expr)) };
    // Negative zero becomes zero, and all else stays.
    let one_zero = |value: &Expr| -> Result<Expr> {
        Ok(match value.get_type(schema)? {
            float if float.is_floating() => value.clone() + lit(ScalarValue::new_zero(&float)?),
            _ => value.clone(),
        })
    };
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if compares(*op) && (is_interval(left)? || is_interval(right)?) =>
        {
            let (left, right) = (Box::new(length(left)), Box::new(length(right)));
            Some(Expr::BinaryExpr(BinaryExpr { left, op: *op, right }))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_interval(expr)? => {
            let [expr, low, high] = [expr, low, high].map(|operand| Box::new(length(operand)));
            Some(Expr::Between(Between { expr, negated: *negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated }) if is_interval(expr)? => {
            let list = list.iter().map(length).collect();
            Some(Expr::InList(InList { expr: Box::new(length(expr)), list, negated: *negated }))
        }
        Expr::InList(InList { expr, list, negated })
            if (list.len() > SHORT_LIST || expr.column_refs().is_empty()) && is_float(expr)? =>
        {
            let list = list.iter().map(one_zero).collect::<Result<_>>()?;
            Some(Expr::InList(InList { expr: Box::new(one_zero(expr)?), list, negated: *negated }))
        }
        Expr::Case(case) => match &case.expr {
            Some(operand) if is_float(operand)? => {
                let mut case = case.clone();
                case.expr = Some(Box::new(one_zero(operand)?));
                for (when, _) in &mut case.when_then_expr {
                    **when = one_zero(when)?;
                }
                Some(Expr::Case(case))
            }
            _ => None,
        },
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => match &args[..] {
            [value, other] if is_float(value)? => {
                let args = vec![one_zero(value)?, one_zero(other)?];
                Some(Expr::ScalarFunction(ScalarFunction { func: func.clone(), args }))
            }
            _ => None,
        },
        _ => None,
    })
}

fn compares(operator: Operator) -> bool {
    operator.supports_propagation()
        || matches!(operator, Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

/// Whether this was done already.
fn is_plain(value: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { op: Operator::Plus, right, .. }) = value else { return false };
    matches!(**right, Expr::Literal(..))
}

fn length(interval: &Expr) -> Expr {
    let interval = cast(interval.clone(), INTERVAL);
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(Length::new())), vec![interval]))
}

/// The length of an interval.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Length(Signature);

impl Length {
    fn new() -> Self {
        Self(Signature::any(1, Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &'static str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(LENGTH)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = &args.args[..] else { return internal_err!("`interval_length` takes one argument") };
        let array = argument.to_array(args.number_rows)?;
        let Some(intervals) = array.as_primitive_opt::<IntervalMonthDayNanoType>() else {
            return internal_err!("`interval_length` takes intervals, not {}", array.data_type());
        };
        let nanos = |IntervalMonthDayNano { months, days, nanoseconds }| {
            (i128::from(months) * 30 + i128::from(days)) * NANOS_OF_DAY + i128::from(nanoseconds)
        };
        let lengths: Decimal128Array = intervals.unary(nanos);
        Ok(ColumnarValue::Array(Arc::new(lengths.with_data_type(LENGTH))))
    }
}

/// A decimal, if it has no more than the 38 digits of its type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Within(Signature);

impl Within {
    pub(super) fn new() -> Self {
        Self(Signature::any(1, Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Within {
    fn name(&self) -> &'static str {
        "within_38_digits"
    }

    fn display_name(&self, operands: &[Expr]) -> Result<String> {
        Ok(operands.first().map_or_else(String::new, ToString::to_string))
    }

    fn schema_name(&self, operands: &[Expr]) -> Result<String> {
        Ok(operands.first().map_or_else(String::new, |operand| operand.schema_name().to_string()))
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = &args.args[..] else { return internal_err!("`within_38_digits` takes one argument") };
        let array = argument.to_array(args.number_rows)?;
        if let Some(decimals) = array.as_primitive_opt::<Decimal128Type>()
            && let DataType::Decimal128(digits, scale) = decimals.data_type()
        {
            for value in decimals.iter().flatten() {
                Decimal128Type::validate_decimal_precision(value, *digits, *scale)
                    .map_err(|_| exec_datafusion_err!("the result is too large for a decimal of 38 digits"))?;
            }
        }
        Ok(ColumnarValue::Array(array))
    }
}
