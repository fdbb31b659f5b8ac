//! Key documents written by hand into the directory of a server.

use keyloft::key::{KeyType, PlainSecret};
use serde_json::{Value, json};

use super::TestServer;

pub const ID: &str = "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10";
pub const OTHER: &str = "6a1d3f0f-4c55-4c90-9f1f-8b3b5c7d9e21";

/// Writes a file of the store, and its folders.
pub fn write(server: &TestServer, path: &str, body: impl AsRef<[u8]>) {
    let file = server.path(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, body).unwrap();
}

pub fn key_file(id: &str) -> String {
    format!(".settings/apikeys/{id}.json")
}

pub async fn sync(server: &TestServer) -> Value {
    let answer = server.admin().post("/api/v1/sync", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The status of a request with this key.
pub async fn whoami(server: &TestServer, api_key: &str) -> u16 {
    server.with_key(api_key).get("/api/v1/whoami").await.status.as_u16()
}

/// What cannot be used: pairs of object and reason.
pub async fn unreadable(server: &TestServer) -> Vec<(String, String)> {
    let items = server.admin().get("/api/v1/unreadable").await.json()["items"].take();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    items.as_array().unwrap().iter().map(|item| (text(item, "object"), text(item, "reason"))).collect()
}

pub fn minimal(name: &str, secret: &PlainSecret) -> Value {
    json!({"version": 1, "keyName": name, "keyType": "query", "digest": secret.digest().to_document()})
}

pub fn secret() -> PlainSecret {
    PlainSecret::generate(KeyType::Query).unwrap()
}
