//! Machines: programs that administer with tokens of their own. For people.

use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::place::{Place, etag, location};
use super::receipt::{ReceiptView, Wait};
use crate::documents::instant::{required, rfc3339};
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::{Json, JsonOrNothing};
use crate::http::if_match::named;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::key::{Actor, Label, MachineId, Networks, TenantId};
use crate::operators::machine::OlderToken;
use crate::operators::{Machine, MachinePatch, MachineRequest, NewMachine, Role, Scope};
use crate::serde_text::given;

/// The default overlap in seconds: enough to roll the new token out.
const OVERLAP_SECONDS: u32 = 3600;

/// The body of a creation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    name: Label,
    role: Role,
    #[serde(default)]
    allowed_cidrs: Networks,
    expires_in_seconds: Option<u32>,
}

/// The body of a PATCH; a field that is not there stays.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachinePatchBody {
    #[serde(default, deserialize_with = "given")]
    name: Option<Label>,
    #[serde(default, deserialize_with = "given")]
    role: Option<Role>,
    #[serde(default, deserialize_with = "given")]
    allowed_cidrs: Option<Networks>,
    #[serde(default, deserialize_with = "given")]
    expires_in_seconds: Option<u32>,
}

/// The body of a rotation; every field is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotate {
    overlap_seconds: Option<u32>,
}

/// A machine, without its token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MachineView<'a> {
    id: MachineId,
    tenant: Option<&'a TenantId>,
    name: &'a str,
    role: Role,
    token_hint: String,
    allowed_cidrs: &'a Networks,
    created_by: Option<&'a Actor>,
    #[serde(serialize_with = "rfc3339")]
    created_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    modified_at: Option<DateTime<Utc>>,
    modified_by: Option<&'a Actor>,
    #[serde(serialize_with = "required")]
    expires_at: DateTime<Utc>,
    expired: bool,
    rev: u64,
    older_tokens: Vec<OlderTokenView>,
}

/// A token that was rotated away and still works.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OlderTokenView {
    token_hint: String,
    #[serde(serialize_with = "required")]
    until: DateTime<Utc>,
}

#[derive(Serialize)]
struct ChangedMachine<'a> {
    #[serde(flatten)]
    machine: MachineView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    receipt: ReceiptView,
}

impl<'a> MachineView<'a> {
    fn new(scope: &'a Scope, id: MachineId, machine: &'a Machine, now: DateTime<Utc>) -> Self {
        let older = |older: &OlderToken| OlderTokenView { token_hint: masked(older.hint.as_str()), until: older.until };
        Self {
            id,
            tenant: scope.tenant(),
            name: machine.name.as_str(),
            role: machine.role,
            token_hint: masked(machine.hint()),
            allowed_cidrs: &machine.allowed_cidrs,
            created_by: machine.created_by.as_ref(),
            created_at: machine.created_at,
            modified_at: machine.modified_at,
            modified_by: machine.attribution.modified_by.as_ref(),
            expires_at: machine.expires_at,
            expired: machine.expires_at <= now,
            rev: machine.rev,
            older_tokens: machine.older_tokens(now).map(older).collect(),
        }
    }
}

fn masked(hint: &str) -> String {
    format!("…{hint}")
}

/// Makes a machine; its token is shown once.
///
/// # Errors
/// 400, 404, 409 `duplicate_key_name`, 410, 503.
pub async fn create(
    operator: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    Query(wait): Query<Wait>,
    Json(body): Json<Create>,
) -> Result<HttpResponse, Problem> {
    let (start, patience, scope) = (Instant::now(), wait.patience()?, place.scope()?);
    let new = NewMachine {
        name: body.name,
        role: body.role,
        allowed_cidrs: body.allowed_cidrs,
        lifetime: body.expires_in_seconds.map(seconds),
    };
    let (id, made) = app.machines.create(&asked(&operator, None), scope.clone(), new).await?;
    let (receipt, _) = ReceiptView::of(&app, made.change_seq, patience, start).await;
    let machine = MachineView::new(&scope, id, &made.machine, app.keystore.now());
    let location = location(&scope, "service-operators", &id);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .insert_header((header::ETAG, etag(made.machine.rev)))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(ChangedMachine { machine, token: Some(made.token.expose()), receipt }))
}

