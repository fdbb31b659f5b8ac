//! A permit becomes a query session, held by the response body.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

use crate::auth::{Permit, Query, Sessions};
use crate::http::body::RetainBody;
use crate::http::error::{Code, Problem};

/// Opens a session for the permit that [`super::api_key::require`] or [`super::admit::require`] gave, and closes it with the response body. When the
/// session is ended while the handler still works, the handler is dropped and the client told why; actix itself does
/// not always notice that a client has gone, so the deadline does this on its own.
///
/// Needs `web::Data<Sessions>` in the application. The handler finds the session as an `Arc<Session>` in the request's
/// extensions, or as a [`crate::http::extract::RunningSession`] argument.
///
/// # Errors
/// Those of the handler.
pub async fn hold(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let guard = match open(&request) {
        Ok(guard) => guard,
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let session = guard.session().clone();
    request.extensions_mut().insert(session.clone());
    let http_request = request.request().clone();
    tokio::select! {
        biased;
        ending = session.ended() => Ok(ServiceResponse::from_err(Problem::from(ending), http_request)),
        response = next.call(request) => {
            Ok(response?.map_body(|_, body| BoxBody::new(RetainBody::new(body.boxed(), guard))))
        }
    }
}

fn open(request: &ServiceRequest) -> Result<crate::auth::SessionGuard, Problem> {
    let permit = request.extensions().get::<Permit<Query>>().cloned();
    let sessions = request.app_data::<web::Data<Sessions>>();
    let (Some(permit), Some(sessions)) = (permit, sessions) else {
        tracing::error!("query_session::hold needs web::Data<Sessions> and api_key::require::<Query> around it");
        return Err(Problem::new(Code::Internal, "The server is not set up."));
    };
    Ok(sessions.clone().into_inner().open(&permit)?)
}
