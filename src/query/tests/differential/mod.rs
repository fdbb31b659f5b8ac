//! Generated queries, answered by this engine and by DuckDB.
//!
//! A thousand come from a fixed seed and a few hundred from a fresh one, which is printed. `KEYLOFT_TEST_SEED` gives it
//! again, and `KEYLOFT_TEST_QUERIES` says how many queries the fresh one makes.

pub(super) mod duckdb;
mod expressions;
mod generate;
pub(super) mod random;
mod shapes;
mod sources;
pub(super) mod tables;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use self::duckdb::DuckDb;
use self::generate::{Generator, Query};
use self::random::Random;
use super::*;

/// How many queries share their tables.
const BATCH: usize = 100;

/// For how long one query may run; they take milliseconds, but machines that run tests are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What may be refused, by what the message says.
const REFUSALS: &[&str] = &[
    "a correlated subquery cannot stand before IN",
    "a column of the query around it",
    "columns of the query around it",
    "cannot stand in ROLLUP",
    "cannot compute such an expression here",
    "a constant cannot stand in ROLLUP",
    "aggregates of one SELECT take one ORDER BY",
    // The parser takes a parenthesis at the start of an expression in ROLLUP for a list.
    "Expected: ), found: ",
];

#[derive(Default)]
struct Tally {
    asked: usize,
    wrong: Vec<String>,
    refused: BTreeMap<String, (usize, String)>,
    not_compared: BTreeMap<String, (usize, String)>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.wrong.extend(other.wrong);
        for (all, found) in [(&mut self.refused, other.refused), (&mut self.not_compared, other.not_compared)] {
            for (why, (times, example)) in found {
                all.entry(why).or_insert((0, example)).0 += times;
            }
        }
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs DuckDB: run scripts/test.sh")]
async fn generated_queries_are_answered_as_by_another_engine() {
    let fresh_seed = std::env::var("KEYLOFT_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let fresh_seed = fresh_seed.unwrap_or_else(|| fresh().as_u128() as u64);
    let queries = std::env::var("KEYLOFT_TEST_QUERIES").ok().map_or(300, |count| count.parse().unwrap());
    eprintln!("KEYLOFT_TEST_SEED={fresh_seed}");
    let mut tally = Tally::default();
    let (fixed, fresh) = tokio::join!(compare(1, 1000), compare(fresh_seed, queries));
    for part in [fixed, fresh] {
        tally.add(part);
    }
    let mut report = String::new();
    for (title, found) in [("refused", &tally.refused), ("not compared", &tally.not_compared)] {
        for (why, (times, example)) in found {
            writeln!(report, "{title} {times} times: {why}\n    {example}").unwrap();
        }
    }
    eprintln!("{} asked, {} wrong\n{report}", tally.asked, tally.wrong.len());
    assert!(
        tally.wrong.is_empty(),
        "seed {fresh_seed}\n{}",
        tally.wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    let odd: Vec<_> = tally.refused.keys().filter(|why| !REFUSALS.iter().any(|known| why.contains(known))).collect();
    assert!(odd.is_empty(), "seed {fresh_seed}: refused without need: {odd:#?}\n{report}");
    let share = |found: &BTreeMap<String, (usize, String)>| {
        found.values().map(|(times, _)| times).sum::<usize>() * 100 / tally.asked
    };
    assert!(share(&tally.refused) <= 10 && share(&tally.not_compared) <= 10, "{report}");
}

async fn compare(seed: u64, queries: usize) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random::new(seed);
    let mut other = DuckDb::start();
    for batch in 0..queries.div_ceil(BATCH) {
        let house = House::with(QuerySettings { threads: 2, batch_rows: 8, ..QuerySettings::default() });
        tables::fill(&mut random, &house, &mut other).await;
        let mut generator = Generator::new(Random::new(seed.wrapping_mul(31).wrapping_add(batch as u64)));
        for _ in 0..BATCH {
            let query = generator.query();
            tally.asked += 1;
            one(&house, &mut other, &query, &mut tally).await;
        }
    }
    tally
}

async fn one(house: &House, other: &mut DuckDb, query: &Query, tally: &mut Tally) {
    if std::env::var_os("KEYLOFT_TEST_SHOW").is_some() {
        eprintln!("{}", query.sql);
    }
    let expected = other.ask(&query.sql);
    let found = house.ask(everything("default"), request(&query.sql), Format::NdJson);
    let Ok(found) = tokio::time::timeout(PATIENCE, found).await else {
        tally.wrong.push(format!("{}\n  takes longer than {PATIENCE:?}", query.sql));
        return;
    };
    if let Some(error) = expected.error {
        let count = tally.not_compared.entry(shape(&error)).or_insert((0, query.sql.clone()));
        count.0 += 1;
        return;
    }
    match found {
        Ok(text) => {
            let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let found =
                rows.map(|row| expected.names.iter().map(|name| cell(&row[name])).collect::<Vec<_>>().join("|"));
            let mut found: Vec<_> = found.collect();
            let rows_of = |answer: &duckdb::Answer| {
                let mut rows: Vec<_> =
                    answer.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect();
                if !query.ordered {
                    rows.sort();
                }
                rows
            };
            if !query.ordered {
                found.sort();
            }
            let wanted = rows_of(&expected);
            if found != wanted && rows_of(&other.ask_plainly(&query.sql)) == found {
                // Its optimizer is wrong now and then: a LEFT JOIN with a table without rows, below GROUPING SETS.
                let why = "DuckDB contradicts itself".to_owned();
                tally.not_compared.entry(why).or_insert((0, query.sql.clone())).0 += 1;
            } else if found != wanted {
                tally.wrong.push(format!("{}\n  expected {wanted:?}\n  found    {found:?}", query.sql));
            }
        }
        Err(error) if error.kind() == ErrorKind::Invalid => {
            let count = tally.refused.entry(error.message().to_owned()).or_insert((0, query.sql.clone()));
            count.0 += 1;
        }
        Err(error) => tally.wrong.push(format!("{}\n  {error:?}", query.sql)),
    }
}

/// A value, so that values that are equal are written alike.
fn cell(value: &Value) -> String {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            format!("{:.6}", if number == 0.0 { 0.0 } else { number })
        }
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// A message without the names in it.
fn shape(error: &str) -> String {
    error.chars().take(60).collect()
}
