//! People who have signed in, and the keys that sign for them. For those who administer the platform.

use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::auth::session::LoginView;
use super::place::etag;
use super::receipt::{ReceiptView, Wait};
use crate::documents::instant::{required, rfc3339};
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::Json;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::key::{NodeId, SignerId};
use crate::operators::account::End;
use crate::operators::{Account, AccountState, OperatorId, Role, Scope};

/// The body of a PATCH.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    state: AccountState,
}

/// The parameters of a PATCH.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchQuery {
    wait: Option<String>,
    #[serde(default)]
    force: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountView<'a> {
    user_id: OperatorId,
    state: AccountState,
    display_name: Option<&'a str>,
    email: Option<String>,
    provider: &'a str,
    issuer: &'a str,
    subject: &'a str,
    #[serde(serialize_with = "rfc3339")]
    created_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    last_sign_in_at: Option<DateTime<Utc>>,
    sessions: Vec<LoginView<'a>>,
    memberships: Vec<serde_json::Value>,
    platform_role: Option<Role>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignerView<'a> {
    kid: SignerId,
    public_key: &'a str,
    node_id: NodeId,
    #[serde(serialize_with = "required")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "required")]
    signs_until: DateTime<Utc>,
    #[serde(serialize_with = "required")]
    expires_at: DateTime<Utc>,
}

impl<'a> AccountView<'a> {
    fn new(app: &App, user_id: OperatorId, account: &'a Account) -> Self {
        let rights = app.accounts.lasting_rights(user_id);
        let place = |(scope, role): &(Scope, Role)| Some(json!({"tenant": scope.tenant()?, "role": role}));
        let of_platform = rights.granted.iter().chain(&rights.mapped).filter(|(scope, _)| *scope == Scope::Platform);
        Self {
            user_id,
            state: account.state,
            display_name: account.display_name.as_deref(),
            email: account.email.as_ref().map(ToString::to_string),
            provider: account.provider.as_str(),
            issuer: &account.issuer,
            subject: &account.subject,
            created_at: account.created_at,
            last_sign_in_at: account.last_sign_in_at,
            sessions: account.logins(app.keystore.now()).map(|login| LoginView::new(login, account, None)).collect(),
            platform_role: of_platform.map(|(_, role)| *role).max(),
            memberships: rights.granted.iter().filter_map(place).collect(),
        }
    }
}

/// All who have signed in.
pub async fn list(_: Operator, app: web::Data<App>, _: Query<Nothing>) -> HttpResponse {
    let accounts = app.accounts.list();
    let items: Vec<_> = accounts.iter().map(|(id, account)| AccountView::new(&app, *id, account)).collect();
    HttpResponse::Ok().json(json!({"items": items}))
}

/// One of them.
///
/// # Errors
/// 400, 404, 503.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    id: web::Path<String>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let id = OperatorId::parse(&id)?;
    let account = app.accounts.show(&id).await?;
    let view = AccountView::new(&app, id, &account);
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(account.rev))).json(view))
}

/// Disables somebody, whose tokens are refused here at once, or lets them in again.
///
/// # Errors
/// 400, 404, 409 `last_owner`, 500 `document_unreadable`, 503.
pub async fn update(
    operator: Operator,
    app: web::Data<App>,
    id: web::Path<String>,
    Query(query): Query<PatchQuery>,
    Json(body): Json<Patch>,
) -> Result<HttpResponse, Problem> {
    let (start, patience, id) = (Instant::now(), patience(query.wait)?, OperatorId::parse(&id)?);
    let change_seq = match body.state {
        AccountState::Disabled => app.accounts.end(operator.context(), id, End::Disabled, query.force).await?,
        AccountState::Active => app.accounts.enable(operator.context(), id).await?,
    };
    answer(&app, id, change_seq, patience, start).await
}

/// Ends all sign-ins of somebody.
///
/// # Errors
/// 400, 404, 503.
pub async fn end_sessions(
    operator: Operator,
    app: web::Data<App>,
    id: web::Path<String>,
    Query(wait): Query<Wait>,
) -> Result<HttpResponse, Problem> {
    let (start, patience, id) = (Instant::now(), wait.patience()?, OperatorId::parse(&id)?);
    let change_seq = app.accounts.end(operator.context(), id, End::All, false).await?;
    answer(&app, id, change_seq, patience, start).await
}

async fn answer(
    app: &App,
    id: OperatorId,
    change_seq: u64,
    patience: Option<Duration>,
    start: Instant,
) -> Result<HttpResponse, Problem> {
    let (receipt, status) = ReceiptView::of(app, change_seq, patience, start).await;
    let account = app.accounts.show(&id).await?;
    Ok(HttpResponse::build(status)
        .insert_header((header::ETAG, etag(account.rev)))
        .json(json!({"operator": AccountView::new(app, id, &account), "receipt": receipt})))
}

fn patience(wait: Option<String>) -> Result<Option<Duration>, Problem> {
    Wait::new(wait).patience()
}

/// The keys that sign, or have signed what may still hold.
pub async fn signers(_: Operator, app: web::Data<App>, _: Query<Nothing>) -> HttpResponse {
    let signers = app.accounts.signers().list();
    let view = |(kid, signer): &(SignerId, std::sync::Arc<crate::operators::Signer>)| {
        json!(SignerView {
            kid: *kid,
            public_key: signer.public_key(),
            node_id: signer.node_id,
            created_at: signer.created_at,
            signs_until: signer.signs_until,
            expires_at: signer.expires_at,
        })
    };
    HttpResponse::Ok().json(json!({"items": signers.iter().map(view).collect::<Vec<_>>()}))
}

/// Drops a key: no token that it has signed holds any more.
///
/// # Errors
/// 400, 404, 503.
pub async fn drop_signer(
    operator: Operator,
    app: web::Data<App>,
    kid: web::Path<String>,
    Query(wait): Query<Wait>,
) -> Result<HttpResponse, Problem> {
    let (start, patience, kid) = (Instant::now(), wait.patience()?, SignerId::parse(&kid)?);
    let change_seq = app.accounts.signers().drop_signer(operator.context(), kid).await?;
    let (receipt, status) = ReceiptView::of(&app, change_seq, patience, start).await;
    Ok(HttpResponse::build(status).json(json!({"kid": kid, "dropped": true, "receipt": receipt})))
}
