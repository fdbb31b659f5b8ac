//! How much a query reads: what `EXPLAIN` says of it, and what is refused.

use serde_json::{Value, json};

use super::*;

impl House {
    /// Objects of two days: one for each of so many minutes from ten o'clock.
    async fn two_days(settings: QuerySettings, minutes: u32) -> Self {
        let house = Self::with(QuerySettings { threads: 2, ..settings });
        for day in ["2026-11-20", "2026-11-25"] {
            for minute in 0..minutes {
                let time = format!("{day}T10:{minute:02}:30Z");
                house.store("default", "e", &time, vec![("n", ints(&[minute.into()]))]).await;
            }
        }
        house
    }

    /// The scans of a query: stream, days and objects.
    async fn scans(&self, sql: &str) -> Vec<Value> {
        let rows: Vec<Value> = serde_json::from_str(&self.json(&format!("EXPLAIN {sql}")).await).unwrap();
        let types: Vec<&str> = rows.iter().rev().take(2).map(|row| row["plan_type"].as_str().unwrap()).collect();
        assert_eq!(types, ["physical_plan", "logical_plan"], "{sql}");
        assert!(rows[rows.len() - 2..].iter().all(|row| row["plan"].as_str().unwrap().len() > 10), "{sql}");
        let scans = rows.iter().filter(|row| row["plan_type"] == "objects");
        let scans = scans.inspect(|row| assert_eq!(row["bytes_opened"] == 0, row["objects_opened"] == 0));
        let names = ["stream", "days_listed", "days_pruned", "objects_listed", "objects_pruned", "objects_opened"];
        scans.map(|row| names.iter().map(|name| row[name].clone()).collect()).collect()
    }
}

#[tokio::test]
async fn explain_says_which_objects_of_a_stream_a_query_opens() {
    let house = House::two_days(QuerySettings::default(), 5).await;
    house.cars().await;
    let minute = |time: &str| format!("p_timestamp >= '2026-11-25T{time}:00Z'");
    for (sql, expected) in [
        ("SELECT * FROM e".to_owned(), vec![json!(["e", 2, 0, 10, 0, 10])]),
        (format!("SELECT count(*) AS n FROM e WHERE {}", minute("10:03")), vec![json!(["e", 1, 1, 5, 3, 2])]),
        (format!("SELECT n FROM e WHERE {} AND n > 1", minute("11:00")), vec![json!(["e", 1, 1, 5, 5, 0])]),
        ("SELECT n FROM e WHERE p_timestamp > now() - INTERVAL '5 minutes'".into(), vec![json!(["e", 0, 2, 0, 0, 0])]),
        (
            format!("SELECT e.n FROM cars JOIN e ON e.n = cars.Miles_per_Gallon WHERE e.{}", minute("10:04")),
            vec![json!(["cars", 1, 0, 1, 0, 1]), json!(["e", 1, 1, 5, 4, 1])],
        ),
        ("VALUES (1)".into(), vec![]),
    ] {
        assert_eq!(house.scans(&sql).await, expected, "{sql}");
    }
    let (sql, start) = ("EXPLAIN SELECT * FROM e", Some(at("2026-11-25T10:04:00Z")));
    let ranged = QueryRequest::new(sql, start, None).unwrap();
    let answer = house.ask(everything("default"), ranged, Format::Csv).await.unwrap();
    assert!(answer.contains("\nobjects,e,1,1,5,4,1,"), "{answer}");
}

