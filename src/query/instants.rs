//! Instants beyond the years 1677 and 2262, which nanoseconds do not reach.
//!
//! DataFusion 55 counts in nanoseconds: `date_bin` of other instants is null (apache/datafusion#22610 made it so), and
//! `extract(year FROM t) < 9999` is null for all instants with nanoseconds (apache/datafusion#25135; ended by the
//! release after 55). Here `date_bin` computes what fits the type of its argument, and the comparison is not turned
//! into one of instants. `to_timestamp` gives the nearest instant for a float that nanoseconds do not reach, and 1970
//! for NaN (no issue is known, and no release that ends it): here it is an error.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type, TimeUnit};
use chrono::{DateTime, Datelike, Months, Utc};
use datafusion::arrow::compute::cast;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

const NANOS_OF_SECOND: i128 = 1_000_000_000;
const NANOS_OF_DAY: i128 = 24 * 3600 * NANOS_OF_SECOND;
/// The years that begin and end within the reach of nanoseconds.
const YEARS_OF_NANOSECONDS: std::ops::RangeInclusive<i32> = 1678..=2260;

/// The floats that become integers of 64 bits.
const FLOATS_OF_NANOSECONDS: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;

/// The function, with the corrections of the module; others are returned as they are.
pub(super) fn of_any_year(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match function.name() {
        "date_bin" | "date_part" | "to_timestamp" => Arc::new(ScalarUDF::new_from_impl(OfAnyYear(function))),
        _ => function,
    }
}

/// The call of one of these functions that DataFusion put in the place of `extract`, corrected.
pub(super) fn corrected(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::ScalarFunction(called) if called.func.name() == "date_part" && !called.func.inner().is::<OfAnyYear>() => {
            let function = of_any_year(called.func.clone());
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(function, called.args.clone())))
        }
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfAnyYear(Arc<ScalarUDF>);

impl ScalarUDFImpl for OfAnyYear {
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
        self.0.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.0.inner().return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let updated = self.0.inner().with_updated_config(config)?;
        Some(ScalarUDF::new_from_impl(Self(Arc::new(updated))))
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        self.0.inner().output_ordering(input)
    }

    fn preimage(&self, args: &[Expr], literal: &Expr, context: &SimplifyContext) -> Result<PreimageResult> {
        let found = self.0.inner().preimage(args, literal, context)?;
        let PreimageResult::Range { expr, .. } = &found else { return Ok(found) };
        let Some(ScalarValue::Int32(Some(year))) = literal.as_literal() else { return Ok(found) };
        let has_nanos = matches!(context.get_data_type(expr)?, DataType::Timestamp(TimeUnit::Nanosecond, _));
        Ok(if has_nanos && !YEARS_OF_NANOSECONDS.contains(year) { PreimageResult::None } else { found })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (given, rows) = (args.args.clone(), args.number_rows);
        let step = given.first().and_then(Step::of);
        let is_bin = self.name() == "date_bin";
        if is_bin && step.as_ref().is_some_and(|step| !step.is_positive()) {
            return plan_err!("the step of `date_bin` is an interval longer than 0");
        }
        if let (Some(seconds), "to_timestamp") = (given.first(), self.name()) {
            check_seconds(seconds)?;
        }
        let answer = self.0.inner().invoke_with_args(args)?;
        match (step, &given[..]) {
            (Some(step), [_, instants, ..]) if is_bin => step.fill(instants, origin(given.get(2)), answer, rows),
            _ => Ok(answer),
        }
    }
}

/// Checks the argument of `to_timestamp`, if it is a float.
///
/// # Errors
/// When nanoseconds of 64 bits do not hold one of the values.
fn check_seconds(seconds: &ColumnarValue) -> Result<()> {
    if !seconds.data_type().is_floating() {
        return Ok(());
    }
    let seconds = cast(&seconds.to_array(1)?, &DataType::Float64)?;
    for seconds in seconds.as_primitive::<Float64Type>().iter().flatten() {
        if !seconds.is_finite() {
            return exec_err!("{seconds} is no number of seconds: leave it out of `to_timestamp` by CASE WHEN");
        }
        if !FLOATS_OF_NANOSECONDS.contains(&(seconds * 1e9)) {
            return exec_err!(
                "{seconds} seconds leave the years 1677 to 2262, which `to_timestamp` reaches: write \
                 to_timestamp_seconds"
            );
        }
    }
    Ok(())
}

