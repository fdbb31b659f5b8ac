//! A key's own view of itself, from memory.

use actix_web::HttpResponse;
use chrono::SecondsFormat;
use serde_json::json;

use crate::http::authorize::Authorized;

/// Tenant, id, name, type, streams and expiry of the key that was presented.
pub async fn show(authorized: Authorized) -> HttpResponse {
    let key = authorized.key();
    HttpResponse::Ok().json(json!({
        "tenant": key.tenant,
        "keyId": key.key_id,
        "keyName": key.name,
        "keyType": key.key_type,
        "streams": key.settings.streams,
        "expiresAt": key.expires_at.map(|end| end.to_rfc3339_opts(SecondsFormat::Millis, true)),
    }))
}
