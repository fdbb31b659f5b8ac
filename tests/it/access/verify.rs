//! What an API key is worth, with the real reason, for admins.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta};
use keyloft::key::{KeyType, PlainSecret};
use keyloft::{Clock, ManualClock};
use serde_json::{Value, json};

use crate::support::{Answer, TestServer};

const VERIFY: &str = "/api/v1/apikeys/verify";

async fn judge(server: &TestServer, question: Value) -> Value {
    let answer = server.admin().post(VERIFY, question.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, Some("no-store")));
    assert!(!answer.text().contains("digest") && !answer.text().contains("sha256"));
    let presented = question["apiKey"].as_str().unwrap();
    assert!(presented.is_empty() || !answer.text().contains(presented), "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_verdict_names_the_real_reason() {
    let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
    let shared = clock.clone();
    let server = TestServer::spawn_with(move |setup| setup.clock = shared).await;
    let admin = server.admin();
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    admin.post("/api/v1/tenants", json!({"tenantId": "gone"})).await;
    let keys = "/api/v1/tenants/default/apikeys";
    let end = (clock.now() + TimeDelta::seconds(1)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let body = json!({"keyName": "good", "keyType": "ingestion", "streams": ["web-*"]});
    let good = admin.issue_with("default", body).await;
    let expired =
        admin.issue_with("default", json!({"keyName": "expired", "keyType": "query", "expiresAt": end})).await;
    let disabled = admin.issue("default", "disabled", "query").await;
    let revoked = admin.issue("default", "revoked", "query").await;
    let suspended = admin.issue("acme", "suspended", "query").await;
    let deleted = admin.issue("gone", "deleted", "query").await;
    admin.patch(&format!("{keys}/{}", disabled.id), json!({"state": "disabled"})).await;
    admin.delete(&format!("{keys}/{}", revoked.id)).await;
    admin.patch("/api/v1/tenants/acme", json!({"suspended": ["query"]})).await;
    admin.delete("/api/v1/tenants/gone").await;
    clock.advance(TimeDelta::seconds(1));
    let unknown = PlainSecret::generate(KeyType::Query).unwrap();

    let cases = [
        (json!({"apiKey": good.api_key}), "valid"),
        (json!({"apiKey": good.api_key, "action": "ingestion", "stream": "web-1"}), "valid"),
        (json!({"apiKey": good.api_key, "action": "query"}), "wrong_key_type"),
        (json!({"apiKey": good.api_key, "stream": "app"}), "stream_not_allowed"),
        (json!({"apiKey": "hunter2"}), "malformed"),
        (json!({"apiKey": ""}), "malformed"),
        (json!({"apiKey": good.api_key[..55]}), "malformed"),
        (json!({"apiKey": unknown.expose()}), "not_found"),
        (json!({"apiKey": expired.api_key}), "expired"),
        (json!({"apiKey": expired.api_key, "action": "ingestion"}), "expired"),
        (json!({"apiKey": disabled.api_key}), "disabled"),
        (json!({"apiKey": revoked.api_key}), "revoked"),
        (json!({"apiKey": suspended.api_key}), "tenant_suspended"),
        (json!({"apiKey": suspended.api_key, "action": "ingestion"}), "wrong_key_type"),
        (json!({"apiKey": deleted.api_key}), "revoked"),
    ];
    for (question, code) in cases {
        let verdict = judge(&server, question.clone()).await;
        assert_eq!((&verdict["code"], &verdict["valid"]), (&json!(code), &json!(code == "valid")), "{question}");
        let known = !matches!(code, "malformed" | "not_found");
        assert_eq!(verdict["keyId"].is_string(), known, "{verdict}");
    }
    let verdict = judge(&server, json!({"apiKey": suspended.api_key})).await;
    assert_eq!((&verdict["tenant"], &verdict["keyId"]), (&json!("acme"), &json!(suspended.id)));
    assert_eq!(verdict["keyName"], "suspended");
}

#[tokio::test]
async fn a_verdict_and_the_data_plane_agree() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", key.id);
    for (state, status) in [("disabled", 401), ("active", 200)] {
        server.admin().patch(&path, json!({"state": state})).await;
        let valid = judge(&server, json!({"apiKey": key.api_key})).await["valid"].as_bool().unwrap();
        assert_eq!(server.with_key(&key.api_key).get("/api/v1/whoami").await.status, status);
        assert_eq!(valid, status == 200);
    }
}

#[tokio::test]
async fn a_question_that_is_not_understood_is_refused_without_quoting_the_key() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    for body in [
        json!({}),
        json!({"apiKey": 5}),
        json!({"apiKey": key.api_key, "action": "admin"}),
        json!({"apiKey": key.api_key, "action": key.api_key}),
        json!({"apiKey": key.api_key, "stream": "../x"}),
        json!({"apiKey": key.api_key, "tenant": "default"}),
        json!({"apiKey": [key.api_key]}),
        json!({"key": key.api_key}),
        json!({key.api_key.as_str(): 1}),
        json!(key.api_key),
    ] {
        let answer = server.admin().post(VERIFY, body).await;
        answer.refused(400, "invalid_request");
        assert!(!answer.text().contains(&key.api_key), "{}", answer.text());
    }
    let unfinished = server.admin().request("POST", VERIFY).body(format!("{{\"apiKey\": \"{}", key.api_key));
    let answer = Answer::of(unfinished).await;
    answer.refused(400, "invalid_request");
    assert!(!answer.text().contains(&key.api_key));
}
