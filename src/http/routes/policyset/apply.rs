//! The policy set as a file declares it: its parts refer to each other by name.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::parts::new_id;
use super::{Asked, ChangeQuery};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::LargeJson;
use crate::http::operator::Operator;
use crate::http::query_string::Query;
use crate::http::routes::keys::parse_tenant;
use crate::http::routes::place::etag;
use crate::policy::set::{NamedPolicySet, PolicySet};
use crate::policy_book::NewVersion;
use crate::policy_book::plan::{plan, tag};

/// The body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyBody {
    policy_set: NamedPolicySet,
    comment: Option<String>,
    /// Removes what is not declared.
    #[serde(default)]
    prune: bool,
    /// The plan that was agreed to; another one is not carried out.
    plan_tag: Option<String>,
}

/// Makes the set what a file declares, as one new version, unless `dryRun=true`. Parts that are not declared stay, or
/// go with `prune`.
///
/// # Errors
/// 400 `invalid_expression` with every fault, 404, 410, 412 when the plan is another than the one agreed to, 413, 503.
pub async fn run(
    operator: Operator,
    app: web::Data<App>,
    request: HttpRequest,
    tenant: web::Path<String>,
    Query(query): Query<ChangeQuery>,
    LargeJson(body): LargeJson<ApplyBody>,
) -> Result<HttpResponse, Problem> {
    let (tenant, asked) = (parse_tenant(&tenant)?, Asked::new(&query, &request)?.commented(body.comment));
    app.keystore.tenant_read_through(&tenant).await?;
    let ApplyBody { policy_set, prune, plan_tag, .. } = body;
    let declared = policy_set.clone();
    let edit = move |old: &PolicySet| Ok(declared.clone().apply(old, prune, new_id)?);
    let checked = NewVersion { dry_run: true, ..asked.new.clone() };
    let planned = super::deploy(&app, &operator, &tenant, checked, edit.clone()).await?;
    let in_force =
        app.policies.in_force(&tenant).filter(|version| version.document.policy_set_version == planned.number);
    let old = in_force.map(|version| version.document.clone().into_set()).unwrap_or_default();
    let plan = plan(&old, &planned.set);
    let tag = tag(&plan);
    if plan_tag.is_some_and(|agreed| agreed != tag) {
        return Err(Problem::new(Code::PreconditionFailed, "The policy set was changed since that plan was made."));
    }
    if asked.new.dry_run || plan.is_empty() {
        let body = json!({
            "plan": plan, "planTag": tag, "results": [], "receipt": null, "policySetVersion": planned.number,
        });
        return Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(planned.number))).json(body));
    }
    // It must follow the version that the plan was made of: the plan says what is done.
    let new = NewVersion { follows: Some(vec![planned.number]), ..asked.new.clone() };
    let deployed = super::deploy(&app, &operator, &tenant, new, edit).await?;
    let (receipt, status) = super::receipt(&app, &asked, &deployed).await;
    let results: Vec<Value> = plan
        .iter()
        .map(|step| json!({"action": step.action, "kind": step.kind, "name": step.name, "ok": true}))
        .collect();
    let body = json!({
        "plan": plan, "planTag": tag, "results": results, "receipt": receipt, "policySetVersion": deployed.number,
    });
    Ok(HttpResponse::build(status).insert_header((header::ETAG, etag(deployed.number))).json(body))
}
