//! Liveness, readiness, metrics, and 404 where there is no route.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::media_type::preferred;
use crate::telemetry::metrics::MetricsFormat;

/// The process answers.
pub async fn liveness() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

/// Ready: all keys are loaded and the node is not shutting down. An outage of the store does not make a node unready:
/// it serves from memory, and the answer states the age of its view, and whether it was compared with the store.
///
/// # Errors
/// 503 before the keys are loaded and during shutdown.
pub async fn readiness(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    if !app.keystore.cache().is_hydrated() {
        return Err(Problem::new(Code::NotReady, "The keys are not loaded yet."));
    }
    let keystore = &app.keystore;
    let age = keystore.replica().age().map_or(0, |age| age.num_milliseconds());
    Ok(HttpResponse::Ok().json(json!({
        "status": "ready",
        "appliedSeq": keystore.replica().applied_seq(),
        "viewAgeSeconds": Duration::from_millis(age.unsigned_abs()).as_secs_f64(),
        "verified": keystore.cache().is_verified(),
        "stale": !keystore.cache().is_good_at(keystore.now()),
    })))
}

/// The metrics of this node, in the format that `Accept` prefers: OpenMetrics, or the one of Prometheus that is older.
pub async fn metrics(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let format = preferred(&request, |range| match range {
        "text/plain" | "text/*" => Some(MetricsFormat::Prometheus),
        "application/openmetrics-text" | "application/*" | "*/*" => Some(MetricsFormat::OpenMetrics),
        _ => None,
    });
    let format = format.unwrap_or_default();
    let levels = app.levels().await;
    HttpResponse::Ok().content_type(format.content_type()).body(app.metrics.render(levels, format))
}

/// No such route.
///
/// # Errors
/// Always: 404.
pub async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::NotFound, "There is no such route."))
}
