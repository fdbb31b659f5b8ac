//! HTTP: every route and the order of the middleware, on this page.
//!
//! 1. [`app`]: what handlers share.  [`server`]: listening, limits, shutdown.
//! 2. [`middleware`]: what happens around handlers.  [`extract`]: what handlers ask for.  [`field`]: what bodies hold.
//! 3. [`routes`]: the handlers.
//! 4. [`credential`]: where a client may put its key.  [`client`]: where it is.  [`brought`]: a secret in a body.
//!    [`media_type`]: what a body is.
//! 5. [`body`]: the body that holds a session.  [`usage`]: which key did what.
//! 6. [`error`]: the one map from what went wrong to an answer.

pub mod app;
pub mod body;
pub mod brought;
pub mod client;
pub mod credential;
pub mod error;
pub mod extract;
pub mod field;
pub mod media_type;
pub mod middleware;
pub mod routes;
pub mod server;
pub mod usage;

use actix_web::middleware::from_fn;
use actix_web::{guard, http::Method, web};

use crate::auth;
use middleware::{admit, operator};
use routes::{
    apply, bulk, changes, health, ingest, keys, metrics, nodes, rotation, sessions, streams, sync, tenants, unreadable,
    verify, whoami,
};

/// What a route wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// An ingestion key.
    Ingestion,
    /// A query key.
    Query,
    /// A query key, and room for a query session.
    Session,
    /// Any good key.
    AnyKey,
    /// The admin token.
    Admin,
}

/// A line of [`ROUTES`].
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// What it wants to see.
    pub credential: Credential,
    /// Its method.
    pub method: &'static str,
    /// Its pattern.
    pub path: &'static str,
}

/// Declares the routes once: as the table [`ROUTES`], for tests and docs, and as what the server does.
macro_rules! routes {
    ($($(#[$attribute:meta])* $credential:ident $method:ident $path:literal => $handler:path;)*) => {
        /// Every route of the server.
        pub const ROUTES: &[Route] = &[
            $($(#[$attribute])* Route {
                credential: Credential::$credential, method: stringify!($method), path: $path,
            },)*
        ];

        /// Adds every route to an actix application.
        pub fn configure(service: &mut web::ServiceConfig) {
            $($(#[$attribute])* {
                let resource = web::resource($path).guard(method(Method::$method));
                stack!($credential service resource.route(web::to($handler)));
                // Before the routes below: `…/bulk` would also pass for an `…/{id}`.
                if ROUTES.iter().rfind(|route| route.path == $path).is_some_and(|last| last.method == stringify!($method)) {
                    service.service(web::resource($path).route(web::to(health::method_not_allowed)));
                }
            })*
        }
    };
}

/// Whoever may GET may also ask for the head alone (RFC 9110, section 9.3.2); actix leaves the body out.
fn method(method: Method) -> impl guard::Guard {
    guard::fn_guard(move |context| {
        let asked = &context.head().method;
        *asked == method || (*asked == Method::HEAD && method == Method::GET)
    })
}

/// The middleware of each kind of route. actix runs the last `wrap` first: read each stack from the bottom up.
macro_rules! stack {
    (None $service:ident $resource:expr) => {
        $service.service($resource)
    };
    (Ingestion $service:ident $resource:expr) => {
        stack!(Keyed auth::Ingestion, $service $resource)
    };
    (Query $service:ident $resource:expr) => {
        stack!(Keyed auth::Query, $service $resource)
    };
    (Session $service:ident $resource:expr) => {
        // 3. a session for the permit, and for as long as the body lasts
        stack!(Keyed auth::Query, $service $resource.wrap(from_fn(middleware::query_session::hold)))
    };
    (AnyKey $service:ident $resource:expr) => {
        stack!(Keyed auth::AnyUse, $service $resource)
    };
    (Keyed $action:ty, $service:ident $resource:expr) => {
        // 1. a permit, for good keys only; 2. from where and how often they are used
        $service.service($resource.wrap(from_fn(admit::require::<$action>)))
    };
    (Admin $service:ident $resource:expr) => {
        $service.service($resource.wrap(from_fn(operator::require)))
    };
}

routes! {
    None      GET    "/api/v1/liveness"                        => health::liveness;
    None      GET    "/api/v1/readiness"                       => health::readiness;
    None      GET    "/metrics"                                => metrics::show;

    Ingestion POST   "/api/v1/ingest"                          => ingest::by_header;
    Ingestion POST   "/api/v1/logstream/{stream}"              => ingest::by_path;
    #[cfg(feature = "query")]
    Session   POST   "/api/v1/query"                           => routes::query::run;
    Query     GET    "/api/v1/logstream"                       => streams::list;
    AnyKey    GET    "/api/v1/whoami"                          => whoami::show;

    Admin     POST   "/api/v1/tenants"                         => tenants::create;
    Admin     GET    "/api/v1/tenants"                         => tenants::list;
    Admin     GET    "/api/v1/tenants/{tenant}"                => tenants::show;
    Admin     PATCH  "/api/v1/tenants/{tenant}"                => tenants::update;
    Admin     DELETE "/api/v1/tenants/{tenant}"                => tenants::delete;
    Admin     POST   "/api/v1/tenants/{tenant}/apikeys"        => keys::issue;
    Admin     GET    "/api/v1/tenants/{tenant}/apikeys"        => keys::list;
    Admin     POST   "/api/v1/tenants/{tenant}/apikeys/apply"  => apply::run;
    Admin     POST   "/api/v1/tenants/{tenant}/apikeys/bulk"   => bulk::run;
    Admin     GET    "/api/v1/tenants/{tenant}/apikeys/{id}"   => keys::show;
    Admin     PATCH  "/api/v1/tenants/{tenant}/apikeys/{id}"   => keys::update;
    Admin     DELETE "/api/v1/tenants/{tenant}/apikeys/{id}"   => keys::revoke;
    Admin     POST   "/api/v1/tenants/{tenant}/apikeys/{id}/rotate" => rotation::rotate;
    Admin     POST   "/api/v1/apikeys/verify"                  => verify::judge;
    Admin     GET    "/api/v1/sessions"                        => sessions::list;
    Admin     DELETE "/api/v1/sessions/{id}"                   => sessions::end;
    Admin     GET    "/api/v1/unreadable"                      => unreadable::list;
    Admin     GET    "/api/v1/nodes"                           => nodes::list;
    Admin     GET    "/api/v1/changes/{seq}"                   => changes::show;
    Admin     POST   "/api/v1/sync"                            => sync::run;
}
