//! Answers against a plain DataFusion that optimises nothing, and against answers computed by hand.

use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::Optimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::super::encode::Encoder;
use super::*;

const NESTED: &[(&str, &str)] = &[
    ("SELECT a||a AS a FROM (SELECT a||a AS a FROM (SELECT 'x' AS a))", r#"[{"a":"xxxx"}]"#),
    (
        "SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT Miles_per_Gallon AS v FROM cars ORDER BY v LIMIT 1))",
        r#"[{"v":17}]"#,
    ),
    ("SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v)))", r#"[{"v":4}]"#),
    ("SELECT v+1 AS v FROM (SELECT v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v)))", r#"[{"v":3}]"#),
    ("SELECT v*2 AS v FROM (SELECT v+1 AS v FROM (SELECT v*2 AS v FROM (SELECT 1 AS v)))", r#"[{"v":6}]"#),
    ("SELECT b AS a, a AS b FROM (SELECT b AS a, a AS b FROM (SELECT 1 AS a, 2 AS b))", r#"[{"a":1,"b":2}]"#),
    (
        "SELECT b AS a, a AS b FROM (SELECT b AS a, a AS b FROM (SELECT b AS a, a AS b FROM (SELECT 1 AS a, 2 AS b)))",
        r#"[{"a":2,"b":1}]"#,
    ),
    ("SELECT a+b AS a, b FROM (SELECT a+b AS a, b FROM (SELECT 1 AS a, 2 AS b))", r#"[{"a":5,"b":2}]"#),
    (
        "SELECT -v AS v FROM (SELECT -v AS v FROM (SELECT Miles_per_Gallon AS v FROM cars) WHERE v < 16)",
        r#"[{"v":15}]"#,
    ),
    ("SELECT v FROM (SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v))) WHERE v = 3", r#"[{"v":3}]"#),
    ("SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v) WHERE v = 1) WHERE v = 2", r#"[{"v":3}]"#),
    ("WITH t AS (SELECT v+1 AS v FROM (SELECT 1 AS v)) SELECT v+1 AS v FROM (SELECT v+1 AS v FROM t)", r#"[{"v":4}]"#),
    (
        "WITH t AS (SELECT 1 AS v), u AS (SELECT v+1 AS v FROM t), w AS (SELECT v+1 AS v FROM u) SELECT v+1 AS v FROM w",
        r#"[{"v":4}]"#,
    ),
    ("SELECT sum(v) AS v FROM (SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (VALUES (1), (2)) AS t(v)))", r#"[{"v":7}]"#),
    ("SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT count(*) AS v FROM cars))", r#"[{"v":5}]"#),
    (
        "SELECT v+1 AS v, n FROM (SELECT v+1 AS v, n FROM (SELECT 0*Miles_per_Gallon AS v, count(*) AS n FROM cars GROUP BY v))",
        r#"[{"v":2,"n":3}]"#,
    ),
    (
        "SELECT l.v AS l, r.v AS r FROM (SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v))) l \
         JOIN (SELECT v+1 AS v FROM (SELECT 2 AS v)) r ON l.v = r.v",
        r#"[{"l":3,"r":3}]"#,
    ),
    (
        "SELECT Name FROM cars WHERE Miles_per_Gallon IN (SELECT v-1 AS v FROM (SELECT v-1 AS v FROM (SELECT 17 AS v)))",
        r#"[{"Name":"b"}]"#,
    ),
    ("SELECT (SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT max(1) AS v FROM cars))) AS v", r#"[{"v":3}]"#),
    (
        "SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v)) UNION ALL SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v))",
        r#"[{"v":3},{"v":3}]"#,
    ),
    ("SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v) ORDER BY v LIMIT 5)", r#"[{"v":3}]"#),
    (
        "SELECT v+1 AS v FROM (SELECT v+1 AS v, row_number() OVER (ORDER BY v) AS r FROM (SELECT v+1 AS v FROM (SELECT 1 AS v)))",
        r#"[{"v":4}]"#,
    ),
    (
        "SELECT upper(a) AS a FROM (SELECT a||'b' AS a FROM (SELECT a||'b' AS a FROM (SELECT 'x' AS a)))",
        r#"[{"a":"XBB"}]"#,
    ),
    ("SELECT DISTINCT v+1 AS v FROM (SELECT DISTINCT v+1 AS v FROM (SELECT 1 AS v FROM cars))", r#"[{"v":3}]"#),
    ("SELECT v+1 AS v, v+1 AS w FROM (SELECT v+1 AS v, v+1 AS w FROM (SELECT 1 AS v))", r#"[{"v":3,"w":3}]"#),
    ("SELECT a+1 FROM (SELECT a+1 AS a FROM (SELECT a+1 AS a FROM (SELECT 1 AS a)))", r#"[{"a + Int64(1)":4}]"#),
];

#[tokio::test]
async fn a_name_that_a_projection_reads_and_gives_anew_is_computed_at_every_level() {
    let house = House::new();
    house.cars().await;
    let mut wrong = Vec::new();
    for (sql, expected) in NESTED {
        match house.ask(everything("default"), request(sql), Format::JsonArray).await {
            Ok(answer) if answer == *expected => {}
            answer => wrong.push(format!("{sql}\n  {expected}\n  {answer:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is asked of a small stream `m`: `n` is 0 to 19, `Kind` a word, `f` a fraction, `tag` often absent.
const VARIED: &[&str] = &[
    "SELECT n, Kind, f, tag FROM m",
    "SELECT count(*) AS c, sum(n) AS s, min(f) AS lo, max(f) AS hi, avg(n) AS a FROM m",
    "SELECT Kind, count(*) AS c, count(tag) AS t, sum(n) AS s FROM m GROUP BY Kind",
    "SELECT Kind, sum(n) AS s FROM m GROUP BY Kind HAVING sum(n) > 50",
    "SELECT Kind AS k, sum(n) AS Kind FROM m GROUP BY k",
    "SELECT upper(Kind) AS Kind, count(*) AS n FROM m GROUP BY upper(Kind)",
    "SELECT DISTINCT Kind, tag FROM m",
    "SELECT count(DISTINCT Kind) AS k, count(DISTINCT tag) AS t, sum(DISTINCT n % 3) AS s FROM m",
    "SELECT count(DISTINCT Kind) AS k FROM m GROUP BY tag",
    "SELECT count(*) FILTER (WHERE n > 10) AS c, sum(n) FILTER (WHERE tag IS NULL) AS s FROM m",
    "SELECT n FROM m WHERE tag IS NULL OR tag <> 'x'",
    "SELECT n FROM m WHERE NOT (tag = 'x')",
    "SELECT n FROM m WHERE tag NOT IN ('x', 'y')",
    "SELECT n FROM m WHERE tag IN (SELECT tag FROM m WHERE n < 5)",
    "SELECT n FROM m WHERE tag NOT IN (SELECT tag FROM m WHERE n < 5 AND tag IS NOT NULL)",
    "SELECT n FROM m WHERE tag NOT IN (SELECT tag FROM m WHERE n < 5)",
    "SELECT n FROM m WHERE n BETWEEN 3 AND 7 AND (Kind = 'oak' OR f > 1.0)",
    "SELECT n FROM m WHERE Kind LIKE '_a%' OR Kind ILIKE 'ELM'",
    "SELECT a.n AS x, b.n AS y FROM m a JOIN m b ON a.n = b.n + 1 WHERE b.Kind = 'oak'",
    "SELECT a.n AS x, b.n AS y FROM m a LEFT JOIN m b ON a.n = b.n * 2",
    "SELECT a.n AS x, b.n AS y FROM m a LEFT JOIN m b ON a.n = b.n * 2 WHERE b.n IS NULL",
    "SELECT a.n AS x, b.n AS y FROM m a LEFT JOIN m b ON a.n = b.n * 2 AND b.Kind = 'oak' WHERE a.n < 9",
    "SELECT a.n AS x, b.n AS y FROM m a FULL JOIN (SELECT n + 15 AS n FROM m) b ON a.n = b.n",
    "SELECT a.n AS x, b.n AS y FROM m a RIGHT JOIN m b ON a.n = b.n AND a.tag = b.tag",
    "SELECT a.n AS x, b.n AS y FROM m a, m b WHERE a.n + b.n = 7 AND a.n < b.n",
    "SELECT count(*) AS c FROM m a JOIN m b USING (Kind)",
    "SELECT n FROM m a WHERE EXISTS (SELECT 1 FROM m b WHERE b.n = a.n * 2 AND b.Kind = a.Kind)",
    "SELECT n FROM m a WHERE NOT EXISTS (SELECT 1 FROM m b WHERE b.n = a.n * 2)",
    "SELECT n, (SELECT count(*) FROM m b WHERE b.n = a.n * 2) AS twice FROM m a",
    "SELECT n, (SELECT max(b.f) FROM m b WHERE b.Kind = a.Kind) AS top FROM m a",
    "SELECT n FROM m a WHERE f > (SELECT avg(b.f) FROM m b WHERE b.Kind = a.Kind)",
    "SELECT n, row_number() OVER (PARTITION BY Kind ORDER BY n DESC) AS r, sum(n) OVER (ORDER BY n) AS s FROM m",
    "SELECT n, lag(n, 2) OVER (ORDER BY n) AS l, avg(f) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a FROM m",
    "SELECT Kind, r FROM (SELECT Kind, rank() OVER (ORDER BY count(*) DESC) AS r FROM m GROUP BY Kind) WHERE r = 1",
    "SELECT n FROM (SELECT n, row_number() OVER (PARTITION BY Kind ORDER BY n) AS r FROM m) WHERE r <= 2 AND n > 1",
    "SELECT n FROM m ORDER BY Kind DESC, n LIMIT 4 OFFSET 2",
    "SELECT n FROM (SELECT n FROM m ORDER BY n LIMIT 5) WHERE n > 2",
    "SELECT n FROM (SELECT n FROM m ORDER BY n DESC LIMIT 10) ORDER BY n LIMIT 3",
    "SELECT count(*) AS c FROM (SELECT n FROM m LIMIT 7 OFFSET 4)",
    "SELECT n FROM m WHERE n < 5 UNION SELECT n FROM m WHERE n < 8",
    "SELECT Kind FROM m INTERSECT SELECT Kind FROM m WHERE n > 16",
    "SELECT Kind FROM m EXCEPT SELECT Kind FROM m WHERE n > 16",
    "SELECT n AS v FROM m WHERE n < 2 UNION ALL SELECT f FROM m WHERE n < 2 UNION ALL SELECT 1",
    "SELECT v FROM (SELECT n AS v, Kind AS w FROM m UNION ALL SELECT n + 1, tag FROM m) WHERE v > 17 AND w IS NOT NULL",
    "SELECT f AS n, n AS f FROM m WHERE n > 15",
    "SELECT n FROM (SELECT f AS n, n AS f FROM m) WHERE n > 3 AND f < 18",
    "SELECT n * 2 AS n FROM (SELECT n * 2 AS n FROM (SELECT n * 2 AS n FROM m WHERE n > 2) WHERE n < 20) WHERE n > 30",
    "SELECT sum(n) AS n FROM (SELECT sum(n) AS n, Kind FROM m GROUP BY Kind) WHERE n > 40",
    "SELECT a.n + 1 AS n FROM (SELECT n + 1 AS n FROM m) a JOIN (SELECT n + 1 AS n FROM (SELECT n + 1 AS n FROM m)) b ON a.n = b.n",
    "SELECT CASE WHEN n < 5 THEN 'few' WHEN n < 15 THEN 'some' END AS size, count(*) AS c FROM m GROUP BY 1",
    "SELECT coalesce(tag, Kind) AS c, nullif(Kind, 'oak') AS o, greatest(n, 10) AS g FROM m",
    "SELECT n / 3 AS q, n % 3 AS r, -n AS m, f * 2 AS d, CAST(f AS BIGINT) AS i, n / 2.0 AS h FROM m",
    "SELECT Kind, tag, count(*) AS c FROM m GROUP BY ROLLUP(Kind, tag)",
    "SELECT Kind, tag, count(*) AS c FROM m GROUP BY GROUPING SETS ((Kind), (tag), ())",
    "SELECT Kind FROM m GROUP BY Kind HAVING count(tag) = 0 OR max(n) = 19",
    "SELECT max(n) AS x FROM m WHERE false",
    "SELECT n FROM m WHERE true AND NULL",
    "SELECT n FROM m WHERE n = 3 OR n = 5 OR n = 3 AND Kind = 'none'",
    "SELECT get_field(s, 'a') AS a, get_field(s, 'b') AS b FROM (SELECT named_struct('a', n, 'b', Kind) AS s FROM m) WHERE get_field(s, 'a') > 16",
    "WITH k AS (SELECT Kind, sum(n) AS n FROM m GROUP BY Kind) SELECT a.Kind AS x, b.Kind AS y FROM k a JOIN k b ON a.n < b.n",
    "WITH m AS (SELECT n + 1 AS n FROM m) SELECT n + 1 AS n FROM m",
    "SELECT string_agg(Kind, ',' ORDER BY n) AS s, array_agg(n ORDER BY n DESC) AS l FROM m WHERE n < 4",
    "SELECT first_value(Kind ORDER BY n) AS f, last_value(Kind ORDER BY n) AS l, median(n) AS m FROM m",
];

fn trees() -> Vec<(&'static str, ArrayRef)> {
    let kinds: Vec<_> = (0..20).map(|n| ["oak", "elm", "ash", "larch"][n * n % 7 % 4]).collect();
    let fractions: Vec<_> = (0..20).map(|n| f64::from(n * 7 % 20) / 4.0).collect();
    let tags: Vec<_> = (0..20).map(|n| [Some("x"), None, Some("y"), None, None][n % 5]).collect();
    vec![
        ("n", ints(&(0..20).collect::<Vec<_>>())),
        ("Kind", texts(&kinds)),
        ("f", floats(&fractions)),
        ("tag", Arc::new(StringArray::from(tags))),
    ]
}

/// DataFusion with nothing of ours, and none of its rules but those without which it cannot run a statement at all.
fn plain() -> SessionContext {
    let needed = [
        "simplify_expressions",
        "replace_distinct_aggregate",
        "decorrelate_predicate_subquery",
        "scalar_subquery_to_join",
        "extract_equijoin_predicate",
    ];
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| needed.contains(&rule.name()));
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.enable_ident_normalization = false;
    let state =
        SessionStateBuilder::new_with_default_features().with_config(config).with_optimizer_rules(rules).build();
    let context = SessionContext::new_with_state(state);
    let columns = trees().into_iter().map(|(name, array)| (name, array, true));
    context.register_batch("m", RecordBatch::try_from_iter_with_nullable(columns).unwrap()).unwrap();
    context
}

#[tokio::test]
async fn every_level_of_a_deep_nest_is_computed() {
    let house = House::new();
    let sql = format!("{}SELECT 1 AS v{}", "SELECT v + 1 AS v FROM (".repeat(60), ")".repeat(60));
    assert_eq!(house.json(&sql).await, r#"[{"v":61}]"#);
}

#[tokio::test]
async fn answers_are_those_of_a_plain_engine_that_optimises_nothing() {
    let house = House::with(QuerySettings { batch_rows: 6, threads: 2, ..QuerySettings::default() });
    house.store("default", "m", "2026-11-20T10:00:00Z", trees()).await;
    let plain = plain();
    let mut wrong = Vec::new();
    for sql in VARIED.iter().map(|sql| (*sql).to_owned()).chain((0..30).map(nested)) {
        let expected = plain.sql(&sql).await.unwrap().collect().await.unwrap();
        let expected = sorted(expected.iter().flat_map(lines).collect());
        // The same rows again, but behind a filter that every query is given.
        let day = (Some(at("2026-11-20T00:00:00Z")), Some(at("2026-11-21T00:00:00Z")));
        for (start, end) in [(None, None), day] {
            let request = QueryRequest::new(&sql, start, end).unwrap();
            let answer = house.ask(everything("default"), request, Format::NdJson).await;
            match answer.map(|text| sorted(text.lines().map(str::to_owned).collect())) {
                Ok(answer) if answer == expected => {}
                answer => wrong.push(format!("{sql}\n  {expected:?}\n  {answer:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The statement of this number, of several levels that all read and give `a` and `b`.
fn nested(number: u64) -> String {
    let mut state = number + 1;
    let mut pick = |from: &[&'static str]| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[(state >> 33) as usize % from.len()]
    };
    let mut sql = "SELECT n AS a, n % 3 AS b FROM m".to_owned();
    for _ in 0..1 + number % 3 {
        let alias = pick(&["", "", "", " a", " t"]);
        let select = pick(&[
            "a + 1 AS a, b",
            "a + 1 AS a, b",
            "a + b AS a, b",
            "b AS a, a AS b",
            "b AS a, a AS b",
            "a, a + b AS b",
            "a + a AS a, b + b AS b",
            "*",
            "a, b, 1 AS c",
            "DISTINCT a % 5 AS a, b",
            "a, CAST(row_number() OVER (PARTITION BY b ORDER BY a, b) AS BIGINT) AS b",
            "CASE WHEN a > b THEN a ELSE -b END AS a, b",
        ]);
        let rest = pick(&["", "", "", "", " WHERE a > 3", " WHERE b < a", " ORDER BY a, b LIMIT 9"]);
        sql = match pick(&["plain", "plain", "plain", "plain", "group", "join", "union"]) {
            "plain" => format!("SELECT {select} FROM ({sql}){alias}{rest}"),
            "group" => format!("SELECT max(a) AS a, b % 4 AS b FROM ({sql}){alias} GROUP BY b % 4"),
            "join" => {
                format!("SELECT l.a + r.a AS a, l.b AS b FROM ({sql}) l JOIN (SELECT a, b FROM ({sql})) r ON l.a = r.b")
            }
            _ => format!("SELECT a, b FROM ({sql}) UNION ALL SELECT b AS a, a + 1 AS b FROM ({sql})"),
        };
        sql = format!("SELECT a, b FROM ({sql}){rest}");
    }
    sql
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut encoder = Encoder::new(Format::NdJson, &batch.schema()).unwrap();
    String::from_utf8(encoder.rows(batch).unwrap().to_vec()).unwrap().lines().map(str::to_owned).collect()
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}
