//! The parts of a policy set one by one: actions, entities, mitigations and policies. Each change is a new version of
//! the whole.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Asked, ChangeQuery};
use crate::error::{Error, ErrorKind};
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::Json;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::http::routes::keys::parse_tenant;
use crate::http::routes::place::etag;
use crate::http::routes::receipt::ReceiptView;
use crate::key::TenantId;
use crate::policy::set::{Action, EntityDefinition, Mitigation, Policy, PolicySet, compile};
use crate::policy_book::Refusal;
use crate::serde_text::read_value;

/// An id for a part that came without one.
#[allow(clippy::disallowed_methods)] // Nothing depends on which id it is.
pub(super) fn new_id() -> Uuid {
    Uuid::new_v4()
}

/// A kind of part.
pub trait Part: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The path of its collection.
    const COLLECTION: &'static str;
    /// The member that holds its id.
    const ID: &'static str;

    /// Those of a set.
    fn of(set: &PolicySet) -> &Vec<Self>;
    /// The same, to be changed.
    fn of_mut(set: &mut PolicySet) -> &mut Vec<Self>;
    /// Its id.
    fn id(&self) -> Option<Uuid>;
    /// Gives it one.
    fn set_id(&mut self, id: Uuid);
}

macro_rules! part {
    ($kind:ident, $collection:literal, $member:literal, $list:ident, $id:ident) => {
        impl Part for $kind {
            const COLLECTION: &'static str = $collection;
            const ID: &'static str = $member;

            fn of(set: &PolicySet) -> &Vec<Self> {
                &set.$list
            }

            fn of_mut(set: &mut PolicySet) -> &mut Vec<Self> {
                &mut set.$list
            }

            fn id(&self) -> Option<Uuid> {
                self.$id.map(|id| id.0)
            }

            fn set_id(&mut self, id: Uuid) {
                self.$id = Some(id.into());
            }
        }
    };
}

part!(Action, "actions", "actionId", actions, action_id);
part!(EntityDefinition, "entities", "entityDefinitionId", entities, entity_definition_id);
part!(Mitigation, "mitigations", "mitigationId", mitigations, mitigation_id);
part!(Policy, "policies", "policyId", policies, policy_id);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartView<'a, P> {
    #[serde(flatten)]
    part: &'a P,
    policy_set_version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptView>,
}

/// The path of one part.
#[derive(Debug, Deserialize)]
pub struct PartPath {
    tenant: String,
    id: String,
}

impl PartPath {
    fn parse(&self) -> Result<(TenantId, Uuid), Problem> {
        let id = Uuid::try_parse(&self.id).map_err(|_| Problem::invalid("The id of a part is a UUID."))?;
        Ok((parse_tenant(&self.tenant)?, id))
    }
}

/// Those of the set in force.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn list<P: Part>(
    _: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let tenant = parse_tenant(&tenant)?;
    app.keystore.tenant_read_through(&tenant).await?;
    let (number, set) = in_force(&app, &tenant);
    let body = json!({ "items": P::of(&set), "policySetVersion": number });
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(number))).json(body))
}

/// One of them.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn show<P: Part>(
    _: Operator,
    app: web::Data<App>,
    path: web::Path<PartPath>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (tenant, id) = path.parse()?;
    app.keystore.tenant_read_through(&tenant).await?;
    let (policy_set_version, set) = in_force(&app, &tenant);
    let part = P::of(&set).iter().find(|part| part.id() == Some(id)).ok_or_else(no_part)?;
    let view = PartView { part, policy_set_version, receipt: None };
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(policy_set_version))).json(view))
}

/// Adds one, with its own id or a new one.
///
/// # Errors
/// 400 `invalid_expression`, 404, 410, 412, 413, 503.
pub async fn create<P: Part>(
    operator: Operator,
    app: web::Data<App>,
    request: HttpRequest,
    tenant: web::Path<String>,
    Query(query): Query<ChangeQuery>,
    Json(mut part): Json<P>,
) -> Result<HttpResponse, Problem> {
    let (tenant, asked) = (parse_tenant(&tenant)?, Asked::new(&query, &request)?);
    app.keystore.tenant_read_through(&tenant).await?;
    let id = part.id().unwrap_or_else(new_id);
    part.set_id(id);
    let edit = move |old: &PolicySet| {
        let mut set = old.clone();
        P::of_mut(&mut set).push(part.clone());
        Ok(set)
    };
    changed::<P>(&operator, &app, &tenant, &asked, (id, StatusCode::CREATED), edit).await
}

