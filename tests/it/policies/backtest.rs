//! Policies on stored traffic.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keyloft::ManualClock;
use keyloft::key::{StreamName, TenantId};
use serde_json::{Value, json};

use super::SET;
use crate::support::key_files::unreadable;
use crate::support::pair::{faulty, quick};
use crate::support::{Answer, Client, Fault, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";
const BACKTEST: &str = "/api/v1/tenants/default/policyset/backtest";

fn start() -> DateTime<Utc> {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

/// A server at a time that stands still, and a shipper.
async fn server() -> (TestServer, Client, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(start()));
    let server = TestServer::spawn_with(|setup| {
        setup.clock = clock.clone();
        // Nothing is merged but when a test says so.
        setup.config.compaction.interval = Some(Duration::from_secs(24 * 3600));
        setup.config.query.memory_bytes = 32 << 20;
    })
    .await;
    let shipper = server.with_key(&server.admin().issue("default", "shipper", "ingestion").await.api_key);
    (server, shipper, clock)
}

/// Requests of a client, at seconds after the start.
fn requests(client: &str, seconds: impl IntoIterator<Item = i64>) -> String {
    let line = |second: i64| {
        let at = start() + TimeDelta::seconds(second);
        json!({"@timestamp": at, "source": {"ip": client}, "url": {"path": "/login"},
            "http": {"request": {"method": "POST"}, "response": {"status_code": 401}}})
        .to_string()
    };
    seconds.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A draft of one policy over requests of a client.
fn flood(threshold: u32, seconds: u32, mitigation: &str) -> Value {
    json!({"traffic": {"streams": ["web"]}, "policies": [{"name": "flood", "entity": "network",
        "mitigation": mitigation, "window": {"seconds": seconds, "threshold": threshold}}]})
}

fn asked(draft: Value) -> Value {
    json!({"policySet": draft, "from": start() - TimeDelta::hours(1), "to": start() + TimeDelta::hours(1)})
}

/// The last line of an answer.
fn last(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[..lines.len() - 1].iter().all(|line| line["progress"]["events"].is_u64()), "{lines:?}");
    lines.last().unwrap().clone()
}

async fn report(client: &Client, body: Value) -> Value {
    let last = last(&client.post(BACKTEST, body).await);
    assert!(last["result"].is_object(), "{last}");
    last["result"].clone()
}

/// What does not depend on how the events are stored.
fn found(mut report: Value) -> Value {
    for member in ["seconds", "bytesRead", "objects"] {
        report.as_object_mut().unwrap().remove(member);
    }
    report
}

#[tokio::test]
async fn objects_whose_times_interleave_give_the_counts_of_the_sorted_whole_also_once_they_are_merged() {
    let (server, shipper, clock) = server().await;
    for seconds in [vec![40, 20, 0], vec![10, 50, 30], vec![300, 5]] {
        assert_eq!(shipper.ingest("web", requests("203.0.113.7", seconds)).await.status, 200);
        clock.advance(TimeDelta::seconds(60));
    }
    for second in 0..6 {
        shipper.ingest("web", requests("203.0.113.9", [second * 100, second * 100 + 1])).await;
    }
    // Sorted: 0 5 10 20 30 40 50 300. Three within (t - 30 s, t]: at 10, 20, 30, 40 and 50.
    let fresh = report(&server.admin(), asked(flood(3, 30, "block"))).await;
    let item = &fresh["items"][0];
    assert_eq!((&fresh["events"], &fresh["objects"]), (&json!(20), &json!(9)));
    assert_eq!((&item["total"], &item["block"], &item["entities"]), (&json!(5), &json!(5), &json!(1)), "{fresh}");
    assert_eq!(
        item["hours"][0],
        json!({"hour": "2026-11-20T10:00:00.000Z", "total": 5, "observe": 0, "challenge": 0,
        "block": 5, "exempted": 0})
    );
    assert_eq!(item["top"][0]["events"], 5);
    let samples = fresh["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 5);
    let counts: Vec<&Value> = samples.iter().map(|row| &row["window_count"]).collect();
    assert_eq!(counts, [3, 4, 4, 3, 3]);
    let one = json!(["/login", 401, "block", "allow", "web", "window"]);
    let members = ["request_path", "response_status", "action", "action_in_force", "stream", "reason"];
    assert_eq!(json!(members.map(|member| &samples[0][member])), one);
    assert!(!fresh.to_string().contains("203.0.113"), "{fresh}");
    // The same bytes each time, and by whatever objects.
    let again = report(&server.admin(), asked(flood(3, 30, "block"))).await;
    assert_eq!(found(again).to_string(), found(fresh.clone()).to_string());
    let day = (TenantId::default(), StreamName::parse("web").unwrap(), start().date_naive());
    clock.advance(TimeDelta::days(2));
    server.app.compactor.compact(&day).await.unwrap();
    let merged = report(&server.admin(), asked(flood(3, 30, "block"))).await;
    assert_eq!(merged["objects"], 1);
    assert_eq!(found(merged), found(fresh));
}

#[tokio::test]
async fn events_in_disorder_are_exact_in_little_memory() {
    let (server, shipper, _) = server().await;
    // Six objects of 6,000 events, all over the same 100 minutes; each object runs backwards.
    for object in 0..6 {
        let lines = (0..6_000_i64).rev().map(|n| {
            let at = start() + TimeDelta::seconds(n) + TimeDelta::milliseconds(object);
            let agent = format!("agent {object} {n} {}", "x".repeat(100));
            json!({"@timestamp": at, "source": {"ip": "203.0.113.7"}, "user_agent": {"original": agent}}).to_string()
        });
        assert_eq!(shipper.ingest("web", lines.collect::<Vec<_>>().join("\n")).await.status, 200);
    }
    let mut draft = flood(60, 10, "monitor");
    draft["policies"][0]["expression"] = json!("user_agent.startsWith('agent')");
    let report = report(&server.admin(), asked(draft)).await;
    assert_eq!((&report["events"], &report["forgotten"]), (&json!(36_000), &json!(0)));
    // Six events a second: (t - 10 s, t] holds 60 from the last event of the tenth second on.
    assert_eq!(report["items"][0]["total"], 36_000 - 59, "{}", report["items"][0]);
    server.until("the work has ended", |server| server.app.engine.live_tasks() == 0).await;
}

#[tokio::test]
async fn the_first_moment_is_inside_and_the_last_one_is_not() {
    let (server, shipper, clock) = server().await;
    for _ in 0..3 {
        shipper.ingest("web", requests("203.0.113.7", [0])).await;
        clock.advance(TimeDelta::milliseconds(1));
    }
    for (from, to, events) in [(0, 3, 3), (0, 1, 1), (1, 2, 1), (1, 3, 2), (3, 9, 0), (-9, 0, 0)] {
        let mut body = asked(flood(1, 60, "monitor"));
        body["from"] = json!(start() + TimeDelta::milliseconds(from));
        body["to"] = json!(start() + TimeDelta::milliseconds(to));
        let report = report(&server.admin(), body).await;
        let total = report["items"][0]["total"].clone();
        assert_eq!((&report["events"], total), (&json!(events), json!(events)), "{from} {to}");
    }
    let mut body = asked(flood(1, 60, "monitor"));
    body["to"] = body["from"].clone();
    server.admin().post(BACKTEST, body).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_draft_is_compared_with_the_version_in_force_and_nothing_of_the_node_changes() {
    let (server, shipper, _) = server().await;
    let admin = server.admin();
    shipper.ingest("web", requests("203.0.113.7", 0..10)).await;
    shipper.ingest("web", requests("203.0.113.9", 0..2)).await;
    let alone = report(&admin, asked(flood(3, 60, "block"))).await;
    assert_eq!((&alone["inForce"], &alone["policySetVersion"]), (&json!(0), &Value::Null));
    assert_eq!(alone["changed"], json!([{"from": "allow", "to": "block", "events": 8}]));
    let apply = json!({"policySet": flood(5, 60, "challenge")});
    assert_eq!(admin.post(&format!("{SET}/apply"), apply).await.status, 200);
    let compared = report(&admin, asked(flood(3, 60, "block"))).await;
    let changes =
        json!([{"from": "allow", "to": "block", "events": 2}, {"from": "challenge", "to": "block", "events": 6}]);
    assert_eq!((&compared["changed"], &compared["inForce"]), (&changes, &json!(1)));
    assert_eq!(compared["decisions"], json!({"allow": 4, "challenge": 0, "block": 8}));
    // A policy of the same name has the same entities, as those of the running system.
    let in_force = report(&admin, json!({"from": start(), "to": start() + TimeDelta::hours(1)})).await;
    assert_eq!((&in_force["policySetVersion"], &in_force["changed"]), (&json!(1), &json!([])));
    assert_eq!(in_force["items"][0]["challenge"], 6);
    assert_eq!(in_force["items"][0]["top"][0]["entity"], compared["items"][0]["top"][0]["entity"]);
    assert_eq!(in_force["items"][0]["policyId"], compared["items"][0]["policyId"]);
    assert_eq!(server.app.decider.state().size().entries, 0);
    let results = admin.get("/api/v1/tenants/default/results/policies").await.json();
    assert_eq!(results["items"][0]["total"], 0);
}

#[tokio::test]
async fn who_is_held_stays_so_by_the_time_of_the_events() {
    let (server, shipper, _) = server().await;
    shipper.ingest("web", requests("203.0.113.7", [0, 1, 30, 60, 62])).await;
    let mut draft = flood(2, 10, "hold");
    draft["mitigations"] = json!([{"name": "hold", "mode": "block", "durationSeconds": 60}]);
    let report = report(&server.admin(), asked(draft)).await;
    let reasons: Vec<&Value> = report["samples"].as_array().unwrap().iter().map(|row| &row["reason"]).collect();
    assert_eq!(reasons, ["window", "mitigation", "mitigation", "window"], "held from 1 s until 61 s");
}

#[tokio::test]
async fn events_at_times_that_no_clock_shows_are_judged_without_windows() {
    let (server, shipper, _) = server().await;
    let lines = [i64::MAX, i64::MAX - 1, i64::MIN, -1, 0, 1_000, 253_402_300_799_999]
        .map(|at| json!({"@timestamp": at, "source": {"ip": "203.0.113.7"}}).to_string());
    assert_eq!(shipper.ingest("web", lines.join("\n")).await.status, 200);
    let report = report(&server.admin(), asked(flood(1, 60, "block"))).await;
    assert_eq!((&report["events"], &report["items"][0]["total"]), (&json!(7), &json!(4)), "{report}");
}

#[tokio::test]
async fn what_cannot_be_tried_is_refused_by_name() {
    let (server, shipper, _) = server().await;
    let admin = server.admin();
    let nothing = json!({"from": start(), "to": start() + TimeDelta::hours(1)});
    admin.post(BACKTEST, nothing).await.refused(400, "invalid_request");
    let says = async |body: Value, word: &str| {
        let answer = admin.post(BACKTEST, body).await;
        answer.refused(400, "invalid_request");
        assert!(answer.json()["detail"].as_str().unwrap().contains(word), "{}", answer.text());
    };
    says(asked(flood(1, 60, "block")), "names no stream that exists").await;
    shipper.ingest("web", requests("203.0.113.7", [0])).await;
    for stream in ["nowhere", "keyloft_audit", "keyloft_decisions", "keyloft_traffic"] {
        let mut body = asked(flood(1, 60, "block"));
        body["streams"] = json!(["web", stream]);
        says(body, &format!("`{stream}`")).await;
    }
    let mut lacking = flood(1, 60, "block");
    lacking["policies"][0]["expression"] = json!("request_host == 'a.example' || has(request_cookie_session)");
    for field in ["`request_host`", "`request_cookie_session`"] {
        says(asked(lacking.clone()), &format!("the stream `web` has no field {field}")).await;
    }
    let mut wrong = flood(1, 60, "nothing");
    wrong["policies"][0]["expression"] = json!("request_methd == 'POST'");
    let answer = admin.post(BACKTEST, asked(wrong)).await;
    answer.refused(400, "invalid_expression");
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 2, "{}", answer.text());
    let mut more = asked(flood(1, 60, "block"));
    more["stream"] = json!("web");
    admin.post(BACKTEST, more).await.refused(400, "invalid_request");
    assert_eq!(server.open_sessions(), 0);
}

#[tokio::test]
async fn a_damaged_object_ends_it_and_is_named() {
    let (server, shipper, _) = server().await;
    shipper.ingest("web", requests("203.0.113.7", [0, 1])).await;
    let day = server.path("streams/web/date=2026-11-20");
    let file = day.read_dir().unwrap().flatten().next().unwrap().path();
    let body = std::fs::read(&file).unwrap();
    std::fs::write(&file, [&body[..body.len() / 2], &vec![7; body.len() - body.len() / 2]].concat()).unwrap();
    let name = file.strip_prefix(server.directory()).unwrap().to_str().unwrap().to_owned();
    let error = last(&server.admin().post(BACKTEST, asked(flood(1, 60, "block"))).await)["error"].clone();
    assert_eq!((&error["status"], &error["code"]), (&json!(500), &json!("document_unreadable")));
    assert!(error["detail"].as_str().unwrap().starts_with(&format!("the object `{name}` cannot be read: ")), "{error}");
    assert_eq!(unreadable(&server).await[0].0, name);
    std::fs::write(&file, &body).unwrap();
    assert_eq!(report(&server.admin(), asked(flood(1, 60, "block"))).await["events"], 2);
}

#[tokio::test]
async fn a_tenant_has_one_at_a_time_and_it_ends_when_the_client_hangs_up() {
    let (server, faults) = faulty(quick).await;
    let admin = server.admin();
    let shipper = server.with_key(&admin.issue("default", "shipper", "ingestion").await.api_key);
    shipper.ingest("web", requests("203.0.113.7", [0])).await;
    let mut body = asked(flood(1, 60, "block"));
    body["to"] = json!("2100-01-01T00:00:00Z");
    faults.inject(Fault::Hang, |call| !call.is_write() && call.is_about(".parquet"));
    let hanging = admin.request("POST", BACKTEST).json(&body).send().await.unwrap();
    assert_eq!(hanging.status(), 200, "the first line came");
    admin.post(BACKTEST, body.clone()).await.refused(429, "too_many_queries");
    // Another tenant has a turn of its own.
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let other = admin.post("/api/v1/tenants/acme/policyset/backtest", body.clone()).await;
    other.refused(400, "invalid_request");
    drop(hanging);
    server.until("the work has ended", |server| server.app.engine.live_tasks() == 0).await;
    server.until("its session has ended", |server| server.open_sessions() == 0).await;
    faults.none();
    assert_eq!(report(&admin, body).await["events"], 1);
}

#[tokio::test]
async fn it_lasts_no_longer_than_its_session() {
    let (server, faults) = faulty(|setup| {
        quick(setup);
        setup.config.session.ttl = std::time::Duration::from_millis(500);
    })
    .await;
    let admin = server.admin();
    let shipper = server.with_key(&admin.issue("default", "shipper", "ingestion").await.api_key);
    shipper.ingest("web", requests("203.0.113.7", [0])).await;
    let mut body = asked(flood(1, 60, "block"));
    body["to"] = json!("2100-01-01T00:00:00Z");
    faults.inject(Fault::Hang, |call| !call.is_write() && call.is_about(".parquet"));
    let hanging = admin.request("POST", BACKTEST).json(&body).send().await.unwrap();
    assert_eq!(hanging.status(), 200);
    assert!(hanging.text().await.is_err(), "the body breaks off, as that of a query does");
    server.until("the work has ended", |server| server.app.engine.live_tasks() == 0).await;
}

#[tokio::test]
async fn tenants_are_apart() {
    let (server, shipper, _) = server().await;
    let admin = server.admin();
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let theirs = server.with_key(&admin.issue("acme", "shipper", "ingestion").await.api_key);
    shipper.ingest("web", requests("203.0.113.7", 0..5)).await;
    theirs.ingest("web", requests("203.0.113.7", 0..2)).await;
    let ours = report(&admin, asked(flood(1, 60, "block"))).await;
    let path = "/api/v1/tenants/acme/policyset/backtest";
    let other = last(&admin.post(path, asked(flood(1, 60, "block"))).await)["result"].clone();
    assert_eq!((&ours["events"], &other["events"]), (&json!(5), &json!(2)));
    assert_ne!(ours["items"][0]["top"][0]["entity"], other["items"][0]["top"][0]["entity"]);
}

/// Every file below a folder.
fn files(folder: &std::path::Path, found: &mut Vec<Vec<u8>>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files(&path, found),
            path => found.extend(std::fs::read(path).ok()),
        }
    }
}

