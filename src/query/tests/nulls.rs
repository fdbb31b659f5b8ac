//! Nulls and what is around them: answers that DataFusion 55 gets wrong by itself. Each was found by comparing with
//! another engine.

use arrow::array::{Int64Array, StringArray};

use super::*;

fn some_ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

async fn house() -> House {
    let house = House::new();
    let day = "2026-11-20T10:00:00Z";
    house.store("default", "l", day, vec![("id", ints(&[0, 1, 2, 3])), ("k", ints(&[0, 1, 0, 1]))]).await;
    house.store("default", "r", day, vec![("k", ints(&[0, 1])), ("v", texts(&["x", "y"]))]).await;
    house.store("default", "t", day, vec![("id", some_ints(&[Some(1), None]))]).await;
    house.store("default", "o", day, vec![("id", ints(&[1, 2])), ("g", ints(&[1, 2]))]).await;
    house.store("default", "u", day, vec![("id", some_ints(&[Some(1), None])), ("g", ints(&[1, 2]))]).await;
    house.store("default", "a", day, vec![("k", ints(&[1, 2])), ("x", ints(&[10, 20]))]).await;
    house.store("default", "b", day, vec![("k", ints(&[2, 3])), ("y", ints(&[200, 300]))]).await;
    house.store("default", "c", day, vec![("k", ints(&[1, 3, 4])), ("z", ints(&[7, 8, 9]))]).await;
    let missing =
        vec![("k", some_ints(&[None, Some(1)])), ("s", Arc::new(StringArray::from(vec![None, Some("s")])) as _)];
    house.store("default", "n", day, missing).await;
    house.store("default", "v", day, vec![("k", ints(&[0, 1])), ("g", ints(&[0, 0]))]).await;
    house
}

