//! The keys of a tenant as a whole: changed to what a file declares, or imported from another system.

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::bulk::BulkPermit;
use super::keys::{Switch, parse_tenant};
use super::receipt::{ReceiptView, Wait};
use super::rotation::OVERLAP_SECONDS;
use super::views::KeyView;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::LargeJson;
use crate::http::imported_secret::refuse_admin_token;
use crate::http::operator::Operator;
use crate::http::query_string::Query;
use crate::http::settings::with_settings;
use crate::key::{Digest, Hint, KeyName, KeyType, NewKey, TenantId};
use crate::keystore::plan::{Declared, DeclaredSecret, Step};
use crate::keystore::{Desired, StepOutcome, SuppliedSecret};
use crate::serde_text::{Rfc3339, nullable};

/// The query string.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyQuery {
    #[serde(default)]
    dry_run: bool,
    wait: Option<String>,
}

/// The body: every key that is declared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyBody {
    keys: Vec<DesiredKey>,
    /// Revokes the live keys that are not declared.
    #[serde(default)]
    prune: bool,
    /// Issues keys for secrets that no key has, and changes nothing else.
    #[serde(default)]
    move_in: bool,
    /// The plan that was agreed to; another one is not carried out.
    plan_tag: Option<String>,
}

with_settings! {
    /// A key as it should be. Absent settings have their defaults; absent expiry, state and secret stay.
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct DesiredKey {
        key_name: KeyName,
        key_type: KeyType,
        #[serde(default, deserialize_with = "nullable")]
        expires_at: Option<Option<Rfc3339>>,
        state: Option<Switch>,
        digest: Option<String>,
        #[serde(default)]
        hint: String,
        #[serde(default)]
        own_secret: bool,
        overlap_seconds: Option<u32>,
        /// The secret of the key if it has to be issued, which is the only time that it gets one.
        issue_with: Option<SecretEntry>,
    }
}

/// What may be known of a secret.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretEntry {
    digest: String,
    #[serde(default)]
    hint: String,
}

impl DesiredKey {
    fn declared(mut self, app: &App) -> Result<Declared, Problem> {
        let supplied = |digest: &str, hint: &str, own| -> Result<SuppliedSecret, Problem> {
            let digest = Digest::parse(digest)?;
            refuse_admin_token(app, &digest)?;
            Ok(SuppliedSecret { digest, hint: Hint::parse(hint)?, own })
        };
        let secret = match (&self.digest, &self.issue_with) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid(format!("{}: send digest or issueWith, not both.", self.key_name)));
            }
            (Some(digest), None) => {
                let overlap = TimeDelta::seconds(self.overlap_seconds.unwrap_or(OVERLAP_SECONDS).into());
                DeclaredSecret::Fixed(supplied(digest, &self.hint, self.own_secret)?, overlap)
            }
            (None, Some(fresh)) => DeclaredSecret::Kept(Some(supplied(&fresh.digest, &fresh.hint, false)?)),
            (None, None) => DeclaredSecret::Kept(None),
        };
        let settings = self.take_settings();
        let new = NewKey { settings, ..NewKey::new(self.key_name, self.key_type) };
        let expires_at = self.expires_at.map(|end| end.map(|end| end.0));
        Ok(Declared { new, expires_at, active: self.state.map(|state| state == Switch::Active), secret })
    }
}

/// What is planned for one key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlannedStep {
    action: &'static str,
    /// Whose the key is, when it is another tenant's: its secret is the one that was to be imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    key_name: KeyName,
    key_type: KeyType,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// Whether a key that stays as it is works at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    changes: Map<String, Value>,
}

impl PlannedStep {
    fn new(step: &Step, tenant: &TenantId, now: DateTime<Utc>) -> Self {
        let patched = step.key.as_ref().zip(step.patched());
        let changes = patched.map(|(key, patched)| changes(&KeyView::new(key, now), &KeyView::new(&patched, now)));
        let key = step.key.as_ref();
        Self {
            action: step.action(),
            tenant: key.map(|key| &key.tenant).filter(|of| *of != tenant).cloned(),
            key_name: step.name.clone(),
            key_type: step.key_type,
            key_id: key.map(|key| key.key_id.to_string()),
            state: key.filter(|_| step.change.is_none()).map(|key| key.state.as_str()),
            changes: changes.unwrap_or_default(),
        }
    }
}

