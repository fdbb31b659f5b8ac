//! Members of a tenant or of the platform, and invitations.

use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::place::{Place, etag, location};
use super::receipt::{ReceiptView, Wait};
use crate::documents::instant::{required, rfc3339};
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::Json;
use crate::http::if_match::named;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::key::Actor;
use crate::operators::{
    Accounts, Email, Grantee, Invitation, InvitationId, Member, Members, MembersRequest, MembershipId, OperatorId, Role,
};

/// The parameters of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuery {
    wait: Option<String>,
    #[serde(default)]
    force: bool,
}

/// The body of a POST: a role, and who gets it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    #[serde(alias = "user_id")]
    user_id: Option<OperatorId>,
    email: Option<Email>,
    role: Role,
}

/// A member. What only a sign-in tells is `null` before the first; the address is for those who may see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberView<'a> {
    user_id: OperatorId,
    role: Role,
    display_name: Option<String>,
    email: Option<Email>,
    provider: Option<String>,
    added_by: Option<&'a Actor>,
    #[serde(serialize_with = "rfc3339")]
    added_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    last_sign_in_at: Option<DateTime<Utc>>,
}

/// An invitation; its address for those who may see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvitationView<'a> {
    id: InvitationId,
    email: Option<&'a Email>,
    role: Role,
    invited_by: Option<&'a Actor>,
    #[serde(serialize_with = "rfc3339")]
    created_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "required")]
    expires_at: DateTime<Utc>,
}

/// One of them, as a change left it.
#[derive(Serialize)]
#[serde(untagged)]
enum MembershipView<'a> {
    Member(MemberView<'a>),
    Invitation(InvitationView<'a>),
}

#[derive(Serialize)]
struct ChangedView<'a> {
    #[serde(flatten)]
    membership: Option<MembershipView<'a>>,
    receipt: ReceiptView,
}

impl<'a> MemberView<'a> {
    fn new((user_id, member): (OperatorId, &'a Member), accounts: &Accounts, shows_address: bool) -> Self {
        let account = accounts.known(&user_id);
        let account = account.as_deref();
        Self {
            user_id,
            role: member.role,
            display_name: account.and_then(|account| account.display_name.clone()),
            email: account.and_then(|account| account.email.clone()).filter(|_| shows_address),
            provider: account.map(|account| account.provider.to_string()),
            added_by: member.added_by.as_ref(),
            added_at: member.added_at,
            last_sign_in_at: account.and_then(|account| account.last_sign_in_at),
        }
    }
}

impl<'a> InvitationView<'a> {
    fn new(id: InvitationId, invitation: &'a Invitation, shows_address: bool) -> Self {
        Self {
            id,
            email: shows_address.then_some(&invitation.email),
            role: invitation.role,
            invited_by: invitation.invited_by.as_ref(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

impl<'a> MembershipView<'a> {
    fn new(id: MembershipId, members: &'a Members, accounts: &Accounts) -> Option<Self> {
        match id {
            MembershipId::Operator(id) => {
                Some(Self::Member(MemberView::new((id, members.member(&id)?), accounts, true)))
            }
            MembershipId::Invitation(id) => {
                Some(Self::Invitation(InvitationView::new(id, members.invitation(&id)?, true)))
            }
        }
    }
}

impl ChangeQuery {
    fn patience(&self) -> Result<Option<Duration>, Problem> {
        Wait::new(self.wait.clone()).patience()
    }

    fn request(&self, operator: &Operator, request: &HttpRequest) -> Result<MembersRequest, Problem> {
        Ok(MembersRequest {
            context: operator.context().clone(),
            caller: operator.caller()?,
            force: self.force,
            revisions: named(request.headers()),
        })
    }
}

/// The members of a tenant, or of the platform, and the invitations that can be accepted.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn list(
    operator: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (members, now) = (app.memberships.list(&place.scope()?).await?, app.keystore.now());
    let shows = operator.sees_addresses();
    let items: Vec<_> = members.members().map(|member| MemberView::new(member, &app.accounts, shows)).collect();
    let invitations: Vec<_> =
        members.invitations(now).map(|(id, invitation)| InvitationView::new(id, invitation, shows)).collect();
    let body = json!({"items": items, "invitations": invitations});
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(members.rev))).json(body))
}

/// Gives somebody a role in place of the one that they have, or invites an address.
///
/// # Errors
/// 400, 403 `role_not_allowed`, 404, 409 `last_owner`, 410, 412, 500 `document_unreadable`, 503.
pub async fn set(
    operator: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    Query(query): Query<ChangeQuery>,
    request: HttpRequest,
    Json(body): Json<Grant>,
) -> Result<HttpResponse, Problem> {
    let (start, patience, scope) = (Instant::now(), query.patience()?, place.scope()?);
    let grantee = match (body.user_id, body.email) {
        (Some(id), None) => Grantee::Operator(id),
        (None, Some(email)) => Grantee::Email(email),
        _ => return Err(Problem::invalid("Say either userId or email.")),
    };
    let asked = query.request(&operator, &request)?;
    let changed = app.memberships.set(asked, &scope, grantee, body.role).await?;
    let (receipt, status) = ReceiptView::of(&app, changed.change_seq, patience, start).await;
    let (id, members) = (changed.value.id, &changed.value.members);
    let mut answer = HttpResponse::build(if changed.value.is_new { StatusCode::CREATED } else { status });
    if changed.value.is_new {
        answer.insert_header((header::LOCATION, location(&scope, "memberships", &id)));
    }
    answer.insert_header((header::ETAG, etag(members.rev)));
    Ok(answer.json(ChangedView { membership: MembershipView::new(id, members, &app.accounts), receipt }))
}

/// Removes a member or an invitation.
///
/// # Errors
/// 400, 403 `role_not_allowed`, 404, 409 `last_owner`, 410, 412, 500 `document_unreadable`, 503.
pub async fn remove(
    operator: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    Query(query): Query<ChangeQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (start, patience, scope, id) = (Instant::now(), query.patience()?, place.scope()?, place.id()?);
    let asked = query.request(&operator, &request)?;
    let removed = app.memberships.remove(asked, &scope, id).await?;
    let (receipt, status) = ReceiptView::of(&app, removed.change_seq, patience, start).await;
    Ok(HttpResponse::build(status)
        .insert_header((header::ETAG, etag(removed.value.members.rev)))
        .json(json!({"id": id.to_string(), "removed": true, "receipt": receipt})))
}