/// The machines of a tenant, or of the platform.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn list(
    _: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (scope, now) = (place.scope()?, app.keystore.now());
    if let Some(tenant) = scope.tenant() {
        app.keystore.tenant_read_through(tenant).await?;
    }
    let machines = app.machines.list(&scope);
    let items: Vec<_> = machines.iter().map(|(id, machine)| MachineView::new(&scope, *id, machine, now)).collect();
    Ok(HttpResponse::Ok().json(json!({"items": items})))
}

/// One machine.
///
/// # Errors
/// 400, 404, 503.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (scope, id) = (place.scope()?, place.id()?);
    let machine = app.machines.show(&scope, id).await?;
    let view = MachineView::new(&scope, id, &machine, app.keystore.now());
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(machine.rev))).json(view))
}

/// Renames a machine, or changes its role, its networks or its expiry. Its token stays.
///
/// # Errors
/// 400, 404, 409 `duplicate_key_name`, 412, 500 `document_unreadable`, 503.
pub async fn update(
    operator: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    Query(wait): Query<Wait>,
    request: HttpRequest,
    Json(body): Json<MachinePatchBody>,
) -> Result<HttpResponse, Problem> {
    let (start, patience, scope, id) = (Instant::now(), wait.patience()?, place.scope()?, place.id()?);
    let patch = MachinePatch {
        name: body.name,
        role: body.role,
        allowed_cidrs: body.allowed_cidrs,
        lifetime: body.expires_in_seconds.map(seconds),
    };
    let changed = app.machines.update(&asked(&operator, Some(&request)), &scope, id, patch).await?;
    let (receipt, status) = ReceiptView::of(&app, changed.change_seq, patience, start).await;
    let machine = MachineView::new(&scope, id, &changed.value, app.keystore.now());
    Ok(HttpResponse::build(status).insert_header((header::ETAG, etag(changed.value.rev))).json(ChangedMachine {
        machine,
        token: None,
        receipt,
    }))
}

/// Gives a machine a new token, and shows it once. The old one works until the overlap ends.
///
/// # Errors
/// 400, 404, 409 `too_many_secrets`, 412, 500 `document_unreadable`, 503.
pub async fn rotate(
    operator: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    Query(wait): Query<Wait>,
    request: HttpRequest,
    JsonOrNothing(body): JsonOrNothing<Rotate>,
) -> Result<HttpResponse, Problem> {
    let (start, patience, scope, id) = (Instant::now(), wait.patience()?, place.scope()?, place.id()?);
    let overlap = seconds(body.overlap_seconds.unwrap_or(OVERLAP_SECONDS));
    let rotated = app.machines.rotate(&asked(&operator, Some(&request)), &scope, id, overlap).await?;
    let (receipt, status) = ReceiptView::of(&app, rotated.change_seq, patience, start).await;
    let machine = MachineView::new(&scope, id, &rotated.machine, app.keystore.now());
    Ok(HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ETAG, etag(rotated.machine.rev)))
        .json(ChangedMachine { machine, token: Some(rotated.token.expose()), receipt }))
}

/// Removes a machine: its tokens are refused on this node at once.
///
/// # Errors
/// 400, 404, 412, 503.
pub async fn remove(
    operator: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    Query(wait): Query<Wait>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (start, patience, scope, id) = (Instant::now(), wait.patience()?, place.scope()?, place.id()?);
    let change_seq = app.machines.remove(&asked(&operator, Some(&request)), &scope, id).await?;
    let (receipt, status) = ReceiptView::of(&app, change_seq, patience, start).await;
    Ok(HttpResponse::build(status).json(json!({"id": id, "removed": true, "receipt": receipt})))
}

fn asked(operator: &Operator, request: Option<&HttpRequest>) -> MachineRequest {
    MachineRequest {
        context: operator.context().clone(),
        ceiling: operator.ceiling(),
        revisions: request.and_then(|request| named(request.headers())),
    }
}

fn seconds(seconds: u32) -> TimeDelta {
    TimeDelta::seconds(seconds.into())
}
