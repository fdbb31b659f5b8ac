//! The nodes that share the bucket, and the last change that each has applied.

use actix_web::{HttpResponse, web};
use chrono::SecondsFormat;
use serde_json::json;

use crate::http::app::App;
use crate::http::authorize::Operator;
use crate::http::error::Problem;

/// Every node, as its last heartbeat in the bucket describes it; this node as it is now.
///
/// # Errors
/// 503 when the store does not answer.
pub async fn list(_: Operator, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let replica = app.keystore.replica();
    let mut items = Vec::new();
    for node in replica.nodes().await? {
        items.push(json!({
            "nodeId": node.node_id,
            "appliedSeq": node.applied_seq,
            "lagSeconds": replica.lag_seconds(&node).await?,
            "lastSeenAt": node.last_seen_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "live": node.live,
        }));
    }
    Ok(HttpResponse::Ok().json(json!({"items": items})))
}
