//! A credential becomes a permit, or the request ends here.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

use crate::auth::{self, Action, Denial, Permit};
use crate::http::credential::Statements;
use crate::http::error::{Code, Problem};
use crate::http::usage::Recognised;
use crate::key::Digest;
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
    match permit::<A>(&request).await {
        Ok(permit) => {
            request.extensions_mut().insert(permit);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(request.into_response(problem.response())),
    }
}

/// Judges what was presented; an unknown key once more if another node may have issued it a moment ago.
pub(super) async fn permit<A: Action>(request: &ServiceRequest) -> Result<Permit<A>, Problem> {
    let Some(keystore) = request.app_data::<web::Data<Keystore>>() else {
        tracing::error!(
            "api_key::require needs web::Data<Keystore>: add .app_data(web::Data::new(keystore)) to the App"
        );
        return Err(Problem::new(Code::Internal, "The server is not set up."));
    };
    let statements = Statements::of(request.headers());
    let digest = statements.digest()?;
    match judge(request, &statements, keystore, &digest) {
        Err(problem) if problem.denial() != Some(Denial::Unknown) || !keystore.is_worth_looking(&digest) => {
            Err(problem)
        }
        // Boxed, so that the many requests that need no look carry no room for one.
        Err(problem) => match Box::pin(keystore.look_for(&digest)).await {
            Ok(true) => judge(request, &statements, keystore, &digest),
            Ok(false) => Err(problem),
            Err(error) => {
                tracing::debug!("an unknown key cannot be looked for: {error:?}");
                Err(Denial::Unverifiable.into())
            }
        },
        judged => judged,
    }
}

fn judge<A: Action>(
    request: &ServiceRequest,
    statements: &Statements<'_>,
    keystore: &Keystore,
    digest: &Digest,
) -> Result<Permit<A>, Problem> {
    let stated = statements.tenant();
    let judged = auth::recognise(keystore.cache(), digest, *stated.as_ref().unwrap_or(&None), keystore.now());
    let problem = match (judged, stated) {
        (Ok(permit), Ok(_)) => return Ok(permit),
        // A statement that cannot be read is held against good keys only.
        (Ok(_), Err(problem)) => problem,
        (Err(denial), _) => denial.into(),
    };
    if problem.denial().is_none_or(|denial| denial.key_id().is_some())
        && let Some(found) = keystore.cache().find(digest)
    {
        request.extensions_mut().insert(Recognised(found.key)); // A refusal is counted for its key.
    }
    Err(problem)
}
