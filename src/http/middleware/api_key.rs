//! Keys for other actix applications: a credential becomes a permit, or the request ends here.

use std::pin::Pin;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};

use crate::access::Action;
use crate::access::limits::Cost;
use crate::http::authorize::authorize;

type Answering = Pin<Box<dyn Future<Output = Result<ServiceResponse<BoxBody>, Error>>>>;

/// Lets a request through only with a key that allows `action` and may be used from where the request comes; handlers
/// find the proof as a [`Permit`](crate::access::Permit) argument.
///
/// Needs `web::Data<Keystore>` in the application. With `web::Data<Limiter>` keys are held to their limits, and every
/// answer to a key with limits says what is left of them; with `web::Data<TrustedProxies>` proxies may say where a
/// request comes from.
///
/// ```no_run
/// use actix_web::{App, middleware::from_fn, web};
/// use keyloft::access::{Action, Permit};
/// use keyloft::http::middleware::api_key;
///
/// async fn report(permit: Permit) -> String {
///     format!("for {}", permit.tenant())
/// }
///
/// # fn app(keystore: keyloft::Keystore) {
/// let app = App::new()
///     .app_data(web::Data::new(keystore))
///     .service(web::resource("/report").wrap(from_fn(api_key::require(Action::Query))).route(web::get().to(report)));
/// # let _ = app; }
/// ```
pub fn require<B: MessageBody + 'static>(
    action: Action,
) -> impl Fn(ServiceRequest, Next<B>) -> Answering + Clone + 'static {
    move |request, next| Box::pin(check(action, request, next))
}

/// Never fails by itself: a refusal is an answer, so that outer middleware sees it.
async fn check(
    action: Action,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let authorized = match authorize(request.request(), action).await {
        Ok(authorized) => authorized,
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let mut response = match authorized.acquire(Cost::REQUEST).await {
        Ok(()) => {
            request.extensions_mut().insert(authorized.permit().clone());
            next.call(request).await?.map_into_boxed_body()
        }
        Err(problem) => request.error_response(problem),
    };
    authorized.show_quotas(response.headers_mut());
    Ok(response)
}