#[tokio::test]
async fn all_requests_are_kept_without_secrets_and_a_draft_is_tried_on_them() {
    let clock = Arc::new(ManualClock::new(start()));
    let server = TestServer::spawn_with(|setup| setup.clock = clock.clone()).await;
    let admin = server.admin();
    let edge = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "shop", "trustLevel": "high"});
    let edge = server.with_key(admin.post(KEYS, edge).await.json()["apiKey"].as_str().unwrap());
    let set = json!({"traffic": {"record": "all"},
        "entities": [{"name": "session", "keyFields": ["request_cookie_session"]}],
        "policies": [{"name": "sessions", "entity": "session", "mitigation": "block",
            "window": {"seconds": 60, "threshold": 3}}]});
    let applied = admin.post(&format!("{SET}/apply"), json!({"policySet": set})).await;
    assert_eq!(applied.status, 200, "{}", applied.text());
    let event = |client: &str, session: &str, response: Value| {
        json!({"clientIp": client, "request": {"method": "POST", "host": "shop.example", "path": "/login",
            "query": "token=hunter2-query", "cookies": {"session": format!("hunter2-{session}")},
            "headers": {"authorization": "Bearer hunter2-token", "user-agent": "curl/8", "x-api-key": "hunter2-key",
                "referer": "https://elsewhere.example/?hunter2-referer", "accept": "text/html"}},
            "payload": {"password": "hunter2-payload"}, "response": response})
    };
    for n in 0..8 {
        let client = ["203.0.113.7", "203.0.113.9"][n % 2];
        let answer = edge.post("/api/v1/decide?durable=true", event(client, ["a", "b", "c", "d"][n / 2], Value::Null));
        assert_eq!(answer.await.status, 200);
        clock.advance(TimeDelta::seconds(1));
    }
    edge.post("/api/v1/decide?durable=true", event("203.0.113.7", "a", json!({"status": 401}))).await;
    let mut kept = Vec::new();
    files(server.directory(), &mut kept);
    let reader = json!({"keyName": "r", "keyType": "query", "streams": ["keyloft_traffic"]});
    let reader = server.with_key(admin.post(KEYS, reader).await.json()["apiKey"].as_str().unwrap());
    let rows = reader.query("SELECT * FROM keyloft_traffic ORDER BY observed_at").await.json();
    kept.push(rows.to_string().into_bytes());
    for secret in ["hunter2-", "203.0.113."] {
        let holds = |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!kept.iter().any(holds), "{secret} is in the bucket, or in {rows}");
    }
    let row = &rows[0];
    let members = ["phase", "door", "action", "trust_level", "request_path", "user_agent", "request_header_accept"];
    let expected = ["request", "decide", "allow", "high", "/login", "curl/8", "text/html"];
    assert_eq!(json!(members.map(|member| &row[member])), json!(expected));
    for pseudonym in ["pseudonym_client_ip", "pseudonym_client_network", "pseudonym_request_cookie_session"] {
        assert!(row[pseudonym].as_str().unwrap().starts_with("v_"), "{row}");
    }
    // By client each had four requests, by session two; the answer is no request.
    let range = json!({"from": start(), "to": start() + TimeDelta::hours(1)});
    let tried = async |draft: Value| {
        let mut body = range.clone();
        body["policySet"] = draft;
        admin.post(BACKTEST, body).await
    };
    let by = |entity: &str, expression: Value| {
        json!({"traffic": {"record": "all"},
            "entities": [{"name": "session", "keyFields": ["request_cookie_session"]},
                {"name": "client", "keyFields": ["client_ip", "user_agent"]}],
            "policies": [{"name": "flood", "entity": entity, "mitigation": "block", "expression": expression,
                "window": {"seconds": 60, "threshold": 3}}]})
    };
    let path = json!("request_path == '/login' && trust_level == 'high' && source_id == 'shop'");
    let by_client = last(&tried(by("client", path.clone())).await)["result"].clone();
    assert_eq!((&by_client["events"], &by_client["items"][0]["block"]), (&json!(9), &json!(4)), "{by_client}");
    assert_eq!(by_client["items"][0]["entities"], 2);
    let by_session = last(&tried(by("session", path)).await)["result"].clone();
    assert_eq!(by_session["items"][0]["total"], 0);
    let answers = last(&tried(by("client", json!("response_status == 401"))).await)["result"].clone();
    assert_eq!(answers["items"][0]["total"], 0);
    // What was not kept is not guessed.
    for (expression, reason) in [
        ("request_query.contains('token')", "the stream `keyloft_traffic` has no field `request_query`"),
        ("payload_password == 'x'", "the stream `keyloft_traffic` has no field `payload_password`"),
        ("ip_in(client_ip, ['203.0.113.0/24'])", "only pseudonyms of the field `client_ip`"),
        ("request_cookie_session == 'x'", "only pseudonyms of the field `request_cookie_session`"),
    ] {
        let answer = tried(by("client", json!(expression))).await;
        answer.refused(400, "invalid_request");
        assert!(answer.json()["detail"].as_str().unwrap().contains(reason), "{}", answer.text());
    }
    let has = last(&tried(by("client", json!("has(request_cookie_session)"))).await)["result"].clone();
    assert_eq!(has["items"][0]["total"], 4);
}
