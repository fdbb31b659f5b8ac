//! What a line of the route table is: a method, a path, the right that it needs, and a handler that is given the proof of
//! that right. A handler that wants a proof which its right does not give does not compile.

use std::fmt;
use std::future::ready;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Responder, guard, web};

use super::authorize::{Authorized, Operator, authorize, authorize_with, operator};
use super::error::{Code, Problem};
use super::extract::RunningSession;
use super::middleware::query_session;
use super::routes::firehose;
use crate::access::Action;
use crate::access::limits::Cost;

/// What a request needs to be answered by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAuth {
    /// Nothing.
    Public,
    /// A key that allows this.
    Key(Action),
    /// The admin token, which may do this.
    Admin(Permission),
}

/// What an admin route does. The admin token may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// See tenants, keys and what they were used for.
    ReadTenants,
    /// Ask what an API key is worth.
    VerifyKeys,
    /// Issue, change, rotate and revoke keys.
    ManageKeys,
    /// Create, change, suspend and delete tenants.
    ManageTenants,
    /// See running queries.
    ReadSessions,
    /// End running queries.
    EndSessions,
    /// See nodes, changes and documents that cannot be used.
    ReadPlatform,
    /// Reconcile a node with the bucket.
    Sync,
}

/// A line of the route table.
pub struct Route {
    /// What it needs.
    pub auth: RouteAuth,
    /// Its method.
    pub method: &'static str,
    /// Its pattern.
    pub path: &'static str,
    serve: actix_web::Route,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.path, self.auth)
    }
}

/// A line of the route table.
pub(super) fn route<H, Args>(
    method: &'static str,
    path: &'static str,
    right: impl Right<H, Args>,
    handler: H,
) -> Route {
    Route { auth: right.auth(), method, path, serve: right.serve(handler) }
}

/// Adds routes to an application: one resource for each path, whose other methods are 405.
pub(super) fn add(routes: Vec<Route>, service: &mut web::ServiceConfig) {
    let mut routes = routes.into_iter().peekable();
    while let Some(first) = routes.next() {
        let path = first.path;
        let mut allow = Vec::new();
        let mut resource = web::resource(path);
        let mut next = Some(first);
        while let Some(Route { method, serve, .. }) = next {
            allow.push(if method == "GET" { "GET, HEAD" } else { method });
            resource = resource.route(serve.guard(guard::fn_guard(move |context| is(method, &context.head().method))));
            next = routes.next_if(|route| route.path == path);
        }
        let allow = HeaderValue::from_str(&allow.join(", ")).ok();
        service.service(resource.default_service(web::to(move || ready(method_not_allowed(allow.as_ref())))));
    }
}

/// A client that may GET may also ask for the head alone (RFC 9110, section 9.3.2); actix leaves the body out.
fn is(method: &str, asked: &Method) -> bool {
    asked.as_str() == method || (*asked == Method::HEAD && method == "GET")
}

/// `Allow` names the methods that there are (RFC 9110, section 15.5.6).
fn method_not_allowed(allow: Option<&HeaderValue>) -> HttpResponse {
    let mut response = HttpResponse::from_error(Problem::new(Code::MethodNotAllowed, "This route has other methods."));
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response
}

/// A right, and how a handler is called with the proof of it.
pub(super) trait Right<H, Args> {
    fn auth(&self) -> RouteAuth;
    fn serve(self, handler: H) -> actix_web::Route;
}

/// Everybody has this right. The handler is given no proof.
pub(super) struct Public;

/// A key that allows the action. The handler is given an [`Authorized`], which has paid for the request.
pub(super) struct Key(pub(super) Action);

/// The same for a delivery of Firehose, which has a header of its own for the key, and a form of its own for answers.
pub(super) struct Delivery(pub(super) Action);

/// The same inside a query session, which lasts as long as the answer. The handler is given a [`RunningSession`].
#[cfg_attr(not(feature = "query"), allow(dead_code))]
pub(super) struct InSession(pub(super) Action);

/// The admin token. The handler is given an [`Operator`].
pub(super) struct Admin(pub(super) Permission);

impl<H, Args> Right<H, Args> for Public
where
    H: Handler<Args>,
    Args: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    fn auth(&self) -> RouteAuth {
        RouteAuth::Public
    }

    fn serve(self, handler: H) -> actix_web::Route {
        web::route().to(handler)
    }
}

