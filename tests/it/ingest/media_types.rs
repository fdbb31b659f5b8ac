//! What routes of JSON take besides the plainest of bodies: media types in any case, byte order marks, merge patches.

use std::io::Write;

use serde_json::json;

use crate::support::scene::people;
use crate::support::{Answer, TestServer};

const MARK: &str = "\u{feff}";

#[tokio::test]
async fn media_types_are_read_whatever_their_case_and_a_byte_order_mark_is_passed_over() {
    let server = TestServer::spawn().await;
    let (_, reader) = people(&server).await;
    let admin = server.admin();
    for media_type in ["Application/JSON", "application/json;charset=UTF-8", ""] {
        let ask = reader.request("POST", "/api/v1/query").header("content-type", media_type);
        let answer = Answer::of(ask.body(format!("{MARK}{{\"query\": \"SELECT 1 AS one\"}}"))).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!([{"one": 1}])), "{media_type}");
        let change = admin.request("PATCH", "/api/v1/tenants/default").header("content-type", media_type);
        let answer = Answer::of(change.body(format!("{MARK}{{\"name\": \"Default\"}}"))).await;
        assert_eq!(answer.status, 200, "{media_type}: {}", answer.text());
        let apply = admin.request("POST", "/api/v1/tenants/default/apikeys/apply").header("content-type", media_type);
        let answer = Answer::of(apply.body(format!("{MARK}{{\"keys\": []}}"))).await;
        assert_eq!(answer.status, 200, "{media_type}: {}", answer.text());
    }
    let array = admin.request("POST", "/api/v1/tenants").body(format!("{MARK}[\"acme\"]"));
    Answer::of(array).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_patch_may_be_called_a_merge_patch_and_nothing_else_may() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "web", "query").await;
    let merge = |method, path: &str, body: &'static str| {
        Answer::of(admin.request(method, path).header("content-type", "application/merge-patch+json").body(body))
    };
    let path = format!("/api/v1/tenants/default/apikeys/{}", key.id);
    let answer = merge("PATCH", &path, "{\"metadata\": {\"team\": \"ops\"}}").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(merge("PATCH", "/api/v1/tenants/default", "{\"name\": null}").await.status, 200);
    merge("POST", "/api/v1/tenants", "{\"tenantId\": \"acme\"}").await.refused(415, "unsupported_media_type");
    let patch = admin.request("PATCH", &path).header("content-type", "application/json-patch+json").body("[]");
    Answer::of(patch).await.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_compressed_body_or_another_charset_is_415_and_says_which() {
    let server = TestServer::spawn().await;
    let (_, reader) = people(&server).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"{\"query\": \"SELECT 1\"}").unwrap();
    let body = encoder.finish().unwrap();
    let admin = server.admin();
    for (client, path) in [
        (&reader, "/api/v1/query"),
        (&admin, "/api/v1/tenants"),
        (&admin, "/api/v1/tenants/default/apikeys/apply"),
        (&admin, "/api/v1/tenants/default/apikeys/bulk"),
    ] {
        let sent = |name: &'static str, value: &'static str| {
            Answer::of(client.request("POST", path).header(name, value).body(body.clone()))
        };
        let answer = sent("content-encoding", "GZIP").await;
        answer.refused(415, "unsupported_media_type");
        assert!(answer.json()["detail"].as_str().unwrap().contains("gzip"), "{}", answer.text());
        let answer = sent("content-type", "application/json; charset=latin1").await;
        answer.refused(415, "unsupported_media_type");
        assert!(answer.json()["detail"].as_str().unwrap().contains("UTF-8"), "{}", answer.text());
    }
}

#[tokio::test]
async fn bulk_work_may_begin_with_a_byte_order_mark() {
    let server = TestServer::spawn().await;
    let body = format!("{MARK}{{\"op\": \"issue\", \"keyName\": \"a\", \"keyType\": \"query\"}}\n");
    let bulk = server.admin().request("POST", "/api/v1/tenants/default/apikeys/bulk");
    let answer = Answer::of(bulk.header("content-type", "Application/NDJSON").body(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().starts_with("{\"line\":1,\"status\":201"), "{}", answer.text());
}
