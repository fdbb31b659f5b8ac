//! Who may open a query session, how many there may be, and what an admin can do about them.

use serde_json::{Value, json};

use crate::support::scene::{COMPUTING, STREAMING, must_break_off};
use crate::support::{Issued, Raw, Scene};

/// A tenant of its own with a reader and a stream of earthquakes.
async fn acme(scene: &Scene) -> Issued {
    let admin = scene.server.admin();
    assert_eq!(admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
    let sender = admin.issue("acme", "shipper", "ingestion").await;
    let sent = scene.server.with_key(&sender.api_key).ingest("quakes", crate::support::events::EARTHQUAKES).await;
    assert_eq!(sent.status, 200);
    admin.issue("acme", "dashboard", "query").await
}

#[tokio::test]
async fn a_deleted_tenant_loses_its_queries() {
    let scene = Scene::new().await;
    let reader = acme(&scene).await;
    let body = json!({"query": STREAMING});
    let reading = scene.server.with_key(&reader.api_key);
    let mut response = reading.request("POST", "/api/v1/query").json(&body).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    let computing = tokio::spawn({
        let reading = reading.clone();
        async move { reading.query(COMPUTING).await }
    });
    scene.server.until("both are open", |server| server.open_sessions() == 2).await;
    assert_eq!(scene.server.admin().delete("/api/v1/tenants/acme").await.status, 200);
    must_break_off(response).await;
    let answer = computing.await.unwrap();
    assert!(matches!(answer.status.as_u16(), 401 | 403), "{}", answer.text());
    scene.until_idle().await;
    reading.query("SELECT 1 AS x").await.refused(401, "invalid_api_key");
}

#[tokio::test]
async fn an_admin_sees_the_sessions_and_ends_one() {
    let scene = Scene::new().await;
    let admin = scene.server.admin();
    let only =
        admin.issue_with("default", json!({"keyName": "quakes", "keyType": "query", "streams": ["quake*"]})).await;
    let reading = scene.server.with_key(&only.api_key);
    let ask = tokio::spawn(async move { reading.query(COMPUTING).await });
    scene.until_computing().await;
    let listed = admin.get("/api/v1/sessions").await.json();
    let [session] = listed["items"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!(session["tenant"], "default");
    assert_eq!(session["keyId"], only.id);
    assert_eq!(session["streams"], json!(["quake*"]));
    let time = |field: &str| chrono::DateTime::parse_from_rfc3339(session[field].as_str().unwrap()).unwrap();
    assert_eq!((time("expiresAt") - time("openedAt")).num_seconds(), 300);
    let path = format!("/api/v1/sessions/{}", session["sessionId"].as_str().unwrap());
    assert_eq!(admin.delete(&path).await.status, 200);
    ask.await.unwrap().refused(403, "session_closed");
    scene.until_idle().await;
    admin.delete(&path).await.refused(404, "not_found");
    admin.delete("/api/v1/sessions/nonsense").await.refused(404, "not_found");
    assert_eq!(admin.get("/api/v1/sessions").await.json(), json!({"items": []}));
}

#[tokio::test]
async fn an_admin_who_ends_a_session_breaks_its_body_off() {
    let scene = Scene::new().await;
    let response = scene.streaming().await;
    let listed = scene.server.admin().get("/api/v1/sessions").await.json();
    let id = listed["items"][0]["sessionId"].as_str().unwrap();
    assert_eq!(scene.server.admin().delete(&format!("/api/v1/sessions/{id}")).await.status, 200);
    must_break_off(response).await;
    scene.until_idle().await;
}

#[tokio::test]
async fn eight_queries_of_a_tenant_run_and_the_ninth_is_told_to_come_back() {
    let scene = Scene::new().await;
    let other = acme(&scene).await;
    let mut running: Vec<_> =
        (0..8).map(|_| Raw::query(scene.server.url(), &scene.reader.api_key, STREAMING)).collect();
    scene.server.until("eight are open", |server| server.open_sessions() == 8).await;
    let ninth = scene.reading().query("SELECT 1 AS x").await;
    ninth.refused(429, "too_many_queries");
    assert!(ninth.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    let answer = scene.server.with_key(&other.api_key).query("SELECT 1 AS x").await;
    assert_eq!(answer.json(), json!([{"x": 1}]));
    scene.server.until("the other is closed", |server| server.open_sessions() == 8).await;
    drop(running.pop());
    scene.server.until("a place is free", |server| server.open_sessions() == 7).await;
    assert_eq!(scene.reading().query("SELECT 1 AS x").await.json(), json!([{"x": 1}]));
    drop(running);
    scene.until_idle().await;
}

/// With the only place taken, opening a session is 429; every other fault is refused before that.
#[tokio::test]
async fn nothing_is_opened_for_a_request_that_is_refused() {
    let scene = Scene::with(|setup| setup.config.session.max_per_tenant = 1).await;
    let server = &scene.server;
    let response = scene.streaming().await;
    let id = server.app.sessions.list()[0].id;
    scene.reading().query("SELECT 1").await.refused(429, "too_many_queries");
    scene.sending().query("SELECT 1").await.refused(403, "wrong_key_type");
    server.anonymous().query("SELECT 1").await.refused(401, "missing_api_key");
    server.with_key("kl_qry_nonsense").query("SELECT 1").await.refused(401, "invalid_api_key");
    server.admin().query("SELECT 1").await.refused(401, "invalid_api_key");
    let body: Value = json!({"query": "SELECT 1"});
    let stated = scene.reading().request("POST", "/api/v1/query").header("x-tenant-id", "acme").json(&body);
    crate::support::Answer::of(stated).await.refused(403, "tenant_mismatch");
    let open: Vec<_> = server.app.sessions.list().iter().map(|session| session.id).collect();
    assert_eq!(open, [id]);
    drop(response);
    scene.until_idle().await;
}
