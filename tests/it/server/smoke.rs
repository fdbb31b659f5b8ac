//! The main job, from issue to answer.

use serde_json::json;

use crate::support::{TestServer, events};

#[tokio::test]
async fn events_sent_with_one_key_are_read_with_the_other() {
    let server = TestServer::spawn().await;
    let sender = server.admin().issue("default", "shipper", "ingestion").await;
    let reader = server.admin().issue("default", "dashboard", "query").await;
    let sent = server.with_key(&sender.api_key).ingest("quakes", events::EARTHQUAKES).await;
    assert_eq!(sent.json(), json!({"stream": "quakes", "accepted": events::earthquakes()}));
    let answer = server.with_key(&reader.api_key).query("SELECT count(*) AS n FROM quakes").await;
    assert_eq!(answer.json(), json!([{"n": events::earthquakes()}]));
}
