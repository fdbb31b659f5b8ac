//! `--auth off`: requests without a credential, from this machine only.

use serde_json::{Value, json};

use crate::support::process::keyloft;
use crate::support::raw::Raw;
use crate::support::{Answer, Client, Ended, Process};

const KEYS: &str = "/api/v1/tenants/default/apikeys";

/// A folder for a store and the log of its server.
fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    (folder, store)
}

fn serve(store: &std::path::Path) -> Process {
    Process::serve(store, &["--auth", "off", "--ingest-window", "2ms"])
}

/// Every change in the log of a store: who made it, in which role, and what it was.
fn changes(store: &std::path::Path) -> Vec<(Value, Value, Value)> {
    let log = store.join(".settings/keyloft/log");
    let mut files: Vec<_> = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let entries = files.iter().map(|file| serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap());
    let changes = entries.flat_map(|entry| entry["changes"].as_array().unwrap().clone());
    changes.map(|change| (change["modifiedBy"].clone(), change["role"].clone(), change["action"].clone())).collect()
}

#[tokio::test]
async fn without_a_credential_both_planes_answer_and_the_change_log_says_so() {
    let (_folder, store) = folder();
    let server = serve(&store);
    assert!(server.greeting().contains("Authentication is off"), "{}", server.greeting());
    let anybody = server.anonymous();
    anybody.until_ready().await;
    let log = std::fs::read_to_string(store.with_extension("log")).unwrap();
    assert!(log.contains("WARN") && log.contains("authentication is off"), "{log}");
    let made = anybody.issue("default", "checkout", "ingestion").await;
    assert_eq!(anybody.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
    assert_eq!(anybody.ingest("web", r#"{"a":1}"#).await.status, 200);
    assert_eq!(anybody.query("SELECT a FROM web").await.text(), r#"[{"a":1}]"#);
    let as_operator = anybody.post("/api/v1/tenants/default/query", json!({"query": "SELECT a FROM web"})).await;
    assert_eq!(as_operator.text(), r#"[{"a":1}]"#);
    let acme = |request: reqwest::RequestBuilder| Answer::of(request.header("x-tenant-id", "acme"));
    let sent = anybody.request("POST", "/api/v1/logstream/web").json(&json!({"a": 2}));
    assert_eq!(acme(sent).await.status, 200);
    let asked = anybody.request("POST", "/api/v1/query").json(&json!({"query": "SELECT a FROM web"}));
    assert_eq!(acme(asked).await.text(), r#"[{"a":2}]"#, "the stated tenant's alone");
    let nowhere = anybody.request("GET", "/api/v1/whoami").header("x-tenant-id", "nowhere");
    Answer::of(nowhere).await.refused(404, "not_found");
    let unreadable = anybody.request("GET", "/api/v1/whoami").header("x-tenant-id", "No Tenant");
    Answer::of(unreadable).await.refused(400, "invalid_request");
    assert_eq!(server.with_key(&made.api_key).ingest("web", r#"{"a":3}"#).await.status, 200);
    let by_nobody = |action: &str| (json!("auth_off"), Value::Null, json!(action));
    let all = changes(&store);
    let actions: Vec<_> = all.iter().filter(|(_, _, action)| action.is_string()).cloned().collect();
    let expected =
        ["key.issue", "tenant.create", "key.issue", "key.issue", "key.issue", "key.issue"].map(by_nobody).to_vec();
    assert_eq!(actions, expected, "one asked for, and two of each tenant for requests without a credential");
    let verified = Ended::of(keyloft().args(["audit", "verify", "--store"]).arg(&store), "").done();
    assert!(verified.contains("holds      yes"), "{verified}");
}

#[tokio::test]
async fn first_requests_at_the_same_moment_share_one_key() {
    let (_folder, store) = folder();
    let server = serve(&store);
    server.anonymous().until_ready().await;
    let requests = (0..12).map(|_| {
        let anybody = server.anonymous();
        async move { anybody.ingest("web", r#"{"a":1}"#).await.status.as_u16() }
    });
    assert_eq!(futures::future::join_all(requests).await, [200; 12]);
    assert_eq!(server.anonymous().names().await, ["auth off, ingestion 1"]);
    drop(server);
    let server = serve(&store);
    server.anonymous().until_ready().await;
    assert_eq!(server.anonymous().ingest("web", r#"{"a":1}"#).await.status, 200);
    assert_eq!(server.anonymous().names().await, ["auth off, ingestion 1"], "a restart makes none");
    // What is set for that key holds: here, that it is disabled.
    let id = server.anonymous().get(KEYS).await.json()["items"][0]["keyId"].as_str().unwrap().to_owned();
    let disabled = server.anonymous().patch(&format!("{KEYS}/{id}"), json!({"state": "disabled"})).await;
    assert_eq!(disabled.status, 200);
    server.anonymous().ingest("web", r#"{"a":1}"#).await.refused(401, "invalid_api_key");
}

#[tokio::test]
async fn a_request_that_only_reads_makes_no_key() {
    let (_folder, store) = folder();
    let server = serve(&store);
    let anybody = server.anonymous();
    anybody.until_verified().await;
    let refused = async || {
        for path in ["/api/v1/whoami", "/api/v1/logstream"] {
            anybody.get(path).await.refused(401, "missing_api_key");
            assert_eq!(Answer::of(anybody.request("HEAD", path)).await.status, 401);
        }
    };
    refused().await;
    assert_eq!(anybody.names().await, [""; 0]);
    assert_eq!(anybody.ingest("web", r#"{"a":1}"#).await.status, 200);
    refused().await;
    assert_eq!(anybody.names().await, ["auth off, ingestion 1"]);
    assert_eq!(anybody.query("SELECT a FROM web").await.text(), r#"[{"a":1}]"#);
    assert_eq!(anybody.get("/api/v1/whoami").await.json()["keyType"], "query");
    assert_eq!(anybody.get("/api/v1/logstream").await.json(), json!([{"name": "web"}]));
}

#[tokio::test]
async fn a_credential_that_is_presented_is_checked_as_ever() {
    let (_folder, store) = folder();
    let server = serve(&store);
    let anybody = server.anonymous();
    anybody.until_verified().await;
    let key = anybody.issue("default", "dashboards", "query").await.api_key;
    for wrong in ["", "hunter2", "kl_adm_wrong"] {
        for (name, value) in [("authorization", format!("Bearer {wrong}")), ("x-api-key", wrong.to_owned())] {
            let client = Client::new(server.url(), Some((name, value)));
            client.get(KEYS).await.refused(401, "invalid_admin_token");
            let whoami = client.get("/api/v1/whoami").await;
            assert_eq!(whoami.status, 401, "{name} {wrong}");
        }
    }
    server.with_key(&key).get(KEYS).await.refused(401, "invalid_admin_token");
    server.with_key(&key).ingest("web", "{}").await.refused(403, "wrong_key_type");
    let stated = server.with_key(&key).request("GET", "/api/v1/whoami").header("x-tenant-id", "acme");
    Answer::of(stated).await.refused(403, "tenant_mismatch");
    let other = Client::new(server.url(), Some(("authorization", "Negotiate abc".to_owned())));
    other.get(KEYS).await.refused(401, "invalid_admin_token");
    other.get("/api/v1/whoami").await.refused(401, "missing_api_key");
    let admin = server.admin(server.admin_token().unwrap());
    assert_eq!(admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
    assert_eq!(changes(&store).last().unwrap().0, "admin");
}

#[tokio::test]
async fn what_is_not_local_is_refused_on_every_route_and_every_answer_is_marked() {
    let (_folder, store) = folder();
    let server = serve(&store);
    let anybody = server.anonymous();
    anybody.until_ready().await;
    let key = anybody.issue("default", "dashboards", "query").await.api_key;
    let hostile = [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("host", "evil.example"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("sec-fetch-site", "cross-site"),
    ];
    for route in keyloft::http::routes() {
        let path = route.path.replace("{tenant}", "default").replace("{stream}", "web").replace("{id}", "x");
        for (name, value) in hostile {
            for client in [&anybody, &server.with_key(&key)] {
                let answer = Answer::of(client.request(route.method, &path).header(name, value)).await;
                assert_eq!(answer.status, 403, "{} {path} {name}", route.method);
                assert_eq!(answer.header("x-keyloft-auth"), Some("off"));
                if !path.contains("firehose") {
                    answer.refused(403, "not_local");
                }
            }
        }
    }
    let preflight = anybody.request("OPTIONS", "/api/v1/ingest").header("origin", "https://evil.example");
    Answer::of(preflight.header("access-control-request-method", "POST")).await.refused(403, "not_local");
    assert_eq!(anybody.names().await, ["dashboards"], "nothing was done");
    let page = anybody.request("GET", KEYS).header("origin", "http://localhost:3000");
    assert_eq!(Answer::of(page).await.status, 200);
    for (method, path) in [
        ("GET", "/api/v1/liveness"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("PUT", KEYS),
        ("GET", "/api/v1/whoami"),
    ] {
        assert_eq!(Answer::of(anybody.request(method, path)).await.header("x-keyloft-auth"), Some("off"), "{path}");
    }
    let mut raw = Raw::connect(server.url());
    raw.send("GARBAGE\r\n\r\n");
    let answer = String::from_utf8(raw.read_to_end()).unwrap();
    assert!(answer.contains("400 Bad Request") && answer.contains("x-keyloft-auth: off\r\n"), "{answer}");
    let mut raw = Raw::connect(server.url());
    raw.send("GET /metrics HTTP/1.0\r\n\r\n");
    assert!(raw.read_answer().contains("403 Forbidden"), "without a Host nobody knows for whom it is");
}

#[tokio::test]
async fn it_is_refused_on_an_address_that_others_reach_and_off_by_default() {
    let (folder, store) = folder();
    let start = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = keyloft();
        command.current_dir(folder.path()).envs(variables.iter().copied()).args(["serve", "--store"]).arg(&store);
        Ended::of(command.args(arguments), "")
    };
    let file = folder.path().join("keyloft.toml");
    std::fs::write(&file, "[http]\nauth = \"off\"\n").unwrap();
    let file = file.to_str().unwrap();
    for address in ["0.0.0.0:0", "[::]:0"] {
        start(&["--auth", "off", "--listen", address], &[]).failed(2, "loopback");
        start(&["--listen", address], &[("KEYLOFT_AUTH", "off")]).failed(2, "loopback");
        start(&["--listen", address, "--config", file], &[]).failed(2, "loopback");
    }
    start(&["--auth", "none"], &[]).failed(2, "on or off");
    let server = Process::serve(&store, &[]);
    let anybody = server.anonymous();
    anybody.until_ready().await;
    anybody.get(KEYS).await.refused(401, "invalid_admin_token");
    let answer = Answer::of(anybody.request("GET", "/api/v1/whoami").header("origin", "https://evil.example")).await;
    answer.refused(401, "missing_api_key");
    assert_eq!(answer.header("x-keyloft-auth"), None);
}
