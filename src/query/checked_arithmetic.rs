//! An integer that is too large is an error, not another number.
//!
//! In DataFusion 55 `+`, `-`, `*` and `sum` wrap around, and no option changes that (apache/datafusion#2455, #12140,
//! open; no release ends it). Once types are settled, the operators on integers become functions that check, under the
//! names of the operators. `sum` adds decimals of 38 digits, which no number of rows exhausts, and those of 76 digits
//! for decimals that exhaust them; its result is cast back.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Decimal128Array};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, DataFusionError, ExprSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, Projection, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, Window, WindowFunctionDefinition, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::function_rewrite::ApplyFunctionRewrites;
use datafusion::physical_expr_common::datum;

use super::{exact, instants, not_a_number};

/// Ten billion decimals of this many digits have a sum of 38 digits.
const FEW_DIGITS: u8 = 28;
/// Every integer of 64 bits.
const WIDE: DataType = DataType::Decimal128(20, 0);

/// The rules, in this order, behind the one that settles types.
pub(super) fn rules() -> [Arc<dyn AnalyzerRule + Send + Sync>; 2] {
    [Arc::new(ApplyFunctionRewrites::new(vec![Arc::new(CheckOperators)])), Arc::new(WidenSums)]
}

/// Puts [`Checked`] in the place of operators on integers.
#[derive(Debug)]
struct CheckOperators;

impl FunctionRewrite for CheckOperators {
    fn name(&self) -> &'static str {
        "check_operators"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        if let Some(exact) = exact::comparison(&expr, schema)? {
            return Ok(Transformed::yes(exact));
        }
        if let Some(corrected) = instants::corrected(&expr) {
            return Ok(Transformed::yes(corrected));
        }
        let (operator, operands) = match &expr {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: op @ (Operator::Plus | Operator::Minus | Operator::Multiply),
                right,
            }) => (*op, vec![&**left, &**right]),
            Expr::Negative(operand) => (Operator::Minus, vec![&**operand]),
            _ => return Ok(not_a_number::plain(&expr, schema)?.map_or_else(|| Transformed::no(expr), Transformed::yes)),
        };
        if let Some(plain) = not_a_number::plain(&expr, schema)? {
            return Ok(Transformed::yes(plain));
        }
        if matches!(expr.get_type(schema)?, DataType::Decimal128(38, _)) {
            let function = Arc::new(ScalarUDF::from(exact::Within::new()));
            return Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))));
        }
        let types = operands.iter().map(|operand| operand.get_type(schema)).collect::<Result<Vec<_>>>()?;
        if !types.iter().all(|found| found.is_integer() && *found == types[0]) {
            return Ok(Transformed::no(expr));
        }
        let function = Arc::new(ScalarUDF::from(Checked::new(operator, operands.len())));
        let operands = operands.into_iter().cloned().collect();
        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, operands))))
    }
}

/// An operator on integers of one type that fails when the result is not one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operator: Operator,
    signature: Signature,
}

impl Checked {
    fn new(operator: Operator, operands: usize) -> Self {
        Self { operator, signature: Signature::any(operands, Volatility::Immutable) }
    }

    /// The expression that this stands for.
    fn written(&self, operands: &[Expr]) -> Expr {
        match operands {
            [left, right] => {
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left.clone()), self.operator, Box::new(right.clone())))
            }
            others => Expr::Negative(Box::new(others[0].clone())),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        match self.operator {
            Operator::Plus => "checked_add",
            Operator::Minus => "checked_subtract",
            _ => "checked_multiply",
        }
    }

    fn display_name(&self, operands: &[Expr]) -> Result<String> {
        Ok(self.written(operands).to_string())
    }

    fn schema_name(&self, operands: &[Expr]) -> Result<String> {
        Ok(self.written(operands).schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), args.arg_fields[0].data_type().clone(), nullable)))
    }

    fn is_nullable(&self, operands: &[Expr], schema: &dyn ExprSchema) -> bool {
        operands.iter().any(|operand| operand.nullable(schema).unwrap_or(true))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let done = match (&*args.args, self.operator) {
            ([left, right], Operator::Plus) => datum::apply(left, right, numeric::add),
            ([left, right], Operator::Minus) => datum::apply(left, right, numeric::sub),
            ([left, right], _) => datum::apply(left, right, numeric::mul),
            (others, _) => datum::apply(&others[0], &others[0], |operand, _| numeric::neg(operand.get().0)),
        };
        done.map_err(|error| match &error {
            DataFusionError::ArrowError(inner, _) => match &**inner {
                ArrowError::ArithmeticOverflow(text) => {
                    DataFusionError::Execution(format!("the result is too large for an integer: {text}"))
                }
                _ => error,
            },
            _ => error,
        })
    }
}

