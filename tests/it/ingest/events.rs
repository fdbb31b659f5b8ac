//! Events over HTTP: what is accepted, how events are separated, and what a query returns.

use keyloft::key::{StreamName, TenantId};
use serde_json::{Value, json};

use crate::support::scene::people;
use crate::support::{Answer, Client, Raw, TestServer, gzip};

async fn send(sender: &Client, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let request = sender.request("POST", "/api/v1/ingest").body(body);
    Answer::of(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

async fn rows(reader: &Client, sql: &str) -> Value {
    let answer = reader.query(sql).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn an_object_an_array_and_lines_are_taken_on_both_routes() {
    let server = TestServer::spawn().await;
    let (sender, reader) = people(&server).await;
    let bodies = [
        ("{\"n\":1}", 1),
        ("[{\"n\":2},{\"n\":3}]", 2),
        ("{\"n\":4}\n{\"n\":5}\n\n{\"n\":6}\r\n", 3),
        ("\u{feff}{\"n\":7}", 1),
        ("\n {\n \"n\": 8\n}\n", 1),
    ];
    for (body, accepted) in bodies {
        let answer = sender.ingest("web", body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"stream": "web", "accepted": accepted})));
        let answer = Answer::of(sender.request("POST", "/api/v1/logstream/web-2").body(body)).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"stream": "web-2", "accepted": accepted})));
    }
    for stream in ["web", "\"web-2\""] {
        let numbers = rows(&reader, &format!("SELECT n FROM {stream} ORDER BY n")).await;
        assert_eq!(numbers, json!((1..=8).map(|n| json!({"n": n})).collect::<Vec<_>>()));
    }
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let server = TestServer::spawn().await;
    let (sender, reader) = people(&server).await;
    let body = crate::support::events::EARTHQUAKES.as_bytes();
    let zstd = zstd::encode_all(body, 1).unwrap();
    let encoded = [("gzip", gzip(body)), ("GZIP", gzip(body)), ("zstd", zstd), ("identity", body.to_vec())];
    for (encoding, body) in encoded {
        let answer = send(&sender, &[("x-p-stream", "quakes"), ("content-encoding", encoding)], body).await;
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
    }
    let count = rows(&reader, "SELECT count(*) AS n, count(DISTINCT event_id) AS d FROM quakes").await;
    let quakes = crate::support::events::earthquakes();
    assert_eq!(count, json!([{"n": 4 * quakes, "d": quakes}]));
}

#[tokio::test]
async fn every_name_of_json_and_ndjson_is_taken() {
    let server = TestServer::spawn().await;
    let (sender, reader) = people(&server).await;
    let json = [
        "application/json",
        "Application/JSON; Charset=\"UTF-8\"",
        "application/cloudevents+json",
        "application/cloudevents-batch+json; charset=utf-8",
        "application/vnd.docker.distribution.events.v1+json",
        "",
    ];
    let lines = [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/json-lines",
        "application/stream+json",
        "APPLICATION/X-NDJSON",
    ];
    for known in json.iter().chain(&lines) {
        let answer = send(&sender, &[("x-p-stream", "web"), ("content-type", known)], "{\"a\":1}\n{\"a\":2}").await;
        assert_eq!(answer.status, 200, "{known}: {}", answer.text());
    }
    // A value that spans lines distinguishes the two.
    for known in json {
        let answer = send(&sender, &[("x-p-stream", "web"), ("content-type", known)], "{\n\"a\":3}").await;
        assert_eq!(answer.status, 200, "{known}: {}", answer.text());
    }
    for known in lines {
        let answer = send(&sender, &[("x-p-stream", "web"), ("content-type", known)], "{\n\"a\":3}").await;
        answer.refused(400, "invalid_request");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("line 1: this is not JSON"), "{}", answer.text());
    }
    assert_eq!(rows(&reader, "SELECT count(*) AS n FROM web").await, json!([{"n": 2 * 15 + 6}]));
}

