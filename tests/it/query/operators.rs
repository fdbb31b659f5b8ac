//! SQL as an operator: who may ask, what they may read, and the session that it opens.

use serde_json::{Value, json};

use crate::operators::roles::machine;
use crate::support::people::{Person, Signer};
use crate::support::scene::{COMPUTING, STREAMING};
use crate::support::{Answer, Client, Raw, Scene, TestServer, events};

pub const QUERY: &str = "/api/v1/tenants/default/query";
pub const COUNT: &str = "SELECT count(*) AS n FROM quakes";

/// Somebody who has signed in and has a role in the default tenant.
pub async fn person(server: &TestServer, signer: &Signer, number: usize, role: &str) -> Person {
    let person = signer.person(server, number).await;
    person.becomes(server, "default", role).await;
    person
}

pub async fn ask(client: &Client, sql: &str) -> Answer {
    client.post(QUERY, json!({"query": sql})).await
}

/// Asks in the background.
pub fn ask_later(client: Client, sql: &'static str) -> tokio::task::JoinHandle<Answer> {
    tokio::spawn(async move { ask(&client, sql).await })
}

/// Makes a stream of the audit out of the earthquakes, as if the server had written it.
pub async fn with_audit_stream(server: &TestServer) {
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to),
                false => _ = std::fs::copy(entry.path(), to).unwrap(),
            }
        }
    }
    copy(&server.path("streams/quakes"), &server.path("streams/keyloft_audit"));
    assert_eq!(server.admin().post("/api/v1/sync", json!({})).await.status, 200);
}

#[tokio::test]
async fn an_operator_with_the_right_gets_the_rows_that_a_key_gets() {
    let scene = Scene::new().await;
    let server = &scene.server;
    let signer = Signer::added_to(server).await;
    let (_, analyst) = machine(server, "default", "analyst").await;
    let (_, platform) = machine(server, "default", "platform_admin").await;
    let mut clients = vec![server.admin(), analyst, platform];
    for (number, role) in ["analyst", "admin", "owner", "platform_admin"].into_iter().enumerate() {
        clients.push(person(server, &signer, number, role).await.client(server));
    }
    let sql = "SELECT event_id, magnitude FROM quakes ORDER BY event_id";
    for accept in ["application/json", "application/x-ndjson", "text/csv"] {
        let asked = |client: &Client, path: &str| {
            Answer::of(client.request("POST", path).header("accept", accept).json(&json!({"query": sql})))
        };
        let by_key = asked(&scene.reading(), "/api/v1/query").await;
        assert_eq!(by_key.status, 200);
        for client in &clients {
            let answer = asked(client, QUERY).await;
            assert_eq!(answer.text(), by_key.text());
            for header in ["content-type", "cache-control"] {
                assert_eq!(answer.header(header), by_key.header(header));
            }
        }
    }
    let nothing = json!({"query": COUNT, "endTime": "2001-01-01T00:00:00Z"});
    assert_eq!(clients[1].post(QUERY, nothing).await.json(), json!([{"n": 0}]));
    ask(&clients[1], "SELEKT").await.refused(400, "invalid_query");
    clients[1].post(QUERY, json!({"sql": 1})).await.refused(400, "invalid_request");
    scene.until_idle().await;
}

#[tokio::test]
async fn an_operator_without_the_right_learns_nothing() {
    let scene = Scene::new().await;
    let server = &scene.server;
    let signer = Signer::added_to(server).await;
    for role in ["viewer", "platform_viewer"] {
        let (_, machine) = machine(server, "default", role).await;
        ask(&machine, COUNT).await.refused(403, "role_not_allowed");
        let person = person(server, &signer, role.len(), role).await;
        ask(&person.client(server), COUNT).await.refused(403, "role_not_allowed");
    }
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let (_, analyst) = machine(server, "acme", "analyst").await;
    let others = ask(&analyst, COUNT).await;
    others.refused(404, "not_found");
    let nobodys = analyst.post("/api/v1/tenants/nobody/query", json!({"query": COUNT})).await;
    assert_eq!(others.text(), nobodys.text());
    server.admin().post("/api/v1/tenants/nobody/query", json!({"query": COUNT})).await.refused(404, "not_found");
    ask(&scene.reading(), COUNT).await.refused(401, "invalid_admin_token");
    ask(&Client::admin(server.url(), &scene.reader.api_key), COUNT).await.refused(401, "invalid_admin_token");
    ask(&server.anonymous(), COUNT).await.refused(401, "invalid_admin_token");
    // The own tenant is another world: it has no such stream.
    analyst.post("/api/v1/tenants/acme/query", json!({"query": COUNT})).await.refused(400, "invalid_query");
    for method in ["GET", "HEAD", "PUT"] {
        let answer = Answer::of(server.admin().request(method, QUERY)).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("POST")), "{method}");
    }
    assert_eq!(server.open_sessions(), 0);
}

