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
