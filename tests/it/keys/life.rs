//! The life of a key, as its admins see it: issue, show, list.

use std::collections::BTreeSet;

use keyloft::key::Digest;
use serde_json::{Value, json};

use crate::support::{Answer, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";

/// Neither the secret nor its digest, in any spelling of the digest.
#[track_caller]
fn assert_silent(answer: &Answer, api_key: &str) {
    let digest = Digest::of(api_key).to_document();
    let hex = digest.trim_start_matches("sha256:");
    let text = answer.text();
    assert!(!text.contains(api_key) && !text.contains(hex) && !text.contains("digest"), "{text}");
}

#[tokio::test]
async fn issuing_shows_the_key_this_once_and_never_a_digest() {
    let server = TestServer::spawn().await;
    let body = json!({
        "keyName": "checkout-api", "keyType": "ingestion", "streams": ["web-*", "orders"], "sourceId": "web-prod",
        "trustLevel": "high", "decide": false, "expiresAt": "2999-01-02T03:04:05.678Z", "metadata": {"team": "payments"},
    });
    let answer = server.admin().post(KEYS, body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    let view = answer.json();
    let (id, api_key) = (view["keyId"].as_str().unwrap(), view["apiKey"].as_str().unwrap());
    let path = format!("{KEYS}/{id}");
    assert_eq!(answer.header("location"), Some(&*path));
    assert!(api_key.starts_with("kl_ing_") && api_key.len() == 56, "{api_key}");
    assert_eq!(view["apiKeyHint"], format!("kl_ing_…{}", &api_key[52..]));
    assert!(!answer.text().contains("digest") && !answer.text().contains("sha256"));
    let receipt = &view["receipt"];
    assert!(receipt["changeSeq"].as_u64().unwrap() >= 1 && receipt["elapsedMillis"].is_u64(), "{receipt}");
    assert_eq!((&receipt["appliedOn"], &receipt["liveNodes"], &receipt["behind"]), (&json!(1), &json!(1), &json!([])));
    for (field, value) in [
        ("tenant", json!("default")),
        ("keyName", json!("checkout-api")),
        ("keyType", json!("ingestion")),
        ("state", json!("active")),
        ("expired", json!(false)),
        ("streams", json!(["web-*", "orders"])),
        ("sourceId", json!("web-prod")),
        ("trustLevel", json!("high")),
        ("decide", json!(false)),
        ("createdBy", json!("admin")),
        ("modifiedBy", json!("admin")),
        ("expiresAt", json!("2999-01-02T03:04:05.678Z")),
        ("metadata", json!({"team": "payments"})),
        ("rev", json!(1)),
    ] {
        assert_eq!(view[field], value, "{field}");
    }

    let shown = server.admin().get(&path).await;
    assert_eq!((shown.status.as_u16(), shown.header("etag")), (200, Some("\"1\"")));
    assert_silent(&shown, api_key);
    let mut expected = view.clone();
    expected.as_object_mut().unwrap().retain(|field, _| field != "apiKey" && field != "receipt");
    expected["lastUsedAt"] = json!(null);
    expected["usage"] = json!({"requests": 0, "events": 0, "bytes": 0, "refused": {}, "lastAddress": null});
    assert_eq!(shown.json(), expected);
    let listed = server.admin().get(KEYS).await;
    assert_silent(&listed, api_key);
    assert_eq!(listed.json(), json!({"items": [expected], "nextCursor": null}));
    let patched = server.admin().patch(&path, json!({"sourceId": null})).await;
    assert_silent(&patched, api_key);
    assert_silent(&server.admin().delete(&path).await, api_key);
}

#[tokio::test]
async fn what_is_not_said_has_a_default() {
    let server = TestServer::spawn().await;
    let id = server.admin().issue("default", "ü – any text", "query").await.id;
    let view = server.admin().get(&format!("{KEYS}/{id}")).await.json();
    for (field, value) in [
        ("keyName", json!("ü – any text")),
        ("streams", json!(["*"])),
        ("sourceId", Value::Null),
        ("trustLevel", json!("standard")),
        ("decide", Value::Null),
        ("expiresAt", Value::Null),
        ("metadata", json!({})),
    ] {
        assert_eq!(view[field], value, "{field}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_refused_by_its_line_and_never_quoted() {
    let server = TestServer::spawn().await;
    let good = r#""keyName": "n", "keyType": "query""#;
    let bodies = [
        format!("{{\n{good},\n\"keyId\": \"5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10\"}}"),
        format!("{{\n{good},\n\"digest\": \"canary\"}}"),
        format!("{{\n{good},\n\"hint\": \"canary\"}}"),
        format!("{{\n{good},\n\"rev\": 7}}"),
        format!("{{\n{good},\n\"createdBy\": \"canary\"}}"),
        format!("{{\n{good},\n\"createdAt\": \"2026-11-22T01:02:03.456Z\"}}"),
        format!("{{\n{good},\n\"state\": \"revoked\"}}"),
        format!("{{\n{good},\n\"tenant\": \"canary\"}}"),
        format!("{{\n{good},\n\"canary\": 1}}"),
        format!("{{\n{good},\n\"streams\": [\"UPPER canary\"]}}"),
        format!("{{\n{good},\n\"expiresAt\": \"canary\"}}"),
        format!("{{\n{good},\n\"metadata\": {}}}", json!({"canary": "x".repeat(4096)})),
        "{\n\"keyType\": \"query\",\n\"keyName\": \"\"}".to_owned(),
        "{\n\"keyType\": \"query\",\n\"keyName\": \"a\\ncanary\"}".to_owned(),
        format!("{{\n\"keyType\": \"query\",\n\"keyName\": \"{}\"}}", "n".repeat(129)),
        "{\n\"keyName\": \"n\",\n\"keyType\": \"canary\"}".to_owned(),
        "{\n\"keyName\": \"n\"\n}".to_owned(),
        "{\n\"keyType\": \"query\"\n}".to_owned(),
        format!("{{\n{good}\n"),
    ];
    for body in bodies {
        let request = server.admin().request("POST", KEYS).header("content-type", "application/json");
        let answer = Answer::of(request.body(body.clone())).await;
        answer.refused(400, "invalid_request");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("Line 3, "), "{body}\n{detail}");
        assert!(!answer.text().contains("canary"), "{detail}");
    }
    // The positions of an array are no names.
    server.admin().post(KEYS, json!(["n", "query", ["*"], null, null, null, {}])).await.refused(400, "invalid_request");
    let past = json!({"keyName": "n", "keyType": "query", "expiresAt": "2001-01-01T00:00:00Z"});
    server.admin().post(KEYS, past).await.refused(400, "invalid_request");
    let other = server.admin().request("POST", KEYS).header("content-type", "text/plain").body(format!("{{{good}}}"));
    Answer::of(other).await.refused(415, "unsupported_media_type");
    let large = json!({"keyName": "n".repeat(200_000), "keyType": "query"});
    server.admin().post(KEYS, large).await.refused(413, "payload_too_large");
    assert_eq!(server.admin().get(KEYS).await.json()["items"], json!([]));
}

#[tokio::test]
async fn metadata_of_just_4_kib_is_taken() {
    let server = TestServer::spawn().await;
    let metadata = json!({"m": "x".repeat(4096 - r#"{"m":""}"#.len())});
    let body = json!({"keyName": "n", "keyType": "query", "metadata": metadata});
    assert_eq!(server.admin().post(KEYS, body).await.json()["metadata"], metadata);
}

#[tokio::test]
async fn a_live_name_is_given_once_and_free_again_after_the_revocation() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let body = json!({"keyName": "one", "keyType": "query"});
    let first = admin.issue("default", "one", "query").await;
    admin.post(KEYS, body.clone()).await.refused(409, "duplicate_key_name");
    admin.patch(&format!("{KEYS}/{}", first.id), json!({"state": "disabled"})).await;
    admin.post(KEYS, body.clone()).await.refused(409, "duplicate_key_name");
    assert_eq!(admin.delete(&format!("{KEYS}/{}", first.id)).await.status, 200);
    assert_eq!(admin.post(KEYS, body.clone()).await.status, 201);
    let server = server.restart().await;
    server.admin().post(KEYS, body).await.refused(409, "duplicate_key_name");
}

#[tokio::test]
async fn of_sixteen_who_want_one_name_exactly_one_gets_it() {
    let server = TestServer::spawn().await;
    let attempts = (0..16).map(|_| {
        let admin = server.admin();
        async move { admin.post(KEYS, json!({"keyName": "wanted", "keyType": "query"})).await }
    });
    let answers = futures::future::join_all(attempts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(409, "duplicate_key_name");
    }
    let server = server.restart().await;
    assert_eq!(server.admin().get(KEYS).await.json()["items"].as_array().unwrap().len(), 1);
}

fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["keyName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_comes_in_pages_that_miss_nothing_and_repeat_nothing() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for number in 0..25 {
        admin.issue("default", &format!("key {number}"), "query").await;
    }
    let (mut seen, mut sizes, mut path) = (Vec::new(), Vec::new(), format!("{KEYS}?limit=10"));
    loop {
        let page = admin.get(&path).await.json();
        sizes.push(names(&page).len());
        seen.extend(names(&page));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("{KEYS}?limit=10&cursor={cursor}");
    }
    assert_eq!(sizes, [10, 10, 5]);
    let all: BTreeSet<String> = (0..25).map(|number| format!("key {number}")).collect();
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
    assert_eq!(names(&admin.get(&format!("{KEYS}?limit=25")).await.json()).len(), 25);
    assert_eq!(admin.get(&format!("{KEYS}?limit=25")).await.json()["nextCursor"], Value::Null);
    let two = admin.get(&format!("{KEYS}?limit=2")).await.json();
    let cursor = two["nextCursor"].as_str().unwrap();
    // A page goes on where it stopped, even when the key it stopped at is gone from the list.
    let last = two["items"][1]["keyId"].as_str().unwrap();
    admin.delete(&format!("{KEYS}/{last}")).await;
    let rest = admin.get(&format!("{KEYS}?limit=100&cursor={cursor}")).await.json();
    assert_eq!(names(&rest).len(), 23);
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let foreign = admin.get(&format!("/api/v1/tenants/acme/apikeys?cursor={cursor}")).await;
    foreign.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_list_is_filtered_by_type_state_and_name() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for (name, key_type) in [("a", "ingestion"), ("b", "query"), ("c", "query"), ("d", "ingestion")] {
        let key = admin.issue("default", name, key_type).await;
        match name {
            "c" => drop(admin.patch(&format!("{KEYS}/{}", key.id), json!({"state": "disabled"})).await),
            "d" => drop(admin.delete(&format!("{KEYS}/{}", key.id)).await),
            _ => {}
        }
    }
    for (filter, expected) in [
        ("", "a b c"),
        ("?keyType=query", "b c"),
        ("?keyType=ingestion", "a"),
        ("?state=active", "a b"),
        ("?state=disabled", "c"),
        ("?state=revoked", "d"),
        ("?state=revoked&keyType=query", ""),
        ("?name=b", "b"),
        ("?name=B", ""),
        ("?name=d", ""),
        ("?name=d&state=revoked", "d"),
    ] {
        let mut found = names(&admin.get(&format!("{KEYS}{filter}")).await.json());
        found.sort_unstable();
        assert_eq!(found.join(" "), expected, "{filter}");
    }
}

#[tokio::test]
async fn a_list_that_is_asked_for_wrongly_is_refused() {
    let server = TestServer::spawn().await;
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=",
        "cursor=",
        "cursor=AAAA",
        "cursor=%00",
        "cursor=1",
        "keyType=admin",
        "state=expired",
        "state=",
        "page=2",
        "limit=5&limit=6",
        "wait=5s",
    ] {
        let answer = server.admin().get(&format!("{KEYS}?{query}")).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()), "{query}");
    }
    assert_eq!(server.admin().get(&format!("{KEYS}?limit=1000")).await.status, 200);
    for id in ["nobody", "5F0C2E9E-3B44-4B8F-8F0E-7A2A4B6C8D10", "5f0c2e9e3b444b8f8f0e7a2a4b6c8d10"] {
        server.admin().get(&format!("{KEYS}/{id}")).await.refused(400, "invalid_request");
    }
    let nobody = server.admin().get(&format!("{KEYS}/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10")).await;
    nobody.refused(404, "not_found");
}
