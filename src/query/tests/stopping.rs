use std::time::Duration;

use futures::StreamExt;

use super::*;

async fn numbers(count: i64) -> House {
    numbers_in(House::new(), count).await
}

async fn numbers_in(house: House, count: i64) -> House {
    house.store("default", "n", "2026-11-20T10:00:00Z", vec![("n", ints(&(0..count).collect::<Vec<_>>()))]).await;
    house
}

async fn heavy(threads: usize) -> House {
    let house = House::with(QuerySettings { threads, ..QuerySettings::default() });
    let house = numbers_in(house, 3_000).await;
    let many: Vec<_> = (0..300_000).collect();
    house.store("default", "big", "2026-11-20T10:00:00Z", vec![("n", ints(&many))]).await;
    house
}

/// Each would compute for hours; the tables are those of [`heavy`].
const HOURS: [&str; 10] = [
    "SELECT sum(a.n) AS x FROM n a, n b, n c",
    "SELECT count(*) AS x FROM n a, n b, n c, n d WHERE a.n + b.n + c.n + d.n < 0",
    "SELECT a.n FROM big a JOIN big b ON a.n + b.n < 0 JOIN big c ON b.n * c.n < -1",
    "SELECT count(*) AS x FROM big a LEFT JOIN big b ON a.n + b.n < 0 LEFT JOIN big c ON b.n + c.n > 0",
    "SELECT count(*) AS x FROM big a JOIN big b ON a.n % 2 = b.n % 2 AND a.n + b.n < 0 JOIN big c ON true",
    "SELECT a.n % 7 AS k, sum(b.n) AS x FROM n a, n b, n c GROUP BY a.n % 7 ORDER BY x",
    "SELECT count(*) AS x FROM big a WHERE NOT EXISTS (SELECT 1 FROM big b WHERE a.n + b.n < 0)",
    "SELECT count(*) AS x FROM n a JOIN n b ON a.n % 2 = b.n % 2 JOIN n c ON b.n % 2 = c.n % 2",
    "SELECT sum(a.n) AS x FROM n a, n b, n c UNION ALL SELECT sum(b.n) FROM n a, n b, n c",
    "SELECT max(x) AS x FROM (SELECT row_number() OVER () AS x FROM n a, n b, n c)",
];

/// The bound is generous because debug builds share few cores; a join that is not stopped runs for hours.
pub(super) async fn is_idle_soon(engine: &Engine) -> bool {
    for _ in 0..400 {
        if engine.live_tasks() == 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    false
}

#[tokio::test]
async fn dropping_the_future_stops_work_that_would_take_hours() {
    let house = heavy(2).await;
    for sql in HOURS {
        let query = house.engine.run(everything("default"), request(sql), Format::JsonArray);
        if let Ok(done) = tokio::time::timeout(Duration::from_millis(700), query).await {
            panic!("{sql} is not heavy: {done:?}");
        }
        let start = std::time::Instant::now();
        assert!(is_idle_soon(&house.engine).await, "{sql} goes on");
        eprintln!("{:?} {sql}", start.elapsed());
    }
    assert_eq!(house.json("SELECT 1 AS x").await, r#"[{"x":1}]"#);
}

#[tokio::test]
async fn nobody_waits_for_work_that_would_take_hours() {
    let house = heavy(1).await;
    for sql in HOURS {
        let mut query = std::pin::pin!(house.engine.run(everything("default"), request(sql), Format::JsonArray));
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut query).await.is_err(), "{sql} is not heavy");
        let start = std::time::Instant::now();
        let small = house.json("SELECT 1 AS x");
        assert!(tokio::time::timeout(Duration::from_secs(10), small).await.is_ok(), "{sql} keeps others waiting");
        eprintln!("{:?} {sql}", start.elapsed());
    }
}

#[tokio::test]
async fn dropping_the_rows_stops_the_work_and_a_slow_reader_holds_it_back() {
    let house = numbers(20_000).await;
    let sql = "SELECT a.n AS a, b.n AS b FROM n a, n b";
    let mut rows = house.engine.run(everything("default"), request(sql), Format::NdJson).await.unwrap();
    assert!(rows.next().await.unwrap().unwrap().starts_with(b"{"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(house.engine.live_tasks() > 0, "400 million rows do not fit in the channel");
    drop(rows);
    assert!(is_idle_soon(&house.engine).await);
}

#[tokio::test]
async fn an_error_in_mid_stream_is_an_error_and_nothing_follows() {
    let house = House::with(QuerySettings { batch_rows: 10, threads: 1, ..QuerySettings::default() });
    let numbers: Vec<i64> = (0..10_000).rev().collect();
    house.store("default", "n", "2026-11-20T10:00:00Z", vec![("n", ints(&numbers))]).await;
    let rows = house.engine.run(everything("default"), request("SELECT 1 / n AS x FROM n"), Format::JsonArray).await;
    let items: Vec<_> = rows.unwrap().collect().await;
    let (last, rest) = items.split_last().unwrap();
    assert_eq!(last.as_ref().unwrap_err().kind(), ErrorKind::Invalid);
    assert!(rest.iter().all(|item| !item.as_ref().unwrap().ends_with(b"]")));
}

#[tokio::test]
async fn an_engine_that_is_dropped_cuts_its_answers_and_panics_nowhere() {
    let house = numbers(20_000).await;
    let sql = "SELECT a.n AS a, b.n AS b FROM n a, n b";
    let rows = house.engine.run(everything("default"), request(sql), Format::JsonArray).await.unwrap();
    drop(house);
    let items: Vec<_> = rows.collect().await;
    let error = items.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}
