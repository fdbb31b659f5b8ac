//! What is not a number is one value, greater than all numbers, wherever it comes from.
//!
//! In DataFusion 55 the sign of NaN counts: the result of `0.0 / 0`, which has one, is less than all numbers, and
//! differs from `CAST('NaN' AS DOUBLE)` in `=`, `GROUP BY` and joins. No issue is known, and no release that ends it.
//! Here each expression that can make a NaN gives the one without a sign. Stored floats are numbers.
//!
//! The least and the greatest of the floats of a group depend on the order of the rows when one is NaN
//! (apache/datafusion#24432; remove [`FloatExtremes`] with the release that ends it).

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, EmitTo, Expr, ExprSchemable, GroupsAccumulator, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

/// Functions that give NaN for some numbers, or infinities.
const MAKERS: &[&str] = &[
    "acos", "acosh", "asin", "atan2", "atanh", "cos", "cosh", "cot", "exp", "ln", "log", "log10", "log2", "power",
    "round", "sin", "sinh", "sqrt", "tan", "trunc",
];

/// What is computed in the place of an expression that can make a NaN.
///
/// # Errors
/// When the type of the expression cannot be found out.
pub(super) fn plain(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let makes = match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
        }
        Expr::Negative(_) => true,
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => expr.get_type(schema)?.is_string(),
        Expr::ScalarFunction(called) => MAKERS.contains(&called.func.name()),
        _ => false,
    };
    if !makes || !matches!(expr.get_type(schema)?, DataType::Float32 | DataType::Float64) {
        return Ok(None);
    }
    Ok(Some(without_sign(expr.clone())))
}

/// Whether an aggregate can make a NaN: of infinities, it subtracts one from another.
pub(super) fn of_aggregate(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Alias(alias) => return of_aggregate(&alias.expr),
        Expr::AggregateFunction(called) => called.func.name(),
        Expr::WindowFunction(called) => called.fun.name(),
        _ => return false,
    };
    matches!(name, "avg" | "corr" | "median" | "percentile_cont" | "sum")
        || ["covar", "regr_", "stddev", "var"].iter().any(|start| name.starts_with(start))
}

/// An expression that gives NaN without a sign.
pub(super) fn without_sign(expr: Expr) -> Expr {
    let function = Arc::new(ScalarUDF::from(WithoutSign::new()));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))
}

/// A float, or NaN without a sign.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WithoutSign(Signature);

impl WithoutSign {
    fn new() -> Self {
        Self(Signature::any(1, Volatility::Immutable))
    }
}

impl ScalarUDFImpl for WithoutSign {
    fn name(&self) -> &'static str {
        "nan_without_sign"
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
        let [argument] = &args.args[..] else { return internal_err!("`nan_without_sign` takes one argument") };
        let array = argument.to_array(args.number_rows)?;
        let floats: ArrayRef = match array.data_type() {
            DataType::Float32 => Arc::new(
                array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|x| if x.is_nan() { f32::NAN } else { x }),
            ),
            DataType::Float64 => Arc::new(
                array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| if x.is_nan() { f64::NAN } else { x }),
            ),
            other => return internal_err!("`nan_without_sign` takes floats, not {other}"),
        };
        Ok(ColumnarValue::Array(floats))
    }
}

/// The least or the greatest float of each group.
pub(super) struct FloatExtremes<T: ArrowPrimitiveType> {
    /// Whether the first is to be taken rather than the second.
    is_better: fn(T::Native, T::Native) -> bool,
    found: Vec<Option<T::Native>>,
}

impl FloatExtremes<Float32Type> {
    /// `max`, else `min`, of floats of 32 bits.
    pub(super) fn single(is_max: bool) -> Self {
        let is_better =
            if is_max { |x: f32, y: f32| x.total_cmp(&y).is_gt() } else { |x: f32, y: f32| x.total_cmp(&y).is_lt() };
        Self { is_better, found: Vec::new() }
    }
}

impl FloatExtremes<Float64Type> {
    /// `max`, else `min`, of floats of 64 bits.
    pub(super) fn double(is_max: bool) -> Self {
        let is_better =
            if is_max { |x: f64, y: f64| x.total_cmp(&y).is_gt() } else { |x: f64, y: f64| x.total_cmp(&y).is_lt() };
        Self { is_better, found: Vec::new() }
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for FloatExtremes<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.found.resize(count, None);
        let values = values[0].as_primitive::<T>();
        for (row, group) in groups.iter().enumerate() {
            let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if !passes || values.is_null(row) {
                continue;
            }
            let (value, found) = (values.value(row), &mut self.found[*group]);
            if found.is_none_or(|found| (self.is_better)(value, found)) {
                *found = Some(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(emit_to.take_needed(&mut self.found).into_iter().collect::<PrimitiveArray<T>>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.update_batch(states, groups, None, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(filter) = filter else { return Ok(vec![values[0].clone()]) };
        let passes = |row: usize| filter.is_valid(row) && filter.value(row);
        let values = values[0].as_primitive::<T>().iter().enumerate();
        let states: PrimitiveArray<T> = values.map(|(row, value)| value.filter(|_| passes(row))).collect();
        Ok(vec![Arc::new(states)])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.found.capacity() * size_of::<Option<T::Native>>()
    }
}
