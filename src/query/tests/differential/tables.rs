//! The streams that are queried: few rows, few values, many nulls, and fields that come late.

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use serde_json::{Value, json};

use super::duckdb::DuckDb;
use super::random::Random;
use crate::query::tests::House;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query::tests) enum Kind {
    Int,
    Float,
    Text,
    Bool,
}

pub(in crate::query::tests) type Columns = &'static [(&'static str, Kind)];

/// `id` is unique and never null.
pub(in crate::query::tests) const TABLES: &[(&str, Columns)] = &[
    (
        "a",
        &[
            ("id", Kind::Int),
            ("k", Kind::Int),
            ("g", Kind::Int),
            ("s", Kind::Text),
            ("f", Kind::Float),
            ("b", Kind::Bool),
        ],
    ),
    ("l", &[("id", Kind::Int), ("k", Kind::Int), ("g", Kind::Int), ("s", Kind::Text), ("w", Kind::Int)]),
    (
        "c",
        &[
            ("id", Kind::Int),
            ("k", Kind::Int),
            ("s", Kind::Text),
            ("f", Kind::Float),
            ("b", Kind::Bool),
            ("w", Kind::Int),
        ],
    ),
    ("none", &[("id", Kind::Int), ("k", Kind::Int), ("s", Kind::Text)]),
];

const TEXTS: &[&str] = &["x", "y", "z", "", "xy", "X"];

/// Stores the tables in both engines.
pub(in crate::query::tests) async fn fill(random: &mut Random, house: &House, other: &mut DuckDb) {
    for (name, columns) in TABLES {
        let declared: Vec<_> = columns.iter().map(|(name, kind)| format!("{name} {}", sql_type(*kind))).collect();
        other.run(&format!("CREATE OR REPLACE TABLE {name} ({})", declared.join(", ")), &[]);
        let objects = if *name == "none" { 1 } else { 3 };
        let mut id = 0;
        for object in 0..objects {
            let rows = if *name == "none" { 0 } else { 2 + random.below(5) };
            // Columns behind the second may be missing in the first objects.
            let present: Vec<bool> =
                (0..columns.len()).map(|at| at < 2 || object + 1 == objects || random.one_in(2)).collect();
            let mut values: Vec<Vec<Value>> = Vec::new();
            for _ in 0..rows {
                let row: Vec<Value> = columns
                    .iter()
                    .zip(&present)
                    .map(|((column, kind), present)| match (*column, present) {
                        ("id", _) => {
                            id += 1;
                            json!(id)
                        }
                        (_, false) => Value::Null,
                        _ if random.one_in(4) => Value::Null,
                        _ => value(random, *kind),
                    })
                    .collect();
                let places = vec!["?"; row.len()].join(", ");
                other.run(&format!("INSERT INTO {name} VALUES ({places})"), &row);
                values.push(row);
            }
            let arrays = columns.iter().enumerate().filter(|(at, _)| present[*at]).map(|(at, (column, kind))| {
                let whole = object == 0;
                (*column, array(*kind, whole, values.iter().map(|row| &row[at])))
            });
            house.store("default", name, "2026-11-20T10:00:00Z", arrays.collect()).await;
        }
    }
}

fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "BIGINT",
        Kind::Float => "DOUBLE",
        Kind::Text => "VARCHAR",
        Kind::Bool => "BOOLEAN",
    }
}

fn value(random: &mut Random, kind: Kind) -> Value {
    match kind {
        Kind::Int => json!(random.below(5)),
        // Whole, so that an object can hold them as integers.
        Kind::Float => json!(f64::from(u32::try_from(random.below(4)).unwrap())),
        Kind::Text => json!(random.pick(TEXTS)),
        Kind::Bool => json!(random.one_in(2)),
    }
}

/// The values as an object holds them; a field of floats may have begun with whole numbers.
fn array<'a>(kind: Kind, whole: bool, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match kind {
        Kind::Float if !whole => Arc::new(values.map(Value::as_f64).collect::<Float64Array>()),
        Kind::Float => Arc::new(values.map(|v| v.as_f64().map(|f| f as i64)).collect::<Int64Array>()),
        Kind::Int => Arc::new(values.map(Value::as_i64).collect::<Int64Array>()),
        Kind::Text => Arc::new(values.map(Value::as_str).collect::<StringArray>()),
        Kind::Bool => Arc::new(values.map(Value::as_bool).collect::<BooleanArray>()),
    }
}
