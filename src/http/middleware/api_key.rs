//! A credential becomes a permit, or the request ends here.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

use crate::auth::{self, Action, Denial, Permit};
use crate::http::credential;
use crate::http::error::Problem;
use crate::key::Credential;
use crate::keystore::Keystore;

/// Lets a request through only with a good key for `A`; the handler finds the proof as a `Permit<A>` argument.
///
/// Needs `web::Data<Keystore>` in the application:
///
/// ```no_run
/// use actix_web::{App, middleware::from_fn, web};
/// use keyloft::auth::{Permit, Query};
/// use keyloft::http::middleware::api_key;
///
/// async fn report(permit: Permit<Query>) -> String {
///     format!("for {}", permit.tenant())
/// }
///
/// # fn app(keystore: keyloft::Keystore) {
/// let app = App::new()
///     .app_data(web::Data::new(keystore))
///     .service(web::resource("/report").wrap(from_fn(api_key::require::<Query>)).route(web::get().to(report)));
/// # let _ = app; }
/// ```
///
/// # Errors
/// Never: a refusal is an answer, so that outer middleware sees it.
pub async fn require<A: Action>(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut outcome = permit::<A>(&request);
    if outcome.as_ref().is_err_and(|problem| problem.denial() == Some(Denial::Unknown)) {
        outcome = match issued_elsewhere(&request).await {
            Ok(true) => permit::<A>(&request),
            Ok(false) => outcome,
            Err(denial) => Err(denial.into()),
        };
    }
    match outcome {
        Ok(permit) => {
            request.extensions_mut().insert(permit);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(request.into_response(problem.response())),
    }
}

/// Whether to judge an unknown key again: it may have been issued on another node a moment ago.
async fn issued_elsewhere(request: &ServiceRequest) -> Result<bool, Denial> {
    let Some(keystore) = request.app_data::<web::Data<Keystore>>() else { return Ok(false) };
    let presented = credential::presented(request.headers())?;
    let looked = keystore.look_for(&Credential::parse(&presented)?).await;
    looked.map_err(|error| {
        tracing::debug!("an unknown key cannot be looked for: {error:?}");
        Denial::Unverifiable
    })
}

fn permit<A: Action>(request: &ServiceRequest) -> Result<Permit<A>, Problem> {
    let Some(keystore) = request.app_data::<web::Data<Keystore>>() else {
        tracing::error!(
            "api_key::require needs web::Data<Keystore>: add .app_data(web::Data::new(keystore)) to the App"
        );
        return Err(Problem::new(crate::http::error::Code::Internal, "The server is not set up."));
    };
    let presented = credential::presented(request.headers())?;
    let stated = credential::stated_tenant(request.headers());
    let permit = auth::authenticate(keystore.cache(), &presented, *stated.as_ref().unwrap_or(&None), keystore.now())?;
    stated?; // A statement that cannot be read is held against good keys only.
    Ok(permit)
}
