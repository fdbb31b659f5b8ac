use super::*;

#[tokio::test]
async fn a_clause_that_would_be_dropped_is_refused_by_its_name() {
    let house = House::new();
    house.cars().await;
    let mut wrong = Vec::new();
    for (sql, named) in [
        ("SELECT * FROM cars PREWHERE Name = 'a'", "PREWHERE"),
        ("SELECT * FROM cars TABLESAMPLE (10 ROWS)", "TABLESAMPLE"),
        ("SELECT * FROM cars TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
        ("SELECT * FROM cars TABLESAMPLE SYSTEM (1) REPEATABLE (5)", "TABLESAMPLE"),
        ("SELECT * FROM cars AS c TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"),
        ("SELECT * FROM (SELECT * FROM cars) TABLESAMPLE (1 ROWS)", "TABLESAMPLE"),
        ("SELECT * FROM cars SETTINGS max_threads = 1", "SETTINGS"),
        ("SELECT * FROM cars FORMAT CSV", "FORMAT"),
        ("SELECT * FROM cars FORMAT NULL", "FORMAT"),
        ("SELECT * FROM (SELECT * FROM cars FORMAT CSV)", "FORMAT"),
        ("SELECT * FROM cars FETCH FIRST 1 ROW WITH TIES", "FETCH"),
        ("SELECT * FROM cars FOR UPDATE", "FOR UPDATE"),
        ("SELECT * FROM cars FOR JSON AUTO", "FOR (XML, JSON"),
        ("SELECT * FROM cars |> LIMIT 1", ""),
        ("SELECT TOP 1 * FROM cars", "TOP"),
        ("SELECT AS STRUCT Name FROM cars", ""),
        ("SELECT * FROM cars LATERAL VIEW explode(Name) t AS x", "LATERAL VIEW"),
        ("SELECT * FROM cars START WITH Name = 'a' CONNECT BY Name = 'b'", ""),
        ("SELECT * FROM cars CLUSTER BY Name", "CLUSTER BY"),
        ("SELECT * FROM cars DISTRIBUTE BY Name", "DISTRIBUTE BY"),
        ("SELECT * FROM cars SORT BY Name", "SORT BY"),
        ("SELECT Name, count(*) FROM cars GROUP BY Name WITH ROLLUP", "GROUP BY"),
        ("SELECT Name, count(*) FROM cars GROUP BY Name WITH TOTALS", "GROUP BY"),
        ("SELECT Name, count(*) FROM cars GROUP BY ALL WITH CUBE", "GROUP BY"),
        ("SELECT 1 AS x UNION ALL SELECT 0 ORDER BY ALL", "ALL"),
        ("SELECT 1.0 IS NULL AS x FROM cars GROUP BY ROLLUP (1.0 IS NULL, Name)", "a constant cannot stand in ROLLUP"),
        (
            "SELECT count(*) AS n FROM cars GROUP BY ROLLUP (NOT (Name LIKE '_'), Name LIKE '%')",
            "compute it in FROM, and use its name",
        ),
        ("SELECT Name FROM cars INTERSECT ALL SELECT Name FROM cars", "INTERSECT ALL"),
        ("SELECT Name FROM cars EXCEPT ALL SELECT Name FROM cars", "EXCEPT ALL"),
        ("SELECT * FROM cars LIMIT 1 BY Name", "LIMIT BY"),
        ("SELECT * FROM cars ORDER BY Name WITH FILL", "WITH FILL"),
        ("SELECT * FROM cars WITH ORDINALITY", "ORDINALITY"),
        ("SELECT * FROM cars FOR SYSTEM_TIME AS OF '2026-01-01'", ""),
        ("SELECT * FROM cars WITH (NOLOCK)", "hint"),
        ("SELECT * FROM cars GLOBAL JOIN cars AS c USING (Name)", "GLOBAL"),
        ("SELECT abs(DISTINCT Miles_per_Gallon) AS x FROM cars", "DISTINCT"),
        ("SELECT abs(Miles_per_Gallon) FILTER (WHERE false) AS x FROM cars", "FILTER"),
        ("SELECT abs(Miles_per_Gallon) OVER (ORDER BY Name) AS x FROM cars", "OVER"),
        ("SELECT abs(Miles_per_Gallon) WITHIN GROUP (ORDER BY Name) AS x FROM cars", "ORDER BY"),
        ("SELECT UPPER(Name) IGNORE NULLS AS x FROM cars", "NULLS"),
        ("SELECT count(SELECT 1) AS x FROM cars", ""),
        ("SELECT sum(1)(Miles_per_Gallon) AS x FROM cars", "arguments"),
        ("SELECT rank() FILTER (WHERE false) OVER (ORDER BY Name) AS x FROM cars", "FILTER"),
        ("SELECT sum(Miles_per_Gallon) IGNORE NULLS OVER () AS x FROM cars", "NULLS"),
        ("SELECT corr(DISTINCT Miles_per_Gallon, 1) AS x FROM cars", "DISTINCT"),
        ("SELECT rank() OVER (w ORDER BY Name) AS x FROM cars WINDOW w AS (PARTITION BY Name)", "window"),
        ("SELECT Name FROM cars WINDOW w AS (ORDER BY Name) ORDER BY count(*) OVER w", "window"),
        ("SELECT Name FROM cars WINDOW w AS (ORDER BY Name) QUALIFY count(*) OVER w > 1", "window"),
        ("SELECT CAST(Name AS VARCHAR(1)) AS x FROM cars", "length"),
        ("SELECT Name::CHAR(1) AS x FROM cars", "length"),
        ("FROM cars", "SELECT"),
        ("SELECT [1, 2] AS x", "arrays are not supported"),
        ("SELECT Name SIMILAR TO 'a' AS x FROM cars", "regexp_like"),
        ("SELECT Name RLIKE 'a' AS x FROM cars", "regexp_like"),
        ("SELECT Name COLLATE nocase AS x FROM cars", "COLLATE"),
        ("SELECT MAP {'a': 1} AS x", "a map"),
        ("SELECT MATCH (Name) AGAINST ('x') AS x FROM cars", "AGAINST"),
        ("SELECT * FROM cars a SEMI JOIN cars b ON a.Name = b.Name", "LEFT or RIGHT"),
        ("SELECT * FROM cars a ANTI JOIN cars b ON a.Name = b.Name", "LEFT or RIGHT"),
        ("SELECT * FROM cars CROSS APPLY (SELECT 1) x", "APPLY"),
        ("SELECT * FROM cars a ASOF JOIN cars b MATCH_CONDITION (a.Name >= b.Name) ON true", "ASOF JOIN"),
        ("SELECT Name FROM cars WHERE (Name, Name) IN (SELECT Name, Name FROM cars)", "EXISTS"),
        ("SELECT Name FROM cars WHERE row_number() OVER () = 1", "QUALIFY"),
        ("SELECT count(*) AS n FROM cars GROUP BY 1 + row_number() OVER ()", "QUALIFY"),
        ("SELECT count(*) AS n FROM cars a JOIN cars b ON row_number() OVER () = 1", "QUALIFY"),
        ("SELECT unnest(Name) AS x FROM cars", "arrays are not supported"),
        ("SELECT * FROM unnest(make_array(1))", "arrays are not supported"),
    ] {
        match house.ask(everything("default"), request(sql), Format::JsonArray).await {
            Err(error) if error.kind() == ErrorKind::Invalid && error.message().contains(named) => {}
            other => wrong.push(format!("{sql}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn refusals_speak_of_the_query_and_not_of_the_engine() {
    let house = House::new();
    house.cars().await;
    for (sql, named) in [
        ("SELECT sum(Name) AS x FROM cars", "`sum` does not take VARCHAR: cast it"),
        ("SELECT avg(Name) AS x FROM cars", "`avg` does not take VARCHAR: cast it"),
        ("SELECT avg(NULL) AS x FROM cars", "`avg` does not take"),
        ("SELECT median(Name) AS x FROM cars", "`median` does not take"),
        ("SELECT trunc('x', 1) AS x", "`trunc` does not take"),
        ("SELECT ltrim(now()) AS x", "`ltrim` does not take TIMESTAMP: cast it"),
        ("SELECT to_date('sha256', Name) AS x FROM cars", "cast it"),
        ("SELECT Name FROM cars LIMIT (SELECT 1)", "numbers"),
        ("SELECT nvl2(Miles_per_Gallon, 0, p_timestamp) AS x FROM cars", "cast them"),
        ("SELECT length(struct(1, 'a')) AS x", "cast them"),
        ("SELECT string_agg(Name, ',') OVER (ORDER BY Name ROWS 1 PRECEDING) AS x FROM cars", "a window that moves"),
        ("SELECT Name FROM cars WHERE Name", "must be a boolean"),
        ("SELECT INTERVAL '1 day' * 3 AS x", "added and subtracted only"),
        ("SELECT DATE '2024-01-01' + INTERVAL '300000 years' AS x", "out of range"),
        ("SELECT Name FROM cars WHERE p_timestamp < '9999-12-31'", "TIMESTAMP(3)"),
        ("SELECT Name FROM cars WHERE p_timestamp < DATE '9999-12-31'", "TIMESTAMP(3)"),
        (
            "SELECT Name FROM cars ORDER BY (SELECT max(Name) FROM cars w WHERE w.p_timestamp = cars.p_timestamp)",
            "use its name",
        ),
        ("SELECT from_unixtime(9223372036854775807) AS x", "outside the calendar"),
        ("SELECT to_timestamp_millis(9223372036854775807) AS x", "outside the calendar"),
        ("SELECT to_timestamp_seconds(9223372036854775) AS x", "outside the calendar"),
        ("SELECT array_agg(from_unixtime(9223372036854775807)) AS x", "outside the calendar"),
        ("SELECT struct(from_unixtime(9223372036854775807)) AS x", "outside the calendar"),
        ("SELECT CAST(2147483647 AS DATE) AS x", "outside the calendar"),
    ] {
        let error = house.ask(everything("default"), request(sql), Format::JsonArray).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.message().contains(named), "{sql}: {error}");
        for word in ["Internal", "Span", "sqltorel", "Planner", "Accumulator", "Array(", " { "] {
            assert!(!error.message().contains(word), "{sql}: {error}");
        }
    }
    for (sql, answer) in [
        ("SELECT count(*) AS n FROM cars WHERE p_timestamp < CAST('9999-12-31' AS TIMESTAMP(3))", r#"[{"n":3}]"#),
        ("SELECT CAST('9999-12-31' AS DATE) AS x", r#"[{"x":"9999-12-31"}]"#),
        ("SELECT from_unixtime(0) AS x", r#"[{"x":"1970-01-01T00:00:00"}]"#),
    ] {
        assert_eq!(house.ask(everything("default"), request(sql), Format::JsonArray).await.unwrap(), answer, "{sql}");
    }
}

#[tokio::test]
async fn clauses_that_are_honoured_stay() {
    let house = House::new();
    house.cars().await;
    for (sql, answer) in [
        ("FROM cars SELECT Name LIMIT 1", r#"[{"Name":"a"}]"#),
        ("SELECT Name FROM cars QUALIFY row_number() OVER (ORDER BY Name DESC) = 1", r#"[{"Name":"c"}]"#),
        ("SELECT count(*) OVER w AS n FROM cars WINDOW w AS (ORDER BY Name) LIMIT 1", r#"[{"n":1}]"#),
        ("SELECT count(DISTINCT Name) FILTER (WHERE Name > 'a') AS n FROM cars", r#"[{"n":2}]"#),
        (
            "SELECT * EXCLUDE (Miles_per_Gallon, p_timestamp, p_offset, p_key_id, p_source_id) FROM cars LIMIT 1",
            r#"[{"Name":"a"}]"#,
        ),
        ("WITH x AS (SELECT 1 AS n) SELECT n FROM x AS y (n)", r#"[{"n":1}]"#),
        ("SELECT lag(Name) IGNORE NULLS OVER (ORDER BY Name) AS x FROM cars ORDER BY Name LIMIT 1", r#"[{"x":null}]"#),
        ("SELECT CAST(1 AS VARCHAR) AS x", r#"[{"x":"1"}]"#),
    ] {
        assert_eq!(house.json(sql).await, answer, "{sql}");
    }
}
