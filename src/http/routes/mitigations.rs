//! Active mitigations of a tenant: whom its policies hold, and letting them go.

use std::str::FromStr;
use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::keys::parse_tenant;
use super::receipt::{ReceiptView, patience};
use crate::documents::instant::rfc3339;
use crate::error::{Error, ErrorKind};
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::key::TenantId;
use crate::mitigations::{Hold, HoldKey};
use crate::policy::entity::Entity;
use crate::policy::set::{Mode, PolicyId};

/// The most that a page has.
const MAX_PAGE: usize = 1000;

/// The query string of the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The query string of a release.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseQuery {
    policy_id: Option<String>,
    wait: Option<String>,
}

/// The path of one entity.
#[derive(Debug, Deserialize)]
pub struct EntityPath {
    tenant: String,
    entity: String,
}

impl EntityPath {
    fn parse(&self) -> Result<(TenantId, Entity), Problem> {
        let entity = self.entity.parse().map_err(|error| Problem::invalid(format!("The entity is none: {error}.")))?;
        Ok((parse_tenant(&self.tenant)?, entity))
    }
}

/// Where a page ends: `<until in milliseconds>-<entity>-<policy>`.
struct Cursor(i64, HoldKey);

impl Cursor {
    fn text((key, hold): &(HoldKey, Hold)) -> String {
        format!("{}-{}-{}", hold.until_ms, key.entity, key.policy)
    }
}

impl FromStr for Cursor {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let read = || {
            let mut parts = text.splitn(3, '-');
            let (until_ms, entity, policy) = (parts.next()?, parts.next()?, parts.next()?);
            let policy = PolicyId(Uuid::try_parse(policy).ok()?);
            Some(Self(until_ms.parse().ok()?, HoldKey { policy, entity: entity.parse().ok()? }))
        };
        read().ok_or_else(|| Problem::invalid("The cursor was not issued for this list."))
    }
}

/// An entity that a policy holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HoldView {
    entity: String,
    policy_id: PolicyId,
    policy_name: Option<String>,
    mode: Mode,
    #[serde(serialize_with = "rfc3339")]
    since: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    until: Option<DateTime<Utc>>,
    policy_set_version: u64,
    decision_id: Uuid,
}

fn views(app: &App, tenant: &TenantId, held: &[(HoldKey, Hold)]) -> Vec<HoldView> {
    let version = app.policies.in_force(tenant);
    let name = |id: PolicyId| {
        let policy = version.as_ref()?.compiled.policies.iter().find(|policy| policy.id == id)?;
        Some(policy.name.to_string())
    };
    let view = |(key, hold): &(HoldKey, Hold)| HoldView {
        entity: key.entity.to_string(),
        policy_id: key.policy,
        policy_name: name(key.policy),
        mode: hold.mode,
        since: DateTime::from_timestamp_millis(hold.since_ms),
        until: DateTime::from_timestamp_millis(hold.until_ms),
        policy_set_version: hold.version,
        decision_id: hold.decision,
    };
    held.iter().map(view).collect()
}

/// A page of those who are held, the first to be let go first.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn list(
    _: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let (tenant, limit) = (parse_tenant(&tenant)?, query.limit.unwrap_or(100));
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid(format!("limit must be from 1 to {MAX_PAGE}.")));
    }
    let behind = query.cursor.as_deref().map(str::parse::<Cursor>).transpose()?;
    app.keystore.tenant_read_through(&tenant).await?;
    let behind = behind.map(|Cursor(until_ms, key)| (until_ms, key));
    let mut held = app.decider.mitigations().list(&tenant, behind, limit + 1);
    let has_more = held.len() > limit;
    held.truncate(limit);
    let next = held.last().filter(|_| has_more).map(Cursor::text);
    let body = json!({ "items": views(&app, &tenant, &held), "nextCursor": next });
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

/// The policies that hold one entity.
///
/// # Errors
/// 400, 404 when nobody holds it, 410, 503.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    path: web::Path<EntityPath>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (tenant, entity) = path.parse()?;
    app.keystore.tenant_read_through(&tenant).await?;
    let held = app.decider.mitigations().holding(&tenant, entity);
    if held.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "no policy holds this entity").into());
    }
    let body = json!({ "entity": entity.to_string(), "items": views(&app, &tenant, &held) });
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

/// Lets an entity go on all nodes: by all policies, or by one. An entity that is not held is
/// released all the same. `degraded` says that Redis, where windows are counted together, did not answer: what it has
/// counted stays.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn release(
    operator: Operator,
    app: web::Data<App>,
    path: web::Path<EntityPath>,
    Query(query): Query<ReleaseQuery>,
) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let ((tenant, entity), patience) = (path.parse()?, patience(query.wait.as_deref())?);
    let policy = query.policy_id.as_deref().map(Uuid::try_parse).transpose();
    let policy = policy.map_err(|_| Problem::invalid("policyId is a UUID."))?.map(PolicyId);
    app.keystore.tenant_read_through(&tenant).await?;
    let (mitigations, context) = (app.decider.mitigations(), operator.context());
    let released = mitigations.release(&app.keystore, context, &tenant, entity, policy).await?;
    let degraded = !app.decider.forget_shared(&tenant, entity, policy).await;
    let (receipt, status) = ReceiptView::of(&app, released.change_seq, patience, start).await;
    let body = json!({
        "entity": entity.to_string(), "released": views(&app, &tenant, &released.holds), "receipt": receipt,
        "degraded": degraded,
    });
    Ok(HttpResponse::build(status).json(body))
}
