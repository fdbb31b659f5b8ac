//! `keyloft stream list` and `keyloft stream objects`: how much a stream holds, and what other engines read of it.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::command::typed;
use crate::support::scene::people;
use crate::support::{Client, TestServer};

/// A server that compacts soon, with somebody who sends and somebody who reads.
async fn scene() -> (TestServer, Client, Client) {
    let server = TestServer::spawn_with(|setup| {
        setup.config.compaction.interval = Some(Duration::from_millis(200));
    })
    .await;
    let (sender, reader) = people(&server).await;
    (server, sender, reader)
}

/// Sends so many events in an object of their own.
async fn send(sender: &Client, numbers: std::ops::Range<u32>, weight: f64) {
    let lines: String = numbers.map(|n| format!("{{\"n\":{n},\"weight\":{weight},\"date\":\"d{n}\"}}\n")).collect();
    assert_eq!(sender.ingest("web", lines).await.status, 200);
}

fn listed(server: &TestServer, options: &str) -> Vec<Value> {
    let page = typed(server, &format!("stream objects web --output json{options}")).json();
    assert_eq!(page["nextCursor"], Value::Null);
    page["items"].as_array().unwrap().clone()
}

/// Objects that are merged.
fn merged(objects: &[Value]) -> usize {
    objects.iter().filter(|object| !object["rows"].is_null()).count()
}