impl<H, Args> Right<H, Args> for Key
where
    H: ProvenHandler<Authorized, Args>,
    Args: FromRequest + 'static,
{
    fn auth(&self) -> RouteAuth {
        RouteAuth::Key(self.0)
    }

    fn serve(self, handler: H) -> actix_web::Route {
        let Self(action) = self;
        web::route().to(move |request: HttpRequest, payload: web::Payload| {
            let handler = handler.clone();
            async move { keyed(authorize(&request, action).await, &handler, &request, payload).await }
        })
    }
}

impl<H, Args> Right<H, Args> for Delivery
where
    H: ProvenHandler<Authorized, Args>,
    Args: FromRequest + 'static,
{
    fn auth(&self) -> RouteAuth {
        RouteAuth::Key(self.0)
    }

    fn serve(self, handler: H) -> actix_web::Route {
        let Self(action) = self;
        web::route().to(move |request: HttpRequest, payload: web::Payload| {
            let handler = handler.clone();
            async move {
                let authorized = authorize_with(&request, action, Some(&firehose::ACCESS_KEY)).await;
                let response = keyed(authorized, &handler, &request, payload).await;
                firehose::answer(&request, response)
            }
        })
    }
}

/// Takes what the request costs, and calls the handler.
async fn keyed<H, Args>(
    authorized: Result<Authorized, Problem>,
    handler: &H,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse
where
    H: ProvenHandler<Authorized, Args>,
    Args: FromRequest + 'static,
{
    let authorized = match authorized {
        Ok(authorized) => authorized,
        Err(problem) => return HttpResponse::from_error(problem),
    };
    let mut response = match authorized.acquire(Cost::REQUEST).await {
        Ok(()) => handler.answer(authorized.clone(), request, payload.into_inner()).await,
        Err(problem) => HttpResponse::from_error(problem),
    };
    authorized.show_quotas(response.headers_mut());
    response
}

impl<H, Args> Right<H, Args> for InSession
where
    H: ProvenHandler<RunningSession, Args>,
    Args: FromRequest + 'static,
{
    fn auth(&self) -> RouteAuth {
        RouteAuth::Key(self.0)
    }

    fn serve(self, handler: H) -> actix_web::Route {
        let in_session = move |authorized: Authorized, request: HttpRequest, payload: web::Payload| {
            let handler = handler.clone();
            async move {
                let answer = |session| handler.answer(session, &request, payload.into_inner());
                query_session::run(&request, authorized.permit(), answer).await
            }
        };
        Right::<_, (HttpRequest, web::Payload)>::serve(Key(self.0), in_session)
    }
}

impl<H, Args> Right<H, Args> for Admin
where
    H: ProvenHandler<Operator, Args>,
    Args: FromRequest + 'static,
{
    fn auth(&self) -> RouteAuth {
        RouteAuth::Admin(self.0)
    }

    fn serve(self, handler: H) -> actix_web::Route {
        web::route().to(move |request: HttpRequest, payload: web::Payload| {
            let handler = handler.clone();
            async move {
                match operator(&request) {
                    Ok(operator) => handler.answer(operator, &request, payload.into_inner()).await,
                    Err(problem) => HttpResponse::from_error(problem),
                }
            }
        })
    }
}

/// A handler whose first argument is a proof; the others are read from the request once there is one.
pub(super) trait ProvenHandler<Proof, Args: FromRequest>: Clone + 'static {
    type Output: Responder;

    fn call(&self, proof: Proof, args: Args) -> impl Future<Output = Self::Output>;

    /// Reads the other arguments and calls the handler.
    async fn answer(&self, proof: Proof, request: &HttpRequest, mut payload: Payload) -> HttpResponse {
        match Args::from_request(request, &mut payload).await {
            Ok(args) => self.call(proof, args).await.respond_to(request).map_into_boxed_body(),
            Err(error) => HttpResponse::from_error(error.into()),
        }
    }
}

macro_rules! proven_handler {
    ($($arg:ident)*) => {
        impl<Func, Fut, Proof, $($arg: FromRequest + 'static),*> ProvenHandler<Proof, ($($arg,)*)> for Func
        where
            Func: Fn(Proof, $($arg),*) -> Fut + Clone + 'static,
            Fut: Future,
            Fut::Output: Responder,
        {
            type Output = Fut::Output;

            #[allow(non_snake_case)]
            fn call(&self, proof: Proof, ($($arg,)*): ($($arg,)*)) -> impl Future<Output = Self::Output> {
                self(proof, $($arg),*)
            }
        }
    };
}

proven_handler!();
proven_handler!(A);
proven_handler!(A B);
proven_handler!(A B C);
proven_handler!(A B C D);
proven_handler!(A B C D E);
proven_handler!(A B C D E F);
