//! A key's own view of itself, from memory.

use actix_web::HttpResponse;
use chrono::SecondsFormat;
use serde_json::json;

use crate::access::Denial;
use crate::access::decide::decide;
use crate::http::authorize::Authorized;

/// Tenant, id, name, type, streams and expiry of the key that was presented, and whether its tenant is suspended for
/// what the key is for: such a key may still look at itself.
pub async fn show(authorized: Authorized) -> HttpResponse {
    let key = authorized.key();
    let use_of_key = decide(&authorized.permit().facts(), key.key_type.into()).denial();
    HttpResponse::Ok().json(json!({
        "tenant": key.tenant,
        "keyId": key.key_id,
        "keyName": key.name,
        "keyType": key.key_type,
        "streams": key.settings.streams,
        "suspended": matches!(use_of_key, Some(Denial::TenantSuspended(_))),
        "expiresAt": key.expires_at.map(|end| end.to_rfc3339_opts(SecondsFormat::Millis, true)),
    }))
}
