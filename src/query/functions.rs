//! The functions of SQL, as an allow list: an update of the library adds none by itself.
//!
//! Left out on purpose:
//! - `repeat`, `lpad`, `rpad` (and `space`): a few characters of SQL make gigabytes, outside the memory pool.
//! - `levenshtein`: quadratic in the length of its arguments, and nothing can interrupt it.
//! - `approx_percentile_cont` and `approx_percentile_cont_with_weight`: reserve memory for a size that the query
//!   states.
//! - `arrow_cast`, `arrow_try_cast`, `cast_to_type`, `try_cast_to_type`: casts to types of a stated length, the same.
//! - `input_file_name`, `file_row_index`, `arrow_metadata`, `arrow_field`, `with_metadata`: disclose object names.
//! - `version`: discloses the version.
//! - every table function (`generate_series`, `range` …).
//!
//! `strftime` is another name of `to_char`; the functions of [`super::json`] come on top, and [`super::spellings`]
//! knows `mod` and `date`.
//!
//! `replace`, `regexp_replace` and `concat_ws` stay, watched by [`super::expression_size`].

use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use super::{instants, json, rounding, sliding};

const SCALAR: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "arrow_typeof",
    "ascii",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bit_length",
    "btrim",
    "cbrt",
    "ceil",
    "character_length",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "cos",
    "cosh",
    "cot",
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "degrees",
    "ends_with",
    "exp",
    "factorial",
    "find_in_set",
    "floor",
    "from_unixtime",
    "gcd",
    "get_field",
    "greatest",
    "initcap",
    "isnan",
    "iszero",
    "lcm",
    "least",
    "left",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "make_date",
    "make_time",
    "named_struct",
    "nanvl",
    "now",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "overlay",
    "pi",
    "power",
    "radians",
    "random",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "replace",
    "reverse",
    "right",
    "round",
    "rtrim",
    "signum",
    "sin",
    "sinh",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "struct",
    "substr",
    "substr_index",
    "tan",
    "tanh",
    "to_char",
    "to_date",
    "to_hex",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "translate",
    "trunc",
    "upper",
    "uuid",
];

const AGGREGATE: &[&str] = &[
    "any_value",
    "approx_distinct",
    "approx_median",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "first_value",
    "grouping",
    "last_value",
    "max",
    "median",
    "min",
    "nth_value",
    "percentile_cont",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "string_agg",
    "sum",
    "var",
    "var_pop",
];

const WINDOW: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// Whether a call of this name, in small letters, is one of a scalar function.
pub(super) fn is_scalar(name: &str) -> bool {
    scalar().iter().any(|function| function.name() == name || function.aliases().iter().any(|alias| alias == name))
}

/// Whether a call of this name with `OVER` is one of a window function rather than an aggregate.
pub(super) fn is_window(name: &str) -> bool {
    WINDOW.contains(&name)
}

pub(super) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let mut functions = SessionStateDefaults::default_scalar_functions();
    functions.retain(|function| SCALAR.contains(&function.name()));
    for function in &mut functions {
        *function = match function.name() {
            "to_char" => Arc::new(function.as_ref().clone().with_aliases(["strftime"])),
            _ => instants::of_any_year(rounding::to_any_places(function.clone())),
        };
    }
    functions.extend(json::functions());
    functions
}

pub(super) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    let mut functions = SessionStateDefaults::default_aggregate_functions();
    functions.retain(|function| AGGREGATE.contains(&function.name()));
    functions.into_iter().map(sliding::corrected).collect()
}

pub(super) fn window() -> Vec<Arc<WindowUDF>> {
    let mut functions = SessionStateDefaults::default_window_functions();
    functions.retain(|function| WINDOW.contains(&function.name()));
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_on_the_lists_exists() {
        let scalar_count = SCALAR.len() + json::functions().len();
        assert_eq!(scalar().len(), scalar_count, "{:?}", missing(SCALAR, scalar().iter().map(|f| f.name())));
        assert_eq!(
            aggregate().len(),
            AGGREGATE.len(),
            "{:?}",
            missing(AGGREGATE, aggregate().iter().map(|f| f.name()))
        );
        assert_eq!(window().len(), WINDOW.len(), "{:?}", missing(WINDOW, window().iter().map(|f| f.name())));
    }

    fn missing<'a>(listed: &[&'a str], found: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let found: Vec<_> = found.collect();
        listed.iter().filter(|name| !found.contains(name)).copied().collect()
    }
}
