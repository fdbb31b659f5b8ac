use super::*;

#[tokio::test]
async fn identifiers_keep_their_case_and_functions_do_not() {
    let house = House::new();
    house.cars().await;
    assert_eq!(
        house.json("SELECT Name, Miles_per_Gallon FROM cars ORDER BY Name LIMIT 2").await,
        r#"[{"Name":"a","Miles_per_Gallon":18},{"Name":"b","Miles_per_Gallon":15}]"#
    );
    for count in ["COUNT(*)", "count(*)", "Count(*)"] {
        assert_eq!(house.json(&format!("select {count} as n from cars")).await, r#"[{"n":3}]"#);
    }
    assert!(house.refused("SELECT name FROM cars").await.message().contains("name"));
}

#[tokio::test]
async fn integers_are_exact_nulls_explicit_and_floats_that_are_not_finite_null() {
    let house = House::new();
    house.cars().await;
    assert_eq!(
        house
            .json("SELECT max(Miles_per_Gallon) AS m, NULL AS n, CAST('NaN' AS DOUBLE) AS x, 0.5 AS f FROM cars")
            .await,
        r#"[{"m":9007199254740993,"n":null,"x":null,"f":0.5}]"#
    );
}

#[tokio::test]
async fn instants_are_printed_in_utc_with_milliseconds() {
    let house = House::new();
    house.cars().await;
    let sql = "SELECT p_timestamp, Name FROM cars ORDER BY Name LIMIT 1";
    assert_eq!(house.json(sql).await, r#"[{"p_timestamp":"2026-11-20T10:00:00.500Z","Name":"a"}]"#);
    let csv = house.ask(everything("default"), request(sql), Format::Csv).await.unwrap();
    assert_eq!(csv, "p_timestamp,Name\n2026-11-20T10:00:00.500Z,a\n");
    let sql = "SELECT date_trunc('day', p_timestamp) AS d FROM cars LIMIT 1";
    assert_eq!(house.json(sql).await, r#"[{"d":"2026-11-20T00:00:00.000Z"}]"#);
    assert!(house.json("SELECT now() AS t").await.ends_with("Z\"}]"));
}

#[tokio::test]
async fn every_format_has_its_own_empty_answer() {
    let house = House::new();
    house.cars().await;
    let sql = "SELECT Name, Miles_per_Gallon FROM cars WHERE Name = 'z'";
    let ask = |format| house.ask(everything("default"), request(sql), format);
    assert_eq!(ask(Format::JsonArray).await.unwrap(), "[]");
    assert_eq!(ask(Format::NdJson).await.unwrap(), "");
    assert_eq!(ask(Format::Csv).await.unwrap(), "Name,Miles_per_Gallon\n");
}

#[tokio::test]
async fn csv_quotes_what_needs_quotes_and_ndjson_is_one_object_a_line() {
    let house = House::new();
    house.store("default", "notes", "2026-11-20T10:00:00Z", vec![("t", texts(&["a,b", "say \"x\"\n"]))]).await;
    let ask = |format| house.ask(everything("default"), request("SELECT t FROM notes"), format);
    assert_eq!(ask(Format::Csv).await.unwrap(), "t\n\"a,b\"\n\"say \"\"x\"\"\n\"\n");
    assert_eq!(ask(Format::NdJson).await.unwrap(), "{\"t\":\"a,b\"}\n{\"t\":\"say \\\"x\\\"\\n\"}\n");
}

#[tokio::test]
async fn an_answer_of_many_batches_is_one_json_array() {
    let house = House::with(QuerySettings { batch_rows: 7, threads: 2, ..QuerySettings::default() });
    house.store("default", "n", "2026-11-20T10:00:00Z", vec![("n", ints(&(0..1000).collect::<Vec<_>>()))]).await;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&house.json("SELECT n FROM n ORDER BY n").await).unwrap();
    assert_eq!((rows.len(), rows[999]["n"].as_i64()), (1000, Some(999)));
}

#[tokio::test]
async fn two_columns_of_one_name_are_refused_where_json_would_lose_one() {
    let house = House::new();
    house.cars().await;
    let sql = "SELECT a.Name, b.Name FROM cars a JOIN cars b ON a.Name = b.Name";
    assert!(house.refused(sql).await.message().contains("AS"));
    assert!(house.ask(everything("default"), request(sql), Format::Csv).await.is_ok());
}

#[tokio::test]
async fn a_file_is_visible_to_the_next_query() {
    let house = House::new();
    for files in 1..=3 {
        house.cars().await;
        assert_eq!(house.json("SELECT count(*) AS n FROM cars").await, format!(r#"[{{"n":{}}}]"#, files * 3));
    }
}

#[tokio::test]
async fn older_files_lack_newer_columns_and_hold_whole_numbers_where_floats_are_now() {
    let house = House::new();
    house.store("default", "m", "2026-11-20T10:00:00Z", vec![("v", ints(&[1, 7]))]).await;
    house.store("default", "m", "2026-11-21T10:00:00Z", vec![("v", floats(&[1.5])), ("w", texts(&["x"]))]).await;
    assert_eq!(
        house.json("SELECT v, w FROM m ORDER BY v").await,
        r#"[{"v":1.0,"w":null},{"v":1.5,"w":"x"},{"v":7.0,"w":null}]"#
    );
    assert_eq!(house.json("SELECT v FROM m WHERE v > 1.2 AND v < 1.7").await, r#"[{"v":1.5}]"#);
    assert_eq!(house.json("SELECT v FROM m WHERE w IS NULL AND v > 6.5").await, r#"[{"v":7.0}]"#);
}

#[tokio::test]
async fn what_is_least_in_one_column_hides_nothing_of_another() {
    let house = House::new();
    let mut values = [Vec::new(), Vec::new(), Vec::new()];
    for hour in 0..24 {
        // Each object lacks a column, and the least of one is where the others are not.
        let row = [("a", (hour * 7) % 24), ("b", 100 - hour), ("c", (hour * 5) % 24 - 12)];
        let has = |place: &usize| *place != hour as usize % 3;
        (0..3).filter(has).for_each(|place| values[place].push(row[place].1));
        let columns = (0..3).filter(has).map(|place| (row[place].0, ints(&[row[place].1]))).collect();
        house.store("default", "rare", &format!("2026-11-20T{hour:02}:00:00Z"), columns).await;
    }
    let names = ["a", "b", "c"].iter().zip(&values);
    let each: Vec<_> = names
        .flat_map(|(name, values)| {
            [("min", values.iter().min()), ("max", values.iter().max())]
                .map(|(function, value)| (format!("{function}({name})"), value.unwrap()))
        })
        .collect();
    for (left, l) in &each {
        for (right, r) in &each {
            let both = house.json(&format!("SELECT {left} AS l, {right} AS r FROM rare")).await;
            assert_eq!(both, format!(r#"[{{"l":{l},"r":{r}}}]"#), "{left}, {right}");
        }
    }
}

#[tokio::test]
async fn describe_tells_the_columns_of_a_stream() {
    let house = House::new();
    house.cars().await;
    let answer = house.json("DESCRIBE cars").await;
    assert!(answer.contains("Miles_per_Gallon") && answer.contains("p_timestamp"), "{answer}");
    house.refused("DESCRIBE nothing").await;
}

#[tokio::test]
async fn usual_sql_works() {
    let house = House::new();
    house.cars().await;
    for sql in [
        "VALUES (1, 'a'), (2, 'b')",
        "WITH x AS (SELECT Name FROM cars), y AS (SELECT * FROM x) SELECT count(*) AS n FROM y JOIN x ON x.Name = y.Name",
        "SELECT Name, row_number() OVER (ORDER BY Name) AS r FROM cars",
        "SELECT Name FROM cars WHERE Miles_per_Gallon > (SELECT min(Miles_per_Gallon) FROM cars)",
        "SELECT a.Name FROM cars a, cars b WHERE a.Name = b.Name AND EXISTS (SELECT 1 FROM cars c WHERE c.Name = a.Name)",
        "SELECT Name FROM cars UNION ALL SELECT 'x' INTERSECT SELECT 'x'",
        "SELECT replace(Name, 'a', 'bb') || '-' || upper(Name) AS r, CAST(Miles_per_Gallon AS DOUBLE) AS d FROM cars",
        "SELECT date_bin(INTERVAL '1 hour', p_timestamp) AS t, count(*) AS n FROM cars GROUP BY 1 ORDER BY t",
        "SELECT string_agg(Name, ',') AS s, array_agg(Name) AS l, approx_distinct(Name) AS d, median(Miles_per_Gallon) AS m FROM cars",
        "SELECT extract(year FROM p_timestamp) AS y, substring(Name, 1, 1) AS s, position('a' IN Name) AS p FROM cars;",
        "SELECT \"Name\" FROM \"cars\" c WHERE Name ILIKE 'A%' OR Name ~ '^b' ORDER BY 1 DESC OFFSET 0 ROWS",
        "SELECT Name FROM public.cars QUALIFY rank() OVER (ORDER BY Name) = 1",
        "SELECT Name, count(*) AS n FROM cars GROUP BY ROLLUP(Name) HAVING count(*) > 0",
    ] {
        if let Err(error) = house.ask(everything("default"), request(sql), Format::JsonArray).await {
            panic!("{sql}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_without_objects_answers_like_an_empty_table() {
    let house = House::new();
    let (tenant, stream) = (TenantId::default(), StreamName::parse("e").unwrap());
    let fields = [Field { name: "n".into(), field_type: FieldType::Integer }];
    house.catalog.widen_by_all(&tenant, &stream, &[&fields]).await.unwrap();
    for (sql, rows) in [
        ("SELECT n, p_timestamp FROM e ORDER BY p_timestamp", "[]"),
        ("SELECT n FROM e ORDER BY n DESC LIMIT 2", "[]"),
        ("SELECT n, row_number() OVER (ORDER BY p_timestamp) AS r FROM e", "[]"),
        ("SELECT n, count(*) AS c FROM e GROUP BY n", "[]"),
        ("SELECT count(*) AS c, sum(n) AS s FROM e", r#"[{"c":0,"s":null}]"#),
        ("SELECT a.n FROM e AS a JOIN e AS b ON a.n = b.n ORDER BY a.n", "[]"),
    ] {
        assert_eq!(house.json(sql).await, rows, "{sql}");
    }
}

#[tokio::test]
async fn an_offset_skips_the_first_rows_of_its_own_order() {
    let house = House::new();
    let columns =
        vec![("id", ints(&[1, 4, 2, 3])), ("k", ints(&[10, 40, 20, 30])), ("s", texts(&["a", "b", "a", "b"]))];
    house.store("default", "e", "2026-11-20T10:00:00Z", columns).await;
    let columns = vec![("id", ints(&[6, 5])), ("k", ints(&[60, 50])), ("s", texts(&["c", "c"]))];
    house.store("default", "e", "2026-11-20T11:00:00Z", columns).await;
    let mut wrong = Vec::new();
    for (sql, ids) in [
        ("SELECT id FROM (SELECT id FROM e ORDER BY id OFFSET 2) ORDER BY id DESC", "[6,5,4,3]"),
        ("SELECT id FROM (SELECT id, k FROM e ORDER BY k OFFSET 3) ORDER BY id DESC OFFSET 1", "[5,4]"),
        ("SELECT id FROM (SELECT id FROM e ORDER BY k LIMIT 3 OFFSET 2) ORDER BY id DESC", "[5,4,3]"),
        ("SELECT id FROM (SELECT id FROM e ORDER BY k DESC LIMIT 4 OFFSET 1) ORDER BY id LIMIT 2 OFFSET 1", "[3,4]"),
        ("SELECT row_number() OVER (ORDER BY id DESC) AS id FROM (SELECT id FROM e ORDER BY id OFFSET 4)", "[1,2]"),
        (
            "(SELECT id FROM e ORDER BY k OFFSET 5) UNION ALL (SELECT id FROM e ORDER BY k DESC OFFSET 5) ORDER BY id",
            "[1,6]",
        ),
        ("SELECT k / 10 AS id FROM e ORDER BY id OFFSET 4", "[5,6]"),
    ] {
        let found = house.ask(everything("default"), request(sql), Format::NdJson).await;
        let found = found.map(|rows| rows.lines().map(|row| row[6..row.len() - 1].to_owned()).collect::<Vec<_>>());
        let found = found.map(|ids| format!("[{}]", ids.join(",")));
        if found.as_deref().ok() != Some(ids) {
            wrong.push(format!("{sql}\n  expected {ids}\n  found    {found:?}"));
        }
    }
    let rows =
        house.json("SELECT count(*) AS n FROM (SELECT id FROM (SELECT id FROM e LIMIT 4 OFFSET 2) ORDER BY id)").await;
    assert_eq!(rows, r#"[{"n":4}]"#);
    for (sql, n) in [
        ("SELECT sum(k) AS n FROM (SELECT k FROM e ORDER BY id OFFSET 4)", 110),
        ("SELECT sum(k) AS n FROM (SELECT k FROM e ORDER BY id DESC OFFSET 4)", 30),
        ("SELECT sum(x) AS n FROM (SELECT k + 1 AS x FROM e ORDER BY id DESC OFFSET 5)", 11),
        (
            "SELECT sum(x) AS n FROM (SELECT x FROM (SELECT k AS x, s FROM e ORDER BY id OFFSET 2) AS t WHERE s = 'a')",
            0,
        ),
        ("SELECT sum(x) AS n FROM (SELECT max(k) AS x FROM e GROUP BY s ORDER BY s OFFSET 2)", 60),
        ("SELECT count(*) AS n FROM e WHERE k IN (SELECT k FROM e ORDER BY id OFFSET 4) AND id > 4", 2),
        (
            "SELECT sum(k) AS n FROM ((SELECT k FROM e ORDER BY id OFFSET 5) UNION ALL (SELECT k FROM e ORDER BY id DESC OFFSET 5))",
            70,
        ),
        ("SELECT sum(t.k) AS n FROM e JOIN (SELECT k FROM e ORDER BY id DESC OFFSET 4) AS t ON e.k > t.k", 130),
        ("SELECT sum(k) AS n FROM (SELECT k FROM e ORDER BY id LIMIT 1 OFFSET 4)", 50),
        (
            "SELECT sum(k) AS n FROM (SELECT k FROM (SELECT id, k FROM e ORDER BY id OFFSET 1) ORDER BY id DESC OFFSET 4)",
            20,
        ),
    ] {
        let found = house.ask(everything("default"), request(sql), Format::JsonArray).await;
        let n = if n == 0 { "null".to_owned() } else { n.to_string() };
        if found.as_deref().ok() != Some(&format!(r#"[{{"n":{n}}}]"#)) {
            wrong.push(format!("{sql}\n  expected {n}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
