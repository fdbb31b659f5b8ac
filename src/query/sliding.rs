//! Aggregates of floats over a window that moves, without subtracting what leaves it.
//!
//! DataFusion 55 takes a value that leaves the frame out of the result again: after 1e17 among small values every sum
//! is wrong, and infinities and NaN never leave (apache/datafusion#22139 mended frames of nulls only; no issue is known
//! about the rest, and no release that ends it). A [`FrameQueue`] computes them here.
//!
//! The least and the greatest float of a group are found by [`FloatExtremes`], with NaN above all numbers.
//!
//! Sums of distinct decimals, which hold integers too, are exact, and are added and subtracted as such. Other distinct
//! values over a window that moves are refused.
//!
//! What these functions find over a window is not taken for sorted: DataFusion 55 leaves out the sort by a `min`, `max`
//! or `count`, although it is null until the first value comes, and a frame that moves loses values again. No report
//! upstream is known (apache/datafusion#14271 and #14813 brought it), and no release that ends it.
//!
//! `corr` of groups is computed row by row: for groups DataFusion 55 subtracts sums of squares, which leaves nothing of
//! values that are large and close together (ended by the release that has apache/datafusion#24953).

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowNativeTypeOp, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, internal_err, not_impl_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, Operator, ReversedUDAF, SetMonotonicity,
    Signature, StatisticsArgs,
};

use super::frame_queue::FrameQueue;
use super::not_a_number::FloatExtremes;

/// The function, with the corrections of the module; others are returned as they are.
pub(super) fn corrected(function: Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    let name = function.name();
    let is_wrong = matches!(name, "sum" | "avg" | "corr" | "min" | "max" | "count")
        || ["var", "stddev", "covar", "regr_"].iter().any(|start| name.starts_with(start));
    if is_wrong { Arc::new(AggregateUDF::new_from_impl(Corrected(function))) } else { function }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Corrected(Arc<AggregateUDF>);

impl AggregateUDFImpl for Corrected {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.0.return_field(fields)
    }

    fn is_nullable(&self) -> bool {
        self.0.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.0.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.name() != "corr" && self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let is_max = self.name() == "max";
        match (self.name(), args.return_field.data_type()) {
            ("min" | "max", DataType::Float32) => Ok(Box::new(FloatExtremes::single(is_max))),
            ("min" | "max", DataType::Float64) => Ok(Box::new(FloatExtremes::double(is_max))),
            _ => self.0.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if matches!(self.name(), "min" | "max" | "count") {
            return self.0.create_sliding_accumulator(args);
        }
        let of_floats = args.expr_fields.iter().all(|field| *field.data_type() == DataType::Float64);
        if !args.is_distinct {
            return if of_floats {
                Ok(Box::new(FrameQueue::new(self.0.clone(), &args)?))
            } else {
                self.0.create_sliding_accumulator(args)
            };
        }
        match (self.name(), args.expr_fields.first().map(|field| field.data_type())) {
            ("sum", Some(DataType::Decimal128(..))) => {
                Ok(Box::new(DistinctSum::<Decimal128Type>::new(args.return_field.data_type())))
            }
            ("sum", Some(DataType::Decimal256(..))) => {
                Ok(Box::new(DistinctSum::<Decimal256Type>::new(args.return_field.data_type())))
            }
            (name, _) => not_impl_err!(
                "{name} of distinct values cannot be computed over a window that moves: leave out DISTINCT, or begin \
                 the window with UNBOUNDED PRECEDING"
            ),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.0.simplify()
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        argument: &Expr,
        operator: Operator,
        literal: &Expr,
        argument_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.0.simplify_expr_op_literal(function, argument, operator, literal, argument_is_left)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        // These functions are their own reverses: another would bring back the subtraction.
        ReversedUDAF::Identical
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(types)
    }

    fn is_descending(&self) -> Option<bool> {
        self.0.is_descending()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.0.value_from_stats(statistics)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.0.default_value(data_type)
    }

    fn set_monotonicity(&self, _: &DataType) -> SetMonotonicity {
        SetMonotonicity::NotMonotonic
    }
}

/// The sum of the distinct decimals of a frame. Decimals are exact, so those that leave are subtracted.
#[derive(Debug)]
struct DistinctSum<T: DecimalType> {
    /// How often each value is in the frame.
    times: HashMap<T::Native, usize>,
    sum: T::Native,
    result: DataType,
}

impl<T: DecimalType> DistinctSum<T>
where
    T::Native: Hash + Eq,
{
    fn new(result: &DataType) -> Self {
        Self { times: HashMap::new(), sum: T::Native::ZERO, result: result.clone() }
    }

    fn too_large(_: ArrowError) -> DataFusionError {
        exec_datafusion_err!("the sum is too large for a decimal")
    }
}

impl<T: DecimalType + Debug> Accumulator for DistinctSum<T>
where
    T::Native: Hash + Eq,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let times = self.times.entry(value).or_default();
            if *times == 0 {
                self.sum = self.sum.add_checked(value).map_err(Self::too_large)?;
            }
            *times += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let Some(times) = self.times.get_mut(&value) else { continue };
            *times -= 1;
            if *times == 0 {
                self.times.remove(&value);
                self.sum = self.sum.sub_checked(value).map_err(Self::too_large)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::new_primitive::<T>((!self.times.is_empty()).then_some(self.sum), &self.result)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.times.capacity() * size_of::<(T::Native, usize)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a frame that moves is computed in one phase")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        internal_err!("a frame that moves is computed in one phase")
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
