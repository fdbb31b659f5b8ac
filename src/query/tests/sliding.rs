//! Frames that move, against a computation of each frame by itself, and against DuckDB.

use serde_json::Value;

use super::differential::duckdb::DuckDb;
use super::differential::random::Random;
use super::*;

const ROWS: usize = 150;

/// One row: its place, an order with gaps and equals, a group, and two numbers.
struct Row {
    id: i64,
    k: i64,
    x: Option<f64>,
    y: Option<f64>,
}

fn seed() -> u64 {
    let seed = std::env::var("KEYLOFT_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fresh().as_u128() as u64);
    eprintln!("KEYLOFT_TEST_SEED={seed}");
    seed
}

fn rows(random: &mut Random, value: impl Fn(&mut Random) -> f64) -> Vec<Row> {
    let mut k = 0;
    let mut row = |id| {
        k += random.pick(&[0, 0, 1, 1, 1, 4]);
        let mut given = || if random.one_in(5) { None } else { Some(value(random)) };
        Row { id, k, x: given(), y: given() }
    };
    (0..ROWS as i64).map(&mut row).collect()
}

async fn house(rows: &[Row]) -> House {
    let house = House::with(QuerySettings { threads: 2, batch_rows: 16, ..QuerySettings::default() });
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", ints(&rows.iter().map(|row| row.id).collect::<Vec<_>>())),
        ("k", ints(&rows.iter().map(|row| row.k).collect::<Vec<_>>())),
        ("x", Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>())),
        ("y", Arc::new(rows.iter().map(|row| row.y).collect::<Float64Array>())),
    ];
    house.store("default", "f", "2026-11-20T10:00:00Z", columns).await;
    house
}

/// A frame: how it is written, and whether the row `other` is in that of the row `of`.
type Frame = (String, Box<dyn Fn(&Row, &Row) -> bool>);

fn frames(random: &mut Random) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for _ in 0..3 {
        let (low, length) = (random.below(9) as i64 - 6, random.below(9) as i64);
        let high = low + length;
        let bound = |at: i64| match at {
            0 => "CURRENT ROW".to_owned(),
            before if before < 0 => format!("{} PRECEDING", -before),
            behind => format!("{behind} FOLLOWING"),
        };
        let between = format!("BETWEEN {} AND {}", bound(low), bound(high));
        frames.push((
            format!("ORDER BY id ROWS {between}"),
            Box::new(move |of, other| (of.id + low..=of.id + high).contains(&other.id)),
        ));
        frames.push((
            format!("ORDER BY k RANGE {between}"),
            Box::new(move |of, other| (of.k + low..=of.k + high).contains(&other.k)),
        ));
        frames.push((
            format!("ORDER BY id ROWS BETWEEN {} AND UNBOUNDED FOLLOWING", bound(low)),
            Box::new(move |of, other| other.id >= of.id + low),
        ));
    }
    frames
}

/// What an aggregate of the numbers of a frame is, and by how much it may be off.
type Naive = fn(&[(f64, f64)]) -> Option<(f64, f64)>;

fn sum(pairs: &[(f64, f64)]) -> Option<(f64, f64)> {
    let size = pairs.iter().map(|(x, _)| x.abs()).sum::<f64>();
    (!pairs.is_empty()).then(|| (pairs.iter().map(|(x, _)| x).sum(), size * 1e-12))
}

fn avg(pairs: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = pairs.len() as f64;
    sum(pairs).map(|(value, off)| (value / count, off / count))
}

fn var_pop(pairs: &[(f64, f64)]) -> Option<(f64, f64)> {
    let same: Vec<_> = pairs.iter().map(|(x, _)| (*x, *x)).collect();
    covar_pop(&same)
}

fn covar_pop(pairs: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = pairs.len() as f64;
    let (mean_x, mean_y) =
        (pairs.iter().map(|(x, _)| x).sum::<f64>() / count, pairs.iter().map(|(_, y)| y).sum::<f64>() / count);
    let size = pairs.iter().map(|(x, y)| x.abs().max(y.abs()).powi(2)).fold(0.0, f64::max);
    let value = pairs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / count;
    (!pairs.is_empty()).then_some((value, size * 1e-12))
}

