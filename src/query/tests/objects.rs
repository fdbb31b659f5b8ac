//! Which objects a query opens, and how those of other nodes are read.

use super::differential::random::Random;
use super::*;
use crate::documents::Document as _;

const NOT_PARQUET: &[u8] = b"this is no Parquet file";

impl House {
    /// An object that no query can open.
    async fn break_one(&self, stream: &str, time: &str) {
        let name = ObjectName::events(TenantId::default(), StreamName::parse(stream).unwrap(), at(time), fresh());
        self.put(name, NOT_PARQUET.to_vec()).await;
    }

    async fn between(&self, sql: &str, start: Option<&str>, end: Option<&str>) -> Result<String> {
        let request = QueryRequest::new(sql, start.map(at), end.map(at)).unwrap();
        self.ask(everything("default"), request, Format::JsonArray).await
    }
}

#[tokio::test]
async fn a_time_range_chooses_objects_before_one_is_opened() {
    let house = House::new();
    house.store("default", "e", "2026-11-20T10:00:59.999Z", vec![("n", ints(&[1]))]).await;
    house.store("default", "e", "2026-11-20T10:01:00Z", vec![("n", ints(&[2]))]).await;
    for time in ["2026-11-20T09:59:59.999Z", "2026-11-20T10:02:00Z", "2026-11-19T10:00:00Z", "2026-11-21T10:01:00Z"] {
        house.break_one("e", time).await;
    }
    let sum = "SELECT sum(n) AS s FROM e";
    let (start, end) = ("2026-11-20T10:00:00Z", "2026-11-20T10:02:00Z");
    assert_eq!(house.between(sum, Some(start), Some(end)).await.unwrap(), r#"[{"s":3}]"#);
    assert_eq!(house.between(sum, Some("2026-11-20T10:01:00Z"), Some(end)).await.unwrap(), r#"[{"s":2}]"#);
    assert_eq!(house.between(sum, Some(start), Some("2026-11-20T10:01:00Z")).await.unwrap(), r#"[{"s":1}]"#);
    assert!(house.between(sum, None, None).await.is_err());
    assert!(house.between(sum, Some(start), None).await.is_err());
    assert!(house.between(sum, None, Some(end)).await.is_err());
    // The same when the SQL says it.
    for sql in [
        "SELECT sum(n) AS s FROM e WHERE p_timestamp >= '2026-11-20T10:00:00Z' AND p_timestamp < '2026-11-20T10:02:00Z'",
        "SELECT sum(n) AS s FROM e WHERE p_timestamp BETWEEN '2026-11-20T10:00:00Z' AND '2026-11-20T10:01:59.999Z' AND n > 0",
        "SELECT sum(s) AS s FROM (SELECT p_timestamp AS t, n AS s FROM e) AS x \
         WHERE t > to_timestamp('2026-11-20T10:00:30Z') AND t < to_timestamp('2026-11-20T10:01:30Z')",
    ] {
        assert_eq!(house.between(sql, None, None).await.unwrap(), r#"[{"s":3}]"#, "{sql}");
    }
    let wide = "SELECT sum(n) AS s FROM e WHERE p_timestamp >= '2026-11-20T10:00:00Z' OR n = 1";
    assert!(house.between(wide, None, None).await.is_err());
}

#[tokio::test]
async fn the_last_objects_are_found_without_a_look_at_older_days() {
    let house = House::new();
    house.store("default", "e", "2026-11-20T23:59:00Z", vec![("n", ints(&[1]))]).await;
    house.store("default", "e", "2026-11-21T00:00:00Z", vec![("n", ints(&[2]))]).await;
    house.break_one("e", "2026-11-20T23:58:59Z").await;
    house.break_one("e", "2025-01-01T00:00:00Z").await;
    let sum = house.between("SELECT sum(n) AS s FROM e", Some("2026-11-20T23:59:00Z"), None).await;
    assert_eq!(sum.unwrap(), r#"[{"s":3}]"#);
}

#[tokio::test]
async fn the_newest_events_are_found_without_opening_older_objects() {
    let house = House::with(QuerySettings { threads: 1, ..QuerySettings::default() });
    for minute in 10..40 {
        let time = format!("2026-11-20T10:{minute}:30Z");
        house.store("default", "e", &time, vec![("n", ints(&[minute]))]).await;
    }
    for time in ["2026-11-20T10:09:59Z", "2026-11-19T00:00:00Z", "2025-01-01T00:00:00Z"] {
        house.break_one("e", time).await;
    }
    for (sql, rows) in [
        ("SELECT n FROM e ORDER BY p_timestamp DESC LIMIT 2", r#"[{"n":39},{"n":38}]"#),
        ("SELECT n FROM e ORDER BY p_timestamp DESC, n LIMIT 1", r#"[{"n":39}]"#),
    ] {
        let found = house.between(sql, None, None).await;
        assert!(found.as_ref().is_ok_and(|found| found == rows), "{sql}: {found:?}");
    }
    let oldest = house.between("SELECT n FROM e ORDER BY p_timestamp LIMIT 1", None, None).await;
    assert!(oldest.is_err(), "{oldest:?}");
}

#[tokio::test]
async fn objects_of_the_older_layout_are_read_and_skipped_by_their_day_only() {
    let house = House::new();
    house.store("default", "e", "2026-11-20T10:00:00Z", vec![("n", ints(&[1]))]).await;
    let folder = crate::layout::stream_folder(&TenantId::default(), &StreamName::parse("e").unwrap());
    let store = house.bucket.object_store();
    let listed = house.bucket.list(&folder.join("date=2026-11-20")).await.unwrap();
    let now = object_path(&listed[0].path).unwrap();
    let before = object_store::path::Path::from(now.as_ref().replace("1000-", ""));
    assert_ne!(now, before);
    store.copy(&now, &before).await.unwrap();
    let count = "SELECT count(*) AS n FROM e";
    assert_eq!(house.json(count).await, r#"[{"n":2}]"#);
    let around = house.between(count, Some("2026-11-20T09:59:00Z"), Some("2026-11-20T10:01:00Z")).await;
    assert_eq!(around.unwrap(), r#"[{"n":2}]"#);
    // The minute says nothing of it: it is opened.
    store.put(&before, NOT_PARQUET.to_vec().into()).await.unwrap();
    assert!(house.between(count, Some("2026-11-20T18:00:00Z"), Some("2026-11-20T18:01:00Z")).await.is_err());
    let later = house.between(count, Some("2026-11-23T00:00:00Z"), None).await;
    assert_eq!(later.unwrap(), r#"[{"n":0}]"#);
}

#[tokio::test]
async fn a_field_that_another_node_widened_is_never_read_as_what_it_was() {
    let a = House::new();
    a.store("default", "m", "2026-11-20T10:00:00Z", vec![("x", ints(&[1, 2]))]).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let other = House::on(a.bucket.clone(), QuerySettings { threads: 2, ..QuerySettings::default() });
        other.catalog.sync().await.unwrap();
        others.push(other);
    }
    let sql = "SELECT sum(x) AS s, max(x) AS m FROM m";
    assert_eq!(others[0].json(sql).await, r#"[{"s":3,"m":2}]"#);
    a.store("default", "m", "2026-11-20T10:05:00Z", vec![("y", ints(&[1, 1])), ("x", floats(&[2.9, 0.7]))]).await;
    let (start, end) = (Some("2026-11-20T00:00:00Z"), Some("2026-11-21T00:00:00Z"));
    for (other, (start, end)) in others.iter().zip([(None, None), (start, None), (start, end)]) {
        assert_eq!(other.between(sql, start, end).await.unwrap(), r#"[{"s":6.6,"m":2.9}]"#);
        assert_eq!(other.json("SELECT max(y) AS y FROM m").await, r#"[{"y":1}]"#);
    }
}

#[tokio::test]
async fn an_object_that_is_wider_than_its_schema_is_refused_and_not_cut() {
    let house = House::new();
    house.store("default", "m", "2026-11-20T10:00:00Z", vec![("x", floats(&[2.9]))]).await;
    // Somebody put an old schema back.
    let (tenant, stream) = (TenantId::default(), StreamName::parse("m").unwrap());
    let name = ObjectName::Schema { tenant, stream };
    let old = crate::stream::StreamSchema::new([Field { name: "x".into(), field_type: FieldType::Integer }]);
    house.put(name, old.to_bytes().to_vec()).await;
    let other = House::on(house.bucket.clone(), QuerySettings { threads: 2, ..QuerySettings::default() });
    other.catalog.sync().await.unwrap();
    let error = other.between("SELECT max(x) AS m FROM m", None, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.message().contains("its column `x` is Float64 and not Int64"), "{error:?}");
}

#[tokio::test]
async fn a_column_that_an_object_lacks_is_null_in_every_way() {
    let house = House::new();
    house.store("default", "e", "2026-11-20T10:00:00Z", vec![("a", ints(&[1, 2])), ("t", texts(&["x", "y"]))]).await;
    house.store("default", "e", "2026-11-20T10:01:00Z", vec![("b", floats(&[0.5]))]).await;
    house.store("default", "e", "2026-11-20T10:02:00Z", vec![("a", ints(&[3]))]).await;
    for (sql, rows) in [
        (
            "SELECT a, b, t FROM e ORDER BY p_timestamp, a",
            r#"[{"a":1,"b":null,"t":"x"},{"a":2,"b":null,"t":"y"},{"a":null,"b":0.5,"t":null},{"a":3,"b":null,"t":null}]"#,
        ),
        (
            "SELECT count(*) AS n, count(a) AS a, count(b) AS b, min(a) AS l, max(b) AS h FROM e",
            r#"[{"n":4,"a":3,"b":1,"l":1,"h":0.5}]"#,
        ),
        ("SELECT count(*) AS n FROM e WHERE b IS NULL", r#"[{"n":3}]"#),
        ("SELECT count(*) AS n FROM e WHERE t IS NOT NULL", r#"[{"n":2}]"#),
        ("SELECT count(*) AS n FROM e WHERE a > 1 OR b < 1", r#"[{"n":3}]"#),
        ("SELECT count(*) AS n FROM e WHERE t <> 'x'", r#"[{"n":1}]"#),
        ("SELECT count(*) AS n FROM e WHERE coalesce(t, 'none') = 'none' AND a IS DISTINCT FROM 3", r#"[{"n":1}]"#),
        (
            "SELECT t, count(*) AS n FROM e GROUP BY t ORDER BY t NULLS FIRST",
            r#"[{"t":null,"n":2},{"t":"x","n":1},{"t":"y","n":1}]"#,
        ),
        ("SELECT count(DISTINCT t) AS t FROM e WHERE p_source_id = 's'", r#"[{"t":2}]"#),
        ("SELECT a FROM e WHERE t IS NULL ORDER BY a DESC NULLS LAST LIMIT 1", r#"[{"a":3}]"#),
    ] {
        assert_eq!(house.json(sql).await, rows, "{sql}");
    }
    let all: serde_json::Value =
        serde_json::from_str(&house.json("SELECT * FROM e ORDER BY p_timestamp DESC LIMIT 1").await).unwrap();
    assert_eq!(
        (&all[0]["a"], &all[0]["b"], &all[0]["t"]),
        (&3.into(), &serde_json::Value::Null, &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn what_is_known_of_a_column_hides_no_object_that_has_another_of_its_name() {
    let mut wrong = Vec::new();
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let house = House::with(QuerySettings { threads: 2, batch_rows: 8, ..QuerySettings::default() });
        for table in ["x", "y"] {
            let mut id = 0;
            for _ in 0..3 {
                let ids: Vec<i64> = (0..2 + random.below(5) as i64).map(|row| id + row + 1).collect();
                id += ids.len() as i64;
                let keys: Vec<i64> = ids.iter().map(|_| random.below(5) as i64).collect();
                let columns = vec![("id", ints(&ids)), ("k", ints(&keys))];
                house.store("default", table, "2026-11-20T10:00:00Z", columns).await;
            }
        }
        for order in ["x.id, y.NAME", "y.NAME, x.id", "y.NAME DESC, x.id", "x.id DESC, y.NAME DESC"] {
            let sql = |other: &str, name: &str| {
                let order = order.replace("NAME", name);
                let rows = format!("SELECT x.k AS r FROM x JOIN {other} AS y ON x.k = y.k ORDER BY {order} LIMIT 3");
                format!("SELECT sum(r) AS n, count(*) AS m FROM ({rows}) AS t")
            };
            let same = house.json(&sql("y", "id")).await;
            let other = house.json(&sql("(SELECT id AS i, k FROM y)", "i")).await;
            if same != other {
                wrong.push(format!("seed {seed}, {order}: {same} and {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
