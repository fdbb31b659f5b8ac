//! The metrics of this node.

use actix_web::{HttpResponse, web};

use crate::http::app::App;

/// OpenMetrics text.
pub async fn show(app: web::Data<App>) -> HttpResponse {
    let levels = app.levels().await;
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(app.metrics.render(levels))
}
