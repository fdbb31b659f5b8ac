//! Why a set decides as it does about an event: the one in force, or a draft.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::parts::new_id;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::JsonBytes;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::http::routes::decide::{invalid, not_ready};
use crate::http::routes::keys::parse_tenant;
use crate::policy::event::{Arrival, Door, Event, Text};
use crate::policy::set::{CompiledSet, NamedPolicySet, PolicySet, compile};
use crate::policy_book::Refusal;
use crate::serde_text::{JsonError, read_json};

/// The body, beside the event, which is read as those of `decide` are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainBody {
    #[allow(dead_code)] // So that it is known.
    event: IgnoredAny,
    /// A draft, as a file declares it.
    policy_set: Option<NamedPolicySet>,
}

/// Each condition with its place and whether it holds, the entity and its count. Nothing is counted, and no secret or
/// value of an entity is shown.
///
/// # Errors
/// 400 `invalid_request`, `invalid_event`, `invalid_expression`, 404, 410, 413, 503.
pub async fn run(
    _: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    _: Query<Nothing>,
    JsonBytes(body): JsonBytes,
) -> Result<HttpResponse, Problem> {
    let tenant = parse_tenant(&tenant)?;
    app.keystore.tenant_read_through(&tenant).await?;
    let asked: ExplainBody = read_json(&body).map_err(|JsonError { line, column, reason }| {
        Problem::invalid(format!("Line {line}, column {column}: {reason}."))
    })?;
    let text = Text::new(&body);
    let (json, mended) = text.json().map_err(invalid)?;
    let event = json.get("event").ok_or_else(|| Problem::new(Code::InvalidEvent, "There is no event."))?;
    let arrival = Arrival::new(Door::Decide, app.decider.now().timestamp_millis());
    let event = Event::of_decide(event, arrival).map_err(invalid)?.mended(mended);
    let in_force = app.policies.in_force(&tenant);
    let (number, draft) = match (asked.policy_set, &in_force) {
        (Some(draft), _) => (None, compiled(draft)?),
        (None, Some(version)) => (Some(version.document.policy_set_version), version.compiled.clone()),
        (None, None) => (Some(0), CompiledSet::default()),
    };
    app.decider.prepare().await?;
    let counted = app.decider.look(&tenant, &draft, &event).await;
    let explained = app.decider.explain(&tenant, number, &draft, &event, counted.of(0)).map_err(not_ready)?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(explained))
}

fn compiled(draft: NamedPolicySet) -> Result<CompiledSet, Problem> {
    let compiled = draft.apply(&PolicySet::default(), true, new_id).and_then(|set| compile(&set));
    compiled.map_err(|faults| Refusal::Faults(faults).into())
}
