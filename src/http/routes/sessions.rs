//! The query sessions that are open on this node.

use actix_web::{HttpResponse, web};
use chrono::SecondsFormat;
use serde_json::json;

use crate::access::{SessionEnd, SessionId};
use crate::http::app::App;
use crate::http::authorize::Operator;
use crate::http::error::{Code, Problem};

/// All of them, oldest first.
pub async fn list(_: Operator, app: web::Data<App>) -> HttpResponse {
    let items: Vec<_> = app
        .sessions
        .list()
        .iter()
        .map(|session| {
            json!({
                "sessionId": session.id.to_string(),
                "tenant": session.tenant,
                "keyId": session.key_id,
                "streams": session.streams(),
                "openedAt": session.opened_at.to_rfc3339_opts(SecondsFormat::Millis, true),
                "expiresAt": session.expires_at().to_rfc3339_opts(SecondsFormat::Millis, true),
            })
        })
        .collect();
    HttpResponse::Ok().json(json!({"items": items}))
}

/// Ends one: its query stops, its client is cut off.
///
/// # Errors
/// 404 when no such session is open.
pub async fn end(_: Operator, app: web::Data<App>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    match SessionId::parse(&id) {
        Some(id) if app.sessions.end(id, SessionEnd::Admin) => {
            Ok(HttpResponse::Ok().json(json!({"sessionId": id.to_string(), "ended": true})))
        }
        _ => Err(Problem::new(Code::NotFound, "No such query session is open.")),
    }
}