#[tokio::test]
async fn explain_opens_nothing_and_shows_no_stream_of_others() {
    let house = House::two_days(QuerySettings::default(), 2).await;
    let name =
        ObjectName::events(TenantId::default(), StreamName::parse("e").unwrap(), at("2026-11-20T09:00:00Z"), fresh());
    house.put(name, b"this is no Parquet file".to_vec()).await;
    assert!(house.ask(everything("default"), request("SELECT n FROM e"), Format::Csv).await.is_err());
    assert_eq!(house.scans("SELECT n FROM e").await, [json!(["e", 2, 0, 5, 0, 5])]);
    let other = house.ask(everything("acme"), request("EXPLAIN SELECT n FROM e"), Format::Csv).await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_query_of_too_many_objects_is_refused_before_one_is_opened() {
    let settings = QuerySettings { max_objects: 10, max_bytes: 0, ..QuerySettings::default() };
    let house = House::two_days(settings, 8).await;
    let refused = async |sql: &str| {
        let error = house.ask(everything("default"), request(sql), Format::Csv).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QueryTooLarge, "{sql}: {error:?}");
        error.message().to_owned()
    };
    let message = refused("SELECT n FROM e").await;
    for part in ["at least 16 objects", "10 (--query-max-objects)", "startTime and endTime", "p_timestamp"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    refused("SELECT count(*) AS n FROM e").await;
    let few = "SELECT count(*) AS n FROM e WHERE p_timestamp > '2026-11-25T10:00:00Z'";
    assert_eq!(house.json(few).await, r#"[{"n":8}]"#);
    // What two scans open counts together.
    let half = "SELECT n FROM e WHERE p_timestamp > '2026-11-25T10:00:00Z'";
    refused(&format!("SELECT count(*) AS n FROM ({half}) AS a JOIN ({half}) AS b ON a.n = b.n")).await;
    let settings = QuerySettings { max_objects: 0, max_bytes: 0, ..QuerySettings::default() };
    let no_limit = House::on(house.bucket.clone(), settings);
    no_limit.catalog.sync().await.unwrap();
    assert_eq!(no_limit.json("SELECT count(*) AS n FROM e").await, r#"[{"n":16}]"#);
}

#[tokio::test]
async fn a_query_of_too_many_bytes_is_refused_unless_it_reads_footers_only() {
    let settings = QuerySettings { max_objects: 0, max_bytes: 4000, ..QuerySettings::default() };
    let house = House::two_days(settings, 4).await;
    let error = house.ask(everything("default"), request("SELECT n FROM e"), Format::Csv).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueryTooLarge, "{error:?}");
    assert!(error.message().contains("8 objects of ") && error.message().contains("--query-max-bytes"), "{error}");
    assert_eq!(house.json("SELECT count(*) AS n FROM e").await, r#"[{"n":8}]"#);
    let one = "SELECT n FROM e WHERE p_timestamp < '2026-11-20T10:01:00Z'";
    assert_eq!(house.json(one).await, r#"[{"n":0}]"#);
}

#[tokio::test]
async fn rounding_to_more_places_than_a_float_has_gives_a_number() {
    let house = House::new();
    house
        .store("default", "f", "2026-11-20T10:00:00Z", vec![("x", floats(&[1.5, -2.25])), ("p", ints(&[400, 1]))])
        .await;
    for (sql, rows) in [
        ("SELECT round(1.5, 400) AS a, round(1.5, -400) AS b, trunc(1.5, 400) AS c", r#"[{"a":1.5,"b":0.0,"c":1.5}]"#),
        ("SELECT round(x, 309) AS a FROM f ORDER BY x", r#"[{"a":-2.25},{"a":1.5}]"#),
        ("SELECT round(x, p) AS a, trunc(x, -p) AS b FROM f ORDER BY x", r#"[{"a":-2.3,"b":-0.0},{"a":1.5,"b":0.0}]"#),
        ("SELECT round(1e300, 20) = 1e300 AS a, round(2.345, 2) AS b", r#"[{"a":true,"b":2.35}]"#),
        (
            "SELECT round(CAST(NULL AS DOUBLE), 400) AS a, round(1.5, NULL) AS b, round(17, 400) AS c",
            r#"[{"a":null,"b":null,"c":17}]"#,
        ),
    ] {
        assert_eq!(house.json(sql).await, rows, "{sql}");
    }
}

#[tokio::test]
async fn explain_shows_what_a_query_would_open_that_is_too_large() {
    let house = House::two_days(QuerySettings { max_objects: 3, ..QuerySettings::default() }, 5).await;
    let error = house.ask(everything("default"), request("SELECT * FROM e"), Format::JsonArray).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueryTooLarge);
    let rows: Vec<Value> = serde_json::from_str(&house.json("EXPLAIN SELECT * FROM e").await).unwrap();
    let types: Vec<&str> = rows.iter().map(|row| row["plan_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["objects", "logical_plan", "refused"]);
    assert_eq!((&rows[0]["stream"], &rows[2]["plan"]), (&json!("e"), &json!(error.message())));
    assert!(rows[0]["objects_opened"].as_u64().unwrap() > 3, "{rows:?}");
}

#[tokio::test]
async fn count_reads_no_object_whose_rows_are_known_and_is_right_beside_filters_limits_and_joins() {
    let house = House::new();
    house.cars().await;
    house.cars().await;
    for _ in 0..2 {
        // The second time the footers are known.
        for (sql, expected) in [
            ("SELECT count(*) AS n FROM cars", 6),
            ("SELECT count(*) AS n FROM cars WHERE \"Name\" = 'a'", 2),
            ("SELECT count(*) AS n FROM (SELECT * FROM cars LIMIT 4)", 4),
            ("SELECT count(*) AS n FROM (SELECT * FROM cars LIMIT 4 OFFSET 3)", 3),
            ("SELECT count(*) AS n FROM cars a JOIN cars b ON true", 36),
            ("SELECT count(*) AS n FROM cars WHERE p_timestamp > now()", 0),
            ("SELECT count(\"Name\") AS n FROM cars", 6),
            ("SELECT (SELECT count(*) FROM cars) + count(*) AS n FROM cars WHERE \"Name\" <> 'a'", 10),
        ] {
            assert_eq!(house.json(sql).await, format!("[{{\"n\":{expected}}}]"), "{sql}");
        }
    }
    let plan = house.json("EXPLAIN SELECT count(*) AS n FROM cars").await;
    assert!(plan.contains("PlaceholderRowExec"), "{plan}");
}
