//! The policy set as a whole.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::view::PolicySetView;
use super::{Asked, ChangeQuery};
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::LargeJson;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::http::routes::keys::parse_tenant;
use crate::http::routes::place::etag;
use crate::policy::set::{Action, EntityDefinition, Mitigation, Policy, PolicySet, SetMode, Traffic};
use crate::policy_book::{Deployed, Refusal};

/// The body of a PUT; what is left out is empty.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySetBody {
    comment: Option<String>,
    /// What a GET shows beside the set may be sent back, and says nothing.
    #[serde(rename = "policySetVersion", default)]
    _policy_set_version: IgnoredAny,
    #[serde(rename = "createdAt", default)]
    _created_at: IgnoredAny,
    #[serde(rename = "createdBy", default)]
    _created_by: IgnoredAny,
    #[serde(rename = "restores", default)]
    _restores: IgnoredAny,
    #[serde(default)]
    mode: SetMode,
    exempt: Option<String>,
    #[serde(default)]
    traffic: Traffic,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    entities: Vec<EntityDefinition>,
    #[serde(default)]
    mitigations: Vec<Mitigation>,
    #[serde(default)]
    policies: Vec<Policy>,
}

/// The set in force; version 0 without a part before the first one.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let tenant = parse_tenant(&tenant)?;
    app.keystore.tenant_read_through(&tenant).await?;
    let document = app.policies.in_force(&tenant).map(|version| version.document.clone());
    let number = document.as_ref().map_or(0, |document| document.policy_set_version);
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(number))).json(PolicySetView::new(document)))
}

/// Replaces the set by a new version, at once and as a whole. Parts without an id keep that of the part with their
/// name.
///
/// # Errors
/// 400 `invalid_expression` with every fault, 404, 410, 412, 413, 503.
pub async fn replace(
    operator: Operator,
    app: web::Data<App>,
    request: HttpRequest,
    tenant: web::Path<String>,
    Query(query): Query<ChangeQuery>,
    LargeJson(body): LargeJson<PolicySetBody>,
) -> Result<HttpResponse, Problem> {
    let (tenant, asked) = (parse_tenant(&tenant)?, Asked::new(&query, &request)?.commented(body.comment));
    app.keystore.tenant_read_through(&tenant).await?;
    let PolicySetBody { mode, exempt, traffic, actions, entities, mitigations, policies, .. } = body;
    let new = PolicySet { mode, exempt, traffic, actions, entities, mitigations, policies };
    let edit = move |old: &PolicySet| Ok::<_, Refusal>(new.clone().identified(old, super::parts::new_id));
    let deployed = super::deploy(&app, &operator, &tenant, asked.new.clone(), edit).await?;
    Ok(answer(&app, &asked, deployed).await)
}

/// The set after a change, with its receipt.
pub(super) async fn answer(app: &App, asked: &Asked, deployed: Deployed) -> HttpResponse {
    let (receipt, status) = super::receipt(app, asked, &deployed).await;
    let Deployed { number, set, .. } = deployed;
    let view = PolicySetView::of_set(number, set).with_receipt(receipt);
    HttpResponse::build(status).insert_header((header::ETAG, etag(number))).json(view)
}