async fn until_merged(server: &TestServer) {
    for _ in 0..300 {
        if merged(&listed(server, "")) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing is merged");
}

/// The first row that DuckDB answers, as JSON.
fn duckdb(sql: &str) -> Value {
    const RUN: &str = "import duckdb, json, sys; print(json.dumps(list(duckdb.execute(sys.argv[1]).fetchone())))";
    let python = std::env::var("KEYLOFT_TEST_DUCKDB").expect("KEYLOFT_TEST_DUCKDB names a Python that has DuckDB");
    let output = Command::new(python).args(["-c", RUN, sql]).output().unwrap();
    assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const SUMS: &str = "SELECT count(*) AS a, sum(n) AS b, sum(weight) AS c, min(date) AS d, count(DISTINCT n) AS e FROM";

async fn sums(reader: &Client, start: Option<&str>) -> Value {
    let body = json!({"query": format!("{SUMS} web"), "startTime": start});
    let row = reader.post("/api/v1/query", body).await.json()[0].take();
    ["a", "b", "c", "d", "e"].iter().map(|name| row[name].clone()).collect()
}

fn duckdb_sums(statement: &str) -> Value {
    duckdb(&format!("{SUMS} ({})", statement.trim().trim_end_matches(';')))
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs DuckDB: run scripts/test.sh")]
async fn another_engine_reads_the_objects_that_the_command_prints() {
    let (server, sender, reader) = scene().await;
    typed(&server, "stream objects web").failed(3, "no such stream");
    for round in 0..10 {
        send(&sender, round * 7..(round + 1) * 7, 2.0).await;
    }
    until_merged(&server).await;
    let from =
        reader.query("SELECT max(p_timestamp) AS at FROM web").await.json()[0]["at"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(5)).await;
    for round in 10..13 {
        send(&sender, round * 7..(round + 1) * 7, 0.5).await;
    }
    let objects = listed(&server, "");
    assert!(merged(&objects) >= 1 && objects.len() - merged(&objects) >= 3, "{objects:?}");
    let urls = typed(&server, "stream objects web").done();
    assert_eq!(urls.lines().count(), objects.len());
    assert!(urls.lines().all(|url| std::path::Path::new(url).is_file()), "{urls}");
    let statement = typed(&server, "stream objects web --output duckdb").done();
    let expected = sums(&reader, None).await;
    assert_eq!(expected[0], 91);
    assert_eq!(duckdb_sums(&statement), expected, "{statement}");

    let ranged = typed(&server, &format!("stream objects web --output duckdb --from {from}")).done();
    let some = sums(&reader, Some(&from)).await;
    assert!((21..91).contains(&some[0].as_u64().unwrap()), "{some}");
    assert_eq!(duckdb_sums(&ranged), some, "{ranged}");
    let future = "stream objects web --from 2999-01-01";
    typed(&server, future).failed(1, "no objects in this range");

    // What was printed stays readable while it is merged further.
    for round in 13..23 {
        send(&sender, round * 7..(round + 1) * 7, 0.25).await;
    }
    let printed: Vec<&str> = urls.lines().collect();
    let is_replaced = || listed(&server, "").iter().all(|object| object["url"] != *printed.last().unwrap());
    server.until("the last object is merged", |_| is_replaced()).await;
    assert_eq!(duckdb_sums(&statement), expected);
    let spark = typed(&server, "stream objects web --output spark").done();
    assert!(spark.contains("spark.read.option(\"mergeSchema\", \"true\").parquet(\n  \"file:///"), "{spark}");
}

#[tokio::test]
async fn pages_of_objects_have_whole_days_and_say_how_long_they_are_held() {
    let (server, sender, _) = scene().await;
    send(&sender, 0..3, 1.0).await;
    let today = server.path("streams/web").read_dir().unwrap().flatten();
    let today = today.map(|entry| entry.path()).find(|path| path.is_dir()).unwrap();
    let file = today.read_dir().unwrap().flatten().next().unwrap();
    for day in ["date=2026-01-01", "date=2026-01-05"] {
        let folder = today.with_file_name(day);
        std::fs::create_dir(&folder).unwrap();
        for minute in 0..3 {
            let name = format!("{minute:04}{}", &file.file_name().to_str().unwrap()[4..]);
            std::fs::copy(file.path(), folder.join(name)).unwrap();
        }
    }
    let admin = server.admin();
    let path = "/api/v1/tenants/default/logstream/web/objects";
    let first = admin.get(&format!("{path}?limit=2")).await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), &first["nextCursor"]), (3, &json!("2026-01-01")));
    let held = first["heldUntil"].as_str().unwrap();
    let held: chrono::DateTime<chrono::Utc> = held.parse().unwrap();
    let minutes = (held - keyloft::Clock::now(&keyloft::SystemClock)).num_seconds();
    assert!((280..=300).contains(&minutes), "the ttl of a session is five minutes: {minutes}");
    let item = &first["items"][0];
    assert_eq!(item["firstEventAt"], "2026-01-01T00:00:00.000Z");
    assert_eq!(item["lastEventAt"], "2026-01-01T00:00:59.999Z");
    assert!(item["object"].as_str().unwrap().starts_with("streams/web/date=2026-01-01/0000-"), "{item}");
    assert_eq!(item["rows"], Value::Null);
    let second = admin.get(&format!("{path}?limit=3&cursor=2026-01-01")).await.json();
    assert_eq!((second["items"].as_array().unwrap().len(), &second["nextCursor"]), (3, &json!("2026-01-05")));
    let some = admin.get(&format!("{path}?from=2026-01-05T00:01:00Z&to=2026-01-05T00:02:00Z")).await.json();
    assert_eq!((some["items"].as_array().unwrap().len(), &some["nextCursor"]), (1, &Value::Null));
    let whole = typed(&server, "stream objects web --json").json();
    assert_eq!(whole["items"].as_array().unwrap().len(), 7);
    for bad in [
        "limit=0",
        "limit=10001",
        "cursor=x",
        "from=now",
        "since=1",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        admin.get(&format!("{path}?{bad}")).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn the_list_of_streams_says_how_much_each_holds() {
    let (server, sender, _) = scene().await;
    for round in 0..10 {
        send(&sender, round * 7..(round + 1) * 7, 2.0).await;
    }
    until_merged(&server).await;
    send(&sender, 0..5, 2.0).await;
    assert_eq!(sender.ingest("api", "{\"a\":1}").await.status, 200);
    let admin = server.admin();
    let path = "/api/v1/tenants/default/logstream";
    let plain = admin.get(path).await.json();
    let api =
        json!({"tenantId": "default", "stream": "api", "fields": 1, "onInvalid": "reject", "retentionDays": null});
    assert_eq!(plain["items"][0], api);
    assert_eq!((plain["items"].as_array().unwrap().len(), &plain["nextCursor"]), (2, &Value::Null));
    let page = admin.get(&format!("{path}?statistics=true&limit=1&cursor=api")).await.json();
    let objects = listed(&server, "");
    let statistics = &page["items"][0]["statistics"];
    assert_eq!(statistics["rows"], 75, "{page}");
    assert_eq!(statistics["objects"], objects.len());
    let bytes: u64 = objects.iter().map(|object| object["bytes"].as_u64().unwrap()).sum();
    assert_eq!(statistics["bytes"], bytes);
    let at = |name: &str| statistics[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let reader = server.with_key(&server.admin().issue("default", "r2", "query").await.api_key);
    let times = reader.query("SELECT min(p_timestamp) AS a, max(p_timestamp) AS b FROM web").await.json();
    for (name, column) in [("firstEventAt", "a"), ("lastEventAt", "b")] {
        let time: chrono::DateTime<chrono::Utc> = times[0][column].as_str().unwrap().parse().unwrap();
        assert_eq!(at(name), time, "{name}");
    }
    let table = typed(&server, "stream list").done();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("STREAM  ROWS  SIZE") && lines.len() == 3, "{table}");
    assert!(lines[1].starts_with("api     1     ") && lines[2].starts_with("web     75    "), "{table}");
    // The rows of an object that cannot be read are not known; everything else is.
    let fresh = objects.iter().find(|object| object["rows"].is_null()).unwrap();
    std::fs::write(fresh["url"].as_str().unwrap(), "no Parquet file").unwrap();
    let page = admin.get(&format!("{path}?statistics=true")).await.json();
    assert_eq!(page["items"][1]["statistics"]["rows"], Value::Null);
    assert_eq!(page["items"][1]["statistics"]["objects"], objects.len());
    std::fs::remove_file(fresh["url"].as_str().unwrap()).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", fresh["url"].as_str().unwrap()).unwrap();
    let page = admin.get(&format!("{path}?statistics=true")).await.json();
    assert_eq!(page["items"][0]["statistics"]["rows"], 1, "{page}");
    // A manifest that cannot be read spoils its own stream only.
    let day = std::path::Path::new(fresh["url"].as_str().unwrap()).parent().unwrap().to_owned();
    std::fs::write(day.join("manifest.json"), "{").unwrap();
    let page = admin.get(&format!("{path}?statistics=true")).await.json();
    let reason = page["items"][1]["statistics"]["unreadable"].as_str().unwrap();
    assert!(reason.contains("manifest"), "{page}");
    assert_eq!(page["items"][0]["statistics"]["rows"], 1);
    assert!(typed(&server, "stream list").done().contains("cannot be read"));
    for bad in ["limit=0", "limit=1001", "cursor=Web", "statistics=1"] {
        admin.get(&format!("{path}?{bad}")).await.refused(400, "invalid_request");
    }
    admin.get("/api/v1/tenants/nowhere/logstream").await.refused(404, "not_found");
}
