//! A query session ends in one way or another, and with it the work.

use std::time::Duration;

use serde_json::json;

use crate::support::scene::{COMPUTING, STREAMING, must_break_off};
use crate::support::{Raw, Scene};

async fn with_ttl(millis: u64) -> Scene {
    Scene::with(|setup| setup.config.session.ttl = Duration::from_millis(millis)).await
}

#[tokio::test]
async fn a_body_that_is_read_to_its_end_closes_the_session() {
    let scene = Scene::new().await;
    let answer = scene.reading().query("SELECT event_id FROM quakes").await;
    assert_eq!(answer.json().as_array().unwrap().len(), crate::support::events::earthquakes());
    scene.until_idle().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_in_mid_body_closes_the_session() {
    let scene = Scene::new().await;
    let response = scene.streaming().await;
    assert!(scene.server.app.engine.live_tasks() > 0);
    drop(response);
    scene.until_idle().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_before_the_first_row_closes_the_session() {
    let scene = Scene::new().await;
    let raw = Raw::query(scene.server.url(), &scene.reader.api_key, COMPUTING);
    scene.until_computing().await;
    drop(raw);
    scene.until_idle().await;
}

#[tokio::test]
async fn a_query_that_is_refused_leaves_no_session() {
    let scene = Scene::new().await;
    for sql in
        ["SELEKT", "SELECT nothing FROM quakes", "SELECT * FROM nowhere", "SELECT 1 / 0 AS x", "DROP TABLE quakes"]
    {
        scene.reading().query(sql).await.refused(400, "invalid_query");
    }
    scene.reading().post("/api/v1/query", json!({"sql": 1})).await.refused(400, "invalid_request");
    scene.until_idle().await;
}

#[tokio::test]
async fn the_deadline_before_the_first_row_is_504_and_ends_the_work() {
    let scene = with_ttl(300).await;
    scene.reading().query(COMPUTING).await.refused(504, "query_timeout");
    scene.until_idle().await;
}

#[tokio::test]
async fn the_deadline_in_mid_body_breaks_the_body_off() {
    let scene = with_ttl(2000).await;
    must_break_off(scene.streaming().await).await;
    scene.until_idle().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_has_no_final_chunk() {
    let scene = with_ttl(1500).await;
    let mut raw = Raw::query(scene.server.url(), &scene.reader.api_key, STREAMING);
    let all = tokio::task::spawn_blocking(move || raw.read_to_end()).await.unwrap();
    let head = String::from_utf8_lossy(&all[..all.len().min(2000)]).to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
    assert!(!all.ends_with(b"0\r\n\r\n"), "the body was closed cleanly");
    scene.until_idle().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_holds_nothing_beyond_the_deadline() {
    let scene = Scene::with(|setup| {
        setup.config.session.ttl = Duration::from_millis(1500);
        setup.config.http.request_body_timeout = Duration::from_secs(2);
    })
    .await;
    let raw = Raw::query(scene.server.url(), &scene.reader.api_key, STREAMING);
    assert!(!raw.is_abandoned());
    scene.until_computing().await;
    scene.until_idle().await;
    scene.server.until("the connection is given up", |_| raw.is_abandoned()).await;
}

#[tokio::test]
async fn a_key_that_is_withdrawn_before_the_first_row_is_401() {
    let scene = Scene::new().await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", scene.reader.id);
    let ask = scene.ask(COMPUTING);
    scene.until_computing().await;
    assert_eq!(scene.server.admin().patch(&path, json!({"state": "disabled"})).await.status, 200);
    ask.await.unwrap().refused(401, "invalid_api_key");
    scene.until_idle().await;
    assert_eq!(scene.server.admin().patch(&path, json!({"state": "active"})).await.status, 200);
    let ask = scene.ask(COMPUTING);
    scene.until_computing().await;
    assert_eq!(scene.server.admin().delete(&path).await.status, 200);
    let refused = ask.await.unwrap();
    refused.refused(401, "invalid_api_key");
    assert!(refused.header("www-authenticate").is_some());
    assert_eq!(refused.body, scene.reading().query("SELECT 1").await.body, "all 401 are the same bytes");
    scene.until_idle().await;
}

#[tokio::test]
async fn a_key_that_is_withdrawn_in_mid_body_breaks_the_body_off() {
    let scene = Scene::new().await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", scene.reader.id);
    let response = scene.streaming().await;
    assert_eq!(scene.server.admin().patch(&path, json!({"state": "disabled"})).await.status, 200);
    must_break_off(response).await;
    scene.until_idle().await;
    assert_eq!(scene.server.admin().patch(&path, json!({"state": "active"})).await.status, 200);
    let response = scene.streaming().await;
    assert_eq!(scene.server.admin().delete(&path).await.status, 200);
    must_break_off(response).await;
    scene.until_idle().await;
}

#[tokio::test]
async fn a_change_that_leaves_the_key_good_ends_nothing() {
    let scene = Scene::new().await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", scene.reader.id);
    let mut response = scene.streaming().await;
    assert_eq!(scene.server.admin().patch(&path, json!({"trustLevel": "high"})).await.status, 200);
    assert_eq!(
        scene.server.admin().patch("/api/v1/tenants/default", json!({"suspended": ["ingestion"]})).await.status,
        200
    );
    assert_eq!(scene.server.open_sessions(), 1);
    assert!(response.chunk().await.unwrap().is_some());
}

#[tokio::test]
async fn a_suspended_tenant_loses_its_queries() {
    let scene = Scene::new().await;
    let suspend = async |what: serde_json::Value| {
        let answer = scene.server.admin().patch("/api/v1/tenants/default", json!({"suspended": what})).await;
        assert_eq!(answer.status, 200);
    };
    let ask = scene.ask(COMPUTING);
    scene.until_computing().await;
    suspend(json!(["query"])).await;
    ask.await.unwrap().refused(403, "session_closed");
    scene.reading().query("SELECT 1 AS x").await.refused(403, "tenant_suspended");
    scene.until_idle().await;
    suspend(json!([])).await;
    let response = scene.streaming().await;
    suspend(json!(["query"])).await;
    must_break_off(response).await;
    scene.until_idle().await;
}
