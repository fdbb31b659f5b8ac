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
        Err(problem) => Ok(request.error_response(problem)),
    }
}

/// Judges what was presented; an unknown key once more if another node may have issued it a moment ago.
pub(super) async fn permit<A: Action>(request: &ServiceRequest) -> Result<Permit<A>, Problem> {
    match judge(request) {
        Ok(permit) => Ok(permit),
        Err(Refused::For(problem)) => Err(problem),
        // Boxed, so that the many requests that need no look carry no room for one.
        Err(Refused::Unseen(digest)) => Box::pin(look(request, digest)).await,
    }
}

/// Why a request has no permit.
enum Refused {
    For(Problem),
    /// Nobody's key, as far as this node knows, which has not looked for it yet.
    Unseen(Digest),
}

impl<E: Into<Problem>> From<E> for Refused {
    fn from(reason: E) -> Self {
        Self::For(reason.into())
    }
}

fn judge<A: Action>(request: &ServiceRequest) -> Result<Permit<A>, Refused> {
    let keystore = keystore(request)?;
    let statements = Statements::of(request.headers());
    let digest = statements.digest()?;
    let stated = statements.tenant();
    let judged = auth::recognise(keystore.cache(), &digest, *stated.as_ref().unwrap_or(&None), keystore.now());
    let problem = match (judged, stated) {
        (Ok(permit), Ok(_)) => return Ok(permit),
        // A statement that cannot be read is held against good keys only.
        (Ok(_), Err(problem)) => problem,
        (Err(Denial::Unknown), _) if keystore.is_worth_looking(&digest) => return Err(Refused::Unseen(digest)),
        (Err(denial), _) => denial.into(),
    };
    if problem.denial().is_none_or(|denial| denial.key_id().is_some())
        && let Some(key) = keystore.cache().find(&digest)
    {
        request.extensions_mut().insert(Recognised(key)); // A refusal is counted for its key.
    }
    Err(Refused::For(problem))
}

async fn look<A: Action>(request: &ServiceRequest, digest: Digest) -> Result<Permit<A>, Problem> {
    match keystore(request)?.look_for(&digest).await {
        Ok(true) => judge(request).map_err(|refused| match refused {
            Refused::For(problem) => problem,
            Refused::Unseen(_) => Denial::Unknown.into(),
        }),
        Ok(false) => Err(Denial::Unknown.into()),
        Err(error) => {
            tracing::debug!("an unknown key cannot be looked for: {error:?}");
            Err(Denial::Unverifiable.into())
        }
    }
}

fn keystore(request: &ServiceRequest) -> Result<&web::Data<Keystore>, Problem> {
    request.app_data().ok_or_else(|| {
        tracing::error!(
            "api_key::require needs web::Data<Keystore>: add .app_data(web::Data::new(keystore)) to the App"
        );
        Problem::new(Code::Internal, "The server is not set up.")
    })
}