/// Every field in which two views of a key differ.
fn changes(from: &KeyView<'_>, to: &KeyView<'_>) -> Map<String, Value> {
    let (Value::Object(from), Value::Object(mut to)) = (json!(from), json!(to)) else { return Map::new() };
    let differs = |(field, from): (String, Value)| {
        let to = to.get_mut(&field)?.take();
        // Whether it has expired follows from when it does.
        (from != to && field != "expired").then(|| (field, json!({ "from": from, "to": to })))
    };
    from.into_iter().filter_map(differs).collect()
}

/// What a client sends back to say that it agrees to a plan.
fn tag(plan: &[PlannedStep]) -> String {
    let bytes = serde_json::to_vec(plan).unwrap_or_default();
    Digest::of(&bytes).hex()[..32].to_owned()
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StepResult {
    action: &'static str,
    key_name: KeyName,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl StepResult {
    fn new(outcome: StepOutcome) -> (Self, u64) {
        let (action, key_name) = (outcome.step.action(), outcome.step.name);
        let key_id = outcome.step.key.map(|key| key.key_id.to_string());
        match outcome.result {
            Ok(done) => {
                let (key_id, state) = (Some(done.value.key_id.to_string()), Some(done.value.state.as_str()));
                (Self { action, key_name, ok: true, key_id, state, code: None, detail: None }, done.change_seq)
            }
            Err(error) => {
                let detail = Some(error.message().to_owned());
                let code = Some(Problem::from(error).code().as_str());
                (Self { action, key_name, ok: false, key_id, state: None, code, detail }, 0)
            }
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApplyAnswer {
    plan: Vec<PlannedStep>,
    plan_tag: String,
    results: Vec<StepResult>,
    receipt: Option<ReceiptView>,
}

/// Compares what is declared with what is there, and takes the steps between the two, unless `dryRun=true`. The answer
/// is 200 once they were tried, with the outcome of each; an impossible declaration is refused before the first.
///
/// # Errors
/// 400, 404, 409 `duplicate_key_name` or `duplicate_api_key`, 410, 412 when the plan is another than the one agreed to,
/// 413, 429 `too_many_bulk`, 503.
pub async fn run(
    operator: Operator,
    _permit: BulkPermit, // Before the body, which is read only with a permit.
    app: web::Data<App>,
    tenant: web::Path<String>,
    Query(options): Query<ApplyQuery>,
    LargeJson(body): LargeJson<ApplyBody>,
) -> Result<HttpResponse, Problem> {
    let (start, tenant) = (Instant::now(), parse_tenant(&tenant)?);
    let (dry_run, patience) = (options.dry_run, Wait::new(options.wait).patience()?);
    if body.move_in && body.prune {
        return Err(Problem::invalid("moveIn and prune exclude each other."));
    }
    let declared = body.keys.into_iter().map(|key| key.declared(&app)).collect::<Result<Vec<_>, _>>()?;
    let desired = if body.move_in { Desired::Import(declared) } else { Desired::Keys { declared, prune: body.prune } };
    let plan = app.keystore.plan(operator.context(), &tenant, desired).await?;
    let planned: Vec<_> = plan.steps.iter().map(|step| PlannedStep::new(step, &tenant, app.keystore.now())).collect();
    let plan_tag = tag(&planned);
    if body.plan_tag.is_some_and(|agreed| agreed != plan_tag) {
        return Err(Problem::new(Code::PreconditionFailed, "The keys were changed since that plan was made."));
    }
    if dry_run {
        return Ok(HttpResponse::Ok().json(ApplyAnswer {
            plan: planned,
            plan_tag,
            results: Vec::new(),
            receipt: None,
        }));
    }
    let outcomes = app.keystore.carry_out(operator.context(), &tenant, plan).await?;
    let (results, numbers): (Vec<_>, Vec<_>) = outcomes.into_iter().map(StepResult::new).unzip();
    let (receipt, status) = receipt(&app, numbers.into_iter().max(), patience, start).await;
    Ok(HttpResponse::build(status).json(ApplyAnswer { plan: planned, plan_tag, results, receipt }))
}

/// The receipt of the last change; none when nothing was changed.
async fn receipt(
    app: &App,
    last: Option<u64>,
    patience: Option<Duration>,
    start: Instant,
) -> (Option<ReceiptView>, StatusCode) {
    match last.filter(|last| *last > 0) {
        Some(last) => {
            let (receipt, status) = ReceiptView::of(app, last, patience, start).await;
            (Some(receipt), status)
        }
        None => (None, StatusCode::OK),
    }
}
