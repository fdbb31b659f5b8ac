//! The query session of an operator ends with the right to it, on every node.

use std::time::Duration;

use chrono::TimeDelta;
use keyloft::{Clock, SystemClock};
use serde_json::json;

use super::operators::{QUERY, ask, ask_later, person, with_audit_stream};
use crate::operators::roles::machine;
use crate::support::pair::{faulty, quick, two};
use crate::support::people::{Signer, claims};
use crate::support::scene::{COMPUTING, STREAMING, must_break_off};
use crate::support::{Client, Fault, Scene, TestServer, events};

const TENANT: &str = "/api/v1/tenants/default";

/// Asks for more than can be sent, and reads the first bytes.
async fn streaming(server: &TestServer, client: &Client) -> reqwest::Response {
    streaming_of(server, client, STREAMING).await
}

async fn streaming_of(server: &TestServer, client: &Client, sql: &str) -> reqwest::Response {
    let mut response = client.request("POST", QUERY).json(&json!({"query": sql})).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.chunk().await.unwrap().is_some_and(|chunk| chunk.starts_with(b"[")));
    assert_eq!(server.open_sessions(), 1);
    response
}

async fn until_idle(server: &TestServer) {
    server.until("no session is open", |server| server.open_sessions() == 0).await;
    server.until("no query works", |server| server.app.engine.live_tasks() == 0).await;
}

#[tokio::test]
async fn a_client_that_goes_away_or_reads_no_more_keeps_no_query_running() {
    let scene = Scene::with(|setup| setup.config.session.ttl = Duration::from_millis(1500)).await;
    let client = scene.server.admin();
    let response = streaming(&scene.server, &client).await;
    assert!(scene.server.app.engine.live_tasks() > 0);
    drop(response);
    scene.until_idle().await;
    let asked = ask_later(client.clone(), COMPUTING);
    scene.until_computing().await;
    asked.abort();
    scene.until_idle().await;
    // It is not read and not hung up.
    let response = streaming(&scene.server, &client).await;
    scene.until_idle().await;
    must_break_off(response).await;
    ask(&client, COMPUTING).await.refused(504, "query_timeout");
}

#[tokio::test]
async fn whatever_takes_the_right_away_ends_the_query_at_once() {
    let scene = Scene::new().await;
    let server = &scene.server;
    let (admin, signer) = (server.admin(), Signer::added_to(server).await);
    for (number, how) in ["removed", "lowered", "signed out", "disabled", "ended"].into_iter().enumerate() {
        let person = person(server, &signer, number, "analyst").await;
        let response = streaming(server, &person.client(server)).await;
        let operator = format!("/api/v1/operators/{}", person.id);
        let answer = match how {
            "removed" => admin.delete(&format!("{TENANT}/memberships/{}", person.id)).await,
            "lowered" => {
                admin.post(&format!("{TENANT}/memberships"), json!({"userId": person.id, "role": "viewer"})).await
            }
            "signed out" => person.client(server).post("/api/v1/auth/logout", json!({})).await,
            "disabled" => admin.patch(&operator, json!({"state": "disabled"})).await,
            _ => admin.delete(&format!("{operator}/sessions")).await,
        };
        assert!(answer.status.is_success(), "{how}: {}", answer.text());
        assert_eq!(server.open_sessions(), 0, "{how}");
        must_break_off(response).await;
    }
    let (id, ci) = machine(server, "default", "analyst").await;
    let response = streaming(server, &ci).await;
    assert_eq!(admin.delete(&format!("{TENANT}/service-operators/{id}")).await.status, 200);
    assert_eq!(server.open_sessions(), 0);
    must_break_off(response).await;
    let last = person(server, &signer, 9, "analyst").await;
    let asked = ask_later(last.client(server), COMPUTING);
    scene.until_computing().await;
    assert_eq!(admin.delete(&format!("/api/v1/signers/{}", signer.kid)).await.status, 200);
    asked.await.unwrap().refused(403, "session_closed");
    scene.until_idle().await;
}

