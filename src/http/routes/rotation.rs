//! Rotation: a new secret for a key.

use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::TimeDelta;
use serde::Deserialize;

use super::keys::{ChangedKey, etag, parse_key};
use super::receipt::{ReceiptView, Wait};
use super::views::KeyView;
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::JsonOrNothing;
use crate::http::if_match::if_match;
use crate::http::imported_secret::{DigestText, HintText, PlainText, imported_secret};
use crate::http::operator::Operator;
use crate::http::query_string::Query;

/// The default overlap in seconds: enough to roll the new secret out.
pub(super) const OVERLAP_SECONDS: u32 = 3600;

/// The body of a rotation; every field is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotate {
    overlap_seconds: Option<u32>,
    api_key: Option<PlainText>,
    digest: Option<DigestText>,
    hint: Option<HintText>,
}

/// Gives a key a new secret, and shows it once unless it was imported. The old secret works until the overlap ends.
///
/// # Errors
/// 400, 404, 409 `key_revoked`, `too_many_secrets` or `duplicate_api_key`, 410, 412, 503.
pub async fn rotate(
    operator: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    Query(wait): Query<Wait>,
    request: HttpRequest,
    JsonOrNothing(body): JsonOrNothing<Rotate>,
) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let ((tenant, id), patience) = (parse_key(&path)?, wait.patience()?);
    let revision = if_match(&app, &request, &tenant, id).await?;
    let overlap = TimeDelta::seconds(body.overlap_seconds.unwrap_or(OVERLAP_SECONDS).into());
    let key_type = app.keystore.find_read_through(&tenant, id).await?.key_type;
    let (key, shown, change_seq) = match imported_secret(&app, key_type, body.api_key.as_ref(), body.digest, body.hint)?
    {
        Some(own) => {
            let rotated = app.keystore.rotate_to(operator.context(), &tenant, id, own, overlap, revision).await?;
            (rotated.value, None, rotated.change_seq)
        }
        None => {
            let rotated = app.keystore.rotate(operator.context(), &tenant, id, overlap, revision).await?;
            (rotated.key, Some(rotated.secret), rotated.change_seq)
        }
    };
    let (receipt, status) = ReceiptView::of(&app, change_seq, patience, start).await;
    let api_key = shown.as_ref().map(|secret| secret.expose());
    let view = ChangedKey { key: KeyView::new(&key, app.keystore.now()), api_key, receipt };
    Ok(HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ETAG, etag(&key)))
        .json(view))
}
