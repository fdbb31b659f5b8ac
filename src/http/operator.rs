//! From the `Authorization` of a request to the proof that its holder may administer, or a [`Problem`].

use std::net::IpAddr;

use actix_web::{HttpMessage, HttpRequest, web};

use super::app::App;
use super::auth_off;
use super::client;
use super::credential::AuthHeaders;
use super::error::{Code, Problem};
use crate::access::Denial;
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind};
use crate::key::credential::machine_token;
use crate::key::{Actor, Digest, Label, RequestId, TenantId};
use crate::operators::accounts::{KnownToken, NotIn, Person};
use crate::operators::machine::MachinePlace;
use crate::operators::{Caller, Ceiling, Machine, Permission, Rights, Role, Scope};
use crate::sync::Lookup;

/// Proof that somebody may do what a route does: the holder of the admin token, or a machine or a person whose roles
/// allow it. Only [`operator`] makes one.
#[derive(Debug)]
pub struct Operator {
    context: RequestContext,
    rights: Rights,
    permission: Permission,
    /// What the path names.
    place: Scope,
    person: Option<Person>,
    credential: KnownCredential,
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
        self.rights.caller(&self.place).ok_or_else(|| Problem::new(Code::RoleNotAllowed, "Machines manage no people."))
    }

    /// Up to which role machines are managed.
    pub fn ceiling(&self) -> Ceiling {
        self.rights.ceiling(&self.place)
    }

    /// Whether e-mail addresses of members are shown.
    pub fn sees_addresses(&self) -> bool {
        self.rights.see_addresses(&self.place)
    }

    /// Whether the right holds in a tenant. On routes that name the tenant in their path, it does.
    pub fn covers(&self, tenant: &TenantId) -> bool {
        self.rights.may(self.permission, &Scope::Tenant(tenant.clone())).is_ok()
    }

    /// What somebody may do.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// What was presented, to judge the right again later.
    #[cfg_attr(not(feature = "query"), allow(dead_code))]
    pub(super) fn credential(&self) -> &KnownCredential {
        &self.credential
    }

    /// The person; nothing for the admin token and for machines.
    pub fn person(&self) -> Option<&Person> {
        self.person.as_ref()
    }
}

/// Who was recognised, for the request log and the audit: left with the request.
pub(super) struct Known {
    pub(super) actor: Actor,
    pub(super) role: Option<Role>,
    pub(super) rights: Rights,
}

/// A credential that was good when it was presented, without its secret.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "query"), allow(dead_code))]
pub(super) enum KnownCredential {
    /// The admin token, or none where none is needed.
    Everything,
    /// The token of a machine.
    Machine(Digest),
    /// The token of a sign-in.
    Person(KnownToken),
}

/// Who presents a credential.
struct Holder {
    actor: Actor,
    rights: Rights,
    person: Option<Person>,
    credential: KnownCredential,
}

impl Holder {
    /// One who may do everything.
    fn of_everything(actor: Actor) -> Self {
        Self { actor, rights: Rights::Everything, person: None, credential: KnownCredential::Everything }
    }
}

/// Finds out who presents the credential, and whether that is allowed what the route does. API keys are never accepted
/// here.
///
/// # Errors
/// 401 `invalid_admin_token`, in the same words whatever is wrong with a token, and before anything about tenants is
/// looked at; 400 `ambiguous_credential`; 403 `network_not_allowed`, `role_not_allowed`; 404 for the tenant of others,
/// in the words for one that does not exist; 503 `not_ready` until all keys are loaded.
pub(super) async fn operator(request: &HttpRequest, permission: Permission) -> Result<Operator, Problem> {
    let Some(app) = request.app_data::<web::Data<App>>() else {
        return Err(Problem::new(Code::Internal, "The server is not set up."));
    };
    let Holder { actor, rights, person, credential } = match holder(app, request) {
        Ok(holder) => holder,
        Err(Refused::For(problem)) => return Err(problem),
        Err(Refused::Unseen(token)) => look(app, request, &token).await?,
    };
    if !app.keystore.cache().is_hydrated() {
        return Err(not_ready());
    }
    let place = place(request, &rights)?;
    let role = if permission.is_own() {
        own(&rights, permission)
    } else {
        match rights.may(permission, &place) {
            Err(_) if place == Scope::Platform && permission.is_shared() => rights.may_somewhere(permission),
            judged => judged,
        }
    };
    // Also when the role does not allow the request.
    let (Ok(used) | Err(used)) = role;
    request.extensions_mut().insert(Known { actor: actor.clone(), role: used, rights: rights.clone() });
    let role = role.map_err(role_not_allowed)?;
    let mut context = RequestContext { actor, ..anonymous(app, request) };
    context.role = role.map(|role| Label::parse(role.as_str())).transpose()?;
    Ok(Operator { context, rights, permission, place, person, credential })
}

/// The context of a request that nobody has to be known for: who signs in becomes its actor.
pub(super) fn anonymous(app: &App, request: &HttpRequest) -> RequestContext {
    let mut context = RequestContext::new(Actor::System, app.keystore.now());
    context.request_id = request.extensions().get::<RequestId>().copied();
    context.client = client::of(request);
    context.route = request.match_pattern().map(|pattern| format!("{} {pattern}", request.method()));
    client::agent(request, |secret| app.admin_token.is(secret) || app.keystore.cache().owner(secret).is_some())
        .into_iter()
        .fold(context, |context, agent| context.with_agent(&agent))
}

