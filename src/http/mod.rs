//! HTTP: every route and the right that it needs, on this page.
//!
//! 1. [`app`]: what handlers share.  `levels`: its gauges.  [`server`]: listening, limits, shutdown.
//! 2. [`mod@route`]: a line of the table below.  [`mod@authorize`], [`mod@operator`]: from headers to the proof of a
//!    right.  `operator_session`: the query session of an operator.
//! 3. [`mod@routes`]: the handlers.  [`extract`]: their arguments.
//! 4. [`middleware`]: what happens around handlers.
//! 5. [`credential`]: auth headers.  [`client`]: the client's address.  `auth_off`: requests without
//!    a credential, in development.  [`media_type`]: the types of a body and of its
//!    answer.  `if_match`, `query_string`: the header field, and parameters.
//!    [`imported_secret`], `settings`: an imported secret, and key settings, in a body.
//!    [`receive`]: a body of events, within its memory.
//! 6. `client_stream`: how long a request is waited for.  `deadline`: what counts for that.  [`connection`]: whether a
//!    client has hung up.  [`unread`]: bodies that are not read.  `unparsed`: requests that are no HTTP.
//! 7. [`body`]: the body that holds a session.
//! 8. [`error`]: the one map from errors to answers.  `code`: what these are called.  `answered`: what the audit learns
//!    of answers.

mod answered;
pub(crate) mod app;
mod attempts;
pub(crate) mod auth_off;
pub(crate) mod authorize;
pub(crate) mod body;
pub(crate) mod client;
mod client_stream;
mod code;
pub(crate) mod connection;
pub(crate) mod credential;
mod deadline;
pub(crate) mod error;
pub(crate) mod extract;
mod if_match;
pub(crate) mod imported_secret;
mod levels;
pub(crate) mod media_type;
pub mod middleware;
pub(crate) mod operator;
#[cfg(feature = "query")]
mod operator_session;
mod query_string;
pub(crate) mod receive;
pub(crate) mod route;
pub(crate) mod routes;
pub(crate) mod server;
mod settings;
mod unparsed;
pub(crate) mod unread;

use actix_web::web;

use crate::access::Action;
#[doc(hidden)]
pub use crate::operators::Permission;
pub use app::App;
pub use client::TrustedProxies;
pub use credential::ApiKeyHeaders;
pub use error::{Code, Problem};
pub use extract::RunningSession;
use route::{Admin, FirehoseKey, Key, Public, route};
#[cfg(feature = "query")]
use route::{AdminInSession, InSession};
#[doc(hidden)]
pub use route::{Route, RouteAuth};
use routes::{
    apply, audit, auth, bulk, challenge, decide, firehose, health, ingest, keys, machines, memberships, mitigations,
    operators, platform, policyset, rotation, sessions, stream_list, stream_objects, streams, tenants, verify, whoami,
};
pub use server::{Server, Stop};

