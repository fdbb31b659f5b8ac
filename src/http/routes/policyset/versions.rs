//! The versions of a policy set.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use super::view::{PolicySetView, VersionView};
use super::{Asked, ChangeQuery, whole};
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::Json;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::http::routes::keys::parse_tenant;
use crate::http::routes::place::etag;

/// Versions that one answer lists.
const MAX_LIMIT: usize = 200;

/// The query string of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuery {
    before: Option<u64>,
    limit: Option<usize>,
}

/// The body of a rollback.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackBody {
    to: u64,
    comment: Option<String>,
}

/// The versions that are kept, the newest first.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn list(
    _: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let (tenant, limit) = (parse_tenant(&tenant)?, query.limit.unwrap_or(20));
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid(format!("limit is from 1 to {MAX_LIMIT}.")));
    }
    app.keystore.tenant_read_through(&tenant).await?;
    let in_force = app.policies.in_force(&tenant).map_or(0, |version| version.document.policy_set_version);
    let versions = app.policies.versions(&tenant, query.before, limit).await?;
    let items: Vec<_> = versions.into_iter().map(|info| VersionView::new(info, in_force)).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items })))
}

/// One version.
///
/// # Errors
/// 400, 404, 410, 500 `document_unreadable`, 503.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let tenant = parse_tenant(&path.0)?;
    let number = path.1.parse().map_err(|_| Problem::invalid("A version is a number."))?;
    app.keystore.tenant_read_through(&tenant).await?;
    let document = app.policies.version(&tenant, number).await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(number))).json(PolicySetView::new(Some(document))))
}

/// Deploys the set of an earlier version once more, as a new version.
///
/// # Errors
/// 400, 404, 410, 412, 500 `document_unreadable`, 503.
pub async fn roll_back(
    operator: Operator,
    app: web::Data<App>,
    request: HttpRequest,
    tenant: web::Path<String>,
    Query(query): Query<ChangeQuery>,
    Json(body): Json<RollbackBody>,
) -> Result<HttpResponse, Problem> {
    let (tenant, asked) = (parse_tenant(&tenant)?, Asked::new(&query, &request)?.commented(body.comment));
    app.keystore.tenant_read_through(&tenant).await?;
    super::prepare(&app, &asked.new).await?;
    let deployed = app.policies.roll_back(operator.context(), &tenant, body.to, asked.new.clone()).await?;
    Ok(whole::answer(&app, &asked, deployed).await)
}
