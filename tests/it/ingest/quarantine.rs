//! Poison batches: the good events are stored, the others go to `keyloft_rejected` as text, each in exactly one place.

use std::sync::Arc;

use keyloft::Bucket;
use serde_json::{Value, json};

use crate::support::scene::people;
use crate::support::{Answer, Client, Fault, Faults, Faulty, TestServer};

const SETTINGS: &str = "/api/v1/tenants/default/logstream/web";

async fn send(sender: &Client, body: impl Into<reqwest::Body>) -> Answer {
    let request = sender.request("POST", "/api/v1/logstream/web").header("content-type", "application/x-ndjson");
    Answer::of(request.header("x-keyloft-on-invalid", "quarantine").body(body)).await
}

/// Somebody who may read what was rejected.
async fn auditor(server: &TestServer) -> Client {
    let key = json!({"keyName": "auditor", "keyType": "query", "streams": ["keyloft_*", "web"]});
    server.with_key(&server.admin().issue_with("default", key).await.api_key)
}

async fn rows(reader: &Client, sql: &str) -> Value {
    let answer = reader.query(sql).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn good_events_are_stored_and_the_others_are_kept_with_their_reasons() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let sourced = json!({"keyName": "shipper", "keyType": "ingestion", "sourceId": "edge"});
    let sourced = admin.issue_with("default", sourced).await;
    let sender = server.with_key(&sourced.api_key);
    assert_eq!(sender.ingest("web", "{\"n\":0,\"t\":\"x\"}").await.status, 200);
    let deep = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
    let wide: Vec<String> = (0..999).map(|n| format!("\"c{n}\":1")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let faults = [
        ("{\"n\":9232379236109516800}", "number_range"),
        ("{\"p\":{\"value\":1}}", "reserved_name"),
        ("{\"t\":300}", "type_conflict"),
        ("{\"n\":\"x\"}", "type_conflict"),
        (&wide, "too_many_fields"),
        ("not json at all", "not_json"),
        ("{\"n\":", "not_json"),
        ("{\"f\":1e400}", "number_range"),
        (&deep, "too_deep"),
    ];
    let mut body = String::new();
    for (at, (bad, _)) in faults.iter().enumerate() {
        body.push_str(&format!("{{\"n\":{}}}\n{bad}\n", at + 1));
    }
    let answer = send(&sender, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!((&answer["stream"], &answer["accepted"], &answer["rejected"]), (&json!("web"), &json!(9), &json!(9)));
    let reasons = answer["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 5);
    assert_eq!((&reasons[1]["line"], &reasons[1]["code"]), (&json!(4), &json!("reserved_name")));
    assert_eq!(reasons[1]["reason"], "the field `p_value` starts with p_, which is reserved");

    let auditor = auditor(&server).await;
    let found = rows(&auditor, "SELECT * FROM keyloft_rejected ORDER BY line").await;
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), faults.len());
    for (at, (row, (bad, code))) in found.iter().zip(&faults).enumerate() {
        assert_eq!((&row["stream"], &row["code"], &row["text"]), (&json!("web"), &json!(code), &json!(bad)));
        assert_eq!((&row["line"], &row["event"]), (&json!(2 * at + 2), &Value::Null));
        assert_eq!((&row["bytes"], &row["truncated"]), (&json!(bad.len()), &json!(false)));
        assert_eq!((&row["p_key_id"], &row["p_source_id"]), (&json!(sourced.id), &json!("edge")));
        assert!(row["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    }
    assert_eq!(rows(&auditor, "SELECT count(*) AS n, sum(n) AS s FROM web").await, json!([{"n": 10, "s": 45}]));
    let metrics = server.anonymous().get("/metrics").await;
    assert!(
        metrics.text().contains("keyloft_quarantined_events_total{fault=\"type_conflict\"} 2"),
        "{}",
        metrics.text()
    );
    assert!(metrics.text().contains("keyloft_ingested_events_total 10\n"));
}

#[tokio::test]
async fn what_was_rejected_is_for_keys_that_mean_it_and_written_by_keyloft_alone() {
    let server = TestServer::spawn().await;
    let (sender, reader) = people(&server).await;
    assert_eq!(send(&sender, "{\"n\":1}\n7").await.json()["rejected"], 1);
    reader.query("SELECT * FROM keyloft_rejected").await.refused(400, "invalid_query");
    sender.ingest("keyloft_rejected", "{}").await.refused(403, "stream_not_allowed");
    let path = "/api/v1/tenants/default/logstream/keyloft_rejected";
    let patch = server.admin().patch(path, json!({"onInvalid": "quarantine"})).await;
    patch.refused(400, "invalid_request");
}

#[tokio::test]
async fn an_array_names_its_events_and_a_batch_may_be_good_or_bad_altogether() {
    let server = TestServer::spawn().await;
    let (sender, _) = people(&server).await;
    let answer = send(&sender, "[{\"n\":1},{\"n\":\"x\"},{\"n\":2}]").await.json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(answer["reasons"][0]["event"], 2);
    assert_eq!(send(&sender, "{\"n\":1}").await.json(), json!({"stream": "web", "accepted": 1, "rejected": 0}));
    assert_eq!(send(&sender, "[]").await.json(), json!({"stream": "web", "accepted": 0, "rejected": 0}));
    let bad = send(&sender, "{\"n\":true}\n7").await.json();
    assert_eq!((&bad["accepted"], &bad["rejected"]), (&json!(0), &json!(2)));
    let auditor = auditor(&server).await;
    let found = rows(&auditor, "SELECT event, line, text FROM keyloft_rejected ORDER BY line NULLS FIRST").await;
    let expected = [(Some(2), None, "{\"n\":\"x\"}"), (None, Some(1), "{\"n\":true}"), (None, Some(2), "7")];
    assert_eq!(found, json!(expected.map(|(event, line, text)| json!({"event": event, "line": line, "text": text}))));
    // What concerns the request as a whole is refused as ever.
    let broken = sender.request("POST", "/api/v1/logstream/web").header("x-keyloft-on-invalid", "quarantine");
    Answer::of(broken.header("content-encoding", "gzip").body("no gzip")).await.refused(400, "invalid_request");
    let word = sender.request("POST", "/api/v1/logstream/web").header("x-keyloft-on-invalid", "drop").body("{}");
    Answer::of(word).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_stream_may_be_set_to_quarantine_and_a_request_may_say_otherwise() {
    let server = TestServer::spawn().await;
    let (sender, _) = people(&server).await;
    let admin = server.admin();
    admin.get(SETTINGS).await.refused(404, "not_found");
    let set = admin.patch(SETTINGS, json!({"onInvalid": "quarantine"})).await;
    assert_eq!(set.status, 200, "{}", set.text());
    assert_eq!((&set.json()["onInvalid"], &set.json()["modifiedBy"]), (&json!("quarantine"), &json!("admin")));
    assert!(set.json()["receipt"]["changeSeq"].is_u64());
    let answer = sender.ingest("web", "{\"n\":1}\n7").await;
    assert_eq!((&answer.json()["accepted"], &answer.json()["rejected"]), (&json!(1), &json!(1)));
    let strict = sender.request("POST", "/api/v1/logstream/web").header("x-keyloft-on-invalid", "reject");
    Answer::of(strict.body("{\"n\":1}\n7")).await.refused(400, "invalid_request");
    // Other streams are as before; the setting survives a wider schema and a restart.
    sender.ingest("other", "{\"n\":1}\n7").await.refused(400, "invalid_request");
    assert_eq!(sender.ingest("web", "{\"new\":1}").await.json()["rejected"], 0);
    let server = server.restart().await;
    let shown = server.admin().get(SETTINGS).await.json();
    assert_eq!(shown["onInvalid"], "quarantine");
    assert_eq!(shown["fields"], json!([{"name": "n", "type": "integer"}, {"name": "new", "type": "integer"}]));
    let cleared = server.admin().patch(SETTINGS, json!({"onInvalid": null})).await;
    assert_eq!(cleared.json()["onInvalid"], "reject");
    for bad in [json!({"onInvalid": "drop"}), json!({"fields": []}), json!([])] {
        server.admin().patch(SETTINGS, bad).await.refused(400, "invalid_request");
    }
    server.admin().get("/api/v1/tenants/nobody/logstream/web").await.refused(404, "not_found");
}

#[tokio::test]
async fn other_nodes_hear_of_a_setting() {
    let one = TestServer::spawn().await;
    let directory = one.shared_directory();
    let two = TestServer::spawn_with(move |setup| {
        setup.directory = directory;
        setup.config.sync.poll_interval = std::time::Duration::from_millis(50);
    })
    .await;
    let (sender, _) = people(&one).await;
    assert_eq!(sender.ingest("web", "{\"n\":1}").await.status, 200);
    one.admin().patch(SETTINGS, json!({"onInvalid": "quarantine"})).await;
    let (tenant, stream) = (keyloft::key::TenantId::default(), keyloft::key::StreamName::parse("web").unwrap());
    two.until("the setting is known", |two| {
        let schema = two.app.catalog.get(&tenant, &stream);
        schema.is_some_and(|schema| schema.settings().on_invalid.as_str() == "quarantine" && schema.fields().len() == 1)
    })
    .await;
}

#[tokio::test]
async fn a_field_that_another_node_has_given_another_type_meanwhile_sets_its_event_aside() {
    let one = TestServer::spawn().await;
    let directory = one.shared_directory();
    let two = TestServer::spawn_with(move |setup| {
        setup.directory = directory;
        setup.config.sync.poll_interval = std::time::Duration::from_secs(3600);
    })
    .await;
    let (sender, _) = people(&one).await;
    two.app.sync().await.unwrap();
    // The second node has not heard of the stream.
    assert_eq!(sender.ingest("web", "{\"n\":1}").await.status, 200);
    let key = two.admin().issue("default", "second", "ingestion").await;
    let answer = send(&two.with_key(&key.api_key), "{\"n\":\"x\"}\n{\"n\":2}\n{\"m\":true}").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["accepted"], &answer.json()["rejected"]),
        (200, &json!(2), &json!(1))
    );
    let auditor = auditor(&one).await;
    one.app.sync().await.unwrap();
    assert_eq!(
        rows(&auditor, "SELECT line, code FROM keyloft_rejected").await,
        json!([{"line": 1, "code": "type_conflict"}])
    );
    assert_eq!(rows(&auditor, "SELECT sum(n) AS s, count(*) AS c FROM web").await, json!([{"s": 3, "c": 3}]));
}

#[tokio::test]
async fn nothing_is_acknowledged_before_both_streams_are_durable() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await;
    let (sender, _) = people(&server).await;
    let auditor = auditor(&server).await;
    assert_eq!(send(&sender, "{\"n\":1}\n7").await.status, 200);
    for stream in ["streams/keyloft_rejected/", "streams/web/"] {
        faults.inject(Fault::ErrorBefore, move |call| call.is_write() && call.is_about(stream));
        let answer = send(&sender, "{\"n\":2}\n8").await;
        answer.refused(503, "store_unavailable");
        faults.none();
    }
    // Sent again, as shippers do: every good event is there once for each time it was acknowledged.
    assert_eq!(send(&sender, "{\"n\":2}\n8").await.json()["rejected"], 1);
    assert_eq!(rows(&auditor, "SELECT n FROM web ORDER BY n").await, json!([{"n": 1}, {"n": 2}]));
    let kept = rows(&auditor, "SELECT DISTINCT text FROM keyloft_rejected ORDER BY text").await;
    assert_eq!(kept, json!([{"text": "7"}, {"text": "8"}]));
}

#[tokio::test]
async fn rejected_events_count_against_the_limit_on_events() {
    let server = TestServer::spawn().await;
    let key = json!({"keyName": "few", "keyType": "ingestion", "limits": {"events": {"perMinute": 1, "burst": 5}}});
    let sender = server.with_key(&server.admin().issue_with("default", key).await.api_key);
    assert_eq!(send(&sender, "{\"n\":1}\n7\n7\n7").await.json()["rejected"], 3);
    send(&sender, "7\n7").await.refused(429, "rate_limited");
    let auditor = auditor(&server).await;
    assert_eq!(rows(&auditor, "SELECT count(*) AS n FROM keyloft_rejected").await, json!([{"n": 3}]));
}