#[tokio::test]
async fn a_media_type_or_encoding_that_is_not_known_is_415_with_a_hint() {
    let server = TestServer::spawn().await;
    let (sender, _) = people(&server).await;
    let unknown = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "json",
        "application/+json",
        "application/geo+json-seq",
    ];
    for unknown in unknown {
        let answer = send(&sender, &[("x-p-stream", "web"), ("content-type", unknown)], "{}").await;
        answer.refused(415, "unsupported_media_type");
        assert!(answer.json()["detail"].as_str().unwrap().contains("application/x-ndjson"));
    }
    for charset in ["utf-16", "\"ISO-8859-1\""] {
        let media_type = format!("application/json; charset={charset}");
        let answer = send(&sender, &[("x-p-stream", "web"), ("content-type", &media_type)], "{}").await;
        answer.refused(415, "unsupported_media_type");
        assert!(answer.json()["detail"].as_str().unwrap().contains("UTF-8"));
    }
    for unknown in ["br", "deflate", ""] {
        let answer = send(&sender, &[("x-p-stream", "web"), ("content-encoding", unknown)], "{}").await;
        answer.refused(415, "unsupported_media_type");
        assert!(answer.json()["detail"].as_str().unwrap().contains("gzip and zstd"));
    }
    send(&sender, &[("x-p-stream", "web"), ("content-encoding", "gzip, gzip")], "{}")
        .await
        .refused(415, "unsupported_media_type");
    let twice = [("x-p-stream", "web"), ("content-encoding", "gzip"), ("content-encoding", "gzip")];
    send(&sender, &twice, gzip(&gzip(b"{}"))).await.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn an_empty_batch_is_accepted_and_creates_nothing() {
    let server = TestServer::spawn().await;
    let (sender, _) = people(&server).await;
    for empty in ["", "[]", "\n", "\u{feff}[ ]"] {
        let answer = sender.ingest("web", empty).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"stream": "web", "accepted": 0})));
    }
    let answer = send(&sender, &[("x-p-stream", "web"), ("content-encoding", "gzip")], gzip(b"")).await;
    assert_eq!(answer.json(), json!({"stream": "web", "accepted": 0}));
    assert!(!server.path("streams/web").exists());
}

#[tokio::test]
async fn the_line_or_the_event_at_fault_is_named_also_when_only_the_stream_makes_it_one() {
    let server = TestServer::spawn().await;
    let (sender, _) = people(&server).await;
    assert_eq!(sender.ingest("tc", "{\"a\":1}").await.status, 200);
    let events = |separator: &str| {
        let event = |n| if n == 701 { "{\"a\":\"x\"}" } else { "{\"b\":1}" };
        (1..=1000).map(event).collect::<Vec<_>>().join(separator)
    };
    let why = "the field `a` is integer in this stream, not text";
    for (body, place) in [(events("\n"), "line 701"), (format!("[{}]", events(",")), "event 701")] {
        let answer = sender.ingest("tc", body).await;
        answer.refused(400, "invalid_request");
        assert_eq!(answer.json()["detail"], format!("{place}: {why}"));
    }
}

#[tokio::test]
async fn the_stream_is_named_once_and_well() {
    let server = TestServer::spawn().await;
    let (sender, _) = people(&server).await;
    send(&sender, &[], "{}").await.refused(400, "invalid_request");
    send(&sender, &[("x-p-stream", "web"), ("x-p-stream", "web")], "{}").await.refused(400, "invalid_request");
    let too_long = "a".repeat(64);
    for bad in ["Web", "", "-a", "a b", "../x", "a/b", ".settings", "a,b", "naïve", &too_long, "information_schema"] {
        send(&sender, &[("x-p-stream", bad)], "{}").await.refused(400, "invalid_request");
    }
    for bad in ["Web", ".settings", "a%2Fb", "information_schema", &too_long] {
        let answer = Answer::of(sender.request("POST", &format!("/api/v1/logstream/{bad}")).body("{}")).await;
        answer.refused(400, "invalid_request");
    }
    let at = |header| sender.request("POST", "/api/v1/logstream/web").header("x-p-stream", header).body("{}");
    Answer::of(at("other")).await.refused(400, "invalid_request");
    assert_eq!(Answer::of(at("web")).await.status, 200);
    assert!(!server.path("streams/other").exists());
}

