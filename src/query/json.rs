//! Functions that read JSON text, such as the arrays that ingest keeps as text: `json_get` and its kin, `->` and `->>`.
//!
//! A text that is not JSON, and a path that leads nowhere, give null. A value is skipped without recursion, so no
//! nesting is too deep, and nothing is built but what is asked for. (The crate `datafusion-functions-json` has these
//! functions too, but brings fourteen packages, one of them without a maintainer, and a type of `json_get` that can
//! neither be compared nor grouped by.)

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DFSchema, Result, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use serde::de::IgnoredAny;

/// How many keys and indices a path may have.
const MAX_STEPS: usize = 32;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let all = [Read::Json, Read::Text, Read::Str, Read::Int, Read::Float, Read::Bool, Read::Contains, Read::Length];
    all.into_iter().map(function).collect()
}

fn function(read: Read) -> Arc<ScalarUDF> {
    let aliases = if read == Read::Json { vec!["json_get_json".to_owned()] } else { Vec::new() };
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::from(JsonFunction { read, aliases, signature }))
}

/// Plans `->` and `->>`.
#[derive(Debug)]
pub(super) struct Arrows;

impl ExprPlanner for Arrows {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let read = match expr.op {
            BinaryOperator::Arrow => Read::Json,
            BinaryOperator::LongArrow => Read::Text,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let call = ScalarFunction::new_udf(function(read), vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// What is read at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Read {
    /// The value as JSON text.
    Json,
    /// A text without its quotes, anything else as JSON text.
    Text,
    Str,
    Int,
    Float,
    Bool,
    /// Whether there is a value.
    Contains,
    /// How many elements or members it has.
    Length,
}

/// `name(text, key or index, …)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    read: Read,
    aliases: Vec<String>,
    signature: Signature,
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &'static str {
        match self.read {
            Read::Json => "json_get",
            Read::Text => "json_as_text",
            Read::Str => "json_get_str",
            Read::Int => "json_get_int",
            Read::Float => "json_get_float",
            Read::Bool => "json_get_bool",
            Read::Contains => "json_contains",
            Read::Length => "json_length",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.is_empty() || types.len() > 1 + MAX_STEPS {
            return plan_err!("{} takes a text and at most {MAX_STEPS} keys and indices", self.name());
        }
        let coerced = types.iter().enumerate().map(|(at, given)| match given {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => Ok(DataType::Utf8),
            given if at > 0 && given.is_integer() => Ok(DataType::Int64),
            _ if at == 0 => plan_err!("{} reads JSON from a text", self.name()),
            _ => plan_err!("a step of the path of {} is a key (a text) or an index (a whole number)", self.name()),
        });
        coerced.collect()
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.read {
            Read::Json | Read::Text | Read::Str => DataType::Utf8,
            Read::Int | Read::Length => DataType::Int64,
            Read::Float => DataType::Float64,
            Read::Bool | Read::Contains => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some((texts, path)) = arrays.split_first() else { return exec_err!("a text is missing") };
        let Some(texts) = texts.as_string_opt::<i32>() else { return exec_err!("a text is missing") };
        let rows = 0..texts.len();
        let found = rows.map(|row| (texts.is_valid(row)).then(|| find(texts.value(row), path, row)).flatten());
        let array: ArrayRef = match self.read {
            Read::Json => Arc::new(found.map(|json| json.filter(|json| *json != "null")).collect::<StringArray>()),
            Read::Text => Arc::new(found.map(|json| json.and_then(text)).collect::<StringArray>()),
            Read::Str => Arc::new(found.map(|json| json.and_then(string)).collect::<StringArray>()),
            Read::Int => Arc::new(found.map(|json| json.and_then(int)).collect::<Int64Array>()),
            Read::Float => Arc::new(found.map(|json| json.and_then(float)).collect::<Float64Array>()),
            Read::Bool => Arc::new(found.map(|json| json.and_then(|json| json.parse().ok())).collect::<BooleanArray>()),
            Read::Contains => {
                let contains = found.enumerate().map(|(row, json)| texts.is_valid(row).then_some(json.is_some()));
                Arc::new(contains.collect::<BooleanArray>())
            }
            Read::Length => Arc::new(found.map(|json| json.and_then(length)).collect::<Int64Array>()),
        };
        if constant {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// The value at the end of a path, as it is written.
fn find<'a>(text: &'a str, path: &[ArrayRef], row: usize) -> Option<&'a str> {
    let (mut value, rest) = skip(text)?;
    if !rest.trim_start().is_empty() {
        return None;
    }
    for step in path {
        if step.is_null(row) {
            return None;
        }
        value = match step.as_string_opt::<i32>() {
            Some(keys) => member(value, keys.value(row))?,
            None => element(value, step.as_primitive_opt::<Int64Type>()?.value(row))?,
        };
    }
    Some(value)
}

/// The value with which a text begins, and what follows it.
fn skip(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let end = values.byte_offset();
    Some((text[..end].trim_end(), &text[end..]))
}

/// The parts of a list or an object, one after the other: values, or keys and values in turn.
fn parts(value: &str, (open, close): (char, char)) -> impl Iterator<Item = &str> {
    let mut rest = value.strip_prefix(open);
    std::iter::from_fn(move || {
        let text = rest?.trim_start().trim_start_matches([',', ':']).trim_start();
        if text.starts_with(close) {
            rest = None;
            return None;
        }
        let (part, behind) = skip(text)?;
        rest = Some(behind);
        Some(part)
    })
}

fn member<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    let mut parts = parts(value, ('{', '}'));
    while let (Some(name), Some(member)) = (parts.next(), parts.next()) {
        if string(name).is_some_and(|name| name == key) {
            return Some(member);
        }
    }
    None
}

/// An element by its place, from the end when that is negative.
fn element(value: &str, at: i64) -> Option<&str> {
    let at = if at < 0 { at + i64::try_from(parts(value, ('[', ']')).count()).ok()? } else { at };
    parts(value, ('[', ']')).nth(usize::try_from(at).ok()?)
}

fn text(json: &str) -> Option<String> {
    if json == "null" { None } else { string(json).or_else(|| Some(json.to_owned())) }
}

fn string(json: &str) -> Option<String> {
    if json.starts_with('"') { serde_json::from_str(json).ok() } else { None }
}

/// A whole number, also one that is written with a fraction of zero or an exponent.
fn int(json: &str) -> Option<i64> {
    // Beyond, floats no longer hold every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    json.parse().ok().or_else(|| float(json).filter(|n| n.fract() == 0.0 && n.abs() < EXACT).map(|n| n as i64))
}

fn float(json: &str) -> Option<f64> {
    if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        json.parse().ok().filter(|number: &f64| number.is_finite())
    } else {
        None
    }
}

fn length(json: &str) -> Option<i64> {
    let length = match json.as_bytes().first()? {
        b'[' => parts(json, ('[', ']')).count(),
        b'{' => parts(json, ('{', '}')).count() / 2,
        _ => return None,
    };
    i64::try_from(length).ok()
}
