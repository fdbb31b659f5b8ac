//! Request id, access log, metrics and the counters of keys. Outermost, so that it sees every answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use bytes::Bytes;

use crate::access::Denial;
use crate::http::app::App;
use crate::http::authorize::{Accepted, Presented};
use crate::http::connection::{Answering, Connection, connection};
use crate::http::error::Problem;
use crate::http::operator::Known;
use crate::http::unread::RequestBody;
use crate::key::request_ids::RequestIds;
use crate::key::{Actor, ApiKey, Digest, RequestId, own};
use crate::telemetry::log::REQUEST_COMPLETED;
use crate::usage::Use;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The method of a request that could not be read.
const NO_METHOD: &str = "other";

/// Gives every request an id (the client's, when it is 1-48 of letters, digits, `_`, `-` and `.`), answers with it, and
/// records the outcome. The route is logged as its pattern: a path may hold anything, even a mistyped key.
///
/// # Errors
/// Never of its own: handlers answer with a response even when they refuse.
pub async fn record(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let start = Instant::now();
    let answering_on = connection(request.request()).map(Connection::answering);
    let body = RequestBody::of(&mut request);
    let id = client_id(&request).filter(|id| !is_secret(&request, id)).unwrap_or_else(|| fresh_id(&request));
    request.extensions_mut().insert(id); // For the documents that this request changes.
    let span = tracing::info_span!("request", %id);
    let mut answering = next.call(request);
    // Entered once for all that most requests do.
    let answered = poll_fn(|cx| {
        span.in_scope(|| {
            let answered = ready!(answering.as_mut().poll(cx));
            Poll::Ready(answered.inspect(|response| note(response, start.elapsed())))
        })
    });
    let mut response = answered.await?.map_into_boxed_body();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    let (request, mut response) = response.into_parts();
    if let Some(body) = body {
        response = body.finish(response).await;
    }
    let response = match answering_on {
        Some(answering) => response.map_body(|_, body| BoxBody::new(AnswerBody { body, _answering: answering })),
        None => response,
    };
    Ok(ServiceResponse::new(request, response))
}

/// Says for as long as it is sent that its request is being answered.
struct AnswerBody {
    body: BoxBody,
    _answering: Answering,
}

impl MessageBody for AnswerBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// The same for a request that could not be read: it is known by its answer alone.
pub(crate) fn note_unparsed(app: &App, id: &RequestId, problem: &Problem) {
    let status = problem.code().status().as_u16();
    let route = app.metrics.count_request(NO_METHOD, None, status, Duration::ZERO);
    let code = Some(problem.code().as_str());
    tracing::info_span!("request", %id)
        .in_scope(|| log(NO_METHOD, route, status, 0, Identified::default(), None, code));
}

/// Metrics, counters, log.
fn note(response: &ServiceResponse<impl MessageBody>, took: Duration) {
    let request = response.request();
    let Some(app) = app(request) else { return };
    let (method, status) = (request.method().as_str(), response.status());
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    let denial = problem.and_then(Problem::denial);
    let route = app.metrics.count_request(method, request.match_name(), status.as_u16(), took);
    if let Some(reason) = problem.and_then(Problem::denied) {
        app.metrics.count_denial(reason);
    }
    let extensions = request.extensions();
    let presented = extensions.get::<Presented>();
    if let Some(presented) = presented {
        count(presented, app, status, problem.map(Problem::reason));
    }
    let key = presented.and_then(Presented::good_key);
    let code = problem.map(|problem| problem.code().as_str());
    // Who administers presents no key, and requests with one need not look.
    let known = if presented.is_none() { extensions.get::<Known>() } else { None };
    let identified = Identified { key, actor: known.map(|known| &known.actor) };
    log(method, route, status.as_u16(), millis(took), identified, denial, code);
}

/// Counts the request by its answer. `refused` is why not, when the answer is a problem.
fn count(presented: &Presented, app: &App, status: StatusCode, refused: Option<&'static str>) {
    let used = match presented {
        Presented::Authorized(authorized) => {
            let Accepted { events, bytes } = authorized.accepted();
            // A request that a limit or a scope turns away has not used the key.
            let turned_away =
                matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
            let permit = authorized.permit();
            let (at, address, older) = (permit.at(), authorized.address(), permit.older());
            Use { at, address, admitted: !turned_away, older, refused, events, bytes }
        }
        Presented::Denied { address, .. } => Use {
            at: app.keystore.now(),
            address: *address,
            admitted: false,
            older: None,
            refused,
            events: 0,
            bytes: 0,
        },
    };
    app.usage.count(presented.key(), &used);
}

/// Who sent a request, as far as that is known.
#[derive(Debug, Default, Clone, Copy)]
struct Identified<'a> {
    key: Option<&'a ApiKey>,
    actor: Option<&'a Actor>,
}

fn log(
    method: &str,
    route: &str,
    status: u16,
    millis: u64,
    Identified { key, actor }: Identified<'_>,
    denial: Option<Denial>,
    code: Option<&str>,
) {
    macro_rules! line {
        ($level:ident) => {{
            let tenant = key.map(|key| tracing::field::display(&key.tenant));
            let key_id = key.map(|key| key.key_id).or_else(|| denial.and_then(|denial| denial.key_id()));
            let key_id = key_id.map(tracing::field::display);
            let actor = actor.map(tracing::field::display);
            let reason = denial.map(|denial| denial.as_str());
            tracing::$level!(
                name: REQUEST_COMPLETED, method, route, status, millis, tenant, key_id, actor, reason, code,
                "request completed"
            )
        }};
    }
    match status {
        503 => line!(warn), // The store, or a start.
        500.. => line!(error),
        _ => line!(info),
    }
}

/// A number also in JSON, where `u128` is written as text.
fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn app(request: &HttpRequest) -> Option<&web::Data<App>> {
    request.app_data()
}

fn fresh_id(request: &ServiceRequest) -> RequestId {
    app(request.request()).map_or_else(|| RequestIds::default().next(), |app| app.request_ids.next())
}

fn client_id(request: &ServiceRequest) -> Option<RequestId> {
    RequestId::parse(request.headers().get(X_REQUEST_ID)?.to_str().ok()?).ok()
}

/// An imported secret may be as short as an id, and put there by mistake.
fn is_secret(request: &ServiceRequest, id: &RequestId) -> bool {
    let id = id.as_str();
    let Some(app) = app(request.request()).filter(|_| id.len() >= own::MIN_LEN) else { return false };
    let digest = Digest::of(id);
    app.admin_token.is(&digest) || app.keystore.cache().find(&digest).is_some()
}
