//! A line of the route table: a method, a path, the right that it needs, and a handler that receives the proof of that
//! right. A line without a right, or with a handler whose proof its right does not give, does not compile.

use std::fmt;
use std::future::ready;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Responder, guard, web};

use super::answered;
use super::authorize::{Authorized, authorize_with};
use super::error::{Code, Problem};
use super::extract::RunningSession;
use super::middleware::query_session;
use super::operator::{Operator, operator};
#[cfg(feature = "query")]
use super::operator_session;
use super::routes::firehose;
use crate::access::Action;
use crate::access::limits::Cost;
use crate::operators::Permission;

/// The credential that a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAuth {
    /// Nothing.
    Public,
    /// A key that allows this.
    Key(Action),
    /// The admin token, or the token of a machine whose role may do this.
    Admin(Permission),
}

/// A line of the route table.
pub struct Route {
    /// The credential that it needs.
    pub auth: RouteAuth,
    /// Its method.
    pub method: &'static str,
    /// Its pattern.
    pub path: &'static str,
    serve: actix_web::Route,
    form: Form,
}

/// Makes the answer out of a response, refusals included.
type Form = fn(&HttpRequest, HttpResponse) -> HttpResponse;

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
    Route { auth: right.auth(), method, path, form: right.form(), serve: right.serve(handler) }
}

/// Adds routes to an application: one resource for each path, whose other methods are 405.
pub(super) fn add(routes: Vec<Route>, service: &mut web::ServiceConfig) {
    let mut routes = routes.into_iter().peekable();
    while let Some(first) = routes.next() {
        let (path, form) = (first.path, first.form);
        let mut allow = Vec::new();
        // The name is how logs and metrics learn the pattern.
        let mut resource = web::resource(path).name(path);
        let mut next = Some(first);
        while let Some(Route { method, serve, .. }) = next {
            allow.push(if method == "GET" { "GET, HEAD" } else { method });
            resource = resource.route(serve.guard(guard::fn_guard(move |context| is(method, &context.head().method))));
            next = routes.next_if(|route| route.path == path);
        }
        let allow = HeaderValue::from_str(&allow.join(", ")).ok();
        let refuse = move |request: HttpRequest| ready(form(&request, method_not_allowed(allow.as_ref())));
        service.service(resource.default_service(web::to(refuse)));
    }
}

/// A GET route answers HEAD too (RFC 9110, section 9.3.2); actix leaves the body out.
fn is(method: &str, asked: &Method) -> bool {
    asked.as_str() == method || (*asked == Method::HEAD && method == "GET")
}

/// 405 with `Allow` (RFC 9110, section 15.5.6).
fn method_not_allowed(allow: Option<&HeaderValue>) -> HttpResponse {
    let mut response = HttpResponse::from_error(Problem::new(
        Code::MethodNotAllowed,
        "The route has no such method: see the Allow header.",
    ));
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response
}

/// A right, and how a handler receives the proof of it.
pub(super) trait Right<H, Args> {
    fn auth(&self) -> RouteAuth;
    fn serve(self, handler: H) -> actix_web::Route;

    /// The form of every answer of the path, also to other methods.
    fn form(&self) -> Form {
        |_, response| response
    }
}

/// No credential: the handler receives no proof.
pub(super) struct Public;

/// A key that allows the action. The handler receives an [`Authorized`] whose limits have been charged for one request.
pub(super) struct Key(pub(super) Action);

/// The same for a delivery of Firehose, which has its own header for the key and its own form of answers.
pub(super) struct FirehoseKey(pub(super) Action);

/// The same inside a query session, which lasts as long as the answer. The handler receives a [`RunningSession`].
#[cfg_attr(not(feature = "query"), allow(dead_code))]
pub(super) struct InSession(pub(super) Action);

/// The admin token, or that of a machine. The handler receives an [`Operator`].
pub(super) struct Admin(pub(super) Permission);

/// The same inside a query session of the tenant that the path names, which lasts as long as the answer. The handler
/// receives a [`RunningSession`].
#[cfg(feature = "query")]
pub(super) struct AdminInSession(pub(super) Permission);

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
        let form = Right::<H, Args>::form(&self);
        keyed(self.0, None, handler, form)
    }
}

impl<H, Args> Right<H, Args> for FirehoseKey
where
    H: ProvenHandler<Authorized, Args>,
    Args: FromRequest + 'static,
{
    fn auth(&self) -> RouteAuth {
        RouteAuth::Key(self.0)
    }

    fn serve(self, handler: H) -> actix_web::Route {
        let form = Right::<H, Args>::form(&self);
        keyed(self.0, Some(firehose::ACCESS_KEY), handler, form)
    }

    fn form(&self) -> Form {
        firehose::answer
    }
}

/// Authorizes each request for the action, acquires its cost and calls the handler. `header` names one more header that
/// carries the key.
fn keyed<H, Args>(action: Action, header: Option<HeaderName>, handler: H, form: Form) -> actix_web::Route
where
    H: ProvenHandler<Authorized, Args>,
    Args: FromRequest + 'static,
{
    web::route().to(move |request: HttpRequest, payload: web::Payload| {
        let (handler, header) = (handler.clone(), header.clone());
        async move {
            let response = match authorize_with(&request, action, header.as_ref()).await {
                Ok(authorized) => {
                    let mut response = match authorized.acquire(Cost::REQUEST).await {
                        Ok(()) => handler.answer(authorized.clone(), &request, payload.into_inner()).await,
                        Err(problem) => HttpResponse::from_error(problem),
                    };
                    authorized.show_quotas(response.headers_mut());
                    response
                }
                Err(problem) => HttpResponse::from_error(problem),
            };
            form(&request, response)
        }
    })
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
                let answer = async || -> actix_web::Result<H::Output> {
                    operator(&request, self.0).await?;
                    let args = Args::from_request(&request, &mut payload.into_inner()).await.map_err(Into::into)?;
                    // Again: the body may have taken its time, and the right may be gone.
                    Ok(handler.call(operator(&request, self.0).await?, args).await)
                };
                let response = match answer().await {
                    Ok(answer) => answer.respond_to(&request).map_into_boxed_body(),
                    Err(error) => HttpResponse::from_error(error),
                };
                answered::note(&request, &response);
                response
            }
        })
    }
}

#[cfg(feature = "query")]
impl<H, Args> Right<H, Args> for AdminInSession
where
    H: ProvenHandler<RunningSession, Args>,
    Args: FromRequest + 'static,
{
    fn auth(&self) -> RouteAuth {
        RouteAuth::Admin(self.0)
    }

    fn serve(self, handler: H) -> actix_web::Route {
        let in_session = move |operator: Operator, request: HttpRequest, payload: web::Payload| {
            let handler = handler.clone();
            async move {
                let guard = match operator_session::open(&request, operator).await {
                    Ok(guard) => guard,
                    Err(problem) => return HttpResponse::from_error(problem),
                };
                let answer = |session| handler.answer(session, &request, payload.into_inner());
                query_session::run_in(&request, guard, answer).await
            }
        };
        Right::<_, (HttpRequest, web::Payload)>::serve(Admin(self.0), in_session)
    }
}

/// A handler whose first argument is a proof; the others are read from the request once the proof is made.
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
