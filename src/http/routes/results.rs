//! What the policies of a tenant have done, out of the stream `keyloft_decisions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::keys::parse_tenant;
use crate::error::ErrorKind;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::operator::Operator;
use crate::http::query_string::Query;
use crate::key::{StreamName, Streams, TenantId};
use crate::query::{Format, QueryRequest, Scope};
use crate::serde_text::Rfc3339;
use crate::stream::system::DECISIONS;

/// The recent decisions that one answer shows.
const RECENT: usize = 20;
/// The largest answer of the engine that is read, in bytes: 200 policies, five outcomes, and their names.
const MAX_BYTES: usize = 4 << 20;
/// Rows are written later than what they tell of, and senders' clocks may be ahead by this.
const AHEAD: TimeDelta = TimeDelta::minutes(2);

/// The query string: which time.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Period {
    from: Option<Rfc3339>,
    to: Option<Rfc3339>,
}

/// What one policy has done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyResult {
    policy_id: String,
    name: String,
    total: u64,
    observe: u64,
    challenge: u64,
    block: u64,
    exempted: u64,
    cleared: u64,
    last_matched_at: Option<String>,
}

impl Period {
    /// The condition on rows.
    fn condition(&self) -> Result<String, Problem> {
        let (from, to) = (self.from.map(|at| at.0), self.to.map(|at| at.0));
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(Problem::invalid("from must not be after to."));
        }
        let bound = |sign: &str, at: Option<DateTime<Utc>>| {
            at.map(|at| format!("observed_at {sign} '{}'", at.to_rfc3339_opts(SecondsFormat::Millis, true)))
        };
        let bounds: Vec<String> = [bound(">=", from), bound("<", to)].into_iter().flatten().collect();
        Ok(if bounds.is_empty() { "true".to_owned() } else { bounds.join(" AND ") })
    }

    /// From when on rows may have been written.
    fn written_from(&self) -> Option<DateTime<Utc>> {
        self.from.and_then(|from| from.0.checked_sub_signed(AHEAD))
    }
}

/// Each policy of the set in force and each that has matched in that time, with how often it did what.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn list(
    _: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    Query(period): Query<Period>,
) -> Result<HttpResponse, Problem> {
    let tenant = parse_tenant(&tenant)?;
    app.keystore.tenant_read_through(&tenant).await?;
    let items = results(&app, &tenant, &period, "true").await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({ "items": items })))
}

/// One policy, and the last decisions that it took part in.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    Query(period): Query<Period>,
) -> Result<HttpResponse, Problem> {
    let tenant = parse_tenant(&path.0)?;
    let id = Uuid::try_parse(&path.1).map_err(|_| Problem::invalid("The id of a policy is a UUID."))?;
    app.keystore.tenant_read_through(&tenant).await?;
    let of_policy = format!("policy_id = '{id}'");
    let items = results(&app, &tenant, &period, &of_policy).await?;
    let result = items.into_iter().find(|item| item.policy_id == id.to_string());
    let result = result.ok_or_else(|| Problem::new(Code::NotFound, "There is no such policy, and no result of it."))?;
    let sql = format!(
        "SELECT decision_id, observed_at, door, policy_set_version, outcome, action, decided, reason, actions, entity, \
         window_count, request_method, request_host, request_path, response_status FROM {DECISIONS} \
         WHERE {of_policy} AND {} ORDER BY observed_at DESC, decision_id LIMIT {RECENT}",
        period.condition()?
    );
    let recent = rows(&app, &tenant, &sql, &period).await?;
    let mut body = json!(result);
    body["recent"] = Value::Array(recent);
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

async fn results(app: &App, tenant: &TenantId, period: &Period, condition: &str) -> Result<Vec<PolicyResult>, Problem> {
    // What this node has decided and not written yet belongs to it; what cannot be written now follows later.
    let _ = app.decider.recorder().flush().await;
    let sql = format!(
        "SELECT policy_id, outcome, count(*) AS n, max(observed_at) AS last, max(policy_name) AS name \
         FROM {DECISIONS} WHERE {condition} AND {} GROUP BY policy_id, outcome",
        period.condition()?
    );
    let mut found: BTreeMap<String, PolicyResult> = BTreeMap::new();
    for row in rows(app, tenant, &sql, period).await? {
        let text = |member: &str| row[member].as_str().unwrap_or_default().to_owned();
        let id = text("policy_id");
        let result = found.entry(id.clone()).or_default();
        (result.policy_id, result.name) = (id, text("name"));
        let count = row["n"].as_u64().unwrap_or_default();
        result.total += count;
        match row["outcome"].as_str() {
            Some("challenge") => result.challenge += count,
            Some("block") => result.block += count,
            Some("exempted") => result.exempted += count,
            Some("cleared") => result.cleared += count,
            _ => result.observe += count,
        }
        result.last_matched_at = result.last_matched_at.take().max(row["last"].as_str().map(str::to_owned));
    }
    if let Some(version) = app.policies.in_force(tenant) {
        for policy in &version.document.policies {
            let Some(id) = policy.policy_id.map(|id| id.to_string()) else { continue };
            let result = found.entry(id.clone()).or_default();
            (result.policy_id, result.name) = (id, policy.name.clone());
        }
    }
    let mut items: Vec<PolicyResult> = found.into_values().collect();
    items.sort_by(|a, b| (&a.name, &a.policy_id).cmp(&(&b.name, &b.policy_id)));
    Ok(items)
}

/// The rows of a query over the decisions; none while there is no decision yet.
async fn rows(app: &App, tenant: &TenantId, sql: &str, period: &Period) -> Result<Vec<Value>, Problem> {
    let stream = StreamName::parse(DECISIONS)?;
    if app.catalog.get(tenant, &stream).is_none_or(|schema| schema.fields().is_empty()) {
        return Ok(Vec::new());
    }
    let only: Streams = DECISIONS.parse()?;
    let scope = Scope { tenant: tenant.clone(), access: Arc::new(only) };
    let query = QueryRequest::new(sql, period.written_from(), None)?;
    let mut answer = app.engine.run(scope, query, Format::JsonArray).await.map_err(|error| match error.kind() {
        ErrorKind::Invalid => Problem::new(Code::Internal, "The decisions cannot be read."),
        _ => error.into(),
    })?;
    let mut body = Vec::new();
    while let Some(part) = answer.next().await {
        let part = part.map_err(|_| Problem::new(Code::StoreUnavailable, "The decisions cannot be read now."))?;
        body.extend_from_slice(&part);
        if body.len() > MAX_BYTES {
            return Err(Problem::new(Code::QueryTooLarge, "There are too many results: ask for a shorter time."));
        }
    }
    serde_json::from_slice(&body).map_err(|_| Problem::new(Code::Internal, "The decisions cannot be read."))
}
