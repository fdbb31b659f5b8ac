//! A whole run of the real binary, after which no secret is found anywhere but where it was issued.

use std::path::{Path, PathBuf};

use keyloft::key::{Digest, KeyType, PlainSecret};
use serde_json::json;

use crate::support::{Answer, Client, Process, events};

/// Everything that came out of a run, with a word about where.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn add(&mut self, place: &str, answer: &Answer) {
        let mut text = String::from_utf8_lossy(&answer.body).into_owned();
        for (name, value) in &answer.headers {
            text.push_str(&format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
        self.0.push((format!("{place} ({})", answer.status), text));
    }

    async fn send(&mut self, place: &str, request: reqwest::RequestBuilder) -> Answer {
        let answer = Answer::of(request).await;
        self.add(place, &answer);
        answer
    }

    /// Where a word occurs.
    fn places(&self, word: &str) -> Vec<&str> {
        self.0.iter().filter(|(_, text)| text.contains(word)).map(|(place, _)| place.as_str()).collect()
    }
}

/// A key that was issued, and its digest in hex.
struct Secret {
    path: String,
    api_key: String,
    hex: String,
}

fn hex(secret: &str) -> String {
    Digest::of(secret).to_document().trim_start_matches("sha256:").to_owned()
}

async fn issue(seen: &mut Seen, admin: &Client, tenant: &str, name: &str, key_type: &str) -> Secret {
    let keys = format!("/api/v1/tenants/{tenant}/apikeys");
    let answer = admin.post(&keys, json!({"keyName": name, "keyType": key_type})).await;
    assert_eq!(answer.status, 201);
    let view = answer.json();
    let api_key = view["apiKey"].as_str().unwrap().to_owned();
    // The one answer that may show it; it may show it once, and nothing else about it.
    assert_eq!(answer.text().matches(&api_key).count(), 1);
    let rest = Answer { body: answer.text().replace(&api_key, "").into(), ..answer };
    seen.add(&format!("issue {name}"), &rest);
    let path = format!("{keys}/{}", view["keyId"].as_str().unwrap());
    Secret { path, hex: hex(&api_key), api_key }
}

