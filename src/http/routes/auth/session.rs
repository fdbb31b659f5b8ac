//! Exchanging a handoff for a token, oneself, and signing out.

use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::flow::{self, Flows};
use super::{attempt, refused};
use crate::documents::instant::required;
use crate::error::ErrorKind;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::{Json, JsonOrNothing};
use crate::http::operator::{Operator, anonymous};
use crate::http::query_string::{Nothing, Query};
use crate::http::routes::receipt::{ReceiptView, Wait};
use crate::key::{Digest, TenantId};
use crate::operators::account::{End, Login};
use crate::operators::{Account, LoginId, OperatorId, Rights, Role, Scope};

/// What a handoff is exchanged with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    handoff: String,
    verifier: Option<String>,
}

/// Whether all sign-ins end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logout {
    #[serde(default)]
    all: bool,
}

/// Somebody, for people.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OperatorView<'a> {
    user_id: OperatorId,
    display_name: Option<&'a str>,
    email: Option<String>,
    provider: &'a str,
}

/// A sign-in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::routes) struct LoginView<'a> {
    sid: LoginId,
    #[serde(serialize_with = "required")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "required")]
    expires_at: DateTime<Utc>,
    provider: &'a str,
    address: Option<String>,
    user_agent: Option<&'a str>,
    current: bool,
}

/// A role in a tenant.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlaceView<'a> {
    tenant: &'a TenantId,
    role: Role,
    source: &'static str,
}

impl<'a> OperatorView<'a> {
    fn new(user_id: OperatorId, account: &'a Account) -> Self {
        let (display_name, email) = (account.display_name.as_deref(), account.email.as_ref().map(ToString::to_string));
        Self { user_id, display_name, email, provider: account.provider.as_str() }
    }
}

impl<'a> LoginView<'a> {
    pub(in crate::http::routes) fn new(login: &'a Login, account: &'a Account, current: Option<LoginId>) -> Self {
        Self {
            sid: login.sid,
            created_at: login.created_at,
            expires_at: login.expires_at,
            provider: account.provider.as_str(),
            address: login.address.map(|address| address.to_string()),
            user_agent: login.user_agent.as_deref(),
            current: current == Some(login.sid),
        }
    }
}

/// Exchanges a handoff for a token, once.
///
/// # Errors
/// 400 `invalid_handoff`, 429, 503.
pub async fn exchange(
    app: web::Data<App>,
    _: Query<Nothing>,
    request: HttpRequest,
    Json(body): Json<Exchange>,
) -> Result<HttpResponse, Problem> {
    attempt(&app, &request)?;
    let proofs = match &body.verifier {
        Some(verifier) if is_verifier(verifier) => vec![Digest::of(Digest::of(verifier).base64url())],
        Some(_) => Vec::new(),
        None => Flows::of(&app, &request).proofs(),
    };
    let context = anonymous(&app, &request);
    let (signed_in, account) = app.accounts.exchange(&context, &body.handoff, &proofs).await.map_err(|error| {
        let message = "The handoff is not valid: it works once, within a minute, where the sign-in began.";
        let problem = match error.kind() {
            ErrorKind::NotFound => Problem::new(Code::InvalidHandoff, message),
            _ => error.into(),
        };
        refused(&app, &request, &problem);
        problem
    })?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
        "token": signed_in.token,
        "tokenType": "Bearer",
        "expiresAt": signed_in.expires_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "operator": OperatorView::new(signed_in.id, &account),
    })))
}

/// Whether a text can be a verifier (RFC 7636, section 4.1). A shorter one could be guessed from its challenge.
fn is_verifier(text: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

/// Who presents the credential, its sign-ins and its roles.
pub async fn me(operator: Operator, app: web::Data<App>, _: Query<Nothing>) -> HttpResponse {
    let mut places = Vec::new();
    let mut platform: Option<Role> = None;
    let mut note = |(scope, role): &(Scope, Role), source| match scope.tenant() {
        Some(tenant) => places.push((tenant.clone(), *role, source)),
        None => platform = platform.max(Some(*role)),
    };
    match operator.rights() {
        Rights::Everything => platform = Some(Role::PlatformAdmin),
        Rights::Machine(scope, role) => note(&(scope.clone(), *role), "granted"),
        Rights::Person(person) => {
            person.granted.iter().for_each(|place| note(place, "granted"));
            person.mapped.iter().for_each(|place| note(place, "mapped"));
        }
    }
    let memberships: Vec<_> =
        places.iter().map(|(tenant, role, source)| PlaceView { tenant, role: *role, source }).collect();
    let now = app.keystore.now();
    let person = operator.person();
    let sessions: Vec<_> = person
        .iter()
        .flat_map(|person| {
            person.account.logins(now).map(|login| LoginView::new(login, &person.account, Some(person.sid)))
        })
        .collect();
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
        "actor": operator.context().actor.as_str(),
        "operator": person.map(|person| OperatorView::new(person.id, &person.account)),
        "sessions": sessions,
        "memberships": memberships,
        "platformRole": platform,
    }))
}

/// Ends the sign-in of this token, or all of the operator's.
///
/// # Errors
/// 400 for the admin token, 403 for machines, 503 with `appliedLocally` when the store does not answer.
pub async fn logout(
    operator: Operator,
    app: web::Data<App>,
    _: Query<Nothing>,
    JsonOrNothing(body): JsonOrNothing<Logout>,
) -> Result<HttpResponse, Problem> {
    let person = operator.person().ok_or_else(no_person)?;
    let end = if body.all { End::All } else { End::Login(person.sid) };
    app.accounts.end(operator.context(), person.id, end, false).await?;
    let mut answer = HttpResponse::NoContent().finish();
    flow::forget_console(&app, &mut answer);
    Ok(answer)
}

/// Ends a sign-in of one's own.
///
/// # Errors
/// 400, 403 for machines, 404, 503 with `appliedLocally` when the store does not answer.
pub async fn end(
    operator: Operator,
    app: web::Data<App>,
    sid: web::Path<String>,
    Query(wait): Query<Wait>,
) -> Result<HttpResponse, Problem> {
    let (start, patience) = (Instant::now(), wait.patience()?);
    let person = operator.person().ok_or_else(no_person)?;
    let sid = LoginId::parse(&sid)?;
    if !person.account.logins(app.keystore.now()).any(|login| login.sid == sid) {
        return Err(Problem::new(Code::NotFound, "There is no such sign-in."));
    }
    let change_seq = app.accounts.end(operator.context(), person.id, End::Login(sid), false).await?;
    let (receipt, status) = ReceiptView::of(&app, change_seq, patience, start).await;
    Ok(HttpResponse::build(status).json(json!({"sid": sid, "ended": true, "receipt": receipt})))
}

/// The public keys of all signers, for those who check our tokens elsewhere (RFC 7517, RFC 8037).
pub async fn jwks(app: web::Data<App>, _: Query<Nothing>) -> HttpResponse {
    let keys: Vec<_> = app
        .accounts
        .signers()
        .list()
        .iter()
        .map(|(kid, signer)| {
            json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": signer.public_key()})
        })
        .collect();
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-cache")).json(json!({"keys": keys}))
}

fn no_person() -> Problem {
    Problem::invalid("The admin token has no sign-ins.")
}
