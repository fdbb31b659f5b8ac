//! SQL over HTTP: the forms of an answer, what may be asked, and who sees what.

use std::time::Duration;

use serde_json::json;

use crate::support::scene::must_break_off;
use crate::support::{Answer, Raw, Scene, events};

async fn accepting(scene: &Scene, accept: &str, sql: &str) -> Answer {
    let request = scene.reading().request("POST", "/api/v1/query").header("accept", accept);
    Answer::of(request.json(&json!({"query": sql}))).await
}

const TWO: &str =
    "SELECT event_id, magnitude FROM quakes WHERE event_id IN ('uw61345682', 'mb80279649') ORDER BY 1 DESC";

#[tokio::test]
async fn rows_come_as_json_lines_or_csv_by_accept() {
    let scene = Scene::new().await;
    let rows =
        [json!({"event_id": "uw61345682", "magnitude": 0.31}), json!({"event_id": "mb80279649", "magnitude": 1.35})];
    for accept in ["application/json", "*/*", "text/html, application/json;q=0.9", "image/png"] {
        let answer = accepting(&scene, accept, TWO).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{accept}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.json(), json!(rows));
    }
    assert_eq!(scene.reading().query(TWO).await.json(), json!(rows));
    for accept in ["application/x-ndjson", "application/jsonl"] {
        let answer = accepting(&scene, accept, TWO).await;
        assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
        let lines: Vec<serde_json::Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, rows);
    }
    let answer = accepting(&scene, "text/csv", TWO).await;
    assert!(answer.header("content-type").unwrap().starts_with("text/csv"));
    assert_eq!(answer.text().replace('\r', ""), "event_id,magnitude\nuw61345682,0.31\nmb80279649,1.35\n");
}

#[tokio::test]
async fn an_answer_without_rows_is_still_an_answer() {
    let scene = Scene::new().await;
    let none = "SELECT event_id FROM quakes WHERE magnitude > 100";
    assert_eq!(accepting(&scene, "application/json", none).await.text().trim(), "[]");
    assert_eq!(accepting(&scene, "application/x-ndjson", none).await.text(), "");
    assert_eq!(accepting(&scene, "text/csv", none).await.text().trim(), "event_id");
}

#[tokio::test]
async fn no_part_of_an_answer_waits_until_the_client_has_acknowledged_the_one_before() {
    let scene = Scene::new().await;
    let (url, key) = (scene.server.url(), &scene.reader.api_key);
    let mut connection = Raw::connect(url);
    let mut took = Vec::new();
    // A kernel acknowledges at once while a connection is young, and after 40 ms then.
    for _ in 0..40 {
        connection.ask(key, "SELECT 1 AS one");
        took.push(connection.time_parts());
    }
    took.sort();
    assert!(took[20] < Duration::from_millis(30), "{took:?}");
}

#[tokio::test]
async fn start_and_end_choose_by_arrival() {
    let scene = Scene::new().await;
    let ask = async |range: serde_json::Value| {
        let mut body = json!({"query": "SELECT count(*) AS n FROM quakes"});
        body.as_object_mut().unwrap().extend(range.as_object().unwrap().clone());
        scene.reading().post("/api/v1/query", body).await
    };
    let all = json!([{"n": events::earthquakes()}]);
    assert_eq!(
        ask(json!({"startTime": "2020-01-01T00:00:00Z", "endTime": "2999-01-01T00:00:00+02:00"})).await.json(),
        all
    );
    assert_eq!(ask(json!({"startTime": "2999-01-01T00:00:00Z"})).await.json(), json!([{"n": 0}]));
    assert_eq!(ask(json!({"endTime": "2020-01-01T00:00:00Z"})).await.json(), json!([{"n": 0}]));
    let at = scene.reading().query("SELECT max(p_timestamp) AS at FROM quakes").await.json();
    let at = at[0]["at"].as_str().unwrap().to_owned();
    assert_eq!(ask(json!({"startTime": at})).await.json(), all, "the start is inside");
    assert_eq!(ask(json!({"endTime": at})).await.json(), json!([{"n": 0}]), "the end is outside");
    for bad in [json!({"startTime": "yesterday"}), json!({"endTime": 7}), json!({"start": "2020-01-01T00:00:00Z"})] {
        ask(bad).await.refused(400, "invalid_request");
    }
    let backwards = json!({"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"});
    ask(backwards).await.refused(400, "invalid_query");
}