/// Asks each and compares: an answer, or, behind `!`, words of the refusal.
async fn check(cases: &[(&str, &str)]) {
    let house = house().await;
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let found = house.ask(everything("default"), request(sql), Format::JsonArray).await;
        let right = match (&found, expected.strip_prefix('!')) {
            (Ok(found), None) => found == expected,
            (Err(error), Some(words)) => error.kind() == ErrorKind::Invalid && error.message().contains(words),
            _ => false,
        };
        if !right {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_constant_of_the_nullable_side_of_an_outer_join_is_no_constant_above_it() {
    let ordered = r#"[{"id":0,"v":"x"},{"id":2,"v":"x"},{"id":1,"v":null},{"id":3,"v":null}]"#;
    check(&[
        ("SELECT l.id, r.v FROM l LEFT JOIN r ON l.k = r.k AND r.v = 'x' ORDER BY r.v, l.id", ordered),
        ("SELECT l.id, r.v FROM r RIGHT JOIN l ON l.k = r.k AND r.v = 'x' ORDER BY r.v, l.id", ordered),
        ("SELECT l.id, r.v FROM l FULL JOIN (SELECT * FROM r WHERE v = 'x') r ON l.k = r.k ORDER BY r.v, l.id", ordered),
        ("SELECT l.id, r.v FROM l LEFT JOIN (SELECT k, 'x' AS v FROM r WHERE k = 0) r ON l.k = r.k ORDER BY v, id", ordered),
        (
            "SELECT l.id FROM l LEFT JOIN r ON l.k = r.k AND r.v = 'x' ORDER BY r.v NULLS FIRST, l.id LIMIT 2",
            r#"[{"id":1},{"id":3}]"#,
        ),
        (
            "SELECT r.v, count(*) AS n FROM l LEFT JOIN r ON l.k = r.k AND r.v = 'x' GROUP BY r.v ORDER BY r.v NULLS FIRST",
            r#"[{"v":null,"n":2},{"v":"x","n":2}]"#,
        ),
        (
            "SELECT l.id, row_number() OVER (ORDER BY r.v, l.id) AS n FROM l LEFT JOIN r ON l.k = r.k AND r.v = 'x' ORDER BY l.id",
            r#"[{"id":0,"n":1},{"id":1,"n":3},{"id":2,"n":2},{"id":3,"n":4}]"#,
        ),
        (
            "SELECT l.id, rank() OVER (PARTITION BY r.v ORDER BY l.id) AS n FROM l LEFT JOIN r ON l.k = r.k AND r.v = 'x' ORDER BY l.id",
            r#"[{"id":0,"n":1},{"id":1,"n":1},{"id":2,"n":2},{"id":3,"n":2}]"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_constant_below_a_grouping_set_is_no_constant_above_it() {
    check(&[(
        "SELECT s, max(id) AS m, count(*) AS n FROM (SELECT id, 'x' AS s FROM l) AS t GROUP BY ROLLUP (s) \
         ORDER BY n, m, s DESC NULLS LAST",
        r#"[{"s":"x","m":3,"n":4},{"s":null,"m":3,"n":4}]"#,
    )])
    .await;
}

#[tokio::test]
async fn a_constant_below_a_grouping_set_ends_no_group() {
    let house = House::with(QuerySettings { threads: 2, batch_rows: 8, ..QuerySettings::default() });
    for object in 0..4 {
        let ids: Vec<i64> = (0..40).map(|id| id * 4 + object).collect();
        let k: Vec<i64> = ids.iter().map(|id| id / 3 % 20).collect();
        house.store("default", "a", "2026-11-20T10:00:00Z", vec![("id", ints(&ids)), ("k", ints(&k))]).await;
    }
    for sets in ["GROUPING SETS ((k, s), (k))", "GROUPING SETS ((k), (k, s))", "CUBE (k, s)", "ROLLUP (k, s)"] {
        let groups = format!("SELECT k, s, count(*) AS n FROM (SELECT k, 'x' AS s FROM a) AS t GROUP BY {sets}");
        let sql = format!("SELECT count(*) AS groups FROM ({groups}) AS t WHERE k IS NOT NULL");
        assert_eq!(house.json(&sql).await, r#"[{"groups":40}]"#, "{sets}");
    }
}

#[tokio::test]
async fn an_outer_join_whose_sides_are_swapped_below_other_columns_is_planned_at_once() {
    let sql = "SELECT t.v AS c FROM l LEFT JOIN (SELECT k, count(*) AS n, max(v) AS v FROM r GROUP BY k) AS t \
               ON l.id = t.n AND t.k = 1 ORDER BY c";
    let answer = r#"[{"c":"y"},{"c":null},{"c":null},{"c":null}]"#;
    let case = [(sql, answer)];
    let checked = check(&case);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(20), checked).await.is_ok());
}

#[tokio::test]
async fn in_and_not_in_have_three_truth_values() {
    check(&[
        ("SELECT id FROM l WHERE 3 NOT IN (SELECT id FROM t)", "[]"),
        ("SELECT id FROM l WHERE (k IN (SELECT id FROM t)) IS NULL ORDER BY id", r#"[{"id":0},{"id":2}]"#),
        ("SELECT id FROM o WHERE 3 NOT IN (SELECT id FROM u WHERE u.g = o.g)", r#"[{"id":1}]"#),
        ("SELECT k FROM n WHERE (k IN (SELECT id FROM t WHERE id = 2)) IS NOT FALSE", "[]"),
        ("SELECT s FROM n WHERE (k IN (SELECT id FROM t)) IS NOT FALSE ORDER BY s", r#"[{"s":"s"},{"s":null}]"#),
        ("SELECT s FROM n WHERE k NOT IN (SELECT g FROM u WHERE g > 9) ORDER BY s", r#"[{"s":"s"},{"s":null}]"#),
        ("SELECT s FROM n WHERE k NOT IN (SELECT g FROM u WHERE g > 1)", r#"[{"s":"s"}]"#),
        ("SELECT id FROM o WHERE id NOT IN (SELECT u.id FROM u WHERE u.g < o.g) ORDER BY id", r#"[{"id":1},{"id":2}]"#),
        ("SELECT id FROM o WHERE id NOT IN (SELECT u.id FROM u WHERE u.id = o.id) ORDER BY id", r#"[{"id":2}]"#),
        ("SELECT id FROM o WHERE NOT (id IN (SELECT id FROM t)) OR g = 2", r#"[{"id":2}]"#),
        ("SELECT id FROM o WHERE NULL NOT IN (SELECT id FROM l WHERE id > 9) ORDER BY id", r#"[{"id":1},{"id":2}]"#),
        ("SELECT id FROM o WHERE NULL NOT IN (SELECT id FROM l)", "[]"),
        ("SELECT id FROM o WHERE NOT (NOT (id NOT IN (SELECT id FROM t WHERE id IS NOT NULL)))", r#"[{"id":2}]"#),
        ("SELECT id FROM l WHERE id IN (SELECT id FROM l WHERE k = 1) ORDER BY id", r#"[{"id":1},{"id":3}]"#),
        ("SELECT id FROM l WHERE k IN (SELECT id FROM l WHERE id > 0) ORDER BY id", r#"[{"id":1},{"id":3}]"#),
        ("SELECT id FROM o WHERE EXISTS (SELECT 1 FROM (SELECT id FROM u WHERE u.g = o.g) s)", "!another subquery"),
        ("SELECT id FROM l WHERE id > ALL (SELECT id FROM o) ORDER BY id", r#"[{"id":3}]"#),
        ("SELECT id FROM l WHERE id > ALL (SELECT id FROM t)", "[]"),
        ("SELECT id FROM l WHERE id <= ANY (SELECT id FROM t) ORDER BY id", r#"[{"id":0},{"id":1}]"#),
        ("SELECT id FROM l WHERE (id <= ANY (SELECT id FROM t)) IS NULL ORDER BY id", r#"[{"id":2},{"id":3}]"#),
        ("SELECT id FROM l WHERE id NOT IN (SELECT max(id) FROM u WHERE u.g = l.id) ORDER BY id", "[]"),
        (
            "SELECT id FROM l WHERE id IN (SELECT count(*) FROM u WHERE u.g = l.id) ORDER BY id",
            r#"[{"id":0},{"id":1}]"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_subquery_answers_wherever_it_stands() {
    check(&[
        (
            "SELECT id, id IN (SELECT id FROM t) AS i FROM l ORDER BY id",
            r#"[{"id":0,"i":null},{"id":1,"i":true},{"id":2,"i":null},{"id":3,"i":null}]"#,
        ),
        (
            "SELECT id, id NOT IN (SELECT g FROM u) AS i FROM l ORDER BY id",
            r#"[{"id":0,"i":true},{"id":1,"i":false},{"id":2,"i":false},{"id":3,"i":true}]"#,
        ),
        (
            "SELECT id, CASE WHEN EXISTS (SELECT 1 FROM u WHERE u.g = l.id) THEN 'yes' ELSE 'no' END AS e FROM l ORDER BY id",
            r#"[{"id":0,"e":"no"},{"id":1,"e":"yes"},{"id":2,"e":"yes"},{"id":3,"e":"no"}]"#,
        ),
        ("SELECT EXISTS (SELECT 1 FROM t) AS e, NOT EXISTS (SELECT 1 FROM t WHERE id = 7) AS n", r#"[{"e":true,"n":true}]"#),
        ("SELECT sum(CASE WHEN id IN (SELECT g FROM u) THEN 1 ELSE 0 END) AS s FROM l", r#"[{"s":2}]"#),
        (
            "SELECT id IN (SELECT g FROM u) AS i, count(*) AS n FROM l GROUP BY id IN (SELECT g FROM u) ORDER BY i",
            r#"[{"i":false,"n":2},{"i":true,"n":2}]"#,
        ),
        (
            "SELECT EXISTS (SELECT 1 FROM u WHERE u.g = l.id) AS e, NOT EXISTS (SELECT 1 FROM u WHERE u.g = l.k) AS n, \
             id IN (SELECT g FROM u) AS i, id = ANY (SELECT id FROM t) AS a, count(*) AS c FROM l GROUP BY 1, 2, 3, 4 \
             HAVING EXISTS (SELECT 1 FROM u WHERE u.g = l.id) ORDER BY NOT EXISTS (SELECT 1 FROM u WHERE u.g = l.k), a",
            r#"[{"e":true,"n":false,"i":true,"a":true,"c":1},{"e":true,"n":true,"i":true,"a":null,"c":1}]"#,
        ),
        (
            "SELECT EXISTS (SELECT 1 FROM u WHERE u.g = l.id) AS e, EXISTS (SELECT 1 FROM t WHERE t.id = l.id) AS x, \
             sum(CASE WHEN EXISTS (SELECT 1 FROM t WHERE t.id = l.id) THEN 1 ELSE 0 END) AS s FROM l \
             GROUP BY EXISTS (SELECT 1 FROM u WHERE u.g = l.id), EXISTS (SELECT 1 FROM t WHERE t.id = l.id) \
             ORDER BY 1, 2",
            r#"[{"e":false,"x":false,"s":0},{"e":true,"x":false,"s":0},{"e":true,"x":true,"s":1}]"#,
        ),
        (
            "SELECT id FROM l ORDER BY id IN (SELECT g FROM u) DESC, id",
            r#"[{"id":1},{"id":2},{"id":0},{"id":3}]"#,
        ),
        (
            "SELECT id, row_number() OVER (ORDER BY EXISTS (SELECT 1 FROM u WHERE u.g = l.id), id) AS n FROM l ORDER BY id",
            r#"[{"id":0,"n":1},{"id":1,"n":3},{"id":2,"n":4},{"id":3,"n":2}]"#,
        ),
        ("SELECT l.id, o.id AS o FROM l JOIN o ON l.id = o.id AND l.id IN (SELECT id FROM t)", r#"[{"id":1,"o":1}]"#),
        ("SELECT l.id FROM l LEFT JOIN o ON l.id = o.id AND l.id IN (SELECT id FROM t)", "!outer join"),
        ("SELECT k, count(*) AS n FROM l GROUP BY k HAVING k IN (SELECT id FROM t)", r#"[{"k":1,"n":2}]"#),
        ("SELECT id FROM l WHERE id NOT IN (SELECT t.id FROM t WHERE t.id = l.k) ORDER BY id", r#"[{"id":0},{"id":2},{"id":3}]"#),
        ("SELECT id, (SELECT id FROM u WHERE u.g >= o.g ORDER BY id LIMIT 1) AS v FROM o", "!min("),
        ("SELECT id FROM o WHERE EXISTS (SELECT 1 FROM u WHERE u.g = o.g LIMIT 1) ORDER BY id", r#"[{"id":1},{"id":2}]"#),
        ("SELECT id FROM o WHERE EXISTS (SELECT 1 FROM u WHERE u.g = o.g LIMIT 1 OFFSET 1)", "!LIMIT"),
        ("SELECT id FROM o WHERE EXISTS (SELECT count(*) FROM u WHERE u.g = 7 AND u.g = o.g) ORDER BY id", r#"[{"id":1},{"id":2}]"#),
        ("SELECT id FROM o WHERE id IN (SELECT row_number() OVER (ORDER BY u.g) FROM u WHERE u.g = o.g)", "!window"),
        ("SELECT sum((SELECT count(*) FROM u WHERE u.g = l.id)) AS s FROM l", r#"[{"s":2}]"#),
        ("SELECT id FROM l ORDER BY (SELECT count(*) FROM u WHERE u.g = l.id) DESC, id LIMIT 1", r#"[{"id":1}]"#),
        (
            "SELECT bool_or(EXISTS (SELECT 1 FROM u WHERE u.g = l.id)) AS a, \
             bool_or(EXISTS (SELECT 1 FROM u WHERE u.g = l.id AND l.id = 7)) AS b FROM l",
            r#"[{"a":true,"b":false}]"#,
        ),
        (
            "SELECT sum((SELECT count(*) FROM u)) AS a, sum((SELECT count(*) FROM u WHERE g = 1)) AS b, \
             bool_and(id IN (SELECT g FROM u)) AS c, bool_and(id IN (SELECT id FROM l)) AS d, \
             bool_or(id > ALL (SELECT g FROM u)) AS e, bool_or(id > ALL (SELECT id FROM l)) AS f FROM l",
            r#"[{"a":8,"b":4,"c":false,"d":true,"e":true,"f":false}]"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn using_and_natural_give_one_column_that_is_never_null_for_want_of_a_match() {
    check(&[
        ("SELECT k FROM a FULL JOIN b USING (k) ORDER BY k", r#"[{"k":1},{"k":2},{"k":3}]"#),
        ("SELECT k, count(*) AS n FROM a RIGHT JOIN b USING (k) GROUP BY k ORDER BY k", r#"[{"k":2,"n":1},{"k":3,"n":1}]"#),
        ("SELECT k, x, y FROM a FULL JOIN b USING (k) WHERE k = 3", r#"[{"k":3,"x":null,"y":300}]"#),
        ("SELECT k, z FROM a FULL JOIN b USING (k) FULL JOIN c USING (k) ORDER BY k",
         r#"[{"k":1,"z":7},{"k":2,"z":null},{"k":3,"z":8},{"k":4,"z":9}]"#),
        ("SELECT k, x, z FROM (a FULL JOIN b USING (k)) LEFT JOIN c USING (k) ORDER BY k",
         r#"[{"k":1,"x":10,"z":7},{"k":2,"x":20,"z":null},{"k":3,"x":null,"z":8}]"#),
        (
            "SELECT * EXCLUDE (p_timestamp, p_offset, p_key_id, p_source_id) FROM (SELECT k, z FROM c) l LEFT JOIN (SELECT k, x FROM a) b USING (k) ORDER BY k",
            "!",
        ),
        (
            "SELECT * FROM (SELECT k, z FROM c) l LEFT JOIN (SELECT k, x FROM a) b USING (k) ORDER BY k",
            r#"[{"k":1,"z":7,"x":10},{"k":3,"z":8,"x":null},{"k":4,"z":9,"x":null}]"#,
        ),
        (
            "SELECT * FROM (SELECT k, x FROM a) a NATURAL FULL JOIN (SELECT k, y FROM b) b ORDER BY k",
            r#"[{"k":1,"x":10,"y":null},{"k":2,"x":20,"y":200},{"k":3,"x":null,"y":300}]"#,
        ),
        (
            "SELECT k FROM (SELECT k FROM a) a NATURAL RIGHT JOIN (SELECT k FROM b) b ORDER BY k",
            r#"[{"k":2},{"k":3}]"#,
        ),
        ("SELECT j.k FROM (a FULL JOIN b USING (k)) AS j ORDER BY j.k", r#"[{"k":1},{"k":2},{"k":3}]"#),
        ("SELECT k, d.id FROM a FULL JOIN b USING (k) JOIN l AS d ON d.id = x / 10 ORDER BY id", "!mbiguous"),
        ("SELECT x, d.k FROM a FULL JOIN b USING (k) JOIN l AS d ON d.id = x / 10 ORDER BY id",
         r#"[{"x":10,"k":1},{"x":20,"k":0}]"#),
        ("SELECT a.k FROM a FULL JOIN b USING (k)", "!ON"),
        ("SELECT b.k FROM a RIGHT JOIN b USING (k) ORDER BY b.k", r#"[{"k":2},{"k":3}]"#),
        ("SELECT a.k FROM a LEFT JOIN b USING (k) WHERE b.k IS NULL", r#"[{"k":1}]"#),
        ("SELECT count(y) AS n FROM a LEFT JOIN b USING (k)", r#"[{"n":1}]"#),
        ("SELECT x FROM a LEFT JOIN b USING (k) WHERE k = 1", r#"[{"x":10}]"#),
        ("SELECT x FROM a LEFT JOIN b USING (k) WHERE x BETWEEN 2 AND k + 18 AND a.k = 2", r#"[{"x":20}]"#),
        ("SELECT a.* FROM a FULL JOIN b USING (k)", "!USING"),
        ("SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b FULL JOIN c USING (k) WHERE k = 4) ORDER BY k", r#"[{"k":1},{"k":2}]"#),
    ])
    .await;
}

#[tokio::test]
async fn is_distinct_from_binds_tighter_than_and_and_or() {
    check(&[
        ("SELECT true IS DISTINCT FROM true OR true AS x", r#"[{"x":true}]"#),
        ("SELECT id FROM l WHERE k IS DISTINCT FROM 1 AND id > 0", r#"[{"id":2}]"#),
        ("SELECT id FROM l WHERE k IS NOT DISTINCT FROM 0 + 1 AND NOT id IS DISTINCT FROM 3", r#"[{"id":3}]"#),
        ("SELECT 1 IS DISTINCT FROM 2 IS DISTINCT FROM false AS x", r#"[{"x":true}]"#),
        (
            "SELECT CASE WHEN 1 IS NOT DISTINCT FROM 1 AND 2 IS DISTINCT FROM 2 THEN 'a' ELSE 'b' END AS x",
            r#"[{"x":"b"}]"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_null_in_a_list_is_kept_when_lists_are_merged() {
    check(&[
        ("SELECT id FROM l WHERE id NOT IN (1, 3) OR id NOT IN (1, 2, NULL) ORDER BY id", r#"[{"id":0},{"id":2}]"#),
        ("SELECT id FROM l WHERE (id IN (1, NULL)) IS NULL ORDER BY id", r#"[{"id":0},{"id":2},{"id":3}]"#),
        ("SELECT id FROM l WHERE id NOT IN (1, CAST(NULL AS BIGINT))", "[]"),
        ("SELECT id FROM l WHERE id IN (NULL) OR id = 2", r#"[{"id":2}]"#),
    ])
    .await;
}

#[tokio::test]
async fn a_truth_value_can_be_grouped_by() {
    check(&[
        ("SELECT DISTINCT (id = 1) IS FALSE AS f FROM l ORDER BY f", r#"[{"f":false},{"f":true}]"#),
        ("SELECT DISTINCT (k IS DISTINCT FROM 1) IS TRUE AS d FROM l ORDER BY d", r#"[{"d":false},{"d":true}]"#),
    ])
    .await;
}

/// Whether a rule of DataFusion fails on this query depends on what its objects hold.
#[tokio::test]
async fn a_filter_above_a_join_of_objects_that_lack_columns_is_planned() {
    let house = House::new();
    let day = "2026-11-20T10:00:00Z";
    let id = |ids: &[i64]| ("id", ints(ids));
    house.store("default", "a", day, vec![id(&[1, 2]), ("k", some_ints(&[Some(0), None]))]).await;
    house.store("default", "a", day, vec![id(&[3]), ("k", ints(&[0]))]).await;
    let k = || ("k", ints(&[0, 3]));
    house.store("default", "l", day, vec![id(&[1, 2]), k()]).await;
    let s = Arc::new(StringArray::from(vec![Some("x"), None]));
    house.store("default", "l", day, vec![id(&[3, 4]), k(), ("s", s)]).await;
    house.store("default", "l", day, vec![id(&[5, 6]), k(), ("g", some_ints(&[Some(1), None]))]).await;
    house.store("default", "l", day, vec![id(&[7]), ("k", ints(&[9])), ("g", ints(&[1])), ("s", texts(&["x"]))]).await;
    let sql = "SELECT CASE WHEN t2.g = t1.id THEN 0.0 ELSE 0.0 END AS c, t1.s FROM (SELECT id, k, 'xy' AS s FROM a) AS t1 \
               FULL JOIN l AS t2 USING (k) WHERE t2.s IS NOT DISTINCT FROM t2.s AND t1.s LIKE '%y'";
    let row = r#"{"c":0.0,"s":"xy"}"#;
    assert_eq!(house.json(sql).await, format!("[{}]", [row; 7].join(",")));
}

#[tokio::test]
async fn a_constant_column_of_a_join_can_order_a_window() {
    check(&[(
        "SELECT 'x' AS c, dense_rank() OVER (ORDER BY t.s DESC) AS n FROM l JOIN (SELECT k, g, 'y' AS s FROM v) AS t \
         ON l.k = t.k AND t.g = 0 AND l.id IN (2, 3) ORDER BY l.k DESC, l.id, t.g DESC, 1, 2",
        r#"[{"c":"x","n":1},{"c":"x","n":1}]"#,
    )])
    .await;
}

#[tokio::test]
async fn equations_and_is_not_distinct_from_of_a_join_keep_their_meaning() {
    let house = House::new();
    let day = "2026-11-20T10:00:00Z";
    let s = |values: &[Option<&str>]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let columns = |ids: &[i64], k: &[Option<i64>], values: &[Option<&str>]| {
        vec![("id", ints(ids)), ("k", some_ints(k)), ("s", s(values))]
    };
    let (one, two, none, x) = (Some(1), Some(2), None, Some("x"));
    house.store("default", "x", day, columns(&[1, 2, 3], &[one, none, none], &[x, x, None])).await;
    house.store("default", "y", day, columns(&[1, 2, 3], &[one, none, two], &[x, None, x])).await;
    house.store("default", "z", day, columns(&[1, 2], &[one, none], &[None, x])).await;
    let same = "x JOIN y ON x.k IS NOT DISTINCT FROM y.k";
    let mut wrong = Vec::new();
    for (rows, expected) in [
        (same.to_owned(), "1/1 2/2 3/2"),
        (format!("{same} WHERE x.s = y.s"), "1/1"),
        (format!("{same} AND x.s = y.s"), "1/1"),
        ("x LEFT JOIN y ON x.k IS NOT DISTINCT FROM y.k WHERE y.s = coalesce(x.s, x.s)".to_owned(), "1/1"),
        (format!("{same} WHERE x.s IS NOT DISTINCT FROM y.s"), "1/1 3/2"),
        (format!("{same} JOIN z ON z.k = x.k"), "1/1"),
        (format!("{same} JOIN z ON z.k IS NOT DISTINCT FROM x.k"), "1/1 2/2 3/2"),
        (format!("{same} JOIN z ON z.s = x.s WHERE z.id > 0"), "1/1 2/2"),
        ("x JOIN z ON x.s = z.s JOIN y ON x.k IS NOT DISTINCT FROM y.k".to_owned(), "1/1 2/2"),
        ("x JOIN z ON x.s = z.s JOIN y ON x.k IS NOT DISTINCT FROM y.k WHERE z.k IS NULL".to_owned(), "1/1 2/2"),
        ("x, y, z WHERE x.k IS NOT DISTINCT FROM y.k AND x.s = z.s AND z.id = 2".to_owned(), "1/1 2/2"),
        (
            format!("(SELECT x.id, x.s AS p, y.s AS q, y.id AS i FROM {same}) AS x JOIN y ON x.i = y.id WHERE p = q"),
            "1/1",
        ),
    ] {
        let sql = format!("SELECT CAST(x.id AS VARCHAR) || '/' || CAST(y.id AS VARCHAR) AS p FROM {rows} ORDER BY p");
        let found = house.ask(everything("default"), request(&sql), Format::NdJson).await;
        let found = found.map(|rows| rows.lines().map(|row| row[6..row.len() - 2].to_owned()).collect::<Vec<_>>());
        if found.as_ref().ok().map(|pairs| pairs.join(" ")).as_deref() != Some(expected) {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