#[tokio::test]
async fn a_change_that_leaves_the_right_ends_nothing() {
    let scene = Scene::new().await;
    let server = &scene.server;
    let signer = Signer::added_to(server).await;
    let (one, other) = (person(server, &signer, 1, "admin").await, person(server, &signer, 2, "analyst").await);
    let mut response = streaming(server, &one.client(server)).await;
    one.becomes(server, "default", "analyst").await;
    server.admin().delete(&format!("{TENANT}/memberships/{}", other.id)).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(server.open_sessions(), 1);
    assert!(response.chunk().await.unwrap().is_some());
}

#[tokio::test]
async fn who_loses_the_audit_loses_the_queries_that_read_it() {
    let scene = Scene::new().await;
    let server = &scene.server;
    with_audit_stream(server).await;
    let signer = Signer::added_to(server).await;
    let admin = person(server, &signer, 1, "admin").await;
    let sql = STREAMING.replace("quakes b", "keyloft_audit b");
    let response = streaming_of(server, &admin.client(server), &sql).await;
    admin.becomes(server, "default", "analyst").await;
    must_break_off(response).await;
    scene.until_idle().await;
}

#[tokio::test]
async fn a_member_who_is_removed_on_one_node_loses_the_query_on_another() {
    let (a, b) = two(quick).await;
    let signer = Signer::added_to(&a).await;
    let shipper = a.admin().issue("default", "shipper", "ingestion").await;
    assert_eq!(a.with_key(&shipper.api_key).ingest("quakes", events::EARTHQUAKES).await.status, 200);
    let analyst = person(&a, &signer, 1, "analyst").await;
    let (id, _) = machine(&a, "default", "analyst").await;
    let rotated = format!("{TENANT}/service-operators/{id}/rotate");
    let token = a.admin().post(&rotated, json!({})).await.json()["token"].as_str().unwrap().to_owned();
    b.admin().post("/api/v1/sync", json!({})).await;
    let response = streaming(&b, &analyst.client(&b)).await;
    assert_eq!(a.admin().delete(&format!("{TENANT}/memberships/{}", analyst.id)).await.status, 200);
    must_break_off(response).await;
    until_idle(&b).await;
    let response = streaming(&b, &Client::admin(b.url(), &token)).await;
    assert_eq!(a.admin().delete(&format!("{TENANT}/service-operators/{id}")).await.status, 200);
    must_break_off(response).await;
    until_idle(&b).await;
}

#[tokio::test]
async fn a_sign_in_that_expires_takes_its_queries_with_it() {
    let scene = Scene::new().await;
    let server = &scene.server;
    let signer = Signer::added_to(server).await;
    let analyst = person(server, &signer, 1, "analyst").await;
    let mut claims = claims(&analyst.id, &analyst.sid, SystemClock.now());
    claims["exp"] = json!((SystemClock.now() + TimeDelta::seconds(5)).timestamp());
    let client = Client::admin(server.url(), &signer.token(&claims));
    let response = streaming(server, &client).await;
    let listed = server.admin().get("/api/v1/sessions").await.json();
    let expires = chrono::DateTime::parse_from_rfc3339(listed["items"][0]["expiresAt"].as_str().unwrap()).unwrap();
    assert_eq!(json!(expires.timestamp()), claims["exp"]);
    // All of it could be read within these seconds.
    scene.until_idle().await;
    must_break_off(response).await;
}

#[tokio::test]
async fn a_removal_that_the_store_cannot_take_ends_the_query_here_within_a_second() {
    let (server, faults) = faulty(|_| {}).await;
    let shipper = server.admin().issue("default", "shipper", "ingestion").await;
    assert_eq!(server.with_key(&shipper.api_key).ingest("quakes", events::EARTHQUAKES).await.status, 200);
    let (id, ci) = machine(&server, "default", "analyst").await;
    let asked = ask_later(ci, COMPUTING);
    server.until("a query computes", |server| server.open_sessions() == 1 && server.app.engine.live_tasks() > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await; // It is planned by then, with the rights that it had.
    faults.inject(Fault::ErrorBefore, |call| call.is_write());
    let removed = server.admin().delete(&format!("{TENANT}/service-operators/{id}")).await;
    removed.refused(503, "store_unavailable");
    asked.await.unwrap().refused(403, "session_closed");
    until_idle(&server).await;
}
