//! A good key is admitted, from where and as often as it may be used; or the request ends here.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use bytes::Bytes;

use super::api_key;
use crate::auth::{Action, Permit};
use crate::http::client;
use crate::http::error::{Code, Problem};
use crate::limits::{Decision, Limiter, Load, Quotas, fields, networks};

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Lets a request through as [`api_key::require`] does, when its key also admits it: by its networks, then by its limits
/// on requests and those of its tenant. Every answer to a key with limits says what is left of them.
///
/// Needs `web::Data<Limiter>` in the application too, and `web::Data<TrustedProxies>` where proxies are trusted.
///
/// # Errors
/// Those of the handler; a refusal is an answer.
pub async fn require<A: Action>(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let permit = match api_key::permit::<A>(&request).await {
        Ok(permit) => permit,
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let decided = decide(&request, &permit).await;
    request.extensions_mut().insert(permit);
    let Decision { mut quotas, refusal } = match decided {
        Ok(Some(decision)) => decision,
        Ok(None) => return Ok(next.call(request).await?.map_into_boxed_body()),
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let mut response = match refusal {
        Some(refusal) => request.error_response(Problem::from(refusal)),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    if let Some(met_inside) = response.request().extensions().get::<Quotas>() {
        quotas.extend(met_inside);
    }
    if !quotas.is_empty() {
        show(&quotas, response.headers_mut());
    }
    Ok(response)
}

/// Admits what was found in a body, before anything of it is stored. What is left is told by [`require`].
///
/// # Errors
/// 429 `rate_limited`; 413 when it is more than ever passes at once.
pub async fn charge<A: Action>(
    request: &HttpRequest,
    limiter: &Limiter,
    permit: &Permit<A>,
    load: Load,
) -> Result<(), Problem> {
    let charges = limiter.charges(permit.key(), permit.tenant_limits(), load);
    if charges.is_empty() {
        return Ok(());
    }
    let decision = limiter.admit(&charges).await;
    request.extensions_mut().insert(decision.quotas);
    decision.refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
}

/// Looks at where the request comes from, and takes what it costs; `None` when no limit concerns its key.
async fn decide<A: Action>(request: &ServiceRequest, permit: &Permit<A>) -> Result<Option<Decision>, Problem> {
    let Some(limiter) = request.app_data::<web::Data<Limiter>>() else {
        tracing::error!("admit::require needs web::Data<Limiter>: add .app_data(web::Data::new(limiter)) to the App");
        return Err(Problem::new(Code::Internal, "The server is not set up."));
    };
    let (key, tenant) = (permit.key(), permit.tenant_limits());
    networks::admit(key, || client::of(request.request()))?;
    if !limiter.bounds(key, tenant) {
        return Ok(None);
    }
    let charges = limiter.charges(key, tenant, Load::REQUEST);
    if let Some(decision) = limiter.admit_at_once(&charges) {
        return Ok(Some(decision));
    }
    // Boxed, so that the many requests for which nobody is asked carry no room for an answer.
    Ok(Some(Box::pin(async move { limiter.admit(&charges).await }).await))
}

fn show(quotas: &Quotas, headers: &mut HeaderMap) {
    let (text, split) = fields::write(quotas);
    let mut policy = Bytes::from(text);
    let state = policy.split_off(split);
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            headers.insert(name, value);
        }
    }
}