/// Issues keys with imported secrets: one that passes for a request id, one for a name in SQL, and one for nothing
/// else.
async fn bring(seen: &mut Seen, admin: &Client, tenant: &str) -> Vec<Secret> {
    let keys = format!("/api/v1/tenants/{tenant}/apikeys");
    let mut secrets = Vec::new();
    for (name, key_type, rest) in [
        ("uuid", "query", "12-9b7d-4e31-8a56-2f0d9b8e7c64"),
        ("word", "query", "Jq2vT9xmW4cZr7Kd0pLs6YhNf3Be"),
        ("marks", "ingestion", "/vT9x_mW4c.Zr7Kd0pLs6Y:hNf3Be=="),
    ] {
        let own = format!("{tenant}{rest}");
        // Of a wrong shape: refused, and silent about it.
        for bad in [format!("{own} {own}"), own[..20].to_owned(), format!("kl_{own}")] {
            let body = json!({"keyName": name, "keyType": key_type, "apiKey": bad});
            assert_eq!(seen.send("bring badly", admin.request("POST", &keys).json(&body)).await.status, 400);
        }
        let body = json!({"keyName": name, "keyType": key_type, "apiKey": own});
        let answer = seen.send("bring", admin.request("POST", &keys).json(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        seen.send("bring twice", admin.request("POST", &keys).json(&body)).await;
        let path = format!("{keys}/{}", answer.json()["keyId"].as_str().unwrap());
        secrets.push(Secret { path, hex: hex(&own), api_key: own });
    }
    secrets
}

/// Rotates a key twice, to a generated secret and to an imported one; returns both.
async fn rotate(seen: &mut Seen, admin: &Client, secret: &Secret) -> Vec<Secret> {
    let rotate = format!("{}/rotate", secret.path);
    let answer = Answer::of(admin.request("POST", &rotate)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let made = answer.json()["apiKey"].as_str().unwrap().to_owned();
    seen.add("rotate", &Answer { body: answer.text().replace(&made, "").into(), ..answer });
    let own: String = made[7..50].chars().rev().collect();
    let body = json!({"apiKey": own, "overlapSeconds": 60});
    assert_eq!(seen.send("rotate to", admin.request("POST", &rotate).json(&body)).await.status, 200);
    let wrongly = json!({"apiKey": [own], (own.as_str()): 1});
    seen.send("rotate wrongly", admin.request("POST", &rotate).json(&wrongly)).await;
    let path = || secret.path.clone();
    [made, own].map(|api_key| Secret { path: path(), hex: hex(&api_key), api_key }).into()
}

/// Uses a key in every way, right and wrong.
async fn use_key(seen: &mut Seen, server: &Process, admin: &Client, secret: &Secret) {
    let key = secret.api_key.as_str();
    let nobody = server.anonymous();
    let client = server.with_key(key);
    let bearer = format!("Bearer {key}");
    let sql = format!("SELECT '{key}' AS stolen FROM nowhere");
    let ingest = |body: String| client.request("POST", "/api/v1/ingest").header("x-p-stream", "quakes").body(body);
    let question = json!({"apiKey": key, "action": "query", "stream": "quakes"});
    let in_bulk = [
        json!({"op": key}),
        json!({"op": "revoke", "keyId": key}),
        json!({"op": "revoke", "filter": {"keyType": key, key: 1}}),
        json!({"op": "issue", "keyName": "x", "keyType": "query", "digest": key, "hint": key}),
        json!({"op": "issue", "keyName": "x", "keyType": key, key: key}),
    ];
    let in_bulk: String = in_bulk.iter().map(|line| format!("{line}\n{key}\n")).collect();
    let requests = [
        ("whoami", client.request("GET", "/api/v1/whoami")),
        ("ingest", ingest(events::EARTHQUAKES.lines().take(20).collect::<Vec<_>>().join("\n"))),
        ("broken event", ingest(format!("{{\"a\": 1}}\n{{\"{key}\" oops"))),
        ("reserved field", ingest(json!({"p_x": key}).to_string())),
        ("conflict", ingest(json!({"magnitude": [key]}).to_string())),
        ("query", client.request("POST", "/api/v1/query").json(&json!({"query": "SELECT count(*) AS n FROM quakes"}))),
        ("bad query", client.request("POST", "/api/v1/query").json(&json!({"query": format!("SELEC {key}")}))),
        ("missing table", client.request("POST", "/api/v1/query").json(&json!({"query": sql}))),
        ("missing column", client.request("POST", "/api/v1/query").json(&json!({"query": format!("SELECT {key}")}))),
        ("query body", client.request("POST", "/api/v1/query").json(&json!({key: 1}))),
        ("streams", client.request("GET", "/api/v1/logstream")),
        ("two credentials", client.request("GET", "/api/v1/whoami").header("authorization", &bearer)),
        ("wrong tenant", client.request("GET", "/api/v1/whoami").header("x-tenant-id", key)),
        ("as a request id", client.request("GET", "/api/v1/whoami").header("x-request-id", key)),
        ("in the path", nobody.request("GET", &format!("/api/v1/tenants/{key}"))),
        ("as a route", nobody.request("GET", &format!("/{key}"))),
        ("as a stream", nobody.request("POST", &format!("/api/v1/logstream/{key}"))),
        ("in the query string", nobody.request("GET", &format!("/api/v1/whoami?apiKey={key}"))),
        ("as user agent", nobody.request("GET", "/api/v1/whoami").header("user-agent", key)),
        ("on the admin plane", nobody.request("GET", "/api/v1/tenants").header("authorization", &bearer)),
        ("verify", admin.request("POST", "/api/v1/apikeys/verify").json(&question)),
        ("verify wrongly", admin.request("POST", "/api/v1/apikeys/verify").json(&json!({"apiKey": [key], key: 1}))),
        ("as a field", admin.request("PATCH", &secret.path).json(&json!({key: key}))),
        ("as a state", admin.request("PATCH", &secret.path).json(&json!({"state": key}))),
        ("as a filter", admin.request("GET", &format!("/api/v1/tenants/default/apikeys?state={key}&{key}=1"))),
        ("as a cursor", admin.request("GET", &format!("/api/v1/tenants/default/apikeys?cursor={key}"))),
        ("as a key id", admin.request("GET", &format!("/api/v1/tenants/default/apikeys/{key}"))),
        ("as a tenant", admin.request("GET", &format!("/api/v1/tenants/{key}"))),
        ("as a session", admin.request("DELETE", &format!("/api/v1/sessions/{key}"))),
        ("as a wait", admin.request("DELETE", &format!("{}?wait={key}", secret.path))),
        ("in bulk", admin.request("POST", "/api/v1/tenants/default/apikeys/bulk").body(in_bulk)),
        ("audit filter", admin.request("GET", &format!("/api/v1/audit?actor={key}&action={key}&{key}=1"))),
        ("audit cursor", admin.request("GET", &format!("/api/v1/audit?cursor={key}"))),
        ("show", admin.request("GET", &secret.path)),
        (
            "patch with the key as user agent",
            admin
                .request("PATCH", &secret.path)
                .header("user-agent", format!("x {key}"))
                .json(&json!({"sourceId": "t"})),
        ),
        ("patch", admin.request("PATCH", &secret.path).json(&json!({"sourceId": "s"}))),
    ];
    for (place, request) in requests {
        seen.send(place, request).await;
    }
}

async fn whole_run(format: &str) {
    let root = tempfile::tempdir().unwrap();
    let store = root.path().join("store");
    let options = ["--log-filter", "trace", "--log-format", format];
    let server = Process::serve(&store, &options);
    let token = server.admin_token().unwrap().to_owned();
    assert_eq!(server.greeting().matches(&token).count(), 1);
    assert!(!server.greeting().contains(&hex(&token)));
    let admin = server.admin(&token);
    let mut seen = Seen::default();
    seen.send("create", admin.request("POST", "/api/v1/tenants").json(&json!({"tenantId": "acme"}))).await;
    let mut secrets = Vec::new();
    for tenant in ["default", "acme"] {
        for (name, key_type) in
            [("sender", "ingestion"), ("reader", "query"), ("revoked", "query"), ("broken", "query")]
        {
            secrets.push(issue(&mut seen, &admin, tenant, name, key_type).await);
        }
    }
    let mut own = bring(&mut seen, &admin, "default").await;
    own.extend(bring(&mut seen, &admin, "acme").await);
    for secret in secrets.iter().chain(&own) {
        use_key(&mut seen, &server, &admin, secret).await;
    }
    let mut rotated = Vec::new();
    for secret in [&secrets[0], &secrets[5], &own[0], &own[2]] {
        rotated.extend(rotate(&mut seen, &admin, secret).await);
    }
    for secret in &rotated {
        use_key(&mut seen, &server, &admin, secret).await;
    }
    for secret in secrets.iter().skip(2).step_by(4) {
        seen.send("revoke", admin.request("DELETE", &secret.path)).await;
        use_key(&mut seen, &server, &admin, secret).await;
    }
    // A broken file that still holds a key in clear, and a digest.
    let broken = &secrets[3];
    let file = store.join(".settings/apikeys").join(format!("{}.json", broken.path.rsplit('/').next().unwrap()));
    let document = std::fs::read_to_string(&file).unwrap();
    assert!(document.contains(&broken.hex), "the canary would not be found if it were there");
    std::fs::write(&file, format!("{document} {}", broken.api_key)).unwrap();
    for (method, path) in [
        ("POST", "/api/v1/sync"),
        ("GET", "/api/v1/unreadable"),
        ("GET", "/api/v1/tenants"),
        ("GET", "/api/v1/tenants/default/apikeys"),
        ("GET", "/api/v1/tenants/acme/apikeys?state=revoked"),
        ("GET", "/api/v1/sessions"),
        ("GET", "/api/v1/nodes"),
        ("GET", "/api/v1/audit?limit=1000"),
        ("GET", "/api/v1/tenants/acme/audit?limit=1000"),
        ("PATCH", &broken.path),
    ] {
        seen.send(path, admin.request(method, path).json(&json!({}))).await;
    }
    let metrics = seen.send("metrics", admin.request("GET", "/metrics")).await;
    assert!(metrics.text().contains("keyloft_unreadable_documents 1"), "{}", metrics.text());
    std::fs::write(&file, document).unwrap();

    let unknown = PlainSecret::generate(KeyType::Query).unwrap();
    for presented in ["hunter2-canary", unknown.expose(), &token] {
        seen.send("presented", server.with_key(presented).request("GET", "/api/v1/whoami")).await;
        seen.send("presented", server.admin(presented).request("GET", "/api/v1/whoami")).await;
        seen.send("presented", server.with_key(presented).request("GET", "/api/v1/tenants")).await;
    }
    drop(server);
    let log_file = store.with_extension("log");
    seen.0.push(("the log".to_owned(), std::fs::read_to_string(&log_file).unwrap()));
    // Once more on what the first run left: the token is not shown again.
    let server = Process::serve(&store, &options);
    assert_eq!(server.admin_token(), None);
    seen.0.push(("the second greeting".to_owned(), server.greeting().to_owned()));
    seen.send("whoami", server.with_key(&secrets[0].api_key).request("GET", "/api/v1/whoami")).await;
    drop(server);
    seen.0.push(("the second log".to_owned(), std::fs::read_to_string(log_file).unwrap()));

    // A run in which nothing works, or nothing is logged, would prove nothing.
    for place in [
        "whoami (200 OK)",
        "ingest (200 OK)",
        "query (200 OK)",
        "verify (200 OK)",
        "patch (200 OK)",
        "rotate to (200 OK)",
        "/api/v1/audit?limit=1000 (200 OK)",
    ] {
        assert!(seen.0.iter().any(|(seen, _)| seen == place), "no {place}");
    }
    let (_, log) = seen.0.iter().find(|(place, _)| place == "the log").unwrap();
    let id = secrets[0].path.rsplit('/').next().unwrap();
    assert!(log.contains("TRACE") && log.contains("wrong_key_type") && log.contains(id), "{log}");
    secrets.extend(own.into_iter().chain(rotated));
    for secret in &secrets {
        assert_eq!(seen.places(&secret.api_key), [""; 0], "the key of {}", secret.path);
        assert_eq!(seen.places(&secret.hex), [""; 0], "the digest of {}", secret.path);
    }
    for word in [&token, &hex(&token), unknown.expose(), &hex(unknown.expose()), "hunter2-canary"] {
        assert_eq!(seen.places(word), [""; 0], "{word}");
    }
    for file in files(&store) {
        let body = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&body);
        for word in secrets.iter().map(|secret| &secret.api_key).chain([&token]) {
            assert!(!text.contains(word.as_str()), "{} is in {}", word, file.display());
        }
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    assert!(found.len() > 10, "a store after a run holds more than {found:?}");
    found
}

#[tokio::test]
async fn no_secret_is_in_answers_metrics_or_logs_for_people() {
    whole_run("text").await;
}

#[tokio::test]
async fn no_secret_is_in_answers_metrics_or_logs_for_programs() {
    whole_run("json").await;
}
