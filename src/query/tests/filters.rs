//! Conditions that are merged while they are moved towards the tables.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};

use super::*;

async fn house() -> House {
    let house = House::new();
    let texts = StringArray::from(vec![Some("x"), Some("y"), Some("x"), None]);
    let columns = vec![
        ("id", ints(&[1, 2, 3, 4])),
        ("k", Arc::new(Int64Array::from(vec![Some(1), None, Some(3), None])) as ArrayRef),
        ("s", Arc::new(texts)),
        ("f", floats(&[0.0, -0.0, 1.0, -1.0])),
    ];
    house.store("default", "a", "2026-11-20T10:00:00Z", columns).await;
    house
}

#[tokio::test]
async fn conditions_on_one_column_are_merged_into_what_they_say() {
    let house = house().await;
    let mut wrong = Vec::new();
    let day = "'2026-11-20T10:00:00Z'";
    for (condition, ids) in [
        ("s = 'x' AND 'x' = s", "1 3"),
        ("'x' = s AND 'x' = s AND s = 'x'", "1 3"),
        ("s = 'x' AND 'y' = s", ""),
        ("s >= 'x' AND 'x' < s", "2"),
        ("'x' < s AND s >= 'x'", "2"),
        ("s <= 'y' AND 'y' > s", "1 3"),
        ("s < 'y' AND 'y' >= s", "1 3"),
        ("id = 1 AND 1 = id", "1"),
        ("id >= 2 AND 2 < id", "3 4"),
        (&format!("p_timestamp = {day} AND {day} = p_timestamp"), "1 2 3 4"),
        (&format!("p_timestamp >= {day} AND {day} < p_timestamp"), ""),
        (&format!("p_timestamp <= {day} AND {day} >= p_timestamp"), "1 2 3 4"),
        ("f = 0.0 AND f = -0.0", "1 2"),
        ("f > -0.0 AND f >= 0.0", "3"),
        ("f < 0.0 AND f <= -0.0", "4"),
    ] {
        let sql = format!("SELECT id FROM a WHERE {condition} ORDER BY id");
        check(&house, &sql, ids, &mut wrong).await;
    }
    for (condition, ids) in [
        ("id > n AND id > 2", ""),
        ("id >= n AND id > 2 AND id < 9", ""),
        ("n < id AND 2 < id", ""),
        ("id >= two AND two < id", "3 4"),
        ("s = x AND x = s", "1 3"),
    ] {
        let given = "SELECT id, s, CAST(NULL AS BIGINT) AS n, 2 AS two, 'x' AS x FROM a";
        let sql = format!("SELECT id FROM ({given}) AS t WHERE {condition} ORDER BY id");
        check(&house, &sql, ids, &mut wrong).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_condition_with_a_literal_first_keeps_the_matches_of_an_outer_join() {
    let house = house().await;
    let mut wrong = Vec::new();
    for (join, ids) in [
        ("a AS t1 RIGHT JOIN a AS t2 ON t1.id = t2.k AND 1 = t2.k", "1 - - -"),
        ("a AS t2 LEFT JOIN a AS t1 ON t1.id = t2.k AND 1 = t2.k", "1 - - -"),
        ("a AS t2 LEFT JOIN a AS t1 ON t1.id = t2.k AND 1 < t2.k AND t2.k >= 1", "3 - - -"),
        ("a AS t2 JOIN a AS t1 ON t1.id = t2.k AND 1 = t2.k", "1"),
    ] {
        check(&house, &format!("SELECT t1.id FROM {join} ORDER BY 1"), ids, &mut wrong).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares the column `id` with numbers, where `-` stands for null.
async fn check(house: &House, sql: &str, ids: &str, wrong: &mut Vec<String>) {
    let rows: Vec<_> =
        ids.split_whitespace().map(|id| format!(r#"{{"id":{}}}"#, if id == "-" { "null" } else { id })).collect();
    let expected = format!("[{}]", rows.join(","));
    let found = house.ask(everything("default"), request(sql), Format::JsonArray).await;
    if found.as_ref().ok() != Some(&expected) {
        wrong.push(format!("{sql}\n  expected {expected}\n  found    {found:?}"));
    }
}
