//! Traffic policies.

mod apply;
mod backtest;
mod browser;
mod by_hand;
mod challenge;
mod decide;
mod figures;
mod guarded;
mod ingest;
mod mitigations;
mod nodes;
mod parts;
mod redis;
mod secrets;
mod sets;
mod windows;

use serde_json::{Value, json};

const SET: &str = "/api/v1/tenants/default/policyset";

/// A set of one policy that blocks what has this path.
fn blocking(path: &str) -> Value {
    let block = "6b65796c-6f66-8000-8000-000000000303";
    json!({"policies": [
        {"name": "paths", "expression": format!("request_path == '{path}'"), "mitigationId": block},
    ]})
}
