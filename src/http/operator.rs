//! From the `Authorization` of a request to the proof that its holder may administer, or a [`Problem`].

use actix_web::{HttpMessage, HttpRequest, web};

use super::app::App;
use super::client;
use super::credential::AuthHeaders;
use super::error::{Code, Problem};
use crate::access::Denial;
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind};
use crate::key::credential::machine_token;
use crate::key::{Actor, Digest, Label, RequestId, TenantId};
use crate::operators::{Caller, Permission, Role, Scope};
use crate::sync::Lookup;

/// Proof that somebody may do what a route does: the holder of the admin token, or a machine whose role allows it. Only
/// [`operator`] makes one.
#[derive(Debug)]
pub struct Operator {
    context: RequestContext,
    scope: Scope,
    /// Nothing for the admin token, which may do everything.
    role: Option<Role>,
}

impl Operator {
    /// The actor, the request and its address.
    pub fn context(&self) -> &RequestContext {
        &self.context
    }

    /// The same, for work that outlives the handler.
    pub fn into_context(self) -> RequestContext {
        self.context
    }

    /// Whose rights count when members are changed.
    ///
    /// # Errors
    /// 403 for a machine: none manages people.
    pub fn caller(&self) -> Result<Caller, Problem> {
        self.role.map_or(Ok(Caller::Platform), |role| Err(role_not_allowed(role)))
    }

    /// Whether e-mail addresses of members are shown.
    pub fn sees_addresses(&self) -> bool {
        self.role.is_none_or(Role::sees_addresses)
    }

    /// Whether the right holds in a tenant. On routes that name the tenant in their path, it does.
    pub fn covers(&self, tenant: &TenantId) -> bool {
        self.scope.covers(tenant)
    }
}

/// Who presents a credential.
struct Holder {
    actor: Actor,
    scope: Scope,
    /// Nothing for the admin token, which may do everything.
    role: Option<Role>,
}

/// Finds out who presents the credential, and whether that is allowed what the route does. API keys are never accepted
/// here.
///
/// # Errors
/// 401 `invalid_admin_token`, in the same words whatever is wrong with a token; 400 `ambiguous_credential`; 403
/// `network_not_allowed`, `role_not_allowed`; 404 for the tenant of others, in the words for one that does not exist;
/// 503 `not_ready` until all keys are loaded.
pub(super) async fn operator(request: &HttpRequest, permission: Permission) -> Result<Operator, Problem> {
    let Some(app) = request.app_data::<web::Data<App>>() else {
        return Err(Problem::new(Code::Internal, "The server is not set up."));
    };
    let holder = match holder(app, request) {
        Ok(holder) => holder,
        Err(Refused::For(problem)) => return Err(problem),
        Err(Refused::Unseen(token)) => look(app, request, &token).await?,
    };
    if !app.keystore.cache().is_hydrated() {
        return Err(not_ready());
    }
    check_tenant(request, &holder.scope)?;
    let is_named = request.match_info().get("tenant").is_some();
    if let Some(role) = holder.role {
        // All who have a role are machines.
        let is_allowed = role.may(permission) && !permission.is_for_people();
        if !(is_allowed && (is_named || role.is_of_platform() || permission.is_shared())) {
            return Err(role_not_allowed(role));
        }
    }
    let mut context = RequestContext::new(holder.actor, app.keystore.now());
    context.request_id = request.extensions().get::<RequestId>().copied();
    context.client = client::of(request);
    context.role = holder.role.map(|role| Label::parse(role.as_str())).transpose()?;
    Ok(Operator { context, scope: holder.scope, role: holder.role })
}

/// Why nobody is recognised.
enum Refused {
    For(Problem),
    /// A token of a machine that is unknown here and has not been looked up in the change log yet.
    Unseen(Digest),
}

impl<E: Into<Problem>> From<E> for Refused {
    fn from(reason: E) -> Self {
        Self::For(reason.into())
    }
}

/// Another node may have made the machine a moment ago.
async fn look(app: &App, request: &HttpRequest, token: &Digest) -> Result<Holder, Problem> {
    if let Err(error) = app.keystore.look_up(token, client::of(request)).await {
        tracing::debug!("an unknown token of a machine cannot be looked up: {error:?}");
        return Err(Denial::Unverifiable.into());
    }
    holder(app, request).map_err(|refused| match refused {
        Refused::For(problem) => problem,
        Refused::Unseen(_) => unknown(),
    })
}

fn unknown() -> Problem {
    let message = "Present the admin token, or that of a machine, as Authorization: Bearer.";
    Problem::new(Code::InvalidAdminToken, message)
}

fn holder(app: &App, request: &HttpRequest) -> Result<Holder, Refused> {
    let token = AuthHeaders::of(request).bearer()?.ok_or_else(unknown)?;
    if app.admin_token.verify(token) {
        return Ok(Holder { actor: Actor::AdminToken, scope: Scope::Platform, role: None });
    }
    let token = machine_token(token).ok_or_else(unknown)?;
    let (cache, now) = (app.keystore.cache(), app.keystore.now());
    if !cache.is_hydrated() {
        return Err(not_ready().into());
    }
    // As for keys: what was removed elsewhere cannot be known.
    if !cache.is_good_at(now) {
        return Err(Denial::Stale.into());
    }
    let Some((place, machine)) = app.machines.recognise(&token, now) else {
        return Err(match app.keystore.decide_lookup(&token, client::of(request)) {
            Lookup::Needed => Refused::Unseen(token),
            Lookup::Busy => Denial::Unverifiable.into(),
            // It may have been removed by hand, or come back, since the snapshot that this node started from.
            _ if !cache.is_verified() => not_ready().into(),
            Lookup::Recent | Lookup::Alone | Lookup::OverBudget => unknown().into(),
        });
    };
    if place.scope.tenant().is_some_and(|tenant| app.keystore.tenant(tenant).is_err()) {
        return Err(unknown().into());
    }
    let is_allowed = match client::of(request) {
        Some(address) => machine.allowed_cidrs.allow(address),
        None => machine.allowed_cidrs.is_any(),
    };
    if !is_allowed {
        let message = "The machine may not be used from this network.";
        return Err(Problem::new(Code::NetworkNotAllowed, message).into());
    }
    let actor = Actor::Named(Label::parse(&place.id.to_string())?);
    request.extensions_mut().insert(actor.clone()); // For the log, also when the role does not allow the request.
    Ok(Holder { actor, scope: place.scope, role: Some(machine.role) })
}

/// A tenant in the path must be one that the role holds in. What belongs to others is as if it did not exist.
fn check_tenant(request: &HttpRequest, scope: &Scope) -> Result<(), Problem> {
    let Some(tenant) = request.match_info().get("tenant") else { return Ok(()) };
    match TenantId::parse(tenant) {
        Ok(tenant) if !scope.covers(&tenant) => Err(no_such_tenant()),
        _ => Ok(()),
    }
}

fn role_not_allowed(role: Role) -> Problem {
    Problem::new(Code::RoleNotAllowed, format!("The role {role} does not allow this."))
}

fn no_such_tenant() -> Problem {
    Error::new(ErrorKind::NotFound, "there is no such tenant").into()
}

fn not_ready() -> Problem {
    Problem::new(Code::NotReady, "The keys are not loaded yet.")
}
