//! Streams: their names, for those who may read them; their fields and settings, for admins.

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys::parse_tenant;
use super::receipt::{ReceiptView, Wait};
use crate::documents::instant::rfc3339;
use crate::error::{Error, ErrorKind};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::Json;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::key::{Actor, RetentionDays, StreamName, TenantId};
use crate::operators::Permission::ManageTenants;
use crate::operators::Scope;
use crate::serde_text::nullable;
use crate::stream::{Field, OnInvalid, StreamSchema, system};
use crate::sync::AuditAction;

/// The body of a PATCH; a setting that is not there stays, `null` clears it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamPatchBody {
    #[serde(default, deserialize_with = "nullable")]
    on_invalid: Option<Option<OnInvalid>>,
    #[serde(default, deserialize_with = "nullable")]
    retention_days: Option<Option<RetentionDays>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamView<'a> {
    tenant_id: &'a TenantId,
    stream: &'a StreamName,
    on_invalid: OnInvalid,
    retention_days: Option<RetentionDays>,
    #[serde(serialize_with = "rfc3339")]
    modified_at: Option<DateTime<Utc>>,
    modified_by: Option<&'a Actor>,
    fields: &'a [Field],
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<DeletionView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptView>,
}

/// A deletion that is not finished.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeletionView<'a> {
    #[serde(serialize_with = "rfc3339")]
    at: Option<DateTime<Utc>>,
    by: Option<&'a Actor>,
    days_left: usize,
}

impl<'a> StreamView<'a> {
    fn new(
        tenant_id: &'a TenantId,
        stream: &'a StreamName,
        schema: &'a StreamSchema,
        receipt: Option<ReceiptView>,
    ) -> Self {
        let settings = schema.settings();
        let deletion = settings.deletion.as_ref().filter(|deletion| deletion.pending);
        let deletion = deletion.map(|deletion| DeletionView {
            at: deletion.at,
            by: deletion.by.as_ref(),
            days_left: deletion.days.len(),
        });
        Self {
            tenant_id,
            stream,
            on_invalid: settings.on_invalid,
            retention_days: settings.retention_days,
            modified_at: settings.modified_at,
            modified_by: settings.attribution.modified_by.as_ref(),
            fields: schema.fields(),
            deletion,
            receipt,
        }
    }
}

/// The fields and settings of one stream, as this node knows them.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (tenant, stream) = parse(&path)?;
    app.keystore.tenant_read_through(&tenant).await?;
    let schema = match app.catalog.get(&tenant, &stream) {
        Some(schema) => Some(schema),
        None => {
            // Another node may have created it a moment ago.
            app.catalog.reload(&tenant, &stream).await?;
            app.catalog.get(&tenant, &stream)
        }
    };
    let schema = schema.ok_or_else(|| Problem::new(Code::NotFound, "There is no such stream."))?;
    Ok(HttpResponse::Ok().json(StreamView::new(&tenant, &stream, &schema, None)))
}

/// Changes the settings of a stream. One that does not exist yet is created, without a field: its first events find the
/// settings there.
///
/// # Errors
/// 400, 404, 410, 429 `too_many_streams`, 503.
pub async fn update(
    operator: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    Query(wait): Query<Wait>,
    Json(patch): Json<StreamPatchBody>,
) -> Result<HttpResponse, Problem> {
    let (start, patience) = (Instant::now(), wait.patience()?);
    let (tenant, stream) = parse(&path)?;
    if stream.is_system() && (patch.on_invalid.is_some() || patch.retention_days.is_none()) {
        let reason = "A stream that starts with keyloft_ is written by Keyloft: it has no setting but retentionDays.";
        return Err(Problem::invalid(reason));
    }
    let of_tenant = Scope::Tenant(tenant.clone());
    if stream.as_str() == system::AUDIT && operator.rights().may(ManageTenants, &of_tenant).is_err() {
        let reason = "The audit is kept as long as the platform says: its admins may change that.";
        return Err(Problem::new(Code::RoleNotAllowed, reason));
    }
    app.keystore.tenant_read_through(&tenant).await?;
    if stream.is_system() && !system::ALL.contains(&stream.as_str()) && app.catalog.get(&tenant, &stream).is_none() {
        let streams = system::ALL.join(", ");
        let reason = format!("There is no such stream: names that start with keyloft_ belong to Keyloft ({streams}).");
        return Err(Problem::new(Code::NotFound, reason));
    }
    let change = |settings: &mut crate::stream::StreamSettings| {
        if let Some(on_invalid) = patch.on_invalid {
            settings.on_invalid = on_invalid.unwrap_or_default();
        }
        if let Some(days) = patch.retention_days {
            settings.retention_days = days;
        }
    };
    let (schema, made) = app.catalog.change_settings(operator.context(), &tenant, &stream, change).await?;
    let revision = made.as_ref().map(|made| made.revision);
    let difference = made.map(|made| made.difference).unwrap_or_default();
    let action = (!difference.is_empty()).then_some(AuditAction::StreamUpdate);
    let (context, tenant_id, name) = (operator.context(), tenant.clone(), stream.clone());
    let change_seq = app.keystore.announce_settings(context, tenant_id, name, action, difference).await?;
    if let Some(revision) = revision
        && let Err(error) = app.catalog.note_logged(&tenant, &stream, revision).await
    {
        tracing::debug!("a change of settings is logged, which is not noted yet: {error:?}");
    }
    let (receipt, status) = ReceiptView::of(&app, change_seq, patience, start).await;
    Ok(HttpResponse::build(status).json(StreamView::new(&tenant, &stream, &schema, Some(receipt))))
}

/// How long a deletion waits for the other nodes, unless the request says so.
const DELETION_PATIENCE: Duration = Duration::from_secs(5);

/// Deletes a stream: its events, fields and settings. Answers 202 while some node has not applied it; until then fields
/// keep their types.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn delete(
    operator: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    Query(wait): Query<Wait>,
) -> Result<HttpResponse, Problem> {
    let (start, patience) = (Instant::now(), wait.patience()?);
    let (tenant, stream) = parse(&path)?;
    app.keystore.tenant_read_through(&tenant).await?;
    let (this, context, id) = (app.clone(), operator.context().clone(), (tenant.clone(), stream.clone()));
    // Continues when the client disconnects.
    let deletion = tokio::spawn(async move {
        this.compactor.delete_stream(&context, &id.0, &id.1, patience.unwrap_or(DELETION_PATIENCE)).await
    });
    let lost = |error| Error::new(ErrorKind::Internal, "the deletion has failed").caused_by(error);
    let deletion = deletion.await.map_err(lost)??;
    let (receipt, _) = ReceiptView::of(&app, deletion.change_seq, None, start).await;
    let status = if deletion.is_finished { StatusCode::OK } else { StatusCode::ACCEPTED };
    let body = json!({
        "tenantId": tenant, "stream": stream, "deleted": true, "finished": deletion.is_finished, "receipt": receipt,
    });
    Ok(HttpResponse::build(status).json(body))
}

fn parse((tenant, stream): &(String, String)) -> Result<(TenantId, StreamName), Problem> {
    Ok((parse_tenant(tenant)?, StreamName::parse(stream)?))
}
