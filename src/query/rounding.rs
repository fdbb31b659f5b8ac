//! `round` and `trunc` to more places than a float has, before or after the point.
//!
//! DataFusion 55 multiplies by 10^places, which is infinite from 309 places on and then gives no number, written as
//! null. Here the value itself is the answer, and 0 when all of its digits are rounded off. No report upstream is
//! known, and no release that ends it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The function, with numbers where it would give none; others are returned as they are.
pub(super) fn to_any_places(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match function.name() {
        "round" | "trunc" => Arc::new(ScalarUDF::new_from_impl(ToAnyPlaces(function))),
        _ => function,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToAnyPlaces(Arc<ScalarUDF>);

impl ScalarUDFImpl for ToAnyPlaces {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn is_strict(&self) -> bool {
        self.0.inner().is_strict()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.0.inner().return_field_from_args(args)
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        self.0.inner().output_ordering(input)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given = args.args.clone();
        let answer = self.0.inner().invoke_with_args(args)?;
        match (given.as_slice(), answer.data_type()) {
            ([value, places], DataType::Float64) => mended::<Float64Type>(value, places, answer, f64::is_finite, 0.0),
            ([value, places], DataType::Float32) => mended::<Float32Type>(value, places, answer, f32::is_finite, 0.0),
            _ => Ok(answer),
        }
    }
}

/// The answer, with a number in each row where it is none although the value is one.
fn mended<T: ArrowPrimitiveType>(
    value: &ColumnarValue,
    places: &ColumnarValue,
    answer: ColumnarValue,
    is_finite: fn(T::Native) -> bool,
    zero: T::Native,
) -> Result<ColumnarValue> {
    let rows = match &answer {
        ColumnarValue::Array(rows) => rows.len(),
        ColumnarValue::Scalar(_) => 1,
    };
    let answers = answer.to_array(rows)?;
    if answers.as_primitive::<T>().iter().flatten().all(is_finite) {
        return Ok(answer);
    }
    let values = cast(&value.to_array(rows)?, &T::DATA_TYPE)?;
    let places = cast(&places.to_array(rows)?, &DataType::Int64)?;
    let (values, places) = (values.as_primitive::<T>(), places.as_primitive::<Int64Type>());
    let mend = |(row, answer): (usize, Option<T::Native>)| {
        let is_wrong = answer.is_some_and(|answer| !is_finite(answer)) && is_finite(values.value(row));
        if is_wrong { Some(if places.value(row) >= 0 { values.value(row) } else { zero }) } else { answer }
    };
    let mended: PrimitiveArray<T> = answers.as_primitive::<T>().iter().enumerate().map(mend).collect();
    let mended: ArrayRef = Arc::new(mended);
    Ok(match answer {
        ColumnarValue::Array(_) => ColumnarValue::Array(mended),
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&mended, 0)?),
    })
}
