//! Reconcile this node with the bucket now.

use std::time::Instant;

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::http::app::App;
use crate::http::authorize::Operator;
use crate::http::error::Problem;
use crate::sync::Counts;

/// Answers when it is done, with counts.
///
/// # Errors
/// 503 when the store does not answer.
pub async fn run(_: Operator, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let Counts { tenants, keys, changed, removed, unreadable } = app.sync().await?;
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(HttpResponse::Ok().json(json!({
        "tenants": tenants, "keys": keys, "changed": changed, "removed": removed, "unreadable": unreadable,
        "elapsedMillis": millis,
    })))
}
