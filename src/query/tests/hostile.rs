use std::time::Duration;

use super::super::statement::{self, SHORT_TEXT, SHORT_TEXT_STACK_BYTES};
use super::stopping::is_idle_soon;
use super::*;

/// Refuses each within seconds, and is still there afterwards.
async fn all_refused(house: &House, statements: impl IntoIterator<Item = String>) {
    for sql in statements {
        let shown: String = sql.chars().take(60).collect();
        let start = std::time::Instant::now();
        let refused = tokio::time::timeout(Duration::from_secs(30), house.refused(&sql)).await;
        eprintln!("{:?} {shown}: {}", start.elapsed(), refused.as_ref().map_or("", |error| error.message()));
        assert!(refused.is_ok(), "{shown} takes too long");
    }
    assert_eq!(house.json("SELECT 1 AS x").await, r#"[{"x":1}]"#);
}

#[tokio::test]
async fn whatever_is_not_one_read_only_query_is_refused() {
    let house = House::new();
    house.cars().await;
    let statements = [
        "",
        ";",
        "SELECT 1; SELECT 2",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN VERBOSE SELECT 1",
        "EXPLAIN FORMAT JSON SELECT 1",
        "EXPLAIN FORMAT tree SELECT 1",
        "explain (format json) SELECT 1",
        "EXPLAIN QUERY PLAN SELECT 1",
        "EXPLAIN cars",
        "EXPLAIN DESCRIBE cars",
        "EXPLAIN EXPLAIN SELECT 1",
        "EXPLAIN DELETE FROM cars",
        "EXPLAIN INSERT INTO cars VALUES (1)",
        "EXPLAIN SELECT 1; SELECT 2",
        "EXPLAIN SELECT * FROM nothing",
        "SHOW TABLES",
        "SHOW ALL",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE cars",
        "INSERT INTO cars VALUES (1)",
        "DELETE FROM cars",
        "UPDATE cars SET Name = ''",
        "COPY cars TO '/tmp/x.csv'",
        "COPY (SELECT 1) TO 's3://x/y'",
        "SELECT * INTO t FROM cars",
        "WITH x AS (INSERT INTO cars VALUES (1)) SELECT 1",
        "BEGIN",
        "COMMIT",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "ANALYZE TABLE cars",
        "TRUNCATE TABLE cars",
        "USE x",
        "ALTER TABLE cars RENAME TO c",
        "DESCRIBE SELECT 1",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "GRANT SELECT ON cars TO x",
        "SELECT * FROM generate_series(1, 10)",
        "SELECT * FROM range(10)",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM TABLE(generate_series(1, 10))",
        "SELECT * FROM LATERAL generate_series(1, 10)",
        "TABLE cars",
        "FROM cars |> WHERE true",
        "SELECT generate_series(1, 1000000000)",
        "SELECT repeat('a', 1000000000)",
        "SELECT rpad('a', 1000000000, 'b')",
        "SELECT lpad('a', 1000000000)",
        "SELECT space(1000000000)",
        "SELECT version()",
        "SELECT current_setting('x')",
        "SELECT input_file_name() FROM cars",
        "SELECT arrow_cast(1, 'FixedSizeBinary(1000000000)')",
        "SELECT file_row_index() FROM cars",
        "SELECT CAST(NULL AS INT[1000000000])",
        "SELECT NULL::INT[1000000000]",
        "SELECT levenshtein('a', 'b')",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
        "SELECT approx_percentile_cont(Miles_per_Gallon, 0.5, 1000000000000) FROM cars",
        "SELECT count(*) FROM cars GROUP BY CUBE(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25)",
        "SELECT $1",
        "SELECT ?",
        "SELECT @@version",
        "SELECT FROM WHERE",
        "SELECT 'unterminated",
        "SELECT * FROM cars FOR UPDATE",
    ];
    all_refused(&house, statements.into_iter().filter(|sql| !sql.is_empty()).map(str::to_owned)).await;
}

#[tokio::test]
async fn options_of_explain_are_refused_for_being_options() {
    let house = House::new();
    for options in
        ["ANALYZE", "verbose", "FORMAT JSON", "format tree", "(format json)", "ANALYZE FORMAT x", "QUERY PLAN"]
    {
        let refused = house.refused(&format!("EXPLAIN {options} SELECT 1")).await;
        assert_eq!(refused.message(), "EXPLAIN takes no options: no ANALYZE, VERBOSE or FORMAT", "{options}");
    }
    assert!(house.json("EXPLAIN (SELECT 1 AS \"format\")").await.contains("plan"));
}

#[tokio::test]
async fn conditions_within_conditions_do_not_double_the_time_of_planning() {
    let house = House::new();
    house.cars().await;
    let began = std::time::Instant::now();
    for (open, close) in [
        ("CASE WHEN ", " > 0 THEN 1 ELSE 0 END"),
        ("CASE ", " WHEN 1 THEN 2 ELSE 0 END"),
        ("coalesce(", ", 1)"),
        ("NVL(", ", 1)"),
        ("CASE WHEN coalesce(", ", 1) > 0 THEN 1 END"),
    ] {
        let nested = |levels: usize| {
            let expr = (0..levels).fold("a".to_owned(), |inner, _| format!("{open}{inner}{close}"));
            format!("SELECT {expr} AS x FROM (SELECT max(\"Miles_per_Gallon\") AS a FROM cars)")
        };
        assert!(house.json(&nested(5)).await.contains("\"x\":"), "{open}");
        for levels in [11, 25] {
            let refused = house.refused(&nested(levels)).await;
            assert!(refused.message().contains("nested 10 levels deep"), "{refused}");
        }
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}

/// Texts that are nested far beyond the limit, and a `part`th of each.
fn nested(part: usize) -> Vec<String> {
    vec![
        format!("SELECT {}1", "1+".repeat(30_000 / part)),
        format!("SELECT {}true", "true OR ".repeat(7_000 / part)),
        format!("SELECT {}true", "NOT ".repeat(15_000 / part)),
        format!("SELECT {}1", "- ".repeat(30_000 / part)),
        format!("SELECT {}1", "+".repeat(60_000 / part)),
        format!("SELECT {}1{}", "(".repeat(30_000 / part), ")".repeat(30_000 / part)),
        format!("SELECT {}", "(".repeat(60_000 / part)),
        format!("SELECT 1{}", "::int".repeat(12_000 / part)),
        format!("SELECT 1{}", " IS NULL".repeat(7_000 / part)),
        format!("SELECT 'a'{}", "||'a'".repeat(12_000 / part)),
        format!("SELECT 1{}", " IN (1)".repeat(7_000 / part)),
        format!("SELECT 1{}", " BETWEEN 1 AND 1".repeat(3_000 / part)),
        format!("SELECT 'a'{}", " COLLATE x".repeat(5_000 / part)),
        format!("SELECT p_timestamp{} FROM cars", " AT TIME ZONE 'UTC'".repeat(3_000 / part)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(2_000 / part), " END".repeat(2_000 / part)),
        format!("SELECT {}", "CASE ".repeat(10_000 / part)),
        format!("SELECT {}1{}", "abs(".repeat(10_000 / part), ")".repeat(10_000 / part)),
        format!("SELECT a{}", "[1]".repeat(20_000 / part)),
        format!("SELECT a{}", ".a".repeat(30_000 / part)),
        format!("SELECT a{}", ".a(1)".repeat(12_000 / part)),
        format!("SELECT CAST(1 AS INT{})", "[]".repeat(30_000 / part)),
        format!("SELECT CAST(1 AS {}INT{})", "ARRAY<".repeat(8_000 / part), ">".repeat(8_000 / part)),
        format!("SELECT {}1{}", "[".repeat(30_000 / part), "]".repeat(30_000 / part)),
        format!("SELECT {}1{}", "(SELECT ".repeat(6_000 / part), ")".repeat(6_000 / part)),
        format!("SELECT * FROM {}cars{}", "(".repeat(30_000 / part), ")".repeat(30_000 / part)),
        format!("SELECT * FROM {}cars{}", "(".repeat(60), ")".repeat(59)),
        format!("SELECT * FROM {}cars{}", "(SELECT * FROM ".repeat(3_000 / part), ")".repeat(3_000 / part)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(4_000 / part)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000 / part)),
        format!("SELECT * FROM cars{}", " JOIN cars ON true".repeat(3_000 / part)),
        format!("SELECT * FROM cars{}", " CROSS JOIN cars".repeat(3_000 / part)),
        format!("SELECT * FROM cars{}", ",cars".repeat(10_000 / part)),
        format!("SELECT {}1{}", "EXISTS(SELECT ".repeat(4_000 / part), ")".repeat(4_000 / part)),
        format!("SELECT {}1", "INTERVAL ".repeat(7_000 / part)),
        format!(
            "WITH a0 AS (SELECT 1 AS x){} SELECT * FROM a{}",
            (1..=1500 / part).map(|n| format!(",a{n} AS (SELECT * FROM a{})", n - 1)).collect::<String>(),
            1500 / part
        ),
        format!("{}SELECT 1{}", "WITH x AS (".repeat(3_000 / part), ") SELECT 1".repeat(3_000 / part)),
        format!("SELECT 1{}", " LIKE 'a'".repeat(6_000 / part)),
        format!("SELECT {}x", "x -> ".repeat(12_000 / part)),
        format!("SELECT {}", "not(".repeat(16_000 / part)),
        format!("SELECT {}", "case(".repeat(12_000 / part)),
        format!("SELECT {}1{}", "cast(".repeat(4_000 / part), " as int)".repeat(4_000 / part)),
        format!("SELECT {}", "date ".repeat(12_000 / part)),
        format!("SELECT {}1{}", "{a:".repeat(10_000 / part), "}".repeat(10_000 / part)),
        format!("SELECT {}", "prior ".repeat(10_000 / part)),
        format!("SELECT * FROM cars AS c(a INT{})", "[]".repeat(30_000 / part)),
        format!("SELECT {}", "extract(year from ".repeat(3_000 / part)),
        format!("SELECT {}", "current_date(".repeat(4_000 / part)),
        format!("SELECT {}", "map{1:".repeat(9_000 / part)),
        format!("SELECT {}", "lambda x : ".repeat(5_000 / part)),
        format!("SELECT * FROM {}", "(SELECT * FROM (".repeat(60)),
        format!("SELECT * FROM {}SELECT * FROM cars UNION", "(".repeat(120)),
        format!("SELECT * FROM {}{}", "((SELECT * FROM ".repeat(4), "(cars),".repeat(9_000 / part)),
        format!("SELECT * FROM {}{}", "(SELECT * FROM ".repeat(120), "(cars),".repeat(8_000 / part)),
        format!("SELECT * FROM {}{}", "cars JOIN (".repeat(120), "cars x,".repeat(8_000 / part)),
        format!("SELECT * FROM {}VALUES", "(".repeat(120)),
        format!("SELECT * FROM {}cars JOIN", "(cars JOIN ".repeat(100)),
        format!("SELECT * FROM {}", "LATERAL (SELECT * FROM ".repeat(100)),
        format!("SELECT * FROM cars WHERE x IN {}", "(SELECT * FROM cars WHERE x IN ".repeat(100)),
        format!("SELECT {}", "EXISTS(SELECT * FROM (".repeat(100)),
        "(".repeat(120),
        format!("{}SELECT", "(".repeat(120)),
        format!("SELECT count(*) FROM cars GROUP BY {}", "(".repeat(120)),
        format!("SELECT sum(1) OVER (PARTITION BY {}", "sum(1) OVER (PARTITION BY ".repeat(110)),
        format!("SELECT {}", "a(DISTINCT ".repeat(110)),
        format!("SELECT CAST(1 AS {}", "STRUCT<a ".repeat(300)),
        format!("SELECT {}", "ARRAY[".repeat(110)),
        format!("SELECT {}", "STRUCT(".repeat(110)),
        format!("SELECT {}", "(1, ".repeat(110)),
        format!("SELECT {}", "INTERVAL (".repeat(110)),
        format!("SELECT {}", "TRIM(BOTH ".repeat(110)),
        format!("SELECT {}", "x => ".repeat(110)),
        format!("SELECT {}", "(x, y) -> ".repeat(110)),
    ]
}

#[tokio::test]
async fn nesting_beyond_the_limit_is_refused_and_ends_nothing() {
    let house = House::new();
    house.cars().await;
    all_refused(&house, nested(1)).await;
}

#[test]
fn short_texts_find_room_on_the_stack_of_a_thread() {
    let short: Vec<_> = nested(32).into_iter().filter(|sql| sql.len() < SHORT_TEXT).collect();
    assert!(short.len() > 50, "{}", short.len());
    let read_all = move || short.iter().map(|sql| statement::read(sql, 128).is_err()).filter(|is_err| *is_err).count();
    let thread = std::thread::Builder::new().stack_size(SHORT_TEXT_STACK_BYTES + (1 << 20)).spawn(read_all);
    assert!(thread.unwrap().join().unwrap() > 30);
}

#[tokio::test]
async fn a_hundred_levels_still_work() {
    let house = House::new();
    house.cars().await;
    for sql in [
        format!("SELECT {}1{} AS x", "(".repeat(100), ")".repeat(100)),
        format!("SELECT {}1 AS x", "1+".repeat(100)),
        format!("SELECT {}1{} AS x", "abs(".repeat(50), ")".repeat(50)),
        format!("SELECT x FROM {}SELECT 1 AS x{}", "(SELECT x FROM ".repeat(10) + "(", ")".repeat(11)),
        format!("SELECT count(*) AS x FROM cars WHERE {}false", "Name = 'a' OR ".repeat(100)),
        format!(
            "SELECT count(*) AS x FROM cars WHERE {}false",
            "(Name = 'a' AND Miles_per_Gallon = 1) OR ".repeat(100)
        ),
        format!("SELECT 1 AS x{}", " UNION ALL SELECT 1".repeat(50)),
        format!("SELECT x FROM {}SELECT 1 AS x{}", "(SELECT x + 1 AS x FROM ".repeat(60) + "(", ")".repeat(61)),
        format!(
            "SELECT x FROM {}SELECT 1 AS x{}",
            "(SELECT max(l.x) AS x FROM cars JOIN ".repeat(20) + "(",
            ") l ON Name = 'a' AND l.x > 0".repeat(20) + ")"
        ),
    ] {
        let answer = tokio::time::timeout(Duration::from_secs(60), house.json(&sql)).await;
        assert!(answer.is_ok_and(|answer| answer.contains("\"x\"")), "{}", &sql[..60]);
    }
}

#[tokio::test]
async fn short_texts_that_stand_for_huge_plans_or_values_are_refused() {
    let house = House::new();
    house.cars().await;
    let doubling = |what: &str, last: &str| {
        format!(
            "{}SELECT Name AS a FROM cars{}{last}",
            format!("SELECT concat({what}, {what}, {what}) AS a FROM (").repeat(11),
            ")".repeat(11)
        )
    };
    let ten = |n: usize| {
        format!(
            "SELECT {} AS a FROM ({})",
            ["a"; 10].join("||"),
            if n == 0 { "SELECT Name AS a FROM cars" } else { "%" }
        )
    };
    let bombs = [
        format!(
            "WITH a0 AS (SELECT 1 AS x){} SELECT * FROM a40",
            (1..=40).map(|n| format!(",a{n} AS (SELECT l.x FROM a{} l, a{} r)", n - 1, n - 1)).collect::<String>()
        ),
        format!(
            "WITH a0 AS (SELECT * FROM cars){} SELECT 1",
            (1..=40)
                .map(|n| format!(",a{n} AS (SELECT * FROM a{} UNION ALL SELECT * FROM a{})", n - 1, n - 1))
                .collect::<String>()
        ),
        doubling("a || a", ""),
        doubling("concat(a, a)", ""),
        doubling("a || a", " WHERE a <> ''"),
        doubling("replace(a, 'a', 'aaaaaaaaaa')", ""),
        doubling("concat_ws(a, a, a)", ""),
        format!(
            "{}SELECT Name AS a FROM cars{}",
            "SELECT (SELECT x.a || x.a) AS a FROM (".repeat(20),
            ") x".repeat(20)
        ),
        doubling("regexp_replace(a, '.', 'aaaaaaaaaa', 'g')", ""),
        doubling("CASE WHEN a = 'x' THEN a ELSE a END", " WHERE a <> ''"),
        ten(1).replace('%', &ten(1).replace('%', &ten(1).replace('%', &ten(1).replace('%', &ten(0))))),
        format!("SELECT replace('{0}', 'a', '{0}')", "a".repeat(30_000)),
        "SELECT replace(Name, 'a', Name) AS x FROM cars".to_owned(),
        format!("SELECT concat(s{}) AS x FROM (SELECT string_agg(Name, ',') AS s FROM cars)", ",s".repeat(1000)),
        format!("SELECT concat_ws('{}'{}) AS x FROM cars", "a".repeat(30_000), ",Name".repeat(1000)),
        format!("SELECT count(*) FROM {}", vec!["cars"; 100].join(",")),
    ];
    all_refused(&house, bombs).await;
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_is_told_so() {
    let house = House::with(QuerySettings { memory_bytes: 1024 * 1024, threads: 2, ..QuerySettings::default() });
    house.store("default", "n", "2026-11-20T10:00:00Z", vec![("n", ints(&(0..2000).collect::<Vec<_>>()))]).await;
    let sql = "SELECT count(DISTINCT a.n * 2000 + b.n) AS x FROM n a, n b";
    let error = house.ask(everything("default"), request(sql), Format::JsonArray).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    // What failed gives its memory back when its last task ends.
    assert!(is_idle_soon(&house.engine).await);
    let sql = "SELECT max(n) AS x FROM n GROUP BY n ORDER BY x DESC LIMIT 4000000000000000000";
    assert!(house.ask(everything("default"), request(sql), Format::JsonArray).await.is_ok());
}
