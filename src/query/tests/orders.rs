//! Sorts that DataFusion would leave out although the rows are not sorted.

use arrow::array::Int64Array;

use super::*;

/// `id` counts from 1; each `k` of the numbers from 1 to 6 is there as often as `n` says.
async fn house() -> House {
    let house = House::new();
    let (k, n) = ([1, 2, 3, 4, 5, 6], [2, 1, 2, 1, 3, 1]);
    let rows: Vec<i64> = k.iter().zip(n).flat_map(|(k, n)| vec![*k; n]).collect();
    let letters = ["z", "y", "x", "w", "v", "u"];
    let columns = vec![
        ("id", ints(&(1..=10).collect::<Vec<_>>())),
        ("k", ints(&rows)),
        ("s", texts(&rows.iter().map(|k| letters[usize::try_from(*k).unwrap() - 1]).collect::<Vec<_>>())),
        ("v", Arc::new((1..=10).map(|id| (id > 2 && id < 9).then_some(id)).collect::<Int64Array>())),
    ];
    house.store("default", "a", "2026-11-20T10:00:00Z", columns).await;
    house
}

/// Compares the rows as they come, their values joined by `/`.
async fn check(cases: &[(&str, &str)]) {
    let house = house().await;
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let found = house.ask(everything("default"), request(sql), Format::NdJson).await;
        let found = found.map(|rows| rows.lines().map(values).collect::<Vec<_>>().join(" "));
        if found.as_ref().ok().map(String::as_str) != Some(*expected) {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn values(row: &str) -> String {
    let columns = row.trim_matches(['{', '}']).split(',');
    columns.map(|column| column.rsplit(':').next().unwrap().trim_matches('"')).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn groups_are_unique_by_what_they_are_grouped_by_only() {
    let groups = "(SELECT k, count(*) AS n, max(s) AS s FROM a GROUP BY k)";
    check(&[
        (
            &format!(
                "SELECT s, rank() OVER (PARTITION BY n ORDER BY s) AS r, lag(n) OVER (ORDER BY n DESC, k) AS l \
                 FROM {groups} AS t ORDER BY s"
            ),
            "u/1/1 v/1/null w/2/1 x/1/2 y/3/2 z/2/3",
        ),
        (
            &format!("SELECT n, s, row_number() OVER (ORDER BY n DESC, k) AS r FROM {groups} AS t ORDER BY n DESC, s"),
            "3/v/1 2/x/3 2/z/2 1/u/6 1/w/5 1/y/4",
        ),
        (
            &format!(
                "SELECT string_agg(s, '' ORDER BY n, s) AS x FROM (SELECT n, s FROM {groups} AS t ORDER BY n LIMIT 6)"
            ),
            "uwyxzv",
        ),
        (
            "SELECT k, s, id FROM (SELECT DISTINCT s, k, id FROM a) AS t ORDER BY k DESC, s, id LIMIT 3",
            "6/u/10 5/v/7 5/v/8",
        ),
    ])
    .await;
}

#[tokio::test]
async fn partitions_are_merged_by_all_that_they_are_sorted_by() {
    let groups = "(SELECT k, count(*) AS n, max(s) AS s FROM a GROUP BY k) AS t";
    check(&[
        (
            &format!("SELECT n, s FROM (SELECT n, s FROM {groups} ORDER BY n LIMIT 6) AS t ORDER BY n, s"),
            "1/u 1/w 1/y 2/x 2/z 3/v",
        ),
        (
            &format!("SELECT n, s FROM (SELECT n, s FROM {groups} ORDER BY n LIMIT 6) AS t ORDER BY n, s DESC LIMIT 4"),
            "1/y 1/w 1/u 2/z",
        ),
        (
            &format!(
                "SELECT s, row_number() OVER (ORDER BY n DESC, s) AS r \
                 FROM (SELECT n, s FROM {groups} ORDER BY n DESC LIMIT 6) AS t ORDER BY s"
            ),
            "u/4 v/1 w/5 x/2 y/6 z/3",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_join_is_not_sorted_by_its_left_side() {
    let sorted = |by: &str| format!("(SELECT *, k % 2 AS p FROM a WHERE id < 7 ORDER BY {by} LIMIT 100)");
    check(&[
        (
            &format!(
                "SELECT y.s, x.id FROM {} AS x JOIN {} AS y ON x.p = y.p ORDER BY y.s, x.id LIMIT 8",
                sorted("id"),
                sorted("s")
            ),
            "w/3 w/6 x/1 x/1 x/2 x/2 x/4 x/4",
        ),
        (
            &format!(
                "SELECT y.s, x.k, x.id FROM {} AS x JOIN {} AS y ON x.p = y.p WHERE y.k = 3 ORDER BY y.s, x.k, x.id",
                sorted("k, id"),
                sorted("s")
            ),
            "x/1/1 x/1/1 x/1/2 x/1/2 x/3/4 x/3/4 x/3/5 x/3/5",
        ),
    ])
    .await;
}

#[tokio::test]
async fn rows_of_one_branch_of_a_union_are_not_skipped_by_those_of_another() {
    let few = "SELECT 1 AS g, id FROM a WHERE id < 3";
    let many = "SELECT 2 AS g, id FROM a";
    for (first, second) in [(few, many), (many, few)] {
        let rows = format!("({first} UNION ALL {second}) AS t");
        check(&[
            (&format!("SELECT g, id FROM {rows} ORDER BY g, id DESC LIMIT 3"), "1/2 1/1 2/10"),
            (&format!("SELECT g, id FROM {rows} ORDER BY g DESC, id LIMIT 3"), "2/1 2/2 2/3"),
            (&format!("SELECT id FROM {rows} ORDER BY g, id DESC LIMIT 2 OFFSET 1"), "1 10"),
        ])
        .await;
    }
}

#[tokio::test]
async fn what_an_aggregate_finds_over_a_window_is_sorted() {
    check(&[
        ("SELECT id, max(v) OVER (ORDER BY id) AS m FROM a WHERE id < 5 ORDER BY m, id", "3/3 4/4 1/null 2/null"),
        (
            "SELECT id, min(v) OVER (ORDER BY id) AS m FROM a WHERE id < 5 ORDER BY m DESC NULLS LAST, id",
            "3/3 4/3 1/null 2/null",
        ),
        (
            "SELECT id, max(id) OVER (ORDER BY id DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM a \
             WHERE id < 4 ORDER BY m, id",
            "1/2 2/3 3/3",
        ),
        (
            "SELECT v, count(v) OVER (ORDER BY v, id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM a \
             WHERE id > 6 ORDER BY n, v",
            "null/0 7/1 null/1 8/2",
        ),
        (
            "SELECT id, count(DISTINCT k) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS n FROM a \
             WHERE id > 5 ORDER BY n DESC, id",
            "7/2 8/2 10/2 6/1 9/1",
        ),
    ])
    .await;
}

#[tokio::test]
async fn rows_are_sorted_by_a_column_and_by_what_is_computed_from_it() {
    let house = House::with(QuerySettings { threads: 1, batch_rows: 8, ..QuerySettings::default() });
    for object in 0..8 {
        let ids: Vec<i64> = (0..20).map(|id| id + 20 * object).collect();
        let mut columns = vec![("id", ints(&ids))];
        if object == 0 {
            columns.extend([("k", ints(&ids)), ("s", texts(&["x"; 20])), ("w", ints(&ids))]);
        }
        house.store("default", "a", "2026-11-20T10:00:00Z", columns).await;
    }
    for (sql, expected) in [
        ("SELECT k, s, k AS c, s AS d, id FROM a ORDER BY s, id + w DESC, id LIMIT 2", [19, 18]),
        ("SELECT k, s, k AS c, s AS d, id FROM a ORDER BY id + w, id LIMIT 2", [0, 1]),
        ("SELECT k, s, k AS c, s AS d, id FROM a ORDER BY id, id + w DESC LIMIT 2", [0, 1]),
    ] {
        let ids: Vec<_> = expected.iter().map(|id| format!(r#"{{"id":{id}}}"#)).collect();
        assert_eq!(house.json(&format!("SELECT id FROM ({sql})")).await, format!("[{}]", ids.join(",")), "{sql}");
        house.json(sql).await;
    }
}
