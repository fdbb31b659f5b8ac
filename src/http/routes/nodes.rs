//! The nodes that share the bucket: so far, this one.

use std::sync::atomic::Ordering;

use actix_web::{HttpResponse, web};
use chrono::SecondsFormat;
use serde_json::json;

use crate::http::app::App;
use crate::http::extract::Operator;

/// This node and what it has applied.
pub async fn list(_: Operator, app: web::Data<App>) -> HttpResponse {
    let node = json!({
        "nodeId": app.node_id.to_string(),
        "appliedSeq": app.changes.load(Ordering::Relaxed),
        "lagSeconds": 0,
        "lastSeenAt": app.keystore.now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "live": true,
    });
    HttpResponse::Ok().json(json!({"items": [node]}))
}