/// Changes members of one; `null` takes a member away.
///
/// # Errors
/// As for [`create`].
pub async fn update<P: Part>(
    operator: Operator,
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<PartPath>,
    Query(query): Query<ChangeQuery>,
    Json(patch): Json<Map<String, Value>>,
) -> Result<HttpResponse, Problem> {
    let ((tenant, id), asked) = (path.parse()?, Asked::new(&query, &request)?);
    if patch.get(P::ID).is_some_and(|given| given.as_str() != Some(&id.to_string())) {
        return Err(Problem::invalid("The id of a part does not change."));
    }
    app.keystore.tenant_read_through(&tenant).await?;
    let edit = move |old: &PolicySet| {
        let mut set = old.clone();
        let part = P::of_mut(&mut set).iter_mut().find(|part| part.id() == Some(id));
        let part = part.ok_or_else(|| Error::new(ErrorKind::NotFound, NO_PART))?;
        *part = patched(part, &patch)?;
        Ok(set)
    };
    changed::<P>(&operator, &app, &tenant, &asked, (id, StatusCode::OK), edit).await
}

/// Removes one that nothing refers to.
///
/// # Errors
/// 400, 404, 409 `policy_in_use`, 410, 412, 503.
pub async fn remove<P: Part>(
    operator: Operator,
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<PartPath>,
    Query(query): Query<ChangeQuery>,
) -> Result<HttpResponse, Problem> {
    let ((tenant, id), asked) = (path.parse()?, Asked::new(&query, &request)?);
    app.keystore.tenant_read_through(&tenant).await?;
    let edit = move |old: &PolicySet| {
        let mut set = old.clone();
        P::of_mut(&mut set).retain(|part| part.id() != Some(id));
        if set == *old {
            return Err(Error::new(ErrorKind::NotFound, NO_PART).into());
        }
        // What was valid before and is not without it refers to it.
        match compile(&set) {
            Ok(_) => Ok(set),
            Err(faults) => {
                let first = faults.first().map(ToString::to_string).unwrap_or_default();
                Err(Refusal::Error(Error::new(ErrorKind::PolicyInUse, format!("it is referred to: {first}"))))
            }
        }
    };
    let deployed = super::deploy(&app, &operator, &tenant, asked.new.clone(), edit).await?;
    let (receipt, status) = super::receipt(&app, &asked, &deployed).await;
    let removed = deployed.is_new;
    let body = json!({ P::ID: id, "removed": removed, "policySetVersion": deployed.number, "receipt": receipt });
    Ok(HttpResponse::build(status).insert_header((header::ETAG, etag(deployed.number))).json(body))
}

const NO_PART: &str = "there is no such part of the policy set";

fn no_part() -> Problem {
    Error::new(ErrorKind::NotFound, NO_PART).into()
}

fn in_force(app: &App, tenant: &TenantId) -> (u64, PolicySet) {
    match app.policies.in_force(tenant) {
        Some(version) => (version.document.policy_set_version, version.document.clone().into_set()),
        None => (0, PolicySet::default()),
    }
}

async fn changed<P: Part>(
    operator: &Operator,
    app: &App,
    tenant: &TenantId,
    asked: &Asked,
    (id, status): (Uuid, StatusCode),
    edit: impl Fn(&PolicySet) -> Result<PolicySet, Refusal> + Send + Sync + 'static,
) -> Result<HttpResponse, Problem> {
    let deployed = super::deploy(app, operator, tenant, asked.new.clone(), edit).await?;
    let (receipt, late) = super::receipt(app, asked, &deployed).await;
    let part = P::of(&deployed.set).iter().find(|part| part.id() == Some(id)).ok_or_else(no_part)?;
    let view = PartView { part, policy_set_version: deployed.number, receipt };
    let mut answer = HttpResponse::build(if late == StatusCode::OK { status } else { late });
    answer.insert_header((header::ETAG, etag(deployed.number)));
    if status == StatusCode::CREATED {
        let location = format!("/api/v1/tenants/{tenant}/{}/{id}", P::COLLECTION);
        answer.insert_header((header::LOCATION, location));
    }
    Ok(answer.json(view))
}

/// A part with other members.
fn patched<P: Part>(part: &P, patch: &Map<String, Value>) -> Result<P, Refusal> {
    let Ok(Value::Object(mut members)) = serde_json::to_value(part) else {
        return Err(Error::new(ErrorKind::Internal, "a part is no object").into());
    };
    for (name, value) in patch {
        match value {
            Value::Null => _ = members.remove(name),
            value => _ = members.insert(name.clone(), value.clone()),
        }
    }
    read_value(Value::Object(members)).map_err(|reason| Error::invalid(format!("the part: {reason}")).into())
}
