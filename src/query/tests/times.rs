//! Instants of any year, time zones and intervals.

use super::*;

#[tokio::test]
async fn instants_of_any_year_fall_into_bins() {
    let house = House::new();
    for (sql, expected) in [
        ("date_bin(INTERVAL '1 day', CAST('9999-12-31T05:00:00' AS TIMESTAMP(3)))", "9999-12-31T00:00:00"),
        ("date_bin(INTERVAL '15 minutes', CAST('1500-12-31T05:16:00' AS TIMESTAMP(0)))", "1500-12-31T05:15:00"),
        ("date_bin(INTERVAL '1 month', CAST('1500-12-31T05:00:00' AS TIMESTAMP(3)))", "1500-12-01T00:00:00"),
        ("date_bin(INTERVAL '3 months', CAST('0001-02-03T05:00:00' AS TIMESTAMP(6)))", "0001-01-01T00:00:00"),
        (
            "date_bin(INTERVAL '1 month', CAST('1500-12-01' AS TIMESTAMP(3)), TIMESTAMP '2000-01-05T00:00:00')",
            "1500-11-05T00:00:00",
        ),
        (
            "date_bin(INTERVAL '7 days', CAST('1500-12-31' AS TIMESTAMP(3)), TIMESTAMP '2000-01-03T00:00:00')",
            "1500-12-31T00:00:00",
        ),
        ("date_bin(INTERVAL '1 day', from_unixtime(99999999999))", "5138-11-16T00:00:00"),
        ("date_bin(INTERVAL '1 day', TIMESTAMP '2026-11-20T10:00:00')", "2026-11-20T00:00:00"),
    ] {
        for (from, rows) in [("", 1), (" FROM (VALUES (1), (2))", 2)] {
            let row = format!(r#"{{"x":"{expected}"}}"#);
            let found = house.json(&format!("SELECT {sql} AS x{from}")).await;
            assert_eq!(found, format!("[{}]", vec![row; rows].join(",")), "{sql}");
        }
    }
    let mixed = "SELECT date_bin(INTERVAL '1 day', CAST(t AS TIMESTAMP(3))) AS x FROM (VALUES ('9999-12-31'), (NULL), ('2026-01-01')) AS v(t)";
    assert_eq!(house.json(mixed).await, r#"[{"x":"9999-12-31T00:00:00"},{"x":null},{"x":"2026-01-01T00:00:00"}]"#);
    for step in ["-1 day", "0 seconds", "-2 months"] {
        let error = house.refused(&format!("SELECT date_bin(INTERVAL '{step}', now()) AS x")).await;
        assert!(error.message().contains("longer than 0"), "{error}");
    }
    let first = "SELECT date_bin(INTERVAL '10 years', CAST('1677-10-01' AS TIMESTAMP)) AS x";
    assert!(house.refused(first).await.message().contains("1677"));
}

#[tokio::test]
async fn a_year_is_compared_with_one_that_nanoseconds_do_not_reach() {
    let house = House::new();
    house.cars().await;
    for (condition, count) in [
        ("extract(year FROM t) < 9999", 3),
        ("date_part('year', t) < 9999", 3),
        ("extract(year FROM t) > 1", 3),
        ("extract(year FROM t) = 2026", 3),
        ("extract(year FROM t) <= 2262", 3),
        ("extract(year FROM t) = 9999", 0),
        ("NOT extract(year FROM t) = 9999", 3),
    ] {
        for column in ["p_timestamp", "CAST(p_timestamp AS TIMESTAMP)", "CAST(p_timestamp AS DATE)"] {
            let sql = format!("SELECT count(*) AS n FROM (SELECT {column} AS t FROM cars) WHERE {condition}");
            assert_eq!(house.json(&sql).await, format!(r#"[{{"n":{count}}}]"#), "{sql}");
        }
    }
}

#[tokio::test]
async fn a_time_zone_that_nobody_knows_is_named() {
    let house = House::new();
    house.cars().await;
    for value in ["p_timestamp", "now()", "TIMESTAMP '2024-03-10T02:30:00'", "DATE '2026-01-01'"] {
        let error = house.refused(&format!("SELECT {value} AT TIME ZONE 'Nowhere' AS x FROM cars")).await;
        assert!(error.message().starts_with("there is no time zone `Nowhere`: write "), "{error}");
    }
    let error = house.refused("SELECT p_timestamp AT TIME ZONE Name AS x FROM cars").await;
    assert!(error.message().contains("takes a literal"), "{error}");
    for (zone, hour) in [("Europe/Berlin", "11"), ("+02:00", "12"), ("UTC", "10")] {
        let sql = format!("SELECT to_char(p_timestamp AT TIME ZONE '{zone}', '%H') AS x FROM cars LIMIT 1");
        assert_eq!(house.json(&sql).await, format!(r#"[{{"x":"{hour}"}}]"#), "{zone}");
    }
}

#[tokio::test]
async fn an_interval_is_not_taken_apart_to_sort_or_to_group() {
    let house = House::new();
    house.cars().await;
    let some = "(VALUES (INTERVAL '1 month', 1), (INTERVAL '30 days', 2)) AS t(x, y)";
    for sql in [
        format!("SELECT x FROM {some} ORDER BY x"),
        format!("SELECT x AS z FROM {some} ORDER BY 1"),
        format!("SELECT y FROM {some} ORDER BY x + INTERVAL '1 day'"),
        format!("SELECT x, count(*) AS n FROM {some} GROUP BY x"),
        format!("SELECT count(*) AS n FROM {some} GROUP BY ROLLUP (x)"),
        format!("SELECT DISTINCT x FROM {some}"),
        format!("SELECT DISTINCT ON (x) y FROM {some}"),
        format!("SELECT min(x) AS m FROM {some}"),
        format!("SELECT max(x) OVER () AS m FROM {some}"),
        format!("SELECT count(DISTINCT x) AS m FROM {some}"),
        format!("SELECT first_value(y ORDER BY x) AS m FROM {some}"),
        format!("SELECT rank() OVER (ORDER BY x) AS m FROM {some}"),
        format!("SELECT rank() OVER (PARTITION BY x ORDER BY y) AS m FROM {some}"),
        format!("SELECT x FROM {some} UNION SELECT INTERVAL '30 days'"),
        format!("SELECT x FROM {some} INTERSECT SELECT INTERVAL '30 days'"),
        format!("SELECT x FROM {some} EXCEPT SELECT INTERVAL '30 days'"),
        format!("SELECT y FROM {some} JOIN (SELECT INTERVAL '30 days' AS x) AS u USING (x)"),
        format!("SELECT greatest(x, INTERVAL '40 days') AS g FROM {some}"),
        format!("SELECT nullif(x, INTERVAL '30 days') AS g FROM {some}"),
        format!("SELECT CASE x WHEN INTERVAL '30 days' THEN 1 END AS g FROM {some}"),
        format!("SELECT y FROM {some} WHERE EXISTS (SELECT min(x) FROM {some} HAVING min(x) IS NOT NULL)"),
    ] {
        let error = house.refused(&sql).await;
        assert!(error.message().contains("extract(epoch FROM"), "{sql}: {error}");
    }
    for (sql, expected) in [
        (format!("SELECT y FROM {some} ORDER BY extract(epoch FROM x), y"), r#"[{"y":1},{"y":2}]"#),
        (format!("SELECT count(*) AS n FROM {some} GROUP BY extract(epoch FROM x)"), r#"[{"n":2}]"#),
        (
            format!("SELECT count(*) AS n FROM {some} JOIN (SELECT INTERVAL '30 days' AS z) AS u ON x = z"),
            r#"[{"n":2}]"#,
        ),
        (
            format!("SELECT count(x) AS n, count(*) FILTER (WHERE x > INTERVAL '1 day') AS m FROM {some}"),
            r#"[{"n":2,"m":2}]"#,
        ),
        (
            "SELECT max(TIMESTAMP '2026-11-20T11:00:00.5' - p_timestamp) AS m FROM cars GROUP BY now() - p_timestamp"
                .to_owned(),
            r#"[{"m":"PT3600S"}]"#,
        ),
    ] {
        assert_eq!(house.json(&sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn seconds_that_nanoseconds_do_not_reach_are_no_instant() {
    let house = House::new();
    let some = "(VALUES (1.5), (NULL), (1e11)) AS v(s)";
    for (expression, words) in [
        ("to_timestamp(1e11)", "write to_timestamp_seconds"),
        ("to_timestamp(-1e11)", "write to_timestamp_seconds"),
        ("to_timestamp(1e300)", "write to_timestamp_seconds"),
        ("to_timestamp(9223372036.854775807)", "write to_timestamp_seconds"),
        ("to_timestamp(CAST(1e11 AS REAL))", "write to_timestamp_seconds"),
        ("to_timestamp(CAST(99999999999 AS DECIMAL(20, 3)))", "write to_timestamp_seconds"),
        ("to_timestamp(CAST('NaN' AS DOUBLE))", "NaN is no number of seconds"),
        ("to_timestamp(CAST('inf' AS DOUBLE))", "inf is no number of seconds"),
        ("to_timestamp(0.0 / 0)", "NaN is no number of seconds"),
    ] {
        let error = house.refused(&format!("SELECT {expression} AS x")).await;
        assert!(error.message().contains(words), "{expression}: {error}");
    }
    let error = house.refused(&format!("SELECT to_timestamp(s) AS x FROM {some}")).await;
    assert!(error.message().contains("write to_timestamp_seconds"), "{error}");
    for (sql, expected) in [
        ("SELECT to_timestamp(1.5) AS x".to_owned(), r#"[{"x":"1970-01-01T00:00:01.500Z"}]"#),
        ("SELECT to_timestamp_seconds(1e11) AS x".to_owned(), r#"[{"x":"5138-11-16T09:46:40Z"}]"#),
        (
            format!("SELECT to_timestamp(s) AS x FROM {some} WHERE s < 9 OR s IS NULL"),
            r#"[{"x":"1970-01-01T00:00:01.500Z"},{"x":null}]"#,
        ),
    ] {
        assert_eq!(house.json(&sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn zones_and_bins_are_as_the_documents_say() {
    let house = House::new();
    let noon = "TIMESTAMP '2026-07-01T22:30:00Z' AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin'";
    for (expression, expected) in [
        (noon.to_owned(), r#""2026-07-01T22:30:00Z""#),
        (format!("extract(hour FROM {noon})"), "0"),
        (format!("to_char({noon}, '%H')"), r#""00""#),
        (format!("CAST({noon} AS DATE)"), r#""2026-07-02""#),
        (format!("date_bin(INTERVAL '1 day', {noon})"), r#""2026-07-01T00:00:00Z""#),
        (format!("date_trunc('day', {noon})"), r#""2026-07-01T22:00:00Z""#),
        ("CAST(2.5 AS INTEGER)".to_owned(), "2"),
        ("CAST(-2.5 AS INTEGER)".to_owned(), "-2"),
        ("CAST(CAST(2.5 AS DECIMAL(3, 1)) AS INTEGER)".to_owned(), "2"),
    ] {
        assert_eq!(
            house.json(&format!("SELECT {expression} AS x")).await,
            format!(r#"[{{"x":{expected}}}]"#),
            "{expression}"
        );
    }
}
