//! The streams that a key may read.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::http::app::App;
use crate::http::authorize::Authorized;

#[derive(Serialize)]
struct ListedStream<'a> {
    name: &'a str,
}

/// Their names, from memory.
pub async fn list(authorized: Authorized, app: web::Data<App>) -> HttpResponse {
    let streams = app.catalog.list(authorized.tenant());
    let allowed = streams.iter().filter(|(name, _)| authorized.key().covers(name));
    HttpResponse::Ok().json(allowed.map(|(name, _)| ListedStream { name: name.as_str() }).collect::<Vec<_>>())
}