#[tokio::test]
async fn a_frame_that_moves_is_computed_from_the_rows_in_it() {
    let seed = seed();
    let mut random = Random::new(seed);
    let rows = rows(&mut random, |random| match random.below(12) {
        0 => 1e17,
        1 => -3e100,
        2 => f64::NAN,
        3 => f64::INFINITY,
        4 => -0.0,
        _ => random.below(1000) as f64 / 8.0 - 20.0,
    });
    let house = house(&rows).await;
    let functions: [(&str, Naive, bool); 4] = [
        ("sum(x)", sum, false),
        ("avg(x)", avg, false),
        ("var_pop(x)", var_pop, false),
        ("covar_pop(x, y)", covar_pop, true),
    ];
    let mut wrong = Vec::new();
    for (written, within) in frames(&mut random) {
        for (call, naive, of_both) in functions {
            for (filter, passes) in [("", false), ("FILTER (WHERE id % 3 <> 1)", true)] {
                let sql = format!("SELECT CAST({call} {filter} OVER ({written}) AS VARCHAR) AS a FROM f ORDER BY id");
                let answer: Vec<Value> = serde_json::from_str(&house.json(&sql).await).unwrap();
                for (row, answer) in rows.iter().zip(&answer) {
                    let frame = rows.iter().filter(|other| within(row, other) && !(passes && other.id % 3 == 1));
                    let pairs: Vec<_> =
                        frame.filter_map(|row| Some((row.x?, if of_both { row.y? } else { 0.0 }))).collect();
                    let found: Option<f64> = answer["a"].as_str().map(|text| text.parse().unwrap());
                    let is_right = match (naive(&pairs), found) {
                        (None, None) => true,
                        // One value varies by 0, whatever it is.
                        (Some(_), Some(found)) if call.contains("pop") && pairs.len() == 1 => {
                            found == 0.0 || !found.is_finite()
                        }
                        (Some((wanted, _)), Some(found)) if !wanted.is_finite() => {
                            // Infinities that meet in one order of the steps may not in another.
                            wanted == found || !found.is_finite() && (wanted.is_nan() && found.is_nan() || of_both)
                        }
                        (Some((wanted, off)), Some(found)) => (wanted - found).abs() <= off,
                        _ => false,
                    };
                    if !is_right {
                        wrong.push(format!("{sql}\n  row {}: {found:?}, not {:?}", row.id, naive(&pairs)));
                        break;
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "seed {seed}\n{}", wrong.join("\n"));
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs DuckDB: run scripts/test.sh")]
async fn frames_that_move_are_answered_as_by_another_engine() {
    let seed = seed();
    let mut random = Random::new(seed);
    let rows = rows(&mut random, |random| random.below(1000) as f64 / 8.0 - 20.0);
    let house = house(&rows).await;
    let mut other = DuckDb::start();
    other.run("CREATE TABLE f (id BIGINT, k BIGINT, x DOUBLE, y DOUBLE)", &[]);
    for row in &rows {
        let values = [row.id.into(), row.k.into(), row.x.into(), row.y.into()];
        other.run("INSERT INTO f VALUES (?, ?, ?, ?)", &values);
    }
    let one = ["sum", "avg", "stddev_samp", "stddev_pop", "var_samp", "var_pop", "min", "max", "median", "count"];
    // Without regr_r2, which is null here where all of the first argument are the same, and 1 there.
    let two = ["covar_samp", "covar_pop", "corr", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept"];
    let more = ["regr_slope", "regr_sxx", "regr_sxy", "regr_syy"];
    let mut calls: Vec<_> = one.iter().map(|name| format!("{name}(x)")).collect();
    calls.extend(two.iter().chain(&more).map(|name| format!("{name}(x, y)")));
    calls.extend(["sum(DISTINCT id % 5)", "count(DISTINCT y)", "sum(id)", "avg(k)"].map(str::to_owned));
    let mut wrong = Vec::new();
    for (written, _) in frames(&mut random) {
        for call in &calls {
            for filter in ["", "FILTER (WHERE k % 3 <> 1)"] {
                let sql =
                    format!("SELECT {call} {filter} OVER (PARTITION BY id % 2 {written}) AS a FROM f ORDER BY id");
                let wanted = other.ask(&sql);
                if let Some(error) = wanted.error {
                    wrong.push(format!("{sql}\n  {error}"));
                    continue;
                }
                let found: Vec<Value> = serde_json::from_str(&house.json(&sql).await).unwrap();
                let differ = |(found, wanted): (&Value, &Vec<Value>)| !is_near(&found["a"], &wanted[0]);
                if let Some(row) = found.iter().zip(&wanted.rows).position(differ) {
                    wrong.push(format!("{sql}\n  row {row}: {}, not {}", found[row]["a"], wanted.rows[row][0]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "seed {seed}\n{}", wrong.join("\n"));
}

fn is_near(found: &Value, wanted: &Value) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        (Some(found), Some(wanted)) => (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0),
        _ => found == wanted,
    }
}

#[tokio::test]
async fn distinct_values_of_a_frame_that_moves_are_exact_or_refused() {
    let house = House::new();
    let columns = vec![("n", ints(&[1, 2, 3, 4])), ("f", floats(&[0.0, -0.0, 1.0, 1.0]))];
    house.store("default", "d", "2026-11-20T10:00:00Z", columns).await;
    for (sql, answer) in [
        ("sum(DISTINCT n % 2) OVER (ORDER BY n ROWS 1 PRECEDING)", "[1,1,1,1]"),
        ("sum(DISTINCT CAST(n AS DECIMAL(38, 0))) OVER (ORDER BY n ROWS 1 PRECEDING)", "[1.0,3.0,5.0,7.0]"),
        ("count(DISTINCT f) OVER (ORDER BY n ROWS 1 PRECEDING)", "[1,1,2,1]"),
        ("count(DISTINCT f) OVER ()", "[2,2,2,2]"),
    ] {
        let sql = format!("SELECT array_agg(a ORDER BY n) AS a FROM (SELECT n, {sql} AS a FROM d)");
        let found = house.json(&sql).await.replace(".0", "").replace("e", "");
        assert_eq!(found, format!(r#"[{{"a":{}}}]"#, answer.replace(".0", "")), "{sql}");
    }
    let error =
        house.refused("SELECT sum(DISTINCT n + 9223372036854775800) OVER (ORDER BY n ROWS 1 PRECEDING) AS a FROM d");
    assert!(error.await.message().contains("out of range"));
    for call in ["sum(DISTINCT f)", "avg(DISTINCT f)", "var_pop(DISTINCT f)"] {
        let error = house.refused(&format!("SELECT {call} OVER (ORDER BY n ROWS 1 PRECEDING) AS a FROM d")).await;
        assert!(error.message().contains("of distinct values cannot be computed over a window that moves"), "{error}");
    }
}

#[tokio::test]
async fn a_correlation_of_groups_is_that_of_their_rows() {
    let house = House::new();
    let columns = vec![("x", floats(&[1e9, 1e9 + 1.0, 1e9 + 2.0])), ("y", floats(&[1e9, 1e9 + 2.0, 1e9 + 4.0]))];
    house.store("default", "c", "2026-11-20T10:00:00Z", columns).await;
    let near = |answer: &str| {
        let rows: Vec<Value> = serde_json::from_str(answer).unwrap();
        rows.iter().all(|row| is_near(&row["r"], &Value::from(1.0)))
    };
    for sql in ["SELECT corr(x, y) AS r FROM c", "SELECT p_source_id, corr(x, y) AS r FROM c GROUP BY p_source_id"] {
        let answer = house.json(sql).await;
        assert!(near(&answer), "{sql}: {answer}");
    }
}

#[tokio::test]
async fn a_frame_that_leaves_the_type_takes_in_no_nulls() {
    let house = House::new();
    let counted = |kind: &str, values: &str, order: &str, frame: &str| {
        format!(
            "SELECT count(*) OVER (ORDER BY {order} RANGE BETWEEN {frame}) AS n \
             FROM (SELECT CAST(column1 AS {kind}) AS v FROM (VALUES {values}))"
        )
    };
    let both = "5 PRECEDING AND 5 FOLLOWING";
    let days = "CURRENT ROW AND INTERVAL '10 days' FOLLOWING";
    let (low, high) = ("(-9223372036854775808), (1), (NULL)", "(9223372036854775807), (1), (NULL)");
    let late = "('2262-04-10'), ('2026-01-01'), (NULL)";
    for sql in [
        counted("BIGINT", low, "v NULLS FIRST", both),
        counted("BIGINT", low, "v DESC NULLS LAST", both),
        counted("BIGINT", high, "v NULLS LAST", both),
        counted("BIGINT", high, "v DESC NULLS FIRST", both),
        counted("BIGINT UNSIGNED", "(18446744073709551615), (1), (NULL)", "v NULLS LAST", both),
        counted("TINYINT", "(120), (1), (NULL)", "v NULLS LAST", "CURRENT ROW AND 10 FOLLOWING"),
        counted("TIMESTAMP", late, "v NULLS LAST", days),
    ] {
        let error = house.refused(&sql).await;
        assert!(error.message().contains("a bound of RANGE BETWEEN is out of range"), "{sql}: {error}");
    }
    for sql in [
        counted("BIGINT", low, "v NULLS LAST", both),
        counted("BIGINT", low, "v DESC NULLS FIRST", both),
        counted("BIGINT", high, "v NULLS FIRST", both),
        counted("BIGINT", "(100), (1), (NULL)", "v", both),
        counted("BIGINT UNSIGNED", "(0), (10), (NULL)", "v NULLS FIRST", both),
        counted("DECIMAL(20, 0)", low, "v NULLS FIRST", both),
        counted("DECIMAL(20, 0)", high, "v NULLS LAST", both),
        counted("TIMESTAMP(3)", late, "v NULLS LAST", days),
        counted("DATE", late, "v NULLS LAST", days),
    ] {
        assert_eq!(house.json(&sql).await, r#"[{"n":1},{"n":1},{"n":1}]"#, "{sql}");
    }
}
