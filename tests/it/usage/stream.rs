//! The system stream `keyloft_usage`: who may read it, and that no client writes it.

use serde_json::{Value, json};

use crate::support::{Client, TestServer};

async fn query_key(server: &TestServer, name: &str, streams: &[&str]) -> Client {
    let body = json!({"keyName": name, "keyType": "query", "streams": streams});
    server.with_key(&server.admin().issue_with("default", body).await.api_key)
}

#[tokio::test]
async fn the_rows_of_every_interval_can_be_queried_by_those_who_are_meant_to() {
    let server = TestServer::spawn().await;
    let shipper = server.admin().issue("default", "shipper", "ingestion").await;
    let sender = server.with_key(&shipper.api_key);
    let (all, auditor) = (query_key(&server, "all", &["*"]).await, query_key(&server, "audit", &["keyloft_*"]).await);
    for events in [r#"[{"a":1},{"a":2}]"#, r#"{"a":3}"#] {
        assert_eq!(sender.ingest("web", events).await.status, 200);
        sender.query("SELECT 1").await.refused(403, "wrong_key_type");
        server.app.usage.flush().await.unwrap();
    }
    server.app.usage.flush().await.unwrap();
    let sql = "SELECT key_id, key_name, key_type, requests, refused, refused_by_reason, events, bytes, last_address, \
               p_key_id FROM keyloft_usage WHERE key_name = 'shipper' ORDER BY p_timestamp";
    let rows = auditor.query(sql).await.json();
    let row = |events: u64, bytes: u64| {
        json!({
            "key_id": shipper.id, "key_name": "shipper", "key_type": "ingestion", "requests": 2, "refused": 1,
            "refused_by_reason": r#"{"wrong_key_type":1}"#, "events": events, "bytes": bytes,
            "last_address": "127.0.0.1", "p_key_id": shipper.id,
        })
    };
    assert_eq!(rows, json!([row(2, 17), row(1, 7)]));
    all.query("SELECT * FROM keyloft_usage").await.refused(400, "invalid_query");
    assert_eq!(all.query("SELECT count(*) AS n FROM web").await.json(), json!([{"n": 3}]));
    auditor.query("SELECT * FROM web").await.refused(400, "invalid_query");
    assert_eq!(all.get("/api/v1/logstream").await.json(), json!([{"name": "web"}]));
    assert_eq!(auditor.get("/api/v1/logstream").await.json(), json!([{"name": "keyloft_usage"}]));
}

#[tokio::test]
async fn nobody_writes_into_a_system_stream() {
    let server = TestServer::spawn().await;
    for (name, streams) in [("all", json!(["*"])), ("meant", json!(["keyloft_*"])), ("exact", json!(["keyloft_usage"]))]
    {
        let body = json!({"keyName": name, "keyType": "ingestion", "streams": streams});
        let issued = server.admin().issue_with("default", body).await;
        let sender = server.with_key(&issued.api_key);
        sender.ingest("keyloft_usage", "{}").await.refused(403, "stream_not_allowed");
        sender.ingest("keyloft_anything", "{}").await.refused(403, "stream_not_allowed");
        sender.post("/api/v1/logstream/keyloft_usage", json!({})).await.refused(403, "stream_not_allowed");
        let question = json!({"apiKey": issued.api_key, "stream": "keyloft_usage"});
        let verdict = server.admin().post("/api/v1/apikeys/verify", question).await.json();
        assert_eq!(verdict["code"], "stream_not_allowed");
    }
    assert!(!server.path("streams").exists());
    let body = json!({"keyName": "reader", "keyType": "query", "streams": ["keyloft_usage"]});
    let issued = server.admin().issue_with("default", body).await;
    let question = json!({"apiKey": issued.api_key, "stream": "keyloft_usage"});
    assert_eq!(server.admin().post("/api/v1/apikeys/verify", question).await.json()["code"], "valid");
}

#[tokio::test]
async fn a_tenant_reads_of_its_own_keys_only() {
    let server = TestServer::spawn().await;
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    for tenant in ["default", "acme"] {
        let body = json!({"keyName": tenant, "keyType": "query", "streams": ["keyloft_usage"]});
        let issued = server.admin().issue_with(tenant, body).await;
        server.with_key(&issued.api_key).get("/api/v1/whoami").await;
        server.app.usage.flush().await.unwrap();
        let rows = server.with_key(&issued.api_key).query("SELECT key_name FROM keyloft_usage").await;
        assert_eq!(rows.json(), json!([{"key_name": tenant}]));
    }
}

#[tokio::test]
async fn without_the_stream_use_is_shown_all_the_same() {
    let server = TestServer::spawn_with(|setup| setup.config.usage.stream = false).await;
    let issued = server.admin().issue("default", "k", "query").await;
    server.with_key(&issued.api_key).get("/api/v1/whoami").await;
    server.app.usage.flush().await.unwrap();
    assert!(!server.path("streams").exists());
    let view: Value = server.admin().get(&format!("/api/v1/tenants/default/apikeys/{}", issued.id)).await.json();
    assert_eq!(view["usage"]["requests"], 1);
}
