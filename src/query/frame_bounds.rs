//! Bounds of RANGE frames that leave the type of what the window is ordered by.
//!
//! DataFusion 55 takes such a bound for the edge of the partition, and so takes in the rows that are null there. No
//! issue is known, and no release that ends it. Here it is an error. What is never null keeps its plan.

use std::sync::Arc;

use arrow::array::Array;
use arrow::compute::kernels::numeric::{add, sub};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::expr::{ScalarFunction, Sort};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use datafusion::optimizer::AnalyzerRule;

/// Puts [`Within`] around what RANGE frames are ordered by, once types are settled.
#[derive(Debug)]
pub(super) struct CheckFrames;

impl AnalyzerRule for CheckFrames {
    fn name(&self) -> &'static str {
        "check_frames"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(check)?.data)
    }
}

fn check(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Window(window) = &plan else { return Ok(Transformed::no(plan)) };
    let mut is_changed = false;
    let checked = window.window_expr.iter().map(|expr| {
        let checked = expr.clone().transform_up(|expr| of_function(expr, window.input.schema()))?;
        is_changed |= checked.transformed;
        // The planner looks for a function within one alias, not within two.
        let has_name = !checked.transformed || matches!(checked.data, Expr::Alias(_));
        Ok(if has_name { checked.data } else { checked.data.alias(expr.schema_name().to_string()) })
    });
    let checked = checked.collect::<Result<Vec<_>>>()?;
    if !is_changed {
        return Ok(Transformed::no(plan));
    }
    Ok(Transformed::yes(LogicalPlan::Window(Window::try_new(checked, window.input.clone())?)))
}

fn of_function(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(mut called) = expr else { return Ok(Transformed::no(expr)) };
    let params = &mut called.params;
    let [key] = &mut params.order_by[..] else { return Ok(Transformed::no(Expr::WindowFunction(called))) };
    let offsets = offsets_to_nulls(&params.window_frame, key);
    let found = key.expr.get_type(schema)?;
    let has_edges = found.is_integer() || found.is_decimal() || found.is_temporal();
    if offsets.is_empty() || !has_edges || !key.expr.nullable(schema)? {
        return Ok(Transformed::no(Expr::WindowFunction(called)));
    }
    let is_added = key.nulls_first != key.asc;
    let function = Arc::new(ScalarUDF::from(Within::new(offsets, is_added)));
    key.expr = Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![std::mem::take(&mut key.expr)]));
    Ok(Transformed::yes(Expr::WindowFunction(called)))
}

/// How far the bounds of a RANGE frame reach to the side where nulls are.
fn offsets_to_nulls(frame: &WindowFrame, key: &Sort) -> Vec<ScalarValue> {
    if frame.units != WindowFrameUnits::Range {
        return Vec::new();
    }
    let bounds = [&frame.start_bound, &frame.end_bound].into_iter();
    let offsets = bounds.filter_map(|bound| match bound {
        WindowFrameBound::Preceding(offset) => key.nulls_first.then_some(offset),
        WindowFrameBound::Following(offset) => (!key.nulls_first).then_some(offset),
        WindowFrameBound::CurrentRow => None,
    });
    offsets.filter(|offset| !offset.is_null()).cloned().collect()
}

/// A value from which the bounds of a frame do not leave its type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Within {
    offsets: Vec<ScalarValue>,
    /// Whether the offsets are added rather than subtracted.
    is_added: bool,
    signature: Signature,
}

impl Within {
    fn new(offsets: Vec<ScalarValue>, is_added: bool) -> Self {
        Self { offsets, is_added, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Within {
    fn name(&self) -> &'static str {
        "within_frame"
    }

    fn display_name(&self, operands: &[Expr]) -> Result<String> {
        Ok(operands.first().map_or_else(String::new, ToString::to_string))
    }

    fn schema_name(&self, operands: &[Expr]) -> Result<String> {
        Ok(operands.first().map_or_else(String::new, |operand| operand.schema_name().to_string()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        Ok(input.first().map_or(SortProperties::Unordered, |operand| operand.sort_properties))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = &args.args[..] else { return internal_err!("`within_frame` takes one argument") };
        let values = argument.to_array(args.number_rows)?;
        // The engine takes a difference below zero of what has no sign for zero.
        if !self.is_added && values.data_type().is_unsigned_integer() {
            return Ok(argument.clone());
        }
        for offset in &self.offsets {
            let offset = offset.to_scalar()?;
            let reached = if self.is_added { add(&values, &offset) } else { sub(&values, &offset) };
            if reached.is_err() {
                return exec_err!(
                    "a bound of RANGE BETWEEN is out of range: cast what the window is ordered by to DECIMAL(20, 0) \
                     or TIMESTAMP(3), or write ROWS BETWEEN"
                );
            }
        }
        Ok(argument.clone())
    }
}