/// Every route of the server: method, path, the right that it needs, handler.
#[doc(hidden)]
#[rustfmt::skip]
pub fn routes() -> Vec<Route> {
    use crate::policy::set as policy;
    use policyset::parts;
    use Permission::{
        DraftPolicies, EndSessions, ManageKeys, ManageMachines, ManageMembers, ManageOperators, ManageOwn,
        ManagePolicies, ManageStreams, ManageTenants, ReadAudit, ReadChanges, ReadMachines, ReadMembers,
        ReadOperators, ReadOwn, ReadPlatform, ReadPolicies, ReadSessions, ReadTenants, Sync, VerifyKeys,
    };
    Vec::from([
        route("GET",    "/api/v1/liveness",                            Public,                 health::liveness),
        route("GET",    "/api/v1/readiness",                           Public,                 health::readiness),
        route("GET",    "/metrics",                                    Public,                 health::metrics),
        route("GET",    "/.keyloft/challenge",                         Public,                 challenge::show),
        route("POST",   "/.keyloft/challenge",                         Public,                 challenge::redeem),

        route("POST",   "/api/v1/ingest",                              Key(Action::Ingest),    ingest::by_header),
        route("GET",    "/api/v1/logstream",                           Key(Action::Query),     stream_list::readable),
        #[cfg(feature = "query")]
        route("POST",   "/api/v1/query",                               InSession(Action::Query), routes::query::run),
        route("POST",   "/api/v1/decide",                              Key(Action::Ingest),    decide::decide),
        route("GET",    "/api/v1/whoami",                              Key(Action::Inspect),   whoami::show),
        // Last of the data plane: paths with parameters are tried one after the other, each with a regular expression.
        route("POST",   "/api/v1/logstream/{stream}",                  Key(Action::Ingest),    ingest::by_path),
        route("POST",   "/api/v1/firehose/{stream}",                   FirehoseKey(Action::Ingest), firehose::deliver),

        route("POST",   "/api/v1/tenants",                             Admin(ManageTenants),   tenants::create),
        route("GET",    "/api/v1/tenants",                             Admin(ReadTenants),     tenants::list),
        route("GET",    "/api/v1/tenants/{tenant}",                    Admin(ReadTenants),     tenants::show),
        route("PATCH",  "/api/v1/tenants/{tenant}",                    Admin(ManageTenants),   tenants::update),
        route("DELETE", "/api/v1/tenants/{tenant}",                    Admin(ManageTenants),   tenants::delete),
        route("GET",    "/api/v1/tenants/{tenant}/logstream",          Admin(ReadTenants),     stream_list::list),
        route("GET",    "/api/v1/tenants/{tenant}/logstream/{stream}", Admin(ReadTenants),     streams::show),
        route("PATCH",  "/api/v1/tenants/{tenant}/logstream/{stream}", Admin(ManageStreams),   streams::update),
        route("DELETE", "/api/v1/tenants/{tenant}/logstream/{stream}", Admin(ManageTenants),   streams::delete),
        route("GET",    "/api/v1/tenants/{tenant}/logstream/{stream}/objects", Admin(ReadTenants), stream_objects::list),
        #[cfg(feature = "query")]
        route("POST",   "/api/v1/tenants/{tenant}/query",              AdminInSession(Permission::RunQueries), routes::query::run),
        route("POST",   "/api/v1/tenants/{tenant}/apikeys",            Admin(ManageKeys),      keys::issue),
        route("GET",    "/api/v1/tenants/{tenant}/apikeys",            Admin(ReadTenants),     keys::list),
        // Before `{id}`, which would match these paths too.
        route("POST",   "/api/v1/tenants/{tenant}/apikeys/apply",      Admin(ManageKeys),      apply::run),
        route("POST",   "/api/v1/tenants/{tenant}/apikeys/bulk",       Admin(ManageKeys),      bulk::run),
        route("GET",    "/api/v1/tenants/{tenant}/apikeys/{id}",       Admin(ReadTenants),     keys::show),
        route("PATCH",  "/api/v1/tenants/{tenant}/apikeys/{id}",       Admin(ManageKeys),      keys::update),
        route("DELETE", "/api/v1/tenants/{tenant}/apikeys/{id}",       Admin(ManageKeys),      keys::revoke),
        route("POST",   "/api/v1/tenants/{tenant}/apikeys/{id}/rotate",  Admin(ManageKeys),      rotation::rotate),
        route("GET",    "/api/v1/tenants/{tenant}/policyset",          Admin(ReadPolicies),    policyset::whole::show),
        route("PUT",    "/api/v1/tenants/{tenant}/policyset",          Admin(ManagePolicies),  policyset::whole::replace),
        route("GET",    "/api/v1/tenants/{tenant}/policyset/versions", Admin(ReadPolicies),    policyset::versions::list),
        route("GET",    "/api/v1/tenants/{tenant}/policyset/versions/{number}", Admin(ReadPolicies), policyset::versions::show),
        route("POST",   "/api/v1/tenants/{tenant}/policyset/apply",    Admin(ManagePolicies),  policyset::apply::run),
        route("POST",   "/api/v1/tenants/{tenant}/policyset/explain",  Admin(DraftPolicies),   policyset::explain::run),
        #[cfg(feature = "query")]
        route("POST",   "/api/v1/tenants/{tenant}/policyset/backtest", AdminInSession(DraftPolicies), policyset::backtest::run),
        route("POST",   "/api/v1/tenants/{tenant}/policyset/rollback", Admin(ManagePolicies),  policyset::versions::roll_back),
        #[cfg(feature = "query")]
        route("GET",    "/api/v1/tenants/{tenant}/results/policies",   Admin(ReadPolicies),    routes::results::list),
        #[cfg(feature = "query")]
        route("GET",    "/api/v1/tenants/{tenant}/results/policies/{id}", Admin(ReadPolicies), routes::results::show),
        route("POST",   "/api/v1/tenants/{tenant}/actions",            Admin(ManagePolicies),  parts::create::<policy::Action>),
        route("GET",    "/api/v1/tenants/{tenant}/actions",            Admin(ReadPolicies),    parts::list::<policy::Action>),
        route("GET",    "/api/v1/tenants/{tenant}/actions/{id}",       Admin(ReadPolicies),    parts::show::<policy::Action>),
        route("PATCH",  "/api/v1/tenants/{tenant}/actions/{id}",       Admin(ManagePolicies),  parts::update::<policy::Action>),
        route("DELETE", "/api/v1/tenants/{tenant}/actions/{id}",       Admin(ManagePolicies),  parts::remove::<policy::Action>),
        route("POST",   "/api/v1/tenants/{tenant}/entities",           Admin(ManagePolicies),  parts::create::<policy::EntityDefinition>),
        route("GET",    "/api/v1/tenants/{tenant}/entities",           Admin(ReadPolicies),    parts::list::<policy::EntityDefinition>),
        route("GET",    "/api/v1/tenants/{tenant}/entities/{id}",      Admin(ReadPolicies),    parts::show::<policy::EntityDefinition>),
        route("PATCH",  "/api/v1/tenants/{tenant}/entities/{id}",      Admin(ManagePolicies),  parts::update::<policy::EntityDefinition>),
        route("DELETE", "/api/v1/tenants/{tenant}/entities/{id}",      Admin(ManagePolicies),  parts::remove::<policy::EntityDefinition>),
        // Before `{id}`, which would match these paths too.
        route("GET",    "/api/v1/tenants/{tenant}/mitigations/active", Admin(ReadPolicies),    mitigations::list),
        route("GET",    "/api/v1/tenants/{tenant}/mitigations/active/{entity}", Admin(ReadPolicies), mitigations::show),
        route("DELETE", "/api/v1/tenants/{tenant}/mitigations/active/{entity}", Admin(ManagePolicies), mitigations::release),
        route("POST",   "/api/v1/tenants/{tenant}/mitigations",        Admin(ManagePolicies),  parts::create::<policy::Mitigation>),
        route("GET",    "/api/v1/tenants/{tenant}/mitigations",        Admin(ReadPolicies),    parts::list::<policy::Mitigation>),
        route("GET",    "/api/v1/tenants/{tenant}/mitigations/{id}",   Admin(ReadPolicies),    parts::show::<policy::Mitigation>),
        route("PATCH",  "/api/v1/tenants/{tenant}/mitigations/{id}",   Admin(ManagePolicies),  parts::update::<policy::Mitigation>),
        route("DELETE", "/api/v1/tenants/{tenant}/mitigations/{id}",   Admin(ManagePolicies),  parts::remove::<policy::Mitigation>),
        route("POST",   "/api/v1/tenants/{tenant}/policies",           Admin(ManagePolicies),  parts::create::<policy::Policy>),
        route("GET",    "/api/v1/tenants/{tenant}/policies",           Admin(ReadPolicies),    parts::list::<policy::Policy>),
        route("GET",    "/api/v1/tenants/{tenant}/policies/{id}",      Admin(ReadPolicies),    parts::show::<policy::Policy>),
        route("PATCH",  "/api/v1/tenants/{tenant}/policies/{id}",      Admin(ManagePolicies),  parts::update::<policy::Policy>),
        route("DELETE", "/api/v1/tenants/{tenant}/policies/{id}",      Admin(ManagePolicies),  parts::remove::<policy::Policy>),
        route("POST",   "/api/v1/tenants/{tenant}/service-operators",  Admin(ManageMachines),  machines::create),
        route("GET",    "/api/v1/tenants/{tenant}/service-operators",  Admin(ReadMachines),    machines::list),
        route("GET",    "/api/v1/tenants/{tenant}/service-operators/{id}", Admin(ReadMachines), machines::show),
        route("PATCH",  "/api/v1/tenants/{tenant}/service-operators/{id}", Admin(ManageMachines), machines::update),
        route("DELETE", "/api/v1/tenants/{tenant}/service-operators/{id}", Admin(ManageMachines), machines::remove),
        route("POST",   "/api/v1/tenants/{tenant}/service-operators/{id}/rotate", Admin(ManageMachines), machines::rotate),
        route("POST",   "/api/v1/service-operators",                   Admin(ManageMachines),  machines::create),
        route("GET",    "/api/v1/service-operators",                   Admin(ReadMachines),    machines::list),
        route("GET",    "/api/v1/service-operators/{id}",              Admin(ReadMachines),    machines::show),
        route("PATCH",  "/api/v1/service-operators/{id}",              Admin(ManageMachines),  machines::update),
        route("DELETE", "/api/v1/service-operators/{id}",              Admin(ManageMachines),  machines::remove),
        route("POST",   "/api/v1/service-operators/{id}/rotate",       Admin(ManageMachines),  machines::rotate),
        route("POST",   "/api/v1/tenants/{tenant}/memberships",             Admin(ManageMembers),   memberships::set),
        route("GET",    "/api/v1/tenants/{tenant}/memberships",             Admin(ReadMembers),     memberships::list),
        route("DELETE", "/api/v1/tenants/{tenant}/memberships/{id}",        Admin(ManageMembers),   memberships::remove),
        route("POST",   "/api/v1/memberships",                              Admin(ManageMembers),   memberships::set),
        route("GET",    "/api/v1/memberships",                              Admin(ReadMembers),     memberships::list),
        route("DELETE", "/api/v1/memberships/{id}",                         Admin(ManageMembers),   memberships::remove),
        route("POST",   "/tenants/{tenant}/memberships",                    Admin(ManageMembers),   memberships::set),
        route("GET",    "/tenants/{tenant}/memberships",                    Admin(ReadMembers),     memberships::list),
        route("DELETE", "/tenants/{tenant}/memberships/{id}",               Admin(ManageMembers),   memberships::remove),
        route("GET",    "/auth/complete",                                   Public,                 auth::sign_in::complete),
        route("GET",    "/auth/{provider}/login",                           Public,                 auth::sign_in::login),
        route("GET",    "/auth/{provider}/callback",                        Public,                 auth::sign_in::callback),
        route("GET",    "/api/v1/auth/providers",                           Public,                 auth::sign_in::providers),
        route("GET",    "/api/v1/auth/jwks",                                Public,                 auth::session::jwks),
        route("POST",   "/api/v1/auth/token",                               Public,                 auth::session::exchange),
        route("GET",    "/api/v1/auth/me",                                  Admin(ReadOwn),         auth::session::me),
        route("POST",   "/api/v1/auth/logout",                              Admin(ManageOwn),       auth::session::logout),
        route("DELETE", "/api/v1/auth/sessions/{sid}",                      Admin(ManageOwn),       auth::session::end),
        route("GET",    "/api/v1/operators",                                Admin(ReadOperators),   operators::list),
        route("GET",    "/api/v1/operators/{id}",                           Admin(ReadOperators),   operators::show),
        route("PATCH",  "/api/v1/operators/{id}",                           Admin(ManageOperators), operators::update),
        route("DELETE", "/api/v1/operators/{id}/sessions",                  Admin(ManageOperators), operators::end_sessions),
        route("GET",    "/api/v1/signers",                                  Admin(ReadOperators),   operators::signers),
        route("DELETE", "/api/v1/signers/{kid}",                            Admin(ManageOperators), operators::drop_signer),
        route("GET",    "/api/v1/tenants/{tenant}/audit",              Admin(ReadAudit),       audit::list),
        route("GET",    "/api/v1/audit",                               Admin(ReadAudit),       audit::list),
        route("POST",   "/api/v1/apikeys/verify",                      Admin(VerifyKeys),      verify::judge),
        route("GET",    "/api/v1/sessions",                            Admin(ReadSessions),    sessions::list),
        route("DELETE", "/api/v1/sessions/{id}",                       Admin(EndSessions),     sessions::end),
        route("GET",    "/api/v1/unreadable",                          Admin(ReadPlatform),    platform::unreadable),
        route("GET",    "/api/v1/nodes",                               Admin(ReadPlatform),    platform::nodes),
        route("GET",    "/api/v1/changes/{seq}",                       Admin(ReadChanges),     platform::change),
        route("POST",   "/api/v1/sync",                                Admin(Sync),            platform::reconcile),
    ])
}

/// Adds every route to an actix application.
pub(crate) fn configure(service: &mut web::ServiceConfig) {
    route::add(routes(), service);
}
