//! The streams that a key may read.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::auth::{Permit, Query};
use crate::http::app::App;

/// Their names, from memory.
pub async fn list(permit: Permit<Query>, app: web::Data<App>) -> HttpResponse {
    let streams = app.catalog.list(permit.tenant());
    let allowed = streams.iter().filter(|(name, _)| permit.check_stream(name).is_ok());
    HttpResponse::Ok().json(allowed.map(|(name, _)| json!({"name": name})).collect::<Vec<_>>())
}