#[tokio::test]
async fn a_key_writes_to_its_own_streams_only() {
    let server = TestServer::spawn().await;
    let key = json!({"keyName": "web", "keyType": "ingestion", "streams": ["web-*", "audit"]});
    let issued = server.admin().issue_with("default", key).await;
    let sender = server.with_key(&issued.api_key);
    for stream in ["web-1", "audit"] {
        assert_eq!(sender.ingest(stream, "{}").await.status, 200);
    }
    for stream in ["web", "audit-2", "other"] {
        sender.ingest(stream, "{}").await.refused(403, "stream_not_allowed");
        let by_path = sender.request("POST", &format!("/api/v1/logstream/{stream}")).body("{}");
        Answer::of(by_path).await.refused(403, "stream_not_allowed");
        assert!(!server.path(&format!("streams/{stream}")).exists());
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_plain_or_compressed() {
    let server = TestServer::spawn_with(|setup| setup.config.ingest.max_body_bytes = 64 * 1024).await;
    let (sender, reader) = people(&server).await;
    let of = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    assert_eq!(sender.ingest("web", of(64 * 1024)).await.status, 200);
    sender.ingest("web", of(64 * 1024 + 1)).await.refused(413, "payload_too_large");
    let bomb = of(4 << 20);
    let (gzip, zstd) = (gzip(bomb.as_bytes()), zstd::encode_all(bomb.as_bytes(), 1).unwrap());
    assert!(gzip.len() < 64 * 1024 && zstd.len() < 64 * 1024);
    for (encoding, body) in [("gzip", gzip), ("zstd", zstd)] {
        let answer = send(&sender, &[("x-p-stream", "web"), ("content-encoding", encoding)], body).await;
        answer.refused(413, "payload_too_large");
    }
    assert_eq!(rows(&reader, "SELECT count(*) AS n FROM web").await, json!([{"n": 1}]));
}

#[tokio::test]
async fn every_row_says_when_and_from_whom() {
    let server = TestServer::spawn().await;
    let (_, reader) = people(&server).await;
    let key = json!({"keyName": "web", "keyType": "ingestion", "sourceId": "web-prod"});
    let sourced = server.admin().issue_with("default", key).await;
    let plain = server.admin().issue("default", "plain", "ingestion").await;
    let before = chrono::DateTime::from_timestamp_millis(chrono_now().timestamp_millis()).unwrap();
    assert_eq!(server.with_key(&sourced.api_key).ingest("web", "{\"n\":1}").await.status, 200);
    assert_eq!(server.with_key(&plain.api_key).ingest("web", "{\"n\":2}").await.status, 200);
    let found = rows(&reader, "SELECT p_timestamp, p_key_id, p_source_id FROM web ORDER BY n").await;
    assert_eq!((&found[0]["p_key_id"], &found[0]["p_source_id"]), (&json!(sourced.id), &json!("web-prod")));
    assert_eq!((&found[1]["p_key_id"], &found[1]["p_source_id"]), (&json!(plain.id), &Value::Null));
    for row in found.as_array().unwrap() {
        let text = row["p_timestamp"].as_str().unwrap();
        assert!(text.ends_with('Z') && text.len() == "2026-11-22T01:02:03.456Z".len(), "{text}");
        let at = chrono::DateTime::parse_from_rfc3339(text).unwrap();
        assert!((before..=chrono_now()).contains(&at.to_utc()), "{text}");
    }
}

/// Events of one time stand as they were sent, also when they have been merged.
#[tokio::test]
async fn the_last_lines_are_the_last_lines() {
    let server = TestServer::spawn().await;
    let (sender, reader) = people(&server).await;
    for request in 0..9 {
        let lines: String = (0..1000).map(|n| json!({"n": request * 1000 + n}).to_string() + "\n").collect();
        assert_eq!(sender.ingest("web", lines).await.status, 200);
    }
    let check = async || {
        let last = rows(&reader, "SELECT n FROM web ORDER BY p_timestamp DESC, p_offset DESC LIMIT 100").await;
        let last: Vec<i64> = last.as_array().unwrap().iter().map(|row| row["n"].as_i64().unwrap()).collect();
        assert_eq!(last, (8900..9000).rev().collect::<Vec<_>>());
        let offsets = rows(&reader, "SELECT min(p_offset) AS a, max(p_offset) AS z FROM web").await;
        assert_eq!(offsets, json!([{"a": 0, "z": 8999}]));
    };
    check().await;
    let (tenant, stream) = (TenantId::default(), StreamName::parse("web").unwrap());
    let folder = format!("streams/web/date={}/merged", chrono_now().date_naive());
    server.app.compactor.compact(&(tenant, stream, chrono_now().date_naive())).await.unwrap();
    assert_eq!(std::fs::read_dir(server.path(&folder)).unwrap().count(), 1, "they are merged");
    check().await;
}

fn chrono_now() -> chrono::DateTime<chrono::Utc> {
    keyloft::Clock::now(&keyloft::SystemClock)
}

#[tokio::test]
async fn integers_come_back_exactly_and_whole_numbers_widen_to_floats() {
    let server = TestServer::spawn().await;
    let (sender, reader) = people(&server).await;
    let exact = "[{\"n\":9007199254740993},{\"n\":-9223372036854775808},{\"n\":9223372036854775807}]";
    assert_eq!(sender.ingest("exact", exact).await.status, 200);
    let answer = reader.query("SELECT n FROM exact ORDER BY n").await;
    let expected = "[{\"n\":-9223372036854775808},{\"n\":9007199254740993},{\"n\":9223372036854775807}]";
    assert_eq!(answer.text().replace(['\n', ' '], ""), expected);
    assert_eq!(sender.ingest("widening", "{\"n\":1}").await.status, 200);
    assert_eq!(sender.ingest("widening", "{\"n\":0.5}").await.status, 200);
    assert_eq!(sender.ingest("widening", "{\"n\":2,\"m\":\"new\"}").await.status, 200);
    let found = rows(&reader, "SELECT n, m FROM widening ORDER BY n").await;
    assert_eq!(found, json!([{"n": 0.5, "m": null}, {"n": 1.0, "m": null}, {"n": 2.0, "m": "new"}]));
    let inexact = sender.ingest("widening", "{\"n\":9007199254740993}").await;
    inexact.refused(400, "invalid_request");
    assert!(inexact.json()["detail"].as_str().unwrap().contains("`n`"));
}

#[tokio::test]
async fn a_tenant_with_too_many_streams_is_put_off_and_counted() {
    let server = TestServer::spawn_with(|setup| {
        let schema = "{\"version\":1,\"fields\":[],\"writeId\":\"5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10\"}";
        for n in 0..10_000 {
            let folder = setup.directory.path().join(format!("streams/s{n}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("schema.json"), schema).unwrap();
        }
    })
    .await;
    let (sender, _) = people(&server).await;
    let answer = sender.ingest("one-more", "{}").await;
    answer.refused(429, "too_many_streams"); // A shipper would drop what a 400 refuses.
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert!(!server.path("streams/one-more").exists());
    let metrics = server.anonymous().get("/metrics").await;
    assert!(metrics.text().contains("keyloft_stream_limit_refusals_total 1\n"), "{}", metrics.text());
    assert_eq!(sender.ingest("s77", "{}").await.status, 200);
}

#[tokio::test]
async fn slow_clients_do_not_take_the_memory_of_others() {
    const MIB: usize = 1 << 20;
    let server = TestServer::spawn_with(|setup| {
        setup.config.ingest.max_body_bytes = MIB;
        setup.config.ingest.max_in_flight_bytes = 2 * MIB;
    })
    .await;
    let key = server.admin().issue("default", "slow", "ingestion").await.api_key;
    let sender = server.with_key(&key);
    let part = " ".repeat(MIB / 2);
    let mut slow: Vec<Raw> = (0..12)
        .map(|_| {
            let mut raw = Raw::connect(server.url());
            raw.send(format!(
                "POST /api/v1/logstream/web HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {MIB}\r\n\r\n"
            ));
            raw
        })
        .collect();
    let mut sending = Vec::new();
    for mut raw in slow.drain(..) {
        let part = part.clone();
        // The server stops reading when it has no room: sending may block, or fail when it has refused.
        sending.push(tokio::task::spawn_blocking(move || {
            let _ = raw.try_send(&part);
            raw
        }));
    }
    // A slow client holds memory only for the part that it has sent.
    tokio::time::sleep(std::time::Duration::from_millis(7_500)).await;
    assert_eq!(sender.ingest("web", "{\"n\":1}").await.status, 200);
    let mut refused = 0;
    for raw in sending {
        let mut raw = raw.await.unwrap();
        if let Ok(answer) = raw.try_read_some(std::time::Duration::from_millis(200)) {
            assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
            refused += 1;
        }
    }
    // Two bodies were promised room at first; at most four halves are in memory.
    assert!(refused >= 8, "{refused} of 12 were refused");
}

#[tokio::test]
async fn a_node_that_has_not_heard_of_a_wider_field_cuts_no_value() {
    let first = TestServer::spawn().await;
    let (sender, _) = people(&first).await;
    assert_eq!(sender.ingest("m", r#"[{"x":1},{"x":2}]"#).await.status, 200);
    let directory = first.shared_directory();
    let second = TestServer::spawn_with(move |setup| {
        setup.directory = directory;
        setup.config.sync.poll_interval = std::time::Duration::from_secs(3600);
    })
    .await;
    let reader = second.with_key(&first.admin().issue("default", "reader", "query").await.api_key);
    second.app.sync().await.unwrap();
    let sql = "SELECT sum(x) AS s, max(x) AS m FROM m";
    assert_eq!(rows(&reader, sql).await, json!([{"s": 3, "m": 2}]));
    assert_eq!(sender.ingest("m", r#"[{"x":2.9},{"x":0.7}]"#).await.status, 200);
    assert_eq!(rows(&reader, sql).await, json!([{"s": 6.6, "m": 2.9}]));
    let range = json!({"query": sql, "startTime": "2020-01-01T00:00:00Z"});
    assert_eq!(reader.post("/api/v1/query", range).await.json(), json!([{"s": 6.6, "m": 2.9}]));
}
