//! A permit becomes a query session, held by the response body.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, web};

use crate::access::{Permit, SessionEnd, SessionGuard, Sessions};
use crate::http::body::RetainBody;
use crate::http::connection::hung_up;
use crate::http::error::{Code, Problem};
use crate::http::extract::RunningSession;

/// Opens a session for the permit that [`super::api_key::require`] gave, and closes it with the response body. When the
/// session is ended while the handler still works, the handler is dropped and the answer says why; the same when the
/// client hangs up.
///
/// Needs `web::Data<Sessions>` in the application. The handler finds the session as a [`RunningSession`] argument.
///
/// # Errors
/// Those of the handler.
pub async fn hold(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let permit = request.extensions().get::<Permit>().cloned();
    let Some(permit) = permit else {
        tracing::error!("query_session::hold needs api_key::require around it");
        return Ok(request.error_response(not_set_up()));
    };
    let guard = match open(request.request(), &permit) {
        Ok(guard) => guard,
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let session = RunningSession::new(guard.session().clone());
    request.extensions_mut().insert(session.clone());
    let http_request = request.request().clone();
    tokio::select! {
        biased;
        end = session.ended() => Ok(ServiceResponse::from_err(Problem::from(end), http_request)),
        () = hung_up(&http_request) => {
            Ok(ServiceResponse::from_err(Problem::from(SessionEnd::Closed), http_request.clone()))
        }
        response = next.call(request) => {
            Ok(response?.map_body(|_, body| BoxBody::new(RetainBody::new(body.boxed(), guard, &http_request))))
        }
    }
}

/// The same around one answer, in a session for the permit of a key.
#[cfg_attr(not(feature = "query"), expect(dead_code, reason = "only query routes open sessions"))]
pub(crate) async fn run<F: Future<Output = HttpResponse>>(
    request: &HttpRequest,
    permit: &Permit,
    answer: impl FnOnce(RunningSession) -> F,
) -> HttpResponse {
    match open(request, permit) {
        Ok(guard) => run_in(request, guard, answer).await,
        Err(problem) => HttpResponse::from_error(problem),
    }
}

/// The same in a session that is open.
#[cfg_attr(not(feature = "query"), allow(dead_code))]
pub(crate) async fn run_in<F: Future<Output = HttpResponse>>(
    request: &HttpRequest,
    guard: SessionGuard,
    answer: impl FnOnce(RunningSession) -> F,
) -> HttpResponse {
    let session = RunningSession::new(guard.session().clone());
    tokio::select! {
        biased;
        end = session.ended() => HttpResponse::from_error(Problem::from(end)),
        () = hung_up(request) => HttpResponse::from_error(Problem::from(SessionEnd::Closed)),
        response = answer(session.clone()) => {
            response.map_body(|_, body| BoxBody::new(RetainBody::new(body, guard, request)))
        }
    }
}

fn open(request: &HttpRequest, permit: &Permit) -> Result<SessionGuard, Problem> {
    Ok(sessions(request)?.open(permit)?)
}

/// The sessions of this application.
pub(crate) fn sessions(request: &HttpRequest) -> Result<Arc<Sessions>, Problem> {
    let Some(sessions) = request.app_data::<web::Data<Sessions>>() else {
        tracing::error!("query sessions need web::Data<Sessions>");
        return Err(not_set_up());
    };
    Ok(sessions.clone().into_inner())
}

fn not_set_up() -> Problem {
    Problem::new(Code::Internal, "The server is not set up.")
}