#[tokio::test]
async fn the_session_says_who_asks_and_is_ended_by_an_admin() {
    let scene = Scene::new().await;
    let server = &scene.server;
    let signer = Signer::added_to(server).await;
    let analyst = person(server, &signer, 1, "analyst").await;
    let admin = person(server, &signer, 2, "admin").await;
    let (id, ci) = machine(server, "default", "analyst").await;
    let (all, audited) = (
        json!(["*", "keyloft_usage", "keyloft_rejected", "keyloft_decisions", "keyloft_traffic"]),
        json!(["*", "keyloft_usage", "keyloft_rejected", "keyloft_decisions", "keyloft_traffic", "keyloft_audit"]),
    );
    for (client, operator, streams) in [
        (analyst.client(server), json!(analyst.id), &all),
        (admin.client(server), json!(admin.id), &audited),
        (ci, json!(id), &all),
        (server.admin(), json!("admin_token"), &audited),
    ] {
        let asked = ask_later(client, COMPUTING);
        scene.until_computing().await;
        let listed = admin.client(server).get("/api/v1/sessions").await.json();
        let [session] = listed["items"].as_array().unwrap().as_slice() else { panic!("{listed}") };
        assert_eq!((&session["operator"], &session["keyId"]), (&operator, &Value::Null));
        assert_eq!((&session["tenant"], &session["streams"]), (&json!("default"), streams));
        let time = |field: &str| chrono::DateTime::parse_from_rfc3339(session[field].as_str().unwrap()).unwrap();
        assert_eq!((time("expiresAt") - time("openedAt")).num_seconds(), 300);
        let path = format!("/api/v1/sessions/{}", session["sessionId"].as_str().unwrap());
        analyst.client(server).delete(&path).await.refused(403, "role_not_allowed");
        assert_eq!(admin.client(server).delete(&path).await.status, 200);
        asked.await.unwrap().refused(403, "session_closed");
        scene.until_idle().await;
    }
    let asked = scene.ask(COMPUTING);
    scene.until_computing().await;
    let session = server.admin().get("/api/v1/sessions").await.json()["items"][0].clone();
    assert_eq!((&session["operator"], &session["keyId"]), (&Value::Null, &json!(scene.reader.id)));
    asked.abort();
    scene.until_idle().await;
}

