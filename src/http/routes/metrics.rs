//! The metrics of this node.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::accept;
use crate::http::app::App;
use crate::telemetry::metrics::MetricsFormat;

/// Text in the format that `Accept` prefers: OpenMetrics, or the one of Prometheus that is older.
pub async fn show(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let format = accept::preferred(&request, |range| match range {
        "text/plain" | "text/*" => Some(MetricsFormat::Prometheus),
        "application/openmetrics-text" | "application/*" | "*/*" => Some(MetricsFormat::OpenMetrics),
        _ => None,
    });
    let format = format.unwrap_or_default();
    let levels = app.levels().await;
    HttpResponse::Ok().content_type(format.content_type()).body(app.metrics.render(levels, format))
}
