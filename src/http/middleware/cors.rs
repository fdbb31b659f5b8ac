//! Pages of other origins may use the data plane from a browser, if an operator allows it (CORS, Fetch standard).
//!
//! API keys travel in headers and never in cookies, so no answer allows credentials. The admin plane is for no page.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use crate::config::Origins;
use crate::http::credential::ApiKeyHeaders;
use crate::http::{RouteAuth, routes};

/// Headers that a page may send besides those that carry an API key. Browsers allow `Accept` and a few more anyway.
const ALLOWED_HEADERS: &str = "authorization, content-type, content-encoding, x-p-stream, x-keyloft-on-invalid, \
                               x-tenant-id, x-p-tenant, x-request-id";
/// Headers of an answer that a page may read.
const EXPOSED_HEADERS: &str = "ratelimit, ratelimit-policy, retry-after, x-request-id";
/// How long a browser may remember what is allowed, in seconds.
const MAX_AGE_SECONDS: &str = "600";

/// What pages of other origins may do.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Origins,
    allowed_headers: HeaderValue,
    /// The paths of the data plane, each with one of its methods.
    routes: Vec<(&'static str, &'static str)>,
}

impl Cors {
    /// Pages of these origins may use the data plane, and present API keys in these headers.
    pub fn new(origins: Origins, headers: &ApiKeyHeaders) -> Self {
        let names = headers.iter().fold(ALLOWED_HEADERS.to_owned(), |all, name| format!("{all}, {name}"));
        let allowed_headers = HeaderValue::try_from(names).unwrap_or(HeaderValue::from_static(ALLOWED_HEADERS));
        let data_plane = routes().into_iter().filter(|route| matches!(route.auth, RouteAuth::Key(_)));
        Self { origins, allowed_headers, routes: data_plane.map(|route| (route.path, route.method)).collect() }
    }

    /// Whether any page may do anything.
    pub fn is_on(&self) -> bool {
        self.origins != Origins::None
    }

    /// The methods of the data plane at this path.
    fn methods(&self, path: &str) -> impl Iterator<Item = &'static str> {
        self.routes.iter().filter(move |(pattern, _)| covers(pattern, path)).map(|(_, method)| *method)
    }

    /// What an answer to a page of this origin says: `None` when the page may not read it.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.origins {
            Origins::None => None,
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::These(known) => {
                let is_known = known.iter().any(|known| known.as_bytes() == origin.as_bytes());
                is_known.then(|| origin.clone())
            }
        }
    }
}

/// Answers the preflight requests of allowed origins for routes of the data plane, and lets their pages read every
/// other answer of these routes, refusals included. What other origins send is answered as ever: their browsers keep
/// the answer.
///
/// Needs `web::Data<Cors>` in the application.
///
/// # Errors
/// Those of the handler.
pub async fn apply(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let policy = request.app_data::<web::Data<Cors>>().cloned();
    let Some(policy) = policy.filter(|policy| policy.is_on() && policy.methods(request.path()).next().is_some()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let allowed = once(request.headers(), &header::ORIGIN).and_then(|origin| policy.allowed(origin));
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight && allowed.is_some() {
        let answer = preflight(request.path(), &policy);
        request.into_response(answer).map_into_boxed_body()
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    let headers = response.headers_mut();
    // Also without an origin: a cache must not show one page what was answered to another.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
    Ok(response)
}

fn preflight(path: &str, policy: &Cors) -> HttpResponse {
    let methods: Vec<&str> = policy.methods(path).collect();
    HttpResponse::build(StatusCode::NO_CONTENT)
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods.join(", ")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, policy.allowed_headers.clone()))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS))
        .finish()
}

/// Whether a pattern such as `/api/v1/logstream/{stream}` covers a path.
fn covers(pattern: &str, path: &str) -> bool {
    let (mut pieces, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (pieces.next(), found.next()) {
            (None, None) => return true,
            (Some(piece), Some(found)) if piece == found || (piece.starts_with('{') && !found.is_empty()) => {}
            _ => return false,
        }
    }
}

fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name);
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_plane_is_told_from_everything_else_by_its_routes() {
        let cors = Cors::new(Origins::Any, &ApiKeyHeaders::default());
        for (path, expected) in [
            ("/api/v1/ingest", &["POST"][..]),
            ("/api/v1/logstream/web", &["POST"]),
            ("/api/v1/logstream", &["GET"]),
            ("/api/v1/whoami", &["GET"]),
            ("/api/v1/logstream/", &[]),
            ("/api/v1/logstream/web/x", &[]),
            ("/api/v1/tenants", &[]),
            ("/api/v1/tenants/acme", &[]),
            ("/api/v1/sync", &[]),
            ("/metrics", &[]),
            ("/api/v1/liveness", &[]),
            ("/", &[]),
        ] {
            assert_eq!(cors.methods(path).collect::<Vec<_>>(), expected, "{path}");
        }
    }
}