#[tokio::test]
async fn operators_and_keys_share_the_places_of_a_tenant() {
    let scene = Scene::with(|setup| setup.config.session.max_per_tenant = 2).await;
    let (_, analyst) = machine(&scene.server, "default", "analyst").await;
    let by_key = Raw::query(scene.server.url(), &scene.reader.api_key, STREAMING);
    scene.server.until("one is open", |server| server.open_sessions() == 1).await;
    let computing = ask_later(analyst.clone(), COMPUTING);
    scene.server.until("two are open", |server| server.open_sessions() == 2).await;
    let third = ask(&analyst, COUNT).await;
    third.refused(429, "too_many_queries");
    assert!(third.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    scene.reading().query(COUNT).await.refused(429, "too_many_queries");
    drop(by_key);
    scene.server.until("a place is free", |server| server.open_sessions() == 1).await;
    assert_eq!(ask(&analyst, COUNT).await.json(), json!([{"n": events::earthquakes()}]));
    computing.abort();
    scene.until_idle().await;
}

#[tokio::test]
async fn the_audit_is_read_by_those_who_may_read_the_audit() {
    const AUDIT: &str = "SELECT count(*) AS n FROM keyloft_audit";
    let scene = Scene::new().await;
    let server = &scene.server;
    with_audit_stream(server).await;
    let signer = Signer::added_to(server).await;
    let all = json!([{"n": events::earthquakes()}]);
    let analyst = person(server, &signer, 1, "analyst").await;
    let refused = ask(&analyst.client(server), AUDIT).await;
    refused.refused(400, "invalid_query");
    let missing = ask(&analyst.client(server), &AUDIT.replace("audit", "nothing")).await;
    assert_eq!(refused.text().replace("audit", "nothing"), missing.text(), "it is as if there were none");
    for (number, role) in [(2, "admin"), (3, "owner"), (4, "platform_admin")] {
        let person = person(server, &signer, number, role).await;
        assert_eq!(ask(&person.client(server), AUDIT).await.json(), all, "{role}");
    }
    assert_eq!(ask(&server.admin(), AUDIT).await.json(), all);
    for (streams, covered) in
        [(json!(["*"]), false), (json!(["keyloft_*"]), false), (json!(["*", "keyloft_audit"]), true)]
    {
        let body = json!({"keyName": format!("for {streams}"), "keyType": "query", "streams": streams});
        let key = server.admin().issue_with("default", body).await;
        let answer = server.with_key(&key.api_key).query(AUDIT).await;
        match covered {
            true => assert_eq!(answer.json(), all),
            false => answer.refused(400, "invalid_query"),
        }
    }
    let other = ask(&server.admin(), "SELECT count(*) AS n FROM keyloft_usage").await;
    assert!(other.status == 200 || other.text().contains("there is no stream"), "{}", other.text());
}

#[tokio::test]
async fn a_suspended_tenant_is_queried_by_its_operators_and_a_deleted_one_by_nobody() {
    let scene = Scene::new().await;
    let admin = scene.server.admin();
    assert_eq!(admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
    let sender = admin.issue("acme", "shipper", "ingestion").await;
    scene.server.with_key(&sender.api_key).ingest("quakes", events::EARTHQUAKES).await;
    let (_, analyst) = machine(&scene.server, "acme", "analyst").await;
    let path = "/api/v1/tenants/acme/query";
    let ask = async |client: &Client, sql: &str| client.post(path, json!({"query": sql})).await;
    let running = tokio::spawn({
        let analyst = analyst.clone();
        async move { analyst.post(path, json!({"query": COMPUTING})).await }
    });
    scene.until_computing().await;
    let suspended = admin.patch("/api/v1/tenants/acme", json!({"suspended": ["query", "ingestion"]})).await;
    assert_eq!(suspended.status, 200);
    assert_eq!(ask(&analyst, COUNT).await.json(), json!([{"n": events::earthquakes()}]));
    scene.until_computing().await; // What runs goes on.
    assert_eq!(admin.delete("/api/v1/tenants/acme").await.status, 200);
    running.await.unwrap().refused(403, "session_closed");
    ask(&analyst, COUNT).await.refused(401, "invalid_admin_token");
    ask(&admin, COUNT).await.refused(410, "tenant_deleted");
    scene.until_idle().await;
}

#[tokio::test]
async fn a_credential_that_was_pasted_into_the_query_is_not_quoted() {
    let scene = Scene::new().await;
    let server = &scene.server;
    let signer = Signer::added_to(server).await;
    let person = person(server, &signer, 1, "analyst").await;
    let made = json!({"name": "ci", "role": "analyst"});
    let made = server.admin().post("/api/v1/tenants/default/service-operators", made).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    for secret in [person.token.clone(), token.clone()] {
        let parts: Vec<String> = secret.split('.').map(str::to_owned).collect();
        for sql in [
            format!("SELECT * FROM {secret}"),
            format!("SELECT * FROM \"{secret}\""),
            format!("SELECT {secret} FROM quakes"),
            format!("SELECT CAST('{secret}' AS BIGINT) AS n FROM quakes"),
            format!("SELEKT '{secret}'"),
        ] {
            let client = Client::admin(server.url(), &secret);
            let with_both = client.request("POST", QUERY).header("x-api-key", &scene.reader.api_key);
            for answer in [ask(&client, &sql).await, Answer::of(with_both.json(&json!({"query": sql}))).await] {
                answer.refused(400, "invalid_query");
                assert!(!parts.iter().any(|part| answer.text().contains(&part[..20.min(part.len())])), "{sql}");
            }
        }
    }
    // Those of others neither, as far as they are of our making.
    let answer = ask(&person.client(server), &format!("SELECT * FROM {token}")).await;
    answer.refused(400, "invalid_query");
    assert!(!answer.text().contains(&token), "{}", answer.text());
}

#[tokio::test]
async fn no_limit_of_keys_holds_for_operators() {
    let scene = Scene::new().await;
    let limits = json!({"limits": {"requests": {"perMinute": 1, "burst": 1}}});
    assert_eq!(scene.server.admin().patch("/api/v1/tenants/default", limits).await.status, 200);
    for _ in 0..3 {
        let answer = ask(&scene.server.admin(), COUNT).await;
        assert_eq!((answer.status.as_u16(), answer.header("ratelimit")), (200, None));
    }
}
