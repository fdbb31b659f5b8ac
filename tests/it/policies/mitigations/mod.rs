//! Active mitigations on one node and on several.

mod crossings;
mod faults;
mod flood;
mod pace;
mod release;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::SET;
use crate::support::{Client, TestServer};

const DECIDE: &str = "/api/v1/decide";
const ACTIVE: &str = "/api/v1/tenants/default/mitigations/active";
const POLICY: &str = "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d01";
const MITIGATION: &str = "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d02";
const NETWORK: &str = "6b65796c-6f66-8000-8000-000000000202";

/// A set of one policy: who asks for `/login` so often in a minute is held for ten.
fn holding(threshold: u32) -> Value {
    json!({
        "mitigations": [{"mitigationId": MITIGATION, "name": "hold", "mode": "block", "durationSeconds": 600}],
        "policies": [{"policyId": POLICY, "name": "flood", "expression": "request_path == '/login'",
            "entityDefinitionId": NETWORK, "mitigationId": MITIGATION,
            "window": {"seconds": 60, "threshold": threshold}}],
    })
}

/// A key that may ask, for all nodes.
async fn key(admin: &Client, tenant: &str) -> String {
    let body = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "shop", "trustLevel": "high"});
    admin.issue_with(tenant, body).await.api_key
}

/// The node with a set in force, and somebody who asks it.
async fn asking(node: &TestServer, set: Value) -> Client {
    assert_eq!(node.admin().put(&format!("{SET}?wait=5s"), set).await.status, 200);
    node.with_key(&key(&node.admin(), "default").await)
}

fn event(address: &str, path: &str) -> Value {
    let agent = json!({"user-agent": "Mozilla/5.0 (secret-agent)", "cookie": "sid=secret-cookie"});
    json!({"clientIp": address, "request": {"method": "GET", "host": "shop.example", "path": path, "headers": agent}})
}

async fn ask(edge: &Client, address: &str, path: &str) -> Value {
    let answer = edge.post(DECIDE, event(address, path)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Asks for `/login` so often, and gives the last answer.
async fn cross(edge: &Client, address: &str, times: usize) -> Value {
    let mut last = Value::Null;
    for _ in 0..times {
        last = ask(edge, address, "/login").await;
    }
    last
}

/// What was answered, and why.
fn told(answer: &Value) -> (&str, &str) {
    (answer["action"].as_str().unwrap(), answer["reason"].as_str().unwrap())
}

/// Waits until nobody or somebody is held at a node. Nobody is counted meanwhile.
async fn until_held(admin: &Client, entity: &str, is_held: bool) {
    for _ in 0..1000 {
        let status = admin.get(&format!("{ACTIVE}/{entity}")).await.status;
        if (status == 200) == is_held {
            return;
        }
        assert!(status == 200 || status == 404, "{status}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("ten seconds passed, and {entity} is still not held: {is_held}");
}

async fn held(admin: &Client) -> Vec<Value> {
    admin.get(ACTIVE).await.json()["items"].as_array().unwrap().clone()
}

/// The entries in a directory, in their order.
fn entries(node: &TestServer) -> Vec<PathBuf> {
    let folder = node.path(".settings/keyloft/mitigations");
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "json")); // Others are still being written.
    found.sort();
    found
}