/// What is about oneself takes no role; machines have no sign-ins.
fn own(rights: &Rights, permission: Permission) -> Result<Option<Role>, Option<Role>> {
    match rights {
        Rights::Machine(_, role) if permission.is_for_people() => Err(Some(*role)),
        Rights::Machine(_, role) => Ok(Some(*role)),
        Rights::Everything | Rights::Person(_) => Ok(None),
    }
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
    let message = "Present the admin token, or that of a machine or of a sign-in, as Authorization: Bearer.";
    Problem::new(Code::InvalidAdminToken, message)
}

fn holder(app: &App, request: &HttpRequest) -> Result<Holder, Refused> {
    let headers = AuthHeaders::of(request);
    if auth_off::is_keyless(request, &headers) {
        return Ok(Holder::of_everything(Actor::AuthOff));
    }
    let token = headers.bearer()?.ok_or_else(unknown)?;
    if app.admin_token.verify(token) {
        return Ok(Holder::of_everything(Actor::AdminToken));
    }
    let (cache, now) = (app.keystore.cache(), app.keystore.now());
    if !cache.is_hydrated() {
        return Err(not_ready().into());
    }
    // As for keys: what was removed elsewhere cannot be known.
    if !cache.is_good_at(now) {
        return Err(Denial::Stale.into());
    }
    let holder = match machine_token(token) {
        Some(digest) => match app.machines.recognise(&digest, now) {
            Some((place, found)) => machine(app, request, digest, place, &found)?,
            None => return Err(unseen(app, request, digest)),
        },
        None => match recognise(app, request, token) {
            Ok(found) => person(request, found)?,
            Err(NotIn::Unseen) => return Err(unseen(app, request, Digest::of(token))),
            Err(NotIn::Refused) => return Err(unknown().into()),
        },
    };
    Ok(holder)
}

/// A good token that this node does not know.
fn unseen(app: &App, request: &HttpRequest, token: Digest) -> Refused {
    match app.keystore.decide_lookup(&token, client::of(request)) {
        Lookup::Needed => Refused::Unseen(token),
        Lookup::Busy => Denial::Unverifiable.into(),
        // It may have been removed by hand, or come back, since the snapshot that this node started from.
        _ if !app.keystore.cache().is_verified() => not_ready().into(),
        Lookup::Recent | Lookup::Alone | Lookup::OverBudget => unknown().into(),
    }
}

fn machine(
    app: &App,
    request: &HttpRequest,
    token: Digest,
    place: MachinePlace,
    found: &Machine,
) -> Result<Holder, Refused> {
    if place.scope.tenant().is_some_and(|tenant| app.keystore.tenant(tenant).is_err()) {
        return Err(unknown().into());
    }
    let actor = Actor::Named(Label::parse(&place.id.to_string())?);
    let rights = Rights::Machine(place.scope, found.role);
    if !is_allowed_from(found, client::of(request)) {
        request.extensions_mut().insert(Known { actor, role: Some(found.role), rights });
        let message = "The machine may not be used from this network.";
        return Err(Problem::new(Code::NetworkNotAllowed, message).into());
    }
    let credential = KnownCredential::Machine(token);
    Ok(Holder { actor, rights, person: None, credential })
}

/// Whether a machine may be used from where the client is.
pub(super) fn is_allowed_from(machine: &Machine, address: Option<IpAddr>) -> bool {
    match address {
        Some(address) => machine.allowed_cidrs.allow(address),
        None => machine.allowed_cidrs.is_any(),
    }
}

/// The right is judged again once the body is there; what the signature says of the same token is known by then.
fn recognise(app: &App, request: &HttpRequest, token: &str) -> Result<Person, NotIn> {
    match request.extensions().get::<KnownToken>().cloned() {
        Some(known) => app.accounts.recognise_again(known),
        None => app.accounts.recognise(token),
    }
}

fn person(request: &HttpRequest, found: Person) -> Result<Holder, Refused> {
    request.extensions_mut().insert(found.token.clone());
    let actor = Actor::Named(Label::parse(&found.id.to_string())?);
    let (rights, credential) = (Rights::Person(found.rights.clone()), KnownCredential::Person(found.token.clone()));
    Ok(Holder { actor, rights, person: Some(found), credential })
}

/// What the path names: a tenant in which there is a role, or the platform. What belongs to others is as if it did not
/// exist.
fn place(request: &HttpRequest, rights: &Rights) -> Result<Scope, Problem> {
    match request.match_info().get("tenant") {
        None => Ok(Scope::Platform),
        Some(tenant) => {
            let tenant = TenantId::parse(tenant)?;
            if rights.know(&tenant) { Ok(Scope::Tenant(tenant)) } else { Err(no_such_tenant()) }
        }
    }
}

fn role_not_allowed(role: Option<Role>) -> Problem {
    match role {
        Some(role) => Problem::new(Code::RoleNotAllowed, format!("The role {role} does not allow this.")),
        None => Problem::new(Code::RoleNotAllowed, "You have no role that allows this."),
    }
}

fn no_such_tenant() -> Problem {
    Error::new(ErrorKind::NotFound, "there is no such tenant").into()
}

fn not_ready() -> Problem {
    Problem::new(Code::NotReady, "The keys are not loaded yet.")
}
