//! A whole run of the real binary with policies, after which no secret of a request, and no value that makes an entity,
//! is found in what the system keeps or says.

use std::path::Path;

use serde_json::{Value, json};

use super::SET;
use crate::support::{Answer, Client, Process};

/// What a client of the shop sends and nobody else may ever see: secrets, and what tells it from others.
const MARKED: [&str; 8] = [
    "canary-cookie",
    "canary-authorization",
    "canary-query",
    "canary-payload",
    "canary-header",
    "canary-agent",
    "203.0.113.77",
    "canary-clearance",
];

fn event() -> Value {
    json!({
        "clientIp": "203.0.113.77", "clearance": "kc1.canary-clearance.mac",
        "request": {
            "method": "POST", "host": "shop.example", "path": "/login", "query": "token=canary-query",
            "headers": {"authorization": "Bearer canary-authorization", "x-device": "canary-header", "user-agent": "canary-agent"},
            "cookies": {"session": "canary-cookie"},
        },
        "payload": {"password": "canary-payload"},
    })
}

/// The same as a shipper sends it.
fn line() -> Value {
    json!({
        "source": {"ip": "203.0.113.77"}, "http": {"request": {"method": "POST"}, "response": {"status_code": 401}},
        "url": {"domain": "shop.example", "path": "/login", "query": "token=canary-query"},
        "user_agent": {"original": "canary-agent"},
    })
}

/// Policies that look at every one of them, as values and as entities.
fn set() -> Value {
    let conditions = [
        "request_cookie_session == 'x' || request_path == '/login'",
        "request_header_authorization.contains('canary') || has(request_query_token)",
        "payload_password.startsWith('canary')",
        "request_header_x_device != ''",
    ];
    let policies = conditions.iter().enumerate().map(|(at, condition)| {
        json!({"name": format!("p{at}"), "expression": condition, "entity": "who", "mitigation": "hold",
               "window": {"seconds": 60, "threshold": 2, "distinct": "request_query_token"}})
    });
    let mut policies: Vec<Value> = policies.collect();
    policies.push(json!({"name": "flood", "expression": "request_path == '/login'", "entity": "ip-user-agent",
                         "mitigation": "hold", "window": {"seconds": 60, "threshold": 2}}));
    json!({
        "traffic": {"streams": ["web"], "format": "ecs"},
        "entities": [{"name": "who", "keyFields": ["client_ip", "user_agent", "request_cookie_session",
                                                   "request_header_x_device"], "onMissing": "group"}],
        "mitigations": [{"name": "hold", "mode": "challenge", "durationSeconds": 600}],
        "policies": policies,
    })
}

/// What came out, with a word about where.
struct Seen(Vec<(String, String)>);

impl Seen {
    async fn send(&mut self, place: &str, request: reqwest::RequestBuilder) -> Answer {
        let answer = Answer::of(request).await;
        let headers: Vec<_> = answer.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        self.0.push((format!("{place} ({})", answer.status), format!("{}\n{}", answer.text(), headers.join("\n"))));
        answer
    }

    fn places(&self, word: &str) -> Vec<&str> {
        self.0.iter().filter(|(_, text)| text.contains(word)).map(|(place, _)| place.as_str()).collect()
    }
}

async fn key(admin: &Client, body: Value) -> String {
    let issued = admin.post("/api/v1/tenants/default/apikeys", body).await;
    issued.json()["apiKey"].as_str().unwrap().to_owned()
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[tokio::test]
async fn no_secret_of_a_request_and_no_value_of_an_entity_is_kept_or_said() {
    let root = tempfile::tempdir().unwrap();
    let store = root.path().join("store");
    let mut server = Process::serve(&store, &["--log-filter", "trace"]);
    let admin = server.admin(server.admin_token().unwrap());
    let edge = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "shop"});
    let edge = server.with_key(&key(&admin, edge).await);
    let reader = server.with_key(
        &key(&admin, json!({"keyName": "reader", "keyType": "query", "streams": ["keyloft_decisions"]})).await,
    );
    let mut seen = Seen(Vec::new());
    let declared = json!({"policySet": set()});
    let applied = seen.send("apply", admin.request("POST", &format!("{SET}/apply")).json(&declared)).await;
    assert_eq!(applied.status, 200, "{}", applied.text());
    let mut broken = event();
    broken["request"]["cookies"] = json!(["canary-cookie"]);
    let mut unknown = event();
    unknown["client"] = json!("canary-payload");
    let decide = || edge.request("POST", "/api/v1/decide?durable=true");
    for (place, body) in [
        ("decide", event()),
        ("decide", event()),
        ("decide many", json!({"events": [event(), event(), event()]})),
        ("decide wrongly", broken),
        ("decide more wrongly", json!({"events": [event(), {"clientIp": "canary-agent"}]})),
    ] {
        seen.send(place, decide().json(&body)).await;
    }
    seen.send("decide with an unknown member", decide().json(&unknown)).await;
    seen.send("decide half", decide().body(event().to_string()[..200].to_owned())).await;
    let lines = || edge.request("POST", "/api/v1/ingest").header("x-p-stream", "web");
    for _ in 0..3 {
        assert_eq!(seen.send("ingest", lines().json(&json!([line(), line()]))).await.status, 200);
    }
    for (place, body) in [
        ("explain", json!({"event": event()})),
        ("explain a draft", json!({"event": event(), "policySet": set()})),
        ("explain wrongly", json!({"event": {"clientIp": "canary-agent"}})),
    ] {
        seen.send(place, admin.request("POST", &format!("{SET}/explain")).json(&body)).await;
    }
    for path in [
        "/api/v1/tenants/default/results/policies",
        "/api/v1/tenants/default/mitigations",
        "/api/v1/tenants/default/policyset/versions",
        "/api/v1/tenants/default/audit?limit=1000",
        "/api/v1/audit?limit=1000",
        "/api/v1/unreadable",
        "/metrics",
    ] {
        seen.send(path, admin.request("GET", path)).await;
    }
    let sql = json!({"query": "SELECT * FROM keyloft_decisions"});
    let rows = seen.send("rows", reader.request("POST", "/api/v1/query").json(&sql)).await;
    assert!(rows.text().contains("flood") && rows.text().contains("e_"), "{}", rows.text());
    server.signal("TERM");
    server.wait();
    seen.0.push(("the log".to_owned(), std::fs::read_to_string(store.with_extension("log")).unwrap()));
    assert!(seen.0.iter().any(|(place, text)| place == "decide (200 OK)" && text.contains("\"challenge\"")));
    for word in MARKED {
        assert_eq!(seen.places(word), [""; 0], "{word}");
    }
    // What a shipper sends to a stream is kept there, and nowhere else.
    let mut kept = Vec::new();
    files(&store, &mut kept);
    for file in kept.iter().filter(|file| !file.starts_with(store.join("streams/web"))) {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        let found: Vec<_> = MARKED.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{found:?} in {}", file.display());
    }
}
