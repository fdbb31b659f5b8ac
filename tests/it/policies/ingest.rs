//! Ingested events before the policies of their tenant.

use serde_json::{Value, json};

use super::{SET, blocking};
use crate::support::pair::{faulty, quick};
use crate::support::{Client, Fault, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";

async fn shipper(server: &TestServer) -> Client {
    let issued = server.admin().issue("default", "shipper", "ingestion").await;
    server.with_key(&issued.api_key)
}

fn judging(format: &str, map: Value) -> Value {
    let mut set = blocking("/a");
    set["traffic"] = json!({"streams": ["web-*"], "format": format, "map": map});
    set
}

async fn rows(server: &TestServer) -> Vec<Value> {
    let keys = server.admin().get(&format!("{KEYS}?limit=100")).await.json();
    let name = format!("reader-{}", keys["items"].as_array().map_or(0, Vec::len));
    let body = json!({"keyName": name, "keyType": "query", "streams": ["keyloft_decisions"]});
    let reader = server.admin().post(KEYS, body).await.json();
    let sql = "SELECT door, outcome, request_path, response_status, p_source_id, policy_set_version \
               FROM keyloft_decisions ORDER BY request_path, response_status";
    let answer = server.with_key(reader["apiKey"].as_str().unwrap()).post("/api/v1/query", json!({"query": sql})).await;
    if answer.status == 200 { answer.json().as_array().unwrap().clone() } else { Vec::new() }
}

#[tokio::test]
async fn events_as_shippers_send_them_are_judged_in_each_format_and_other_streams_are_not() {
    for (format, map, event) in [
        (
            "ecs",
            json!({}),
            json!({"source": {"ip": "203.0.113.7"}, "http": {"request": {"method": "get"},
            "response": {"status_code": 200}}, "url": {"path": "/x/../a"}}),
        ),
        (
            "map",
            json!({"request_path": "req.target", "response_status": "code"}),
            json!({"req": {"target": "/a"}, "code": 200}),
        ),
        (
            "keyloft",
            json!({}),
            json!({"clientIp": "203.0.113.7", "request": {"path": "/a"}, "response": {"status": 200}}),
        ),
    ] {
        let server = TestServer::spawn().await;
        let (admin, shipper) = (server.admin(), shipper(&server).await);
        assert_eq!(admin.put(SET, judging(format, map)).await.status, 200, "{format}");
        let lines = format!("{event}\n{}\n{event}", json!({"unrelated": 1}));
        for stream in ["web-1", "other"] {
            let answer = shipper.ingest(stream, lines.clone()).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["accepted"]), (200, &json!(3)), "{format}");
        }
        // At once: they are durable before the events are acknowledged.
        let found = rows(&server).await;
        assert_eq!(found.len(), 2, "{format}: {found:?}");
        let one = json!({"door": "ingest", "outcome": "block", "request_path": "/a", "response_status": 200,
            "p_source_id": null, "policy_set_version": 1});
        assert_eq!(found[0], one, "{format}");
        let mut off = blocking("/a");
        off["mode"] = json!("off");
        off["traffic"] = json!({"streams": ["web-*"]});
        admin.put(SET, off).await;
        shipper.ingest("web-1", lines.clone()).await;
        assert_eq!(rows(&server).await.len(), 2, "{format}");
    }
}

#[tokio::test]
async fn an_event_that_is_refused_is_not_judged_and_a_decision_that_cannot_be_stored_is_no_acknowledgement() {
    let (server, faults) = faulty(quick).await;
    let (admin, shipper) = (server.admin(), shipper(&server).await);
    admin.put(SET, judging("map", json!({"request_path": "path"}))).await;
    assert_eq!(shipper.ingest("web-1", "{\"path\": \"/a\", \"n\": 1}").await.status, 200);
    shipper.ingest("web-1", "{\"path\": \"/a\", \"n\": \"text\"}").await.refused(400, "invalid_request");
    assert_eq!(rows(&server).await.len(), 1);
    faults.inject(Fault::ErrorBefore, |call| call.is_write() && call.is_about("keyloft_decisions"));
    let answer = shipper.ingest("web-1", "{\"path\": \"/a\", \"n\": 2}").await;
    assert_eq!(answer.status, 503);
    faults.none();
    assert_eq!(shipper.ingest("web-1", "{\"path\": \"/a\", \"n\": 2}").await.status, 200);
    assert!(rows(&server).await.len() >= 3);
}