/// The decimal of an integer, without the checks of a cast: it always fits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Wide(Signature);

impl Wide {
    fn new() -> Self {
        Self(Signature::any(1, Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Wide {
    fn name(&self) -> &'static str {
        "wide"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(WIDE)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = &args.args[..] else { return internal_err!("`wide` takes one argument") };
        let array = argument.to_array(args.number_rows)?;
        let wide: Decimal128Array = match array.data_type() {
            DataType::Int64 => array.as_primitive::<Int64Type>().unary(i128::from),
            DataType::UInt64 => array.as_primitive::<UInt64Type>().unary(i128::from),
            other => return internal_err!("`wide` takes integers, not {other}"),
        };
        Ok(ColumnarValue::Array(Arc::new(wide.with_data_type(WIDE))))
    }
}

/// Lets `sum` add decimals where it would add integers.
#[derive(Debug)]
struct WidenSums;

impl AnalyzerRule for WidenSums {
    fn name(&self) -> &'static str {
        "widen_sums"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(widen)?.data)
    }
}

fn widen(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let (input, sums) = match &plan {
        LogicalPlan::Aggregate(aggregate) => (&aggregate.input, &aggregate.aggr_expr),
        LogicalPlan::Window(window) => (&window.input, &window.window_expr),
        _ => return Ok(Transformed::no(plan)),
    };
    let widened = sums.iter().map(|sum| wide(sum, input.schema())).collect::<Result<Vec<_>>>()?;
    let first = plan.schema().fields().len() - sums.len();
    let makes_nan: Vec<_> = sums
        .iter()
        .zip(&plan.schema().fields()[first..])
        .map(|(sum, field)| {
            not_a_number::of_aggregate(sum) && matches!(field.data_type(), DataType::Float32 | DataType::Float64)
        })
        .collect();
    if widened.iter().all(Option::is_none) && !makes_nan.contains(&true) {
        return Ok(Transformed::no(plan));
    }
    let given: Vec<Expr> = widened.iter().zip(sums).map(|(wide, sum)| wide.as_ref().unwrap_or(sum).clone()).collect();
    let rewritten = match &plan {
        LogicalPlan::Aggregate(aggregate) => {
            LogicalPlan::Aggregate(Aggregate::try_new(input.clone(), aggregate.group_expr.clone(), given)?)
        }
        _ => LogicalPlan::Window(Window::try_new(given, input.clone())?),
    };
    let columns = plan.schema().iter().enumerate().map(|(at, (qualifier, field))| {
        let column = Expr::Column(Column::from((qualifier, field)));
        match at.checked_sub(first) {
            Some(at) if widened[at].is_some() => cast(column, field.data_type().clone()).alias(field.name()),
            Some(at) if makes_nan[at] => not_a_number::without_sign(column).alias(field.name()),
            _ => column,
        }
    });
    let columns = columns.collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(rewritten))?)))
}

/// What an aggregate is computed by, under its old name: decimals for a sum of integers; decimals of 256 bits where
/// fewer than 10^10 rows exhaust those of 128; and one zero instead of two for a count of distinct floats, as
/// DataFusion 55 has it where such a count stands alone (no issue is known).
fn wide(sum: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let mut changed = sum.clone().unalias_nested().data;
    let (name, is_distinct, arguments) = match &mut changed {
        Expr::AggregateFunction(called) => {
            (called.func.name().to_owned(), called.params.distinct, &mut called.params.args)
        }
        Expr::WindowFunction(called) => match &called.fun {
            WindowFunctionDefinition::AggregateUDF(function) => {
                (function.name().to_owned(), called.params.distinct, &mut called.params.args)
            }
            WindowFunctionDefinition::WindowUDF(_) => return Ok(None),
        },
        _ => return Ok(None),
    };
    let [argument] = &mut arguments[..] else { return Ok(None) };
    let found = argument.get_type(schema)?;
    *argument = match (&*name, &found) {
        ("count", float) if is_distinct && float.is_floating() => {
            std::mem::take(argument) + lit(ScalarValue::new_zero(float)?)
        }
        ("sum" | "avg", DataType::Decimal128(digits, scale)) if *digits > FEW_DIGITS => {
            cast(std::mem::take(argument), DataType::Decimal256(*digits, *scale))
        }
        ("sum", DataType::Int64 | DataType::UInt64) => {
            let wide = Arc::new(ScalarUDF::from(Wide::new()));
            Expr::ScalarFunction(ScalarFunction::new_udf(wide, vec![std::mem::take(argument)]))
        }
        _ => return Ok(None),
    };
    Ok(Some(changed.alias(sum.schema_name().to_string())))
}
