//! What each key was used for: counted, written down, merged, shown.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keyloft::key::{KeyId, KeyType, PlainSecret, TenantId};
use keyloft::{Bucket, Clock, ManualClock};
use serde_json::{Value, json};

use crate::support::pair::two;
use crate::support::server::Setup;
use crate::support::{Client, Fault, Faults, Faulty, Process, TestServer, context, process};

fn key(id: &str) -> String {
    format!("/api/v1/tenants/default/apikeys/{id}")
}

async fn view(admin: &Client, id: &str) -> Value {
    let answer = admin.get(&key(id)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn usage(admin: &Client, id: &str) -> Value {
    view(admin, id).await["usage"].clone()
}

/// Writes down often what was used.
fn quick(setup: &mut Setup) {
    setup.config.usage.flush_interval = Some(Duration::from_millis(30));
}

/// A clock that stands still, at a whole minute.
fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)))
}

async fn until_requests(admin: &Client, id: &str, requests: u64) -> Value {
    for _ in 0..500 {
        let usage = usage(admin, id).await;
        if usage["requests"] == requests {
            return usage;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("five seconds passed and still not {requests} requests: {}", usage(admin, id).await);
}

#[tokio::test]
async fn requests_events_bytes_and_refusals_are_counted_for_their_key() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let body = json!({"keyName": "web", "keyType": "ingestion", "streams": ["web-*"]});
    let issued = admin.issue_with("default", body).await;
    assert_eq!(view(&admin, &issued.id).await["lastUsedAt"], Value::Null);
    let nothing = json!({"requests": 0, "events": 0, "bytes": 0, "refused": {}, "lastAddress": null});
    assert_eq!(usage(&admin, &issued.id).await, nothing);
    let sender = server.with_key(&issued.api_key);
    let body = r#"[{"a":1},{"a":2}]"#;
    assert_eq!(sender.ingest("web-1", body).await.status, 200);
    assert_eq!(sender.get("/api/v1/whoami").await.status, 200);
    sender.ingest("audit", body).await.refused(403, "stream_not_allowed");
    sender.ingest("web-1", "{").await.refused(400, "invalid_request");
    sender.query("SELECT 1").await.refused(403, "wrong_key_type");
    sender.query("SELECT 1").await.refused(403, "wrong_key_type");
    let statement = sender.request("GET", "/api/v1/whoami").header("x-tenant-id", "other");
    crate::support::Answer::of(statement).await.refused(403, "tenant_mismatch");
    let statement = sender.request("GET", "/api/v1/whoami").header("x-tenant-id", "");
    crate::support::Answer::of(statement).await.refused(400, "invalid_request");
    let expected = json!({
        "requests": 8, "events": 2, "bytes": body.len(), "lastAddress": "127.0.0.1",
        "refused": {"stream_not_allowed": 1, "invalid_request": 2, "wrong_key_type": 2, "tenant_mismatch": 1},
    });
    assert_eq!(usage(&admin, &issued.id).await, expected);
    server.app.usage.flush().await.unwrap();
    assert_eq!(usage(&admin, &issued.id).await, expected, "a flush changes nothing");
    let page = admin.get("/api/v1/tenants/default/apikeys").await.json();
    assert_eq!(page["items"][0]["usage"], expected);
    assert!(page["items"][0]["lastUsedAt"].as_str().unwrap().ends_with(":00.000Z"));
}

#[tokio::test]
async fn a_key_that_does_not_work_is_refused_for_its_own_account_and_is_not_used() {
    let clock = clock();
    let server = TestServer::spawn_with(|setup| setup.clock = clock.clone()).await;
    let admin = server.admin();
    let disabled = admin.issue("default", "disabled", "query").await;
    let revoked = admin.issue("default", "revoked", "query").await;
    let expires_at = (clock.now() + TimeDelta::hours(1)).to_rfc3339();
    let body = json!({"keyName": "expired", "keyType": "query", "expiresAt": expires_at});
    let expired = admin.issue_with("default", body).await;
    admin.patch(&key(&disabled.id), json!({"state": "disabled"})).await;
    admin.delete(&key(&revoked.id)).await;
    clock.advance(TimeDelta::hours(1));
    for (issued, reason) in [(&disabled, "disabled"), (&revoked, "revoked"), (&expired, "expired")] {
        server.with_key(&issued.api_key).get("/api/v1/whoami").await.refused(401, "invalid_api_key");
        let view = view(&admin, &issued.id).await;
        assert_eq!((&view["usage"]["refused"], &view["lastUsedAt"]), (&json!({reason: 1}), &Value::Null));
        assert_eq!(view["usage"]["lastAddress"], Value::Null);
    }
}

#[tokio::test]
async fn whoever_is_turned_away_by_a_network_or_a_limit_is_counted_and_has_not_used_the_key() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let body = json!({"keyName": "away", "keyType": "query", "allowedCidrs": ["10.0.0.0/8"]});
    let away = admin.issue_with("default", body).await;
    server.with_key(&away.api_key).get("/api/v1/whoami").await.refused(403, "network_not_allowed");
    let body = json!({"keyName": "busy", "keyType": "query", "limits": {"requests": {"perMinute": 1}}});
    let busy = admin.issue_with("default", body).await;
    assert_eq!(server.with_key(&busy.api_key).get("/api/v1/whoami").await.status, 200);
    server.with_key(&busy.api_key).get("/api/v1/whoami").await.refused(429, "rate_limited");
    let (away, busy) = (view(&admin, &away.id).await, view(&admin, &busy.id).await);
    assert_eq!((&away["usage"]["refused"], &away["lastUsedAt"]), (&json!({"network_not_allowed": 1}), &Value::Null));
    assert_eq!((&busy["usage"]["refused"], &busy["usage"]["requests"]), (&json!({"rate_limited": 1}), &json!(2)));
}