/// From where steps are counted, in nanoseconds after 1970.
fn origin(given: Option<&ColumnarValue>) -> i128 {
    match given {
        Some(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(Some(nanos), _))) => i128::from(*nanos),
        _ => 0,
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Months(i64),
    Nanos(i128),
}

impl Step {
    fn of(given: &ColumnarValue) -> Option<Self> {
        match given {
            ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(step))) if step.months != 0 => {
                Some(Self::Months(step.months.into()))
            }
            ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(step))) => {
                Some(Self::Nanos(i128::from(step.days) * NANOS_OF_DAY + i128::from(step.nanoseconds)))
            }
            ColumnarValue::Scalar(ScalarValue::IntervalDayTime(Some(step))) => {
                Some(Self::Nanos(i128::from(step.days) * NANOS_OF_DAY + i128::from(step.milliseconds) * 1_000_000))
            }
            _ => None,
        }
    }

    fn is_positive(&self) -> bool {
        match self {
            Self::Months(months) => *months > 0,
            Self::Nanos(nanos) => *nanos > 0,
        }
    }

    /// The answer, with the instant where it is null although there is one.
    fn fill(self, instants: &ColumnarValue, origin: i128, answer: ColumnarValue, rows: usize) -> Result<ColumnarValue> {
        let result = answer.data_type();
        let DataType::Timestamp(unit, _) = &result else { return Ok(answer) };
        let is_scalar = matches!(answer, ColumnarValue::Scalar(_));
        let rows = if is_scalar { 1 } else { rows };
        let (given, answers) = (instants.to_array(rows)?, answer.to_array(rows)?);
        if given.null_count() == answers.null_count() {
            return Ok(answer);
        }
        let (given, answers) = (cast(&given, &DataType::Int64)?, cast(&answers, &DataType::Int64)?);
        let (given, answers) = (given.as_primitive::<Int64Type>(), answers.as_primitive::<Int64Type>());
        let filled = given.iter().zip(answers).map(|(instant, found)| match (instant, found) {
            (Some(instant), None) => self.begin(instant, *unit, origin).map(Some).ok_or_else(out_of_reach),
            (_, found) => Ok(found),
        });
        let filled = cast(&filled.collect::<Result<Int64Array>>()?, &result)?;
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&filled, 0)?)
        } else {
            ColumnarValue::Array(filled)
        })
    }

    /// When the step began in which an instant lies, if the type of the instant reaches it.
    fn begin(self, instant: i64, unit: TimeUnit, origin: i128) -> Option<i64> {
        let scale = match unit {
            TimeUnit::Second => NANOS_OF_SECOND,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        };
        let instant = i128::from(instant) * scale;
        let begin = match self {
            Self::Nanos(step) => origin + (instant - origin).div_euclid(step) * step,
            Self::Months(step) => {
                let (first, at) = (date_time(origin)?, date_time(instant)?);
                let months = |date: DateTime<Utc>| i64::from(date.year()) * 12 + i64::from(date.month0());
                let steps = (months(at) - months(first)).div_euclid(step);
                let begin = shifted(first, steps * step)?;
                // An origin that is not the first instant of a month can begin a step later in it.
                let begin = if begin > at { shifted(first, (steps - 1) * step)? } else { begin };
                i128::from(begin.timestamp()) * NANOS_OF_SECOND + i128::from(begin.timestamp_subsec_nanos())
            }
        };
        i64::try_from(begin.div_euclid(scale)).ok()
    }
}

fn date_time(nanos: i128) -> Option<DateTime<Utc>> {
    let seconds = i64::try_from(nanos.div_euclid(NANOS_OF_SECOND)).ok()?;
    DateTime::from_timestamp(seconds, u32::try_from(nanos.rem_euclid(NANOS_OF_SECOND)).ok()?)
}

fn shifted(date: DateTime<Utc>, months: i64) -> Option<DateTime<Utc>> {
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { date.checked_sub_months(by) } else { date.checked_add_months(by) }
}

fn out_of_reach() -> DataFusionError {
    exec_datafusion_err!(
        "`date_bin` leaves the calendar, or the years 1677 to 2262 that an instant with nanoseconds reaches: cast it \
         to TIMESTAMP(3)"
    )
}
