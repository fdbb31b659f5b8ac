//! What a key may read can be changed without a new secret, and holds for queries that run.

use serde_json::json;

use crate::support::Scene;
use crate::support::scene::{COMPUTING, must_break_off};

async fn set_streams(scene: &Scene, streams: serde_json::Value) {
    let path = format!("/api/v1/tenants/default/apikeys/{}", scene.reader.id);
    let answer = scene.server.admin().patch(&path, json!({"streams": streams})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_query_that_reads_a_stream_no_longer_covered_is_ended_before_its_first_row() {
    let scene = Scene::new().await;
    for narrowed in [json!(["web-*"]), json!([])] {
        let ask = scene.ask(COMPUTING);
        scene.until_computing().await;
        set_streams(&scene, narrowed).await;
        ask.await.unwrap().refused(403, "session_closed");
        scene.until_idle().await;
        scene.reading().query("SELECT * FROM quakes LIMIT 1").await.refused(400, "invalid_query");
        set_streams(&scene, json!(["*"])).await;
    }
    assert_eq!(scene.reading().query("SELECT event_id FROM quakes LIMIT 1").await.status, 200);
}

#[tokio::test]
async fn a_query_that_reads_a_stream_no_longer_covered_is_broken_off() {
    let scene = Scene::new().await;
    let response = scene.streaming().await;
    set_streams(&scene, json!(["web-*", "quake"])).await;
    must_break_off(response).await;
    scene.until_idle().await;
}

#[tokio::test]
async fn a_query_goes_on_as_long_as_everything_that_it_reads_is_covered() {
    let scene = Scene::new().await;
    scene.sending().ingest("web-1", "{\"a\":1}").await;
    let mut response = scene.streaming().await;
    for streams in [json!(["quakes"]), json!(["qua*", "web-*"]), json!(["*"]), json!(["quakes", "audit"])] {
        set_streams(&scene, streams.clone()).await;
        let listed = scene.server.admin().get("/api/v1/sessions").await.json();
        assert_eq!(listed["items"][0]["streams"], streams);
    }
    assert!(response.chunk().await.unwrap().is_some());
    assert_eq!(scene.server.open_sessions(), 1);
}

#[tokio::test]
async fn every_stream_that_a_query_names_counts() {
    let scene = Scene::new().await;
    scene.sending().ingest("web-1", "{\"a\":1}").await;
    const BOTH: &str = "SELECT count(*) AS n, (SELECT max(a) FROM \"web-1\") AS m FROM quakes a, quakes b, quakes c \
                        WHERE sin(a.magnitude * b.magnitude + tan(c.magnitude)) > 1";
    let ask = scene.ask(BOTH);
    scene.until_computing().await;
    set_streams(&scene, json!(["quakes"])).await;
    ask.await.unwrap().refused(403, "session_closed");
    scene.until_idle().await;
}

#[tokio::test]
async fn the_next_query_and_the_list_of_streams_see_the_change() {
    let scene = Scene::new().await;
    scene.sending().ingest("web-1", "{\"a\":1}").await;
    let names = async || scene.reading().get("/api/v1/logstream").await.json();
    assert_eq!(names().await, json!([{"name": "quakes"}, {"name": "web-1"}]));
    set_streams(&scene, json!(["web-*"])).await;
    assert_eq!(names().await, json!([{"name": "web-1"}]));
    scene.reading().query("SELECT * FROM quakes LIMIT 1").await.refused(400, "invalid_query");
    assert_eq!(scene.reading().query("SELECT a FROM \"web-1\"").await.status, 200);
    set_streams(&scene, json!(["quakes"])).await;
    assert_eq!(scene.reading().query("SELECT event_id FROM quakes LIMIT 1").await.status, 200);
    // The type of a key stays.
    let path = format!("/api/v1/tenants/default/apikeys/{}", scene.reader.id);
    scene.server.admin().patch(&path, json!({"keyType": "ingestion"})).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_change_of_streams_holds_for_the_next_batch_of_events() {
    let scene = Scene::new().await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", scene.sender.id);
    scene.server.admin().patch(&path, json!({"streams": ["web-*"]})).await;
    scene.sending().ingest("quakes", "{}").await.refused(403, "stream_not_allowed");
    assert_eq!(scene.sending().ingest("web-1", "{\"a\":1}").await.status, 200);
}
