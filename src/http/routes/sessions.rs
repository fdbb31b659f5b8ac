//! The query sessions that are open on this node.

use actix_web::{HttpResponse, web};
use chrono::SecondsFormat;
use serde_json::json;

use crate::access::{SessionEnd, SessionId};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::key::Actor;

/// Those of the tenants that the operator may see, oldest first.
pub async fn list(operator: Operator, app: web::Data<App>, _: Query<Nothing>) -> HttpResponse {
    let items: Vec<_> = app
        .sessions
        .list()
        .iter()
        .filter(|session| operator.covers(&session.tenant))
        .map(|session| {
            json!({
                "sessionId": session.id.to_string(),
                "tenant": session.tenant,
                "keyId": session.key_id(),
                "operator": session.operator().map(name),
                "streams": session.streams(),
                "openedAt": session.opened_at.to_rfc3339_opts(SecondsFormat::Millis, true),
                "expiresAt": session.expires_at().to_rfc3339_opts(SecondsFormat::Millis, true),
            })
        })
        .collect();
    HttpResponse::Ok().json(json!({"items": items}))
}

/// Who has opened a session: the id of a person or a machine, or one of two words.
fn name(operator: &Actor) -> &str {
    match operator {
        Actor::AdminToken => "admin_token",
        other => other.as_str(),
    }
}

/// Ends one: its query stops, its client is cut off.
///
/// # Errors
/// 404 when no such session is open.
pub async fn end(
    operator: Operator,
    app: web::Data<App>,
    id: web::Path<String>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let open = app.sessions.list();
    let is_covered = |id| open.iter().any(|session| session.id == id && operator.covers(&session.tenant));
    match SessionId::parse(&id) {
        Some(id) if is_covered(id) && app.sessions.end(id, SessionEnd::Admin) => {
            Ok(HttpResponse::Ok().json(json!({"sessionId": id.to_string(), "ended": true})))
        }
        _ => Err(Problem::new(Code::NotFound, "No such query session is open.")),
    }
}
