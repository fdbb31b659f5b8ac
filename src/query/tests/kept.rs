//! Objects that are asked for again are answered from memory, and the answers are those of the store.

use std::fmt::Write;

use arrow::array::BooleanArray;
use object_store::path::Path;

use super::*;

const QUERIES: &[&str] = &[
    "SELECT count(*) AS c, count(s) AS s, count(n) AS n, count(f) AS f, count(b) AS b FROM e",
    "SELECT s, count(*) AS c, sum(n) AS n FROM e GROUP BY s ORDER BY s",
    "SELECT s, b, max(f) AS f FROM e GROUP BY s, b ORDER BY s, b",
    "SELECT count(*) AS c FROM e WHERE s LIKE '%1%' OR rare LIKE '%99%'",
    "SELECT rare, n + 1 AS n, f FROM e WHERE n BETWEEN 20 AND 40 ORDER BY n, f",
    "SELECT p_timestamp, count(*) AS c FROM e GROUP BY p_timestamp ORDER BY p_timestamp",
    "SELECT count(*) AS c FROM e WHERE p_timestamp >= '2026-11-20T10:02:00Z' AND NOT b",
    "SELECT * FROM e ORDER BY p_timestamp, f",
    "SELECT n, f FROM e ORDER BY n DESC NULLS LAST, f LIMIT 3",
    "SELECT x.n, y.s FROM e AS x JOIN e AS y ON x.n = y.n + 1 WHERE x.f > 3 ORDER BY x.n, y.s, x.f",
];

impl House {
    /// Three objects: whole numbers became floats, and some columns came late.
    async fn three_kinds() -> Self {
        let house = Self::new();
        let rows = 0..100_i64;
        let few: Vec<String> = rows.clone().map(|row| format!("text {}", row % 7)).collect();
        let rare: Vec<String> = rows.clone().map(|row| format!("a longer text, of row {row}")).collect();
        let [few, rare] = [few, rare].map(|texts| Arc::new(StringArray::from(texts)) as ArrayRef);
        let numbers = ints(&rows.clone().collect::<Vec<_>>());
        let halves = floats(&rows.clone().map(|row| row as f64 / 2.0).collect::<Vec<_>>());
        let truths: ArrayRef =
            Arc::new(rows.map(|row| (row % 3 > 0).then_some(row % 2 == 0)).collect::<BooleanArray>());
        let store = async |time, columns| house.store("default", "e", time, columns).await;
        store("2026-11-20T10:00:00Z", vec![("n", numbers.clone()), ("f", numbers.clone())]).await;
        store("2026-11-20T10:01:00Z", vec![("s", few.clone()), ("f", halves.clone()), ("b", truths.clone())]).await;
        store("2026-11-20T10:02:00Z", vec![("s", few), ("n", numbers), ("f", halves), ("b", truths), ("rare", rare)])
            .await;
        house
    }
}

#[tokio::test]
async fn objects_that_are_asked_for_again_are_answered_the_same_from_memory() {
    let house = House::three_kinds().await;
    for sql in QUERIES {
        // On a node that has read nothing yet.
        let fresh = House::on(house.bucket.clone(), QuerySettings { threads: 2, ..QuerySettings::default() });
        fresh.catalog.sync().await.unwrap();
        let mut answers = String::new();
        for house in [&fresh, &house, &house, &house] {
            writeln!(answers, "{}", house.json(sql).await).unwrap();
        }
        let answers: Vec<_> = answers.lines().collect();
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{sql}: {answers:#?}");
    }
    assert!(house.engine.kept_bytes() > 0);
}

#[tokio::test]
async fn an_object_is_kept_when_it_is_asked_for_again_and_never_twice() {
    let house = House::three_kinds().await;
    let sql = "SELECT sum(f) AS f FROM e WHERE s LIKE '%2%'";
    let mut kept = Vec::new();
    for _ in 0..4 {
        house.json(sql).await;
        kept.push(house.engine.kept_bytes());
    }
    assert!(kept[0] == 0 && kept[1] > 0 && kept[1] == kept[2] && kept[2] == kept[3], "{kept:?}");
    // Queries that may end early keep nothing more, nor do those over many columns or none.
    for sql in ["SELECT rare FROM e LIMIT 2", "SELECT n, rare FROM e ORDER BY n LIMIT 2", "SELECT count(*) AS c FROM e"]
    {
        house.json(sql).await;
        assert_eq!(house.engine.kept_bytes(), kept[3], "{sql}");
    }
    house.json("SELECT count(rare) AS c FROM e").await;
    assert!(house.engine.kept_bytes() > kept[3]);
}

#[tokio::test]
async fn what_is_no_longer_stored_is_not_answered_from_memory() {
    let house = House::three_kinds().await;
    let sql = "SELECT count(s) AS s, sum(f) AS f FROM e";
    for _ in 0..3 {
        assert_eq!(house.json(sql).await, r#"[{"s":200,"f":9900.0}]"#);
    }
    let mut objects = house.locations("e").await;
    let last = objects.pop().unwrap();
    let body = house.bucket.object_store().get(&last).await.unwrap().bytes().await.unwrap();
    house.bucket.object_store().delete(&last).await.unwrap();
    assert_eq!(house.json(sql).await, r#"[{"s":100,"f":7425.0}]"#);
    // Another object of the same name is another one.
    let first: Path = objects.remove(0);
    house.bucket.object_store().put(&first, body.into()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(house.json(sql).await, r#"[{"s":200,"f":4950.0}]"#);
    }
    for object in house.locations("e").await {
        house.bucket.object_store().delete(&object).await.unwrap();
    }
    assert_eq!(house.json(sql).await, r#"[{"s":0,"f":null}]"#);
}

#[tokio::test]
async fn tenants_have_columns_of_their_own() {
    let house = House::new();
    for (tenant, value) in [("default", 1), ("acme", 2)] {
        house.store(tenant, "e", "2026-11-20T10:00:00Z", vec![("n", ints(&[value; 10]))]).await;
    }
    for _ in 0..3 {
        for (tenant, sum) in [("default", 10), ("acme", 20)] {
            let sql = request("SELECT sum(n) AS n FROM e");
            let answer = house.ask(everything(tenant), sql, Format::JsonArray).await.unwrap();
            assert_eq!(answer, format!(r#"[{{"n":{sum}}}]"#));
        }
    }
    assert!(house.engine.kept_bytes() > 0);
}
