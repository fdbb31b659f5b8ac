//! Documents that could not be used.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::http::app::App;
use crate::http::authorize::Operator;

/// All of them, by tenant and name.
pub async fn list(_: Operator, app: web::Data<App>) -> HttpResponse {
    let items: Vec<_> = app
        .unreadable()
        .iter()
        .map(|((tenant, object), reason)| json!({"tenant": tenant, "object": object, "reason": reason}))
        .collect();
    HttpResponse::Ok().json(json!({"items": items}))
}
