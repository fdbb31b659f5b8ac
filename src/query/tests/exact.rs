//! What DataFusion alone answers wrongly.

use super::*;

async fn house() -> House {
    let house = House::new();
    let columns = vec![
        ("f", floats(&[-0.0, 0.0, 1.0, 5.0])),
        ("id", ints(&[1, 5, 5, 9])),
        ("n", ints(&[7, 2, 3, 1])),
        ("s", texts(&["a", "b", "c", "d"])),
    ];
    house.store("default", "a", "2026-11-20T10:00:00Z", columns).await;
    house
}

async fn check(cases: &[(&str, &str)]) {
    let house = house().await;
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        match house.ask(everything("default"), request(&format!("SELECT {sql} AS x FROM a")), Format::JsonArray).await {
            Ok(answer) if answer == format!("[{{\"x\":{expected}}}]") => {}
            Err(error) if error.kind() == ErrorKind::Invalid && error.message().contains(expected) => {}
            other => wrong.push(format!("{sql}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn intervals_are_compared_by_their_length() {
    check(&[
        ("count(*) FILTER (WHERE TIMESTAMP '2030-01-01' - p_timestamp > INTERVAL '1 day')", "4"),
        ("count(*) FILTER (WHERE TIMESTAMP '2030-01-01' - p_timestamp < INTERVAL '1 day')", "0"),
        ("count(*) FILTER (WHERE TIMESTAMP '2026-11-20T12:00:00' - p_timestamp > INTERVAL '1 day')", "0"),
        ("count(*) FILTER (WHERE TIMESTAMP '2027-01-20' - p_timestamp > INTERVAL '1 month')", "4"),
        ("count(*) FILTER (WHERE TIMESTAMP '2030-01-01' - p_timestamp BETWEEN INTERVAL '1 day' AND INTERVAL '9 years')", "4"),
        ("bool_and(INTERVAL '25 hours' > INTERVAL '1 day')", "true"),
        ("bool_and(INTERVAL '40 days' > INTERVAL '1 month')", "true"),
        ("bool_and(INTERVAL '1 day' = INTERVAL '24 hours')", "true"),
        ("bool_and(INTERVAL '1 day' IN (INTERVAL '1 hour', INTERVAL '24 hours'))", "true"),
        ("bool_or(INTERVAL '1 month' IS DISTINCT FROM INTERVAL '30 days')", "false"),
    ])
    .await;
}

#[tokio::test]
async fn the_two_zeros_are_equal_in_lists_and_cases_too() {
    check(&[
        ("count(*) FILTER (WHERE f IN (0.0, 1.0, 2.0))", "3"),
        ("count(*) FILTER (WHERE f IN (0.0, 1.0, 2.0, 3.0, 4.0))", "3"),
        ("count(*) FILTER (WHERE f NOT IN (0, 1, 2, 3, 4))", "1"),
        ("count(*) FILTER (WHERE CASE f WHEN 0 THEN 'z' ELSE 'n' END = 'z')", "2"),
        ("count(nullif(f, 0))", "2"),
        ("bool_and(round(-0.4) IN (0, 1, 2, 3))", "true"),
        ("bool_and(CASE round(-0.4) WHEN 0 THEN true ELSE false END)", "true"),
        ("count(*) FILTER (WHERE (f, 1) = (0.0, 1))", "2"),
        ("count(DISTINCT CAST(f AS REAL)) + 0 * count(DISTINCT id)", "3"),
        ("count(*) FILTER (WHERE CAST(f AS REAL) IN (0, 1, 2, 3, 4))", "3"),
    ])
    .await;
}

#[tokio::test]
async fn decimals_of_more_than_38_digits_are_an_error() {
    let large = |digit: &str| format!("CAST('{}' AS DECIMAL(38,0))", digit.repeat(38));
    let (nines, sixes) = (large("9"), large("6"));
    let too_large = [
        format!("max({nines} + 1)"),
        format!("max(-{nines} - {sixes})"),
        "max(CAST('12000000000000000000' AS DECIMAL(20,0)) * CAST('12000000000000000000' AS DECIMAL(20,0)))".to_owned(),
    ];
    for sql in &too_large {
        check(&[(sql, "too large")]).await;
    }
    let house = house().await;
    for frame in ["ORDER BY n", "", "ORDER BY n ROWS 1 PRECEDING"] {
        let sql = format!("SELECT sum({sixes}) OVER ({frame}) AS x FROM a");
        let error = house.ask(everything("default"), request(&sql), Format::JsonArray).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{sql}: {error}");
    }
    check(&[
        ("CAST(max(CAST('99' AS DECIMAL(38,0)) + 1) AS VARCHAR)", "\"100\""),
        ("CAST(max(CAST('1.5' AS DECIMAL(38,1)) * CAST('2' AS DECIMAL(38,0))) AS VARCHAR)", "\"3.0\""),
    ])
    .await;
}

#[tokio::test]
async fn rows_are_compared_value_by_value() {
    check(&[
        ("count(*) FILTER (WHERE (id, n) < (5, 3))", "2"),
        ("count(*) FILTER (WHERE (id, n) <= (5, 3))", "3"),
        ("count(*) FILTER (WHERE (id, n) > (5, 2))", "2"),
        ("count(*) FILTER (WHERE (id, n) >= (5, 2))", "3"),
        ("count(*) FILTER (WHERE (id, n) = (5, 2))", "1"),
        ("count(*) FILTER (WHERE (id, n) <> (5, 2))", "3"),
        ("count(*) FILTER (WHERE (id, n) >= (NULL, 3))", "0"),
        ("count(*) FILTER (WHERE (nullif(id, 5), n) < (5, 3))", "1"),
        ("count(*) FILTER (WHERE (p_timestamp, id + 1) < (now(), 5))", "4"),
        ("count(*) FILTER (WHERE (id, n) = (5, 2, 1))", "as many values"),
        ("count(*) FILTER (WHERE (id, (n, 1)) = (5, (2, 1)))", "hold no rows"),
        ("count(*) FILTER (WHERE (id, (id, n) < (5, 3)) = (1, true))", "hold no comparison of rows"),
        ("count(*) FILTER (WHERE (id, n) = (5, 2) OR (id, n) = (5, 3))", "2"),
        ("max(1 << 2)", "shifts are not available"),
    ])
    .await;
}

#[tokio::test]
async fn a_row_in_a_list_of_rows_is_compared_value_by_value() {
    let house = House::new();
    for (sql, expected) in [
        ("(1, NULL) IN ((1, 2))", "null"),
        ("(1, 2) NOT IN ((1, NULL), (3, 4))", "null"),
        ("(1, 2) NOT IN ((2, NULL), (3, 4))", "true"),
        ("(1, 2) IN ((1, NULL), (1, 2), (5, 6))", "true"),
        ("(1, 9007199254740993) IN ((1, CAST(9007199254740992 AS DOUBLE)))", "false"),
        ("(1, CAST(0.0 AS DOUBLE)) IN ((1, CAST(-0.0 AS DOUBLE)))", "true"),
        ("(1, INTERVAL '1 month') IN ((2, INTERVAL '1 day'), (1, INTERVAL '30 days'))", "true"),
        ("CAST(0.0 AS DOUBLE) IN (CAST(-0.0 AS DOUBLE))", "true"),
        ("CAST(0.0 AS DOUBLE) NOT IN (7.0, CAST(-0.0 AS DOUBLE))", "false"),
    ] {
        let answer = house.json(&format!("SELECT {sql} AS x")).await;
        assert_eq!(answer, format!("[{{\"x\":{expected}}}]"), "{sql}");
    }
    let many: Vec<String> = (0..2000).map(|n| format!("({n}, 1)")).collect();
    let sql = format!(
        "SELECT count(*) AS x FROM (VALUES (7, 1), (8, 2), (9000, 1)) v(a, b) WHERE (a, b) IN ({})",
        many.join(",")
    );
    assert_eq!(house.json(&sql).await, "[{\"x\":1}]");
    for (sql, words) in [
        ("SELECT (1, 2) IN (3)", "a row is compared with rows"),
        ("SELECT (1, 2) IN ((1, 2, 3))", "as many values"),
        ("SELECT struct(1) = struct(1)", "a row cannot be sorted"),
        ("SELECT max(struct(x)) FROM (VALUES (1)) v(x)", "a row cannot be sorted"),
        ("SELECT x FROM (VALUES (1)) v(x) ORDER BY struct(x)", "a row cannot be sorted"),
        ("SELECT DISTINCT struct(x) FROM (VALUES (1)) v(x)", "a row cannot be sorted"),
    ] {
        let refused = house.refused(sql).await;
        assert!(refused.message().contains(words), "{sql}: {refused}");
    }
}
