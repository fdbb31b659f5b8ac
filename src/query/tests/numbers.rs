//! NaN, and integers that are compared with floats.

use super::*;

const LARGE: i64 = 9_007_199_254_740_992;

async fn house() -> House {
    let house = House::new();
    let columns = vec![
        ("id", ints(&[LARGE + 1, LARGE, 1, i64::MAX])),
        ("f", floats(&[LARGE as f64, 1.5, 1.0, i64::MAX as f64])),
        ("zero", floats(&[0.0, 0.0, 0.0, 1.0])),
        ("g", texts(&["x", "x", "y", "y"])),
    ];
    house.store("default", "n", "2026-11-20T10:00:00Z", columns).await;
    house
}

async fn check(house: &House, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let found = house.ask(everything("default"), request(sql), Format::Csv).await;
        let found = found.map(|text| text.lines().skip(1).collect::<Vec<_>>().join(";"));
        if !found.as_ref().is_ok_and(|found| found == expected) {
            wrong.push(format!("{sql}\n  {found:?}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_not_a_number_is_one_value_above_all_numbers() {
    let house = house().await;
    let some =
        "(SELECT zero / 0.0 AS x, zero FROM n UNION ALL SELECT CAST('NaN' AS DOUBLE), 2.0 UNION ALL SELECT -1.0, 3.0)";
    check(
        &house,
        &[
            (&format!("SELECT CAST(x AS VARCHAR) AS t FROM {some} ORDER BY x"), "-1.0;inf;NaN;NaN;NaN;NaN"),
            (&format!("SELECT CAST(x AS VARCHAR) AS t, count(*) AS n FROM {some} GROUP BY x ORDER BY x"), "-1.0,1;inf,1;NaN,4"),
            (&format!("SELECT count(*) AS n FROM (SELECT DISTINCT x FROM {some})"), "3"),
            (&format!("SELECT count(DISTINCT x) AS n FROM {some}"), "3"),
            (&format!("SELECT CAST(max(x) AS VARCHAR) AS hi, min(x) AS lo FROM {some}"), "NaN,-1.0"),
            (&format!("SELECT CAST(max(x) AS VARCHAR) AS hi, min(x) AS lo FROM {some} GROUP BY zero > 9"), "NaN,-1.0"),
            (&format!("SELECT count(*) AS n FROM {some} WHERE x > 1e308"), "5"),
            (&format!("SELECT count(*) AS n FROM {some} WHERE x = CAST('NaN' AS DOUBLE)"), "4"),
            (&format!("SELECT count(*) AS n FROM {some} a JOIN {some} b ON a.x = b.x"), "18"),
            (&format!("SELECT max(r) AS r FROM (SELECT rank() OVER (ORDER BY x) AS r FROM {some})"), "3"),
            ("SELECT 0.0 / 0 > 1 AS x, -(0.0 / 0) > 1 AS y, CAST('-NaN' AS DOUBLE) > 1 AS z", "true,true,true"),
            ("SELECT ln(-1.0) > 1 AS x, acos(2.0) > 1 AS y, power(-1.0, 0.5) > 1 AS z, zero % 0.0 > 1 AS v FROM n LIMIT 1", "true,true,true,true"),
            ("SELECT stddev(f / zero) > 1 AS x, avg(f / zero) > 1 AS y FROM n", "true,true"),
            ("SELECT sum(x) > 1 AS s FROM (SELECT id / zero * (CASE WHEN id = 1 THEN 1 ELSE -1 END) AS x FROM n)", "true"),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_least_and_the_greatest_of_a_group_do_not_depend_on_the_order_of_rows() {
    let house = house().await;
    for values in ["('NaN'), ('1'), ('3')", "('3'), ('NaN'), ('1')", "('1'), ('3'), ('NaN')"] {
        for float in ["DOUBLE", "REAL"] {
            let sql = format!(
                "SELECT CAST(max(x) AS VARCHAR) AS hi, min(x) AS lo, max(x) FILTER (WHERE x < 3) AS f \
                 FROM (SELECT CAST(column1 AS {float}) AS x FROM (VALUES {values})) GROUP BY x > 9 OR x <= 9"
            );
            check(&house, &[(&sql, "NaN,1.0,1.0")]).await;
        }
    }
    let none = "SELECT g, max(f) FILTER (WHERE f < 0) AS x FROM n GROUP BY g ORDER BY g";
    check(
        &house,
        &[(none, "x,;y,"), ("SELECT g, max(f) AS x FROM n GROUP BY g ORDER BY g LIMIT 1", "x,9007199254740992.0")],
    )
    .await;
}

#[tokio::test]
async fn an_integer_and_a_float_are_compared_to_the_last_digit() {
    let house = house().await;
    check(
        &house,
        &[
            ("SELECT id FROM n WHERE id = f ORDER BY id", "1"),
            ("SELECT id FROM n WHERE f >= id ORDER BY id", "1;9223372036854775807"),
            ("SELECT id FROM n WHERE id <> f ORDER BY id", "9007199254740992;9007199254740993;9223372036854775807"),
            (
                "SELECT a.id, b.f FROM n a JOIN n b ON a.id = b.f ORDER BY 1",
                "1,1.0;9007199254740992,9007199254740992.0",
            ),
            (
                "SELECT a.id, b.f FROM n a LEFT JOIN n b ON b.f = a.id WHERE a.id > 5 ORDER BY 1",
                "9007199254740992,9007199254740992.0;9007199254740993,;9223372036854775807,",
            ),
            ("SELECT id FROM n WHERE id IN (SELECT f FROM n) ORDER BY id", "1;9007199254740992"),
            ("SELECT id FROM n WHERE id NOT IN (SELECT f FROM n) ORDER BY id", "9007199254740993;9223372036854775807"),
            ("SELECT id FROM n WHERE id IN (f, 7) ORDER BY id", "1"),
            ("SELECT id FROM n WHERE id BETWEEN f AND 1e30 ORDER BY id", "1;9007199254740992;9007199254740993"),
            ("SELECT id FROM n WHERE id IS NOT DISTINCT FROM f", "1"),
            ("SELECT id FROM n WHERE id = 9007199254740992.0", "9007199254740992"),
            ("SELECT id FROM n WHERE id > 9007199254740992.0 ORDER BY 1", "9007199254740993;9223372036854775807"),
            ("SELECT id FROM n WHERE id < 9.223372036854775808e18 AND id > 1e18", "9223372036854775807"),
            ("SELECT id FROM n WHERE id < 1.5", "1"),
            ("SELECT id FROM n WHERE f = 9007199254740993", ""),
            ("SELECT count(nullif(id, f)) AS n FROM n", "3"),
            ("SELECT count(*) AS n FROM n WHERE CASE id WHEN f THEN true ELSE false END", "1"),
            ("SELECT count(*) AS n FROM n WHERE CAST(id AS REAL) = f", "3"),
        ],
    )
    .await;
    for sql in [
        "SELECT id FROM n WHERE id = 9007199254740993.0",
        "SELECT id FROM n WHERE id IN (1, 9007199254740993.0)",
        "SELECT id FROM n WHERE id BETWEEN -9007199254740993.0 AND 5",
        "SELECT CASE id WHEN 9.007199254740993e15 THEN 1 END AS x FROM n",
    ] {
        assert!(house.refused(sql).await.message().contains("loses digits"), "{sql}");
    }
}

#[tokio::test]
async fn comparisons_of_integers_and_floats_within_each_other_stay_small() {
    let house = house().await;
    for operator in ["=", ">", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"] {
        let nested = (0..25).fold("id".to_owned(), |nested, _| format!("CAST({nested} {operator} f AS BIGINT)"));
        let sql = format!("SELECT count({nested}) AS n FROM n");
        let answer = tokio::time::timeout(std::time::Duration::from_secs(20), house.json(&sql)).await;
        assert_eq!(answer.unwrap(), r#"[{"n":4}]"#);
    }
    for shape in ["nullif(%, f)", "CASE % WHEN f THEN id ELSE 7 END", "CASE WHEN % IN (f, 1.5) THEN id ELSE 7 END"] {
        let nested = (0..9).fold("id".to_owned(), |nested, _| shape.replace('%', &nested));
        let error = house.refused(&format!("SELECT count({nested}) AS n FROM n")).await;
        assert!(error.message().contains("compute it in FROM"), "{error}");
    }
    check(
        &house,
        &[
            ("SELECT count(*) AS n FROM n WHERE nullif(id, 1) IS NOT DISTINCT FROM nullif(f, 1)", "1"),
            ("SELECT count(*) AS n FROM n WHERE nullif(id, 1) IS DISTINCT FROM f", "4"),
            ("SELECT count(*) AS n FROM n WHERE (id * 1 + 0) * 1 - 0 + 0 = f * 1.0 + 0.0 + 0.0 + 0.0", "1"),
        ],
    )
    .await;
}
