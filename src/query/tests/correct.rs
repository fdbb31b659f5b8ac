//! Answers against a plain DataFusion that optimises nothing, and against answers computed by hand.
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
    ("SELECT -v AS v FROM (SELECT -v AS v FROM (SELECT Miles_per_Gallon AS v FROM cars) WHERE v < 16)", r#"[{"v":15}]"#),
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
        "SELECT v+1 AS v, n FROM (SELECT v+1 AS v, n FROM (SELECT 0 AS v, count(*) AS n FROM cars GROUP BY v))",
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
    (
        "SELECT (SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT max(1) AS v FROM cars))) AS v",
        r#"[{"v":3}]"#,
    ),
    (
        "SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v)) UNION ALL SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v))",
        r#"[{"v":3},{"v":3}]"#,
    ),
    ("SELECT v+1 AS v FROM (SELECT v+1 AS v FROM (SELECT 1 AS v) ORDER BY v LIMIT 5)", r#"[{"v":3}]"#),
    (
        "SELECT v+1 AS v FROM (SELECT v+1 AS v, row_number() OVER (ORDER BY v) AS r FROM (SELECT v+1 AS v FROM (SELECT 1 AS v)))",
        r#"[{"v":4}]"#,
    ),
    ("SELECT upper(a) AS a FROM (SELECT a||'b' AS a FROM (SELECT a||'b' AS a FROM (SELECT 'x' AS a)))", r#"[{"a":"XBB"}]"#),
    ("SELECT DISTINCT v+1 AS v FROM (SELECT DISTINCT v+1 AS v FROM (SELECT 1 AS v FROM cars))", r#"[{"v":3}]"#),
    ("SELECT v+1 AS v, v+1 AS w FROM (SELECT v+1 AS v, v+1 AS w FROM (SELECT 1 AS v))", r#"[{"v":3,"w":3}]"#),
    ("SELECT a+1 FROM (SELECT a+1 AS a FROM (SELECT a+1 AS a FROM (SELECT 1 AS a)))", r#"[{"a + Int64(1)":4}]"#),
];

#[tokio::test]
async fn a_name_that_a_projection_reads_and_gives_anew_is_computed_at_every_level() {
    let house = House::new();
    house.cars().await;
    for (sql, answer) in NESTED {
        assert_eq!(house.json(sql).await, *answer, "{sql}");
    }
}