#[tokio::test]
async fn whatever_is_not_one_read_only_query_is_refused() {
    let scene = Scene::new().await;
    let secret = scene.server.path("secret.csv");
    std::fs::write(&secret, "a\nhush\n").unwrap();
    let path = secret.to_str().unwrap();
    for sql in [
        "",
        "  ",
        "SELEKT 1",
        "SELECT 1; SELECT 2",
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE quakes",
        "INSERT INTO quakes SELECT * FROM quakes",
        "DELETE FROM quakes",
        "UPDATE quakes SET magnitude = 9",
        "SET datafusion.execution.batch_size = 1",
        "SHOW TABLES",
        "EXPLAIN VERBOSE SELECT 1",
        "EXPLAIN DELETE FROM quakes",
        "EXPLAIN ANALYZE SELECT * FROM quakes",
        "SELECT * FROM generate_series(1, 10)",
        "SELECT * FROM information_schema.tables",
        &format!("COPY quakes TO '{path}.copy'"),
        &format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{path}'"),
        &format!("SELECT * FROM '{path}'"),
        &format!("SELECT * FROM \"{path}\""),
        &format!("SELECT * FROM \"file://{path}\""),
        &format!("SELECT * FROM read_csv('{path}')"),
    ] {
        let answer = scene.reading().query(sql).await;
        answer.refused(400, "invalid_query");
        assert!(!answer.text().contains("hush"), "{}", answer.text());
    }
    assert!(!scene.server.path("secret.csv.copy").exists());
    let count = scene.reading().query("SELECT count(*) AS n FROM quakes WHERE magnitude < 9").await;
    assert_eq!(count.json(), json!([{"n": events::earthquakes()}]));
}