#[tokio::test]
async fn an_instant_that_has_not_come_is_no_time_to_be_unused_since() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.issue("default", "k", "query").await;
    let route = "/api/v1/tenants/default/apikeys";
    admin.get(&format!("{route}?unusedSince=2999-01-01T00:00:00Z")).await.refused(400, "invalid_request");
    let line = r#"{"op":"revoke","filter":{"unusedSince":"2999-01-01T00:00:00Z"}}"#;
    let answer = admin.request("POST", &format!("{route}/bulk")).body(line);
    let answer = crate::support::Answer::of(answer).await;
    let text = answer.text();
    assert!(text.contains(r#""status":400"#) && !text.contains("revoked\":1"), "{text}");
}

#[tokio::test]
async fn credentials_that_nobody_knows_leave_no_trace() {
    let server = TestServer::spawn().await;
    let issued = server.admin().issue("default", "k", "query").await;
    for _ in 0..20 {
        let unknown = PlainSecret::generate(KeyType::Query).unwrap();
        server.with_key(unknown.expose()).get("/api/v1/whoami").await.refused(401, "invalid_api_key");
        server.with_key("hunter2").get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    }
    server.anonymous().get("/api/v1/whoami").await.refused(401, "missing_api_key");
    server.app.usage.flush().await.unwrap();
    assert_eq!(server.app.usage.key_count(), 0);
    assert!(!server.path(".settings/keyloft/usage/sheets").exists(), "no key was used, so nothing is written");
    server.with_key(&issued.api_key).get("/api/v1/whoami").await;
    server.app.usage.flush().await.unwrap();
    assert_eq!(server.app.usage.key_count(), 1);
    let metrics = server.anonymous().get("/metrics").await;
    assert!(
        metrics.text().contains("keyloft_usage_keys 1\n") && metrics.text().contains("usage_flush_failures_total 0")
    );
}

#[tokio::test]
async fn last_use_moves_by_the_minute() {
    let clock = clock();
    let server = TestServer::spawn_with(|setup| setup.clock = clock.clone()).await;
    let issued = server.admin().issue("default", "k", "query").await;
    let mut seen = Vec::new();
    for step in [0, 59, 1, 3600] {
        clock.advance(TimeDelta::seconds(step));
        server.with_key(&issued.api_key).get("/api/v1/whoami").await;
        seen.push(view(&server.admin(), &issued.id).await["lastUsedAt"].as_str().unwrap().to_owned());
    }
    let day = "2024-10-04T";
    let minutes = ["00:00:00.000Z", "00:00:00.000Z", "00:01:00.000Z", "01:01:00.000Z"];
    assert_eq!(seen, minutes.map(|minute| format!("{day}{minute}")));
}

#[tokio::test]
async fn the_last_use_of_a_secret_that_was_rotated_away_is_told_apart() {
    let clock = clock();
    let server = TestServer::spawn_with(|setup| setup.clock = clock.clone()).await;
    let admin = server.admin();
    let issued = admin.issue("default", "k", "query").await;
    let rotate = async |hours| {
        let (tenant, id) = (TenantId::default(), KeyId::parse(&issued.id).unwrap());
        let rotated = server.app.keystore.rotate(&context(), &tenant, id, TimeDelta::hours(hours), None).await.unwrap();
        rotated.secret.expose().to_owned()
    };
    let older = async || view(&admin, &issued.id).await["olderSecrets"].clone();
    server.with_key(&issued.api_key).get("/api/v1/whoami").await;
    let second = rotate(2).await;
    assert_eq!(older().await[0]["lastUsedAt"], "2024-10-04T00:00:00.000Z", "before it was rotated away");
    let third = rotate(2).await;
    assert_eq!(older().await[0]["lastUsedAt"], Value::Null);
    clock.advance(TimeDelta::minutes(1));
    server.with_key(&third).get("/api/v1/whoami").await;
    clock.advance(TimeDelta::minutes(1));
    server.with_key(&issued.api_key).get("/api/v1/whoami").await;
    assert_eq!(older().await[0]["lastUsedAt"], Value::Null, "the second was not used");
    assert_eq!(older().await[1]["lastUsedAt"], "2024-10-04T00:02:00.000Z");
    server.app.usage.flush().await.unwrap();
    server.with_key(&second).get("/api/v1/whoami").await;
    assert_eq!(older().await[0]["lastUsedAt"], "2024-10-04T00:02:00.000Z");
    clock.advance(TimeDelta::hours(3));
    server.with_key(&second).get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    assert_eq!(usage(&admin, &issued.id).await["refused"], json!({"rotated": 1}));
}

#[tokio::test]
async fn what_one_node_counted_shows_on_another_once_it_is_written_down() {
    let (a, b) = two(quick).await;
    let issued = a.admin().issue("default", "k", "query").await;
    for _ in 0..3 {
        a.with_key(&issued.api_key).get("/api/v1/whoami").await;
        b.with_key(&issued.api_key).get("/api/v1/whoami").await;
    }
    for server in [&a, &b] {
        until_requests(&server.admin(), &issued.id, 6).await;
    }
    let page = b.admin().get("/api/v1/tenants/default/apikeys").await.json();
    assert_eq!(page["items"][0]["usage"]["requests"], 6);
}

#[tokio::test]
async fn what_was_counted_survives_a_restart_and_is_folded_once() {
    let mut server = TestServer::spawn().await;
    let issued = server.admin().issue("default", "k", "query").await;
    for round in 1..=3 {
        server.with_key(&issued.api_key).get("/api/v1/whoami").await;
        server.with_key(&issued.api_key).ingest("web", "{}").await.refused(403, "wrong_key_type");
        server = server.restart().await;
        let expected = json!({"wrong_key_type": round});
        assert_eq!(usage(&server.admin(), &issued.id).await["refused"], expected);
        assert_eq!(server.app.usage.compact().await.unwrap(), 1, "the segment of a node that ended in order is sealed");
        assert_eq!(server.app.usage.compact().await.unwrap(), 0);
        assert_eq!(usage(&server.admin(), &issued.id).await["requests"], 2 * round);
    }
    let entries = |folder: &str| std::fs::read_dir(server.path(folder)).unwrap().count();
    assert_eq!(entries(".settings/keyloft/usage/sheets"), 0);
    assert_eq!(entries(".settings/keyloft/usage/archive"), 1);
}

#[tokio::test]
async fn a_kill_loses_what_was_used_since_the_last_flush_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let options = ["--usage-flush-interval", "100ms"];
    let process = Process::serve(&store, &options);
    let token = process.admin_token().unwrap().to_owned();
    let admin = process.admin(&token);
    let issued = admin.issue("default", "k", "query").await;
    for _ in 0..5 {
        process.with_key(&issued.api_key).get("/api/v1/whoami").await;
    }
    let segments = store.join(".settings/keyloft/usage/sheets");
    for _ in 0..500 {
        if segments.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await; // Several intervals: all of the five are written.
    process.with_key(&issued.api_key).get("/api/v1/whoami").await;
    process.signal("KILL");
    drop(process);
    let process = Process::serve(&store, &options);
    let admin = process.admin(&token);
    let requests = usage(&admin, &issued.id).await["requests"].as_u64().unwrap();
    assert!(requests == 5 || requests == 6, "{requests}");
}

#[tokio::test]
async fn while_the_store_is_away_views_say_that_they_do_not_know() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| {
        setup.config.usage.flush_interval = Some(Duration::from_millis(20));
        setup.bucket = Some(bucket);
    })
    .await;
    let admin = server.admin();
    let issued = admin.issue("default", "k", "query").await;
    server.with_key(&issued.api_key).get("/api/v1/whoami").await;
    until_requests(&admin, &issued.id, 1).await;
    faults.inject(Fault::ErrorBefore, |_| true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..4 {
        assert_eq!(server.with_key(&issued.api_key).get("/api/v1/whoami").await.status, 200);
    }
    let shown = view(&admin, &issued.id).await;
    assert_eq!((&shown["usage"], &shown["lastUsedAt"], &shown["keyName"]), (&Value::Null, &Value::Null, &json!("k")));
    let list = "/api/v1/tenants/default/apikeys";
    assert_eq!(admin.get(list).await.json()["items"][0]["usage"], Value::Null);
    let unused = admin.get(&format!("{list}?unusedSince=2026-01-01T00:00:00Z")).await;
    unused.refused(503, "store_unavailable");
    server.until("a flush fails", |server| server.app.usage.failures() > 0).await;
    faults.none();
    until_requests(&admin, &issued.id, 5).await;
}

