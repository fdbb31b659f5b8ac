//! What no request may exceed, and when none is taken.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::{Error, web};

use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::routes::firehose;

/// The largest request head: target, header names and values, in bytes.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Refuses a head above [`MAX_HEAD_BYTES`] with 431, and everything but health checks with 503 while shutting down.
///
/// # Errors
/// Never: a refusal is an answer.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let target = request.uri().path().len() + request.uri().query().map_or(0, str::len);
    let head = request.headers().iter().fold(target, |sum, (name, value)| sum + name.as_str().len() + value.len());
    if head > MAX_HEAD_BYTES {
        let problem = Problem::new(Code::HeadersTooLarge, "The request head is larger than 16 KiB.");
        return Ok(refuse(request, problem));
    }
    let draining = request.app_data::<web::Data<App>>().is_some_and(|app| app.is_draining());
    if draining && request.path() != "/api/v1/liveness" && request.path() != "/metrics" {
        let problem = Problem::new(Code::ShuttingDown, "The server is shutting down.");
        let mut response = refuse(request, problem);
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        return Ok(response);
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// The refusal, in the form of the route.
pub(super) fn refuse(request: ServiceRequest, problem: Problem) -> ServiceResponse<BoxBody> {
    let is_delivery = request.path().starts_with(firehose::PATH);
    let refused = request.error_response(problem);
    if !is_delivery {
        return refused;
    }
    let (request, response) = refused.into_parts();
    let answer = firehose::answer(&request, response);
    ServiceResponse::new(request, answer)
}