#[tokio::test]
async fn an_error_in_a_query_says_what_is_wrong_with_it() {
    let scene = Scene::new().await;
    let answer = scene.reading().query("SELECT magnitud FROM quakes").await;
    answer.refused(400, "invalid_query");
    assert!(answer.json()["detail"].as_str().unwrap().contains("magnitud"));
    for path in [scene.server.directory().to_str().unwrap(), "parquet", ".rs:"] {
        assert!(!answer.text().contains(path), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_stream_that_the_key_may_not_read_is_as_if_it_did_not_exist() {
    let scene = Scene::new().await;
    for stream in ["web-1", "web-2"] {
        assert_eq!(scene.sending().ingest(stream, "{\"n\":1}").await.status, 200);
    }
    let body = json!({"keyName": "web", "keyType": "query", "streams": ["web-*"]});
    let key = scene.server.admin().issue_with("default", body).await;
    let reading = scene.server.with_key(&key.api_key);
    assert_eq!(reading.query("SELECT n FROM \"web-1\"").await.json(), json!([{"n": 1}]));
    for sql in ["SELECT * FROM %", "SELECT 1 FROM \"web-1\", %", "SELECT (SELECT max(n) FROM %) AS n"] {
        let hidden = reading.query(&sql.replace('%', "quakes")).await;
        let absent = reading.query(&sql.replace('%', "nowhere")).await;
        hidden.refused(400, "invalid_query");
        absent.refused(400, "invalid_query");
        assert_eq!(hidden.text().replace("quakes", "nowhere"), absent.text());
    }
    assert_eq!(reading.get("/api/v1/logstream").await.json(), json!([{"name": "web-1"}, {"name": "web-2"}]));
    let counted = reading.get("/api/v1/logstream?statistics=true").await.json();
    assert_eq!((counted[0]["name"].as_str(), counted[0]["statistics"]["rows"].as_u64()), (Some("web-1"), Some(1)));
    assert_eq!(counted.as_array().unwrap().len(), 2, "no figure of a stream that this key may not read");
    let all = scene.reading().get("/api/v1/logstream").await.json();
    assert_eq!(all, json!([{"name": "quakes"}, {"name": "web-1"}, {"name": "web-2"}]));
    scene.sending().get("/api/v1/logstream").await.refused(403, "wrong_key_type");
}

#[tokio::test]
async fn tenants_with_streams_of_one_name_see_their_own() {
    let scene = Scene::new().await;
    let admin = scene.server.admin();
    assert_eq!(admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
    let sender = admin.issue("acme", "shipper", "ingestion").await;
    let reader = admin.issue("acme", "dashboard", "query").await;
    let (sender, reader) = (scene.server.with_key(&sender.api_key), scene.server.with_key(&reader.api_key));
    assert_eq!(reader.get("/api/v1/logstream").await.json(), json!([]));
    reader.query("SELECT * FROM quakes").await.refused(400, "invalid_query");
    assert_eq!(sender.ingest("quakes", "{\"event_id\":\"acme-1\"}").await.status, 200);
    assert_eq!(sender.ingest("payroll", "{\"n\":1}").await.status, 200);
    let own = reader.query("SELECT event_id FROM quakes").await.json();
    assert_eq!(own, json!([{"event_id": "acme-1"}]));
    let count = scene.reading().query("SELECT count(*) AS n FROM quakes WHERE event_id <> 'acme-1'").await;
    assert_eq!(count.json(), json!([{"n": events::earthquakes()}]));
    for name in ["payroll", "acme.payroll", "\"acme/streams/payroll\"", "\"../acme/streams/payroll\""] {
        scene.reading().query(&format!("SELECT * FROM {name}")).await.refused(400, "invalid_query");
    }
    assert_eq!(scene.reading().get("/api/v1/logstream").await.json(), json!([{"name": "quakes"}]));
}

#[tokio::test]
async fn a_text_that_is_too_long_or_too_deep_is_refused_and_the_server_lives() {
    let scene = Scene::new().await;
    let padded = |bytes: usize| format!("SELECT 1 AS x{}", " ".repeat(bytes - 13));
    assert_eq!(scene.reading().query(&padded(64 * 1024)).await.json(), json!([{"x": 1}]));
    scene.reading().query(&padded(64 * 1024 + 1)).await.refused(400, "invalid_query");
    for sql in [
        format!("SELECT {}1 AS x", "1+".repeat(30_000)),
        format!("SELECT {}1{} AS x", "(".repeat(1_000), ")".repeat(1_000)),
        format!("SELECT {}", "(".repeat(60_000)),
        format!("SELECT {}true AS x", "NOT ".repeat(15_000)),
        format!("SELECT * FROM {}quakes{}", "(SELECT * FROM ".repeat(3_000), ")".repeat(3_000)),
    ] {
        scene.reading().query(&sql).await.refused(400, "invalid_query");
    }
    assert_eq!(scene.reading().query(TWO).await.json().as_array().unwrap().len(), 2);
    scene.until_idle().await;
}

#[tokio::test]
async fn an_error_in_mid_stream_breaks_the_body_off() {
    let scene = Scene::new().await;
    let numbers: String = (0..100_000).rev().map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(scene.sending().ingest("numbers", numbers).await.status, 200);
    scene.reading().query("SELECT max(1 / n) AS x FROM numbers").await.refused(400, "invalid_query");
    let body = json!({"query": "SELECT 1 / n AS x FROM numbers"});
    let response = scene.reading().request("POST", "/api/v1/query").json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200, "the zero is in the last of many batches");
    must_break_off(response).await;
    scene.until_idle().await;
}

#[tokio::test]
async fn a_key_sees_itself() {
    let scene = Scene::new().await;
    let body = json!({"keyName": "web", "keyType": "query", "streams": ["web-*"], "expiresAt": "2999-01-01T00:00:00Z"});
    let key = scene.server.admin().issue_with("default", body).await;
    let seen = scene.server.with_key(&key.api_key).get("/api/v1/whoami").await.json();
    let expected = json!({
        "tenant": "default", "keyId": key.id, "keyName": "web", "keyType": "query", "streams": ["web-*"],
        "suspended": false, "expiresAt": "2999-01-01T00:00:00.000Z",
    });
    assert_eq!(seen, expected);
    let seen = scene.sending().get("/api/v1/whoami").await.json();
    assert_eq!((&seen["keyType"], &seen["streams"]), (&json!("ingestion"), &json!(["*"])));
    assert_eq!(seen["expiresAt"], json!(null));
}