#[tokio::test]
async fn keys_that_nobody_uses_can_be_listed() {
    let clock = clock();
    let server = TestServer::spawn_with(|setup| setup.clock = clock.clone()).await;
    let admin = server.admin();
    server.until("counting has begun", |server| server.path(".settings/keyloft/usage/archive.json").exists()).await;
    let start = clock.now();
    let used = admin.issue("default", "used", "query").await;
    admin.issue("default", "idle", "query").await;
    clock.advance(TimeDelta::days(10));
    admin.issue("default", "young", "query").await;
    server.with_key(&used.api_key).get("/api/v1/whoami").await;
    clock.advance(TimeDelta::days(5));
    let names = async |since: DateTime<Utc>| {
        let since = since.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let path = format!("/api/v1/tenants/default/apikeys?unusedSince={since}");
        let page = admin.get(&path).await.json();
        let mut names: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|item| item["keyName"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(start - TimeDelta::days(1)).await, "", "earlier use is unknown");
    assert_eq!(names(start + TimeDelta::days(9)).await, "idle", "the young one had not been issued");
    assert_eq!(names(start + TimeDelta::days(10)).await, "idle young", "a minute in which it was used is not over");
    assert_eq!(names(start + TimeDelta::days(11)).await, "idle used young");
    server.app.usage.flush().await.unwrap();
    assert_eq!(names(start + TimeDelta::days(9)).await, "idle");
    for bad in ["yesterday", "2026-01-01", ""] {
        let path = format!("/api/v1/tenants/default/apikeys?unusedSince={bad}");
        admin.get(&path).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn without_an_interval_nothing_is_recorded() {
    let server = TestServer::spawn_with(|setup| setup.config.usage.flush_interval = None).await;
    let admin = server.admin();
    let issued = admin.issue("default", "k", "query").await;
    server.with_key(&issued.api_key).get("/api/v1/whoami").await;
    assert_eq!(usage(&admin, &issued.id).await, Value::Null);
    let path = "/api/v1/tenants/default/apikeys?unusedSince=2026-01-01T00:00:00Z";
    admin.get(path).await.refused(400, "invalid_request");
    server.app.usage.close().await;
    assert!(!server.path(".settings/keyloft/usage").exists());
}

#[tokio::test]
async fn a_key_that_is_gone_drops_out_of_the_archive() {
    let server = TestServer::spawn().await;
    let (kept, gone) = (
        server.admin().issue("default", "kept", "query").await,
        server.admin().issue("default", "gone", "query").await,
    );
    for issued in [&kept, &gone] {
        server.with_key(&issued.api_key).get("/api/v1/whoami").await;
    }
    let server = server.restart().await;
    std::fs::remove_file(server.path(&format!(".settings/apikeys/{}.json", gone.id))).unwrap();
    server.admin().post("/api/v1/sync", json!({})).await;
    assert_eq!(server.app.usage.compact().await.unwrap(), 1);
    let ids = [&kept.id, &gone.id].map(|id| KeyId::parse(id).unwrap());
    let totals = server.app.usage.totals(&TenantId::default(), &ids).await.unwrap();
    assert_eq!(totals.of(ids[0]).requests, 1);
    let server = server.restart().await;
    let totals = server.app.usage.totals(&TenantId::default(), &ids).await.unwrap();
    assert_eq!(ids.map(|id| totals.of(id).requests), [1, 0]);
}

#[tokio::test]
async fn the_command_line_shows_it() {
    let server = TestServer::spawn().await;
    let issued = server.admin().issue("default", "shipper", "query").await;
    server.admin().issue("default", "idle", "query").await;
    server.with_key(&issued.api_key).get("/api/v1/whoami").await;
    let url = server.url().to_owned();
    let run = async |arguments: &'static [&'static str]| {
        let url = url.clone();
        let output = tokio::task::spawn_blocking(move || {
            let mut command = process::keyloft();
            command.env("KEYLOFT_URL", url).env("KEYLOFT_ADMIN_TOKEN", crate::support::server::ADMIN_TOKEN);
            process::run(command.args(arguments), "")
        });
        let output = output.await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let list = run(&["key", "list"]).await;
    assert!(list.lines().next().unwrap().ends_with("LAST USED"), "{list}");
    let row = |name: &str| list.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(row("shipper").ends_with(":00.000Z") && row("idle").ends_with('-'), "{list}");
    let card = run(&["key", "show", "shipper"]).await;
    let card = card.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["Last used", "Last address 127.0.0.1", "Requests 1", "Refused"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    let unused = run(&["key", "list", "--unused-since", "30d"]).await;
    assert!(!unused.contains("idle"), "it was issued a moment ago: {unused}");
}
