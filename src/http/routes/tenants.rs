//! Tenants, for admins.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys::parse_tenant;
use super::receipt::{ReceiptView, Wait};
use super::views::TenantView;
use crate::error::ErrorKind;
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::Json;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::key::{KeyType, Label, Limits, RetentionDays, Tenant, TenantId};
use crate::keystore::{TenantDeletion, TenantPatch};
use crate::serde_text::{given, nullable};

/// The most tenants of a page.
const MAX_PAGE: usize = 1000;

/// The body of a creation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    tenant_id: TenantId,
    name: Option<Label>,
    #[serde(default)]
    limits: Limits,
    default_key_lifetime_seconds: Option<NonZeroU32>,
    max_key_lifetime_seconds: Option<NonZeroU32>,
    retention_days: Option<RetentionDays>,
}

/// The body of a PATCH; a field that is not there stays, `null` clears it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantPatchBody {
    #[serde(default, deserialize_with = "nullable")]
    name: Option<Option<Label>>,
    #[serde(default, deserialize_with = "given")]
    suspended: Option<BTreeSet<KeyType>>,
    #[serde(default, deserialize_with = "nullable")]
    limits: Option<Option<Limits>>,
    #[serde(default, deserialize_with = "nullable")]
    default_key_lifetime_seconds: Option<Option<NonZeroU32>>,
    #[serde(default, deserialize_with = "nullable")]
    max_key_lifetime_seconds: Option<Option<NonZeroU32>>,
    #[serde(default, deserialize_with = "nullable")]
    retention_days: Option<Option<RetentionDays>>,
}

#[derive(Serialize)]
struct ChangedTenant<'a> {
    #[serde(flatten)]
    tenant: TenantView<'a>,
    receipt: ReceiptView,
}

/// Creates a tenant.
///
/// # Errors
/// 400, 409 `duplicate_tenant`, 410, 503.
pub async fn create(
    operator: Operator,
    app: web::Data<App>,
    Query(wait): Query<Wait>,
    Json(body): Json<Create>,
) -> Result<HttpResponse, Problem> {
    let (start, patience) = (Instant::now(), wait.patience()?);
    let said = TenantPatch {
        name: Some(body.name),
        suspended: None,
        limits: Some(body.limits),
        default_key_lifetime_seconds: Some(body.default_key_lifetime_seconds),
        max_key_lifetime_seconds: Some(body.max_key_lifetime_seconds),
        retention_days: Some(body.retention_days),
    };
    let created = app.keystore.create_tenant_with(operator.context(), body.tenant_id, said).await?;
    let (receipt, _) = ReceiptView::of(&app, created.change_seq, patience, start).await;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/tenants/{}", created.value.id)))
        .json(ChangedTenant { tenant: TenantView::new(&created.value), receipt }))
}

/// The parameters of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The tenants that the operator may see and that are not deleted, in order of id: all of them, or a page.
///
/// # Errors
/// 400.
pub async fn list(
    operator: Operator,
    app: web::Data<App>,
    Query(query): Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    if query.limit.is_some_and(|limit| !(1..=MAX_PAGE).contains(&limit)) {
        return Err(Problem::invalid("limit must be from 1 to 1000."));
    }
    let after = query.cursor.as_deref().map(TenantId::parse).transpose();
    let after = after.map_err(|_| Problem::invalid("The cursor was not issued for this list."))?;
    let tenants = app.keystore.tenants();
    let is_seen =
        |tenant: &&Arc<Tenant>| operator.covers(&tenant.id) && after.as_ref().is_none_or(|after| tenant.id > *after);
    let mut seen: Vec<_> = tenants.iter().filter(is_seen).collect();
    let has_more = query.limit.is_some_and(|limit| seen.len() > limit);
    seen.truncate(query.limit.unwrap_or(usize::MAX));
    let next = seen.last().filter(|_| has_more).map(|tenant| &tenant.id);
    let items: Vec<_> = seen.iter().map(|tenant| TenantView::new(tenant)).collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next})))
}

/// One tenant; of a deleted one whose events are erased, how far that is.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    id: web::Path<String>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let id = parse_tenant(&id)?;
    let tenant = match app.keystore.tenant_read_through(&id).await {
        Err(error) if error.kind() == ErrorKind::TenantDeleted => {
            let erasure = app.keystore.erasure(&id).await?.ok_or(error)?;
            return Ok(HttpResponse::Ok().json(json!({"tenantId": id, "deleted": true, "erasure": erasure})));
        }
        found => found?,
    };
    Ok(HttpResponse::Ok().json(TenantView::new(&tenant)))
}

/// Renames or suspends a tenant, or changes what its keys may. A suspension for queries ends the running ones.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn update(
    operator: Operator,
    app: web::Data<App>,
    id: web::Path<String>,
    Query(wait): Query<Wait>,
    Json(patch): Json<TenantPatchBody>,
) -> Result<HttpResponse, Problem> {
    let (start, patience) = (Instant::now(), wait.patience()?);
    let patch = TenantPatch {
        name: patch.name,
        suspended: patch.suspended,
        limits: patch.limits.map(Option::unwrap_or_default),
        default_key_lifetime_seconds: patch.default_key_lifetime_seconds,
        max_key_lifetime_seconds: patch.max_key_lifetime_seconds,
        retention_days: patch.retention_days,
    };
    let updated = app.keystore.update_tenant(operator.context(), &parse_tenant(&id)?, patch).await?;
    let (receipt, status) = ReceiptView::of(&app, updated.change_seq, patience, start).await;
    Ok(HttpResponse::build(status).json(ChangedTenant { tenant: TenantView::new(&updated.value), receipt }))
}

/// What becomes of the events of a tenant that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Events {
    #[default]
    Keep,
    Delete,
}

/// The parameters of a deletion.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletionQuery {
    wait: Option<String>,
    #[serde(default)]
    events: Events,
}

/// Deletes a tenant: its keys stop working, its queries end, its id is not given again, its events stay unless they are
/// to be deleted. Answers 202 when keys are still to be revoked or events to be erased, which goes on in the
/// background; keys are refused already.
///
/// # Errors
/// 400, 404, 409 `tenant_protected`, 503.
pub async fn delete(
    operator: Operator,
    app: web::Data<App>,
    id: web::Path<String>,
    Query(DeletionQuery { wait, events }): Query<DeletionQuery>,
) -> Result<HttpResponse, Problem> {
    let (start, id, patience) = (Instant::now(), parse_tenant(&id)?, Wait::new(wait).patience()?);
    let erasing = events == Events::Delete;
    let TenantDeletion { change_seq, keys_to_revoke } = match events {
        Events::Keep => app.keystore.delete_tenant(operator.context(), &id).await?,
        Events::Delete => app.keystore.delete_tenant_and_events(operator.context(), &id).await?,
    };
    let (receipt, status) = ReceiptView::of(&app, change_seq, patience, start).await;
    let status = if keys_to_revoke > 0 || erasing { StatusCode::ACCEPTED } else { status };
    // What was begun is not taken back.
    let erasure = app.keystore.erasure(&id).await.ok().flatten();
    let erasing = erasing || erasure.is_some_and(|erasure| erasure.finished_at.is_none());
    let body = json!({
        "tenantId": id, "deleted": true, "keysToRevoke": keys_to_revoke, "erasing": erasing, "receipt": receipt,
    });
    Ok(HttpResponse::build(status).json(body))
}
