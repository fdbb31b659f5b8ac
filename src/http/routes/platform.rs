//! The whole installation: its nodes, how far a change has come, documents that cannot be used, and a full reconcile.

use std::time::Instant;

use actix_web::{HttpResponse, web};
use chrono::SecondsFormat;
use serde_json::json;

use super::receipt::ReceiptView;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::layout;
use crate::sync::Counts;

/// Every node, as its last heartbeat in the bucket describes it; this node as it is now.
///
/// # Errors
/// 503 when the store does not answer.
pub async fn nodes(_: Operator, app: web::Data<App>, _: Query<Nothing>) -> Result<HttpResponse, Problem> {
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

/// The receipt of a change as it is now.
///
/// # Errors
/// 400, 404 for a number that was never given, 503.
pub async fn change(
    _: Operator,
    app: web::Data<App>,
    seq: web::Path<String>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let seq: u64 = seq.parse().map_err(|_| Problem::invalid("The change number must be a whole number."))?;
    if seq > app.keystore.replica().applied_seq() {
        app.keystore.catch_up().await?;
    }
    if !(1..=app.keystore.replica().applied_seq()).contains(&seq) {
        return Err(Problem::new(Code::NotFound, "There is no such change."));
    }
    let receipt = app.keystore.replica().receipt(seq).await;
    if receipt.live_nodes.is_none() {
        return Err(Problem::new(Code::StoreUnavailable, "The list of nodes cannot be read."));
    }
    Ok(HttpResponse::Ok().json(ReceiptView::new(receipt, start)))
}

/// The documents that cannot be used, by tenant and name; those of the platform have no tenant.
pub async fn unreadable(_: Operator, app: web::Data<App>, _: Query<Nothing>) -> HttpResponse {
    let items: Vec<_> = app
        .unreadable()
        .iter()
        .map(|((tenant, object), reason)| {
            let tenant = (!layout::is_of_platform(object)).then_some(tenant);
            json!({"tenant": tenant, "object": object, "reason": reason})
        })
        .collect();
    HttpResponse::Ok().json(json!({"items": items}))
}

/// Compares this node with the bucket now. Answers when it is done, with counts.
///
/// # Errors
/// 503 when the store does not answer.
pub async fn reconcile(_: Operator, app: web::Data<App>, _: Query<Nothing>) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let Counts { tenants, keys, changed, removed, others, unreadable } = app.sync().await?;
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(HttpResponse::Ok().json(json!({
        "tenants": tenants, "keys": keys, "changed": changed, "removed": removed, "others": others,
        "unreadable": unreadable, "elapsedMillis": millis,
    })))
}
