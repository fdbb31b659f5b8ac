//! A good key is admitted, from where it is used and as often as it may be; or the request ends here.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use bytes::Bytes;

use crate::auth::{Action, Permit};
use crate::http::client;
use crate::http::error::{Code, Problem};
use crate::limits::{Charges, Limiter, Load, Quotas, fields, networks};

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Admits the request of the permit that [`super::api_key::require`] gave: by its networks, then by its limits on
/// requests and those of its tenant. Every answer to a key with limits says what is left of them.
///
/// Needs `web::Data<Limiter>` in the application, and `web::Data<TrustedProxies>` where proxies are trusted.
///
/// # Errors
/// Those of the handler; a refusal is an answer.
pub async fn check<A: Action>(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let met = match meet::<A>(&request) {
        Ok(met) => met,
        Err(problem) => return Ok(request.into_response(problem.response())),
    };
    let Some((limiter, charges)) = met else { return Ok(next.call(request).await?.map_into_boxed_body()) };
    let decision = limiter.admit(&charges).await;
    let mut quotas = decision.quotas;
    let mut response = match decision.refusal {
        Some(refusal) => request.into_response(Problem::from(refusal).response()),
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

/// Admits what was found in a body, before anything of it is stored. What is left is told by [`check`].
///
/// # Errors
/// 429 `rate_limited`; 413 when it is more than ever passes at once.
pub async fn charge<A: Action>(
    request: &HttpRequest,
    limiter: &Limiter,
    permit: &Permit<A>,
    load: Load,
) -> Result<(), Problem> {
    let charges = limiter.charges(permit.key(), permit.tenant_record(), load);
    if charges.is_empty() {
        return Ok(());
    }
    let decision = limiter.admit(&charges).await;
    request.extensions_mut().insert(decision.quotas);
    decision.refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
}

/// Looks at where the request comes from, and at what it takes; `None` when no limit concerns its key.
fn meet<A: Action>(request: &ServiceRequest) -> Result<Option<(web::Data<Limiter>, Charges)>, Problem> {
    let extensions = request.extensions();
    let (Some(permit), Some(limiter)) = (extensions.get::<Permit<A>>(), request.app_data::<web::Data<Limiter>>())
    else {
        tracing::error!("admit::check needs web::Data<Limiter> and api_key::require of the same action around it");
        return Err(Problem::new(Code::Internal, "The server is not set up."));
    };
    let (key, tenant) = (permit.key(), permit.tenant_record());
    networks::admit(key, || client::of(request.request()))?;
    Ok(limiter.bounds(key, tenant).then(|| (limiter.clone(), limiter.charges(key, tenant, Load::REQUEST))))
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
