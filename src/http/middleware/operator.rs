//! The admin token. API keys are never accepted here.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

use crate::http::app::App;
use crate::http::credential::Statements;
use crate::http::error::{Code, Problem};
use crate::http::extract::Operator;

/// Lets a request through only with the admin token, and only once all keys are loaded.
///
/// # Errors
/// Never: a refusal is an answer.
pub async fn require(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match operator(&request) {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(request.error_response(problem)),
    }
}

fn operator(request: &ServiceRequest) -> Result<Operator, Problem> {
    let Some(app) = request.app_data::<web::Data<App>>() else {
        return Err(Problem::new(Code::Internal, "The server is not set up."));
    };
    let token = Statements::of(request.headers()).bearer()?;
    if !token.is_some_and(|token| app.admin_token.verify(token)) {
        return Err(Problem::new(Code::InvalidAdminToken, "Present the admin token as Authorization: Bearer."));
    }
    if !app.keystore.cache().is_hydrated() {
        return Err(Problem::new(Code::NotReady, "The keys are not loaded yet."));
    }
    Ok(Operator::new())
}
