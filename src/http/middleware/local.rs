//! With authentication off: nothing from elsewhere, and every answer says that it is off.

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::bounds::refuse;
use crate::http::auth_off;

/// Refuses what is not local with 403, and marks every answer.
///
/// # Errors
/// Those of the handler.
pub async fn only(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = match auth_off::check_local(request.request()) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => refuse(request, problem),
    };
    let (name, value) = auth_off::MARK;
    response.headers_mut().insert(name, value);
    Ok(response)
}
