//! `--auth off`: a server for trusted development on one machine, which takes requests without a credential.
//!
//! A request without one is as if it had presented the key that is kept for this in its tenant, whose secret nobody
//! has. So everything that holds for a key holds for it, and the change log says that the key was made. A credential
//! that is presented is checked as ever.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::Uri;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::uri::Authority;
use actix_web::{HttpMessage, HttpRequest, web};

use super::client;
use super::credential::AuthHeaders;
use super::error::{Code, Problem};
use crate::access::{Action, Denial};
use crate::config::Authentication;
use crate::documents::RequestContext;
use crate::error::ErrorKind;
use crate::key::{Actor, ApiKey, Digest, KeyName, KeyType, NewKey, RequestId, Standing, TenantId};
use crate::keystore::Keystore;

/// Stands in every answer while authentication is off.
pub(super) const MARK: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-keyloft-auth"), HeaderValue::from_static("off"));
/// How often the log says that authentication is off.
const REMINDER: Duration = Duration::from_secs(60);
/// How often the first requests of a tenant, at the same moment, look for the key that one of them makes.
const LOOKS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);
/// Header fields of a request that a proxy has passed on.
const FORWARDED: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// Says it at the start, and once a minute. Returns at once while authentication is on.
pub(crate) async fn remind(authentication: Authentication) {
    remind_by(authentication, || {
        tracing::warn!("authentication is off: all who reach this address may do everything");
    })
    .await;
}

async fn remind_by(authentication: Authentication, warn: impl Fn()) {
    if authentication == Authentication::On {
        return;
    }
    loop {
        warn();
        tokio::time::sleep(REMINDER).await;
    }
}

/// Whether a request presents no credential, where none is needed.
pub(super) fn is_keyless(request: &HttpRequest, headers: &AuthHeaders<'_>) -> bool {
    let off = |is: &web::Data<Authentication>| ***is == Authentication::Off;
    headers.are_missing() && request.app_data::<web::Data<Authentication>>().is_some_and(off)
}

/// Refuses a request that does not come from this machine, as far as that can be known: one that a proxy has passed on,
/// one by a page of another origin, and one for another host (a name that was pointed to this address).
///
/// # Errors
/// 403 `not_local`.
pub(super) fn check_local(request: &HttpRequest) -> Result<(), Problem> {
    let refuse = |detail| Err(Problem::new(Code::NotLocal, detail));
    let headers = request.headers();
    if !request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        return refuse("Authentication is off, and the request comes from another machine.");
    }
    if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        return refuse("Authentication is off, and a proxy has passed the request on.");
    }
    let target = request.uri().host().is_none_or(is_loopback);
    if !(target && is_for_loopback(headers)) {
        return refuse("Authentication is off: name the server localhost or by its loopback address, also in Host.");
    }
    if !is_from_loopback(headers) {
        return refuse("Authentication is off, and the request comes from a page of another origin.");
    }
    Ok(())
}

/// Whether `Host` stands there once and names this machine.
fn is_for_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST);
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.to_str().ok().filter(|host| !host.contains('@')).and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|host| is_loopback(host.host()))
}

/// Whether no page of another origin sends the request. A browser names the origin of whatever changes something, and
/// says of the rest whether it is for another site.
fn is_from_loopback(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).peekable();
    if origins.peek().is_none() {
        return headers.get_all("sec-fetch-site").all(|site| site != "cross-site");
    }
    origins.all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        origin.is_some_and(|origin| {
            matches!(origin.scheme_str(), Some("http" | "https")) && origin.host().is_some_and(is_loopback)
        })
    })
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The digest of the key that a request without a credential uses: that of the stated tenant, or of the default one.
/// The first request makes it, unless that is a GET or HEAD.
///
/// # Errors
/// 400 for a stated tenant that cannot be read, 401 for a GET or HEAD before there is a key, 404 and 410 without such a
/// tenant, 503.
pub(super) async fn digest(
    request: &HttpRequest,
    keystore: &Keystore,
    headers: &AuthHeaders<'_>,
    action: Action,
) -> Result<Digest, Problem> {
    let tenant = headers.tenant()?.map(TenantId::parse).transpose()?.unwrap_or_default();
    if !keystore.cache().is_hydrated() {
        return Err(Denial::NotHydrated.into());
    }
    keystore.tenant_read_through(&tenant).await?;
    let key_type = action.key_type().unwrap_or(KeyType::Query);
    for _ in 0..LOOKS {
        let free = match find(keystore, &tenant, key_type)? {
            Found::Key(digest) => return Ok(digest),
            // What only reads changes nothing.
            Found::Free(_) if request.method().is_safe() => return Err(Denial::Missing.into()),
            Found::Free(name) => name,
        };
        let mut context = RequestContext::new(Actor::AuthOff, keystore.now());
        context.request_id = request.extensions().get::<RequestId>().copied();
        context.client = client::of(request);
        match keystore.issue(&context, &tenant, NewKey::new(free, key_type)).await {
            Ok(issued) => return Ok(issued.key.digest),
            // Another request is making it.
            Err(error) if error.kind() == ErrorKind::DuplicateKeyName => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(Code::NotReady, "The key for requests without a credential is not made yet."))
}

enum Found {
    /// The digest of the key.
    Key(Digest),
    /// The name for a new one.
    Free(KeyName),
}

/// A key of ours is found by its name and by who made it. One that is disabled stays disabled.
fn find(keystore: &Keystore, tenant: &TenantId, key_type: KeyType) -> Result<Found, Problem> {
    let is_ours = |key: &ApiKey| {
        key.created_by == Some(Actor::AuthOff)
            && key.key_type == key_type
            && key.standing(keystore.now()) != Standing::Expired
    };
    for number in 1..=LOOKS {
        let name = KeyName::parse(&format!("auth off, {key_type} {number}"))?;
        match keystore.cache().named(tenant, &name) {
            Some(key) if is_ours(&key) => return Ok(Found::Key(key.digest)),
            Some(_) => {}
            None => return Ok(Found::Free(name)),
        }
    }
    Err(Problem::new(Code::Internal, "All names for the key of requests without a credential are taken."))
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "paused-time")]
    use std::cell::Cell;

    use actix_web::test::TestRequest;

    use super::*;

    fn is_local(peer: &str, fields: &[(&str, &str)]) -> bool {
        let mut request = TestRequest::default().peer_addr(peer.parse().unwrap());
        for (name, value) in fields {
            request = request.append_header((*name, *value));
        }
        check_local(&request.to_http_request()).is_ok()
    }

    #[test]
    fn only_requests_of_this_machine_to_this_machine_are_local() {
        let host = ("host", "127.0.0.1:8000");
        for fields in [
            &[host][..],
            &[("host", "LOCALHOST")],
            &[("host", "[::1]:8000")],
            &[("host", "127.1.2.3")],
            &[host, ("origin", "http://localhost:3000")],
            &[host, ("origin", "https://[::1]")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(is_local("127.0.0.1:4711", fields), "{fields:?}");
            assert!(is_local("[::1]:4711", fields), "{fields:?}");
            assert!(!is_local("192.0.2.7:4711", fields), "{fields:?}");
        }
        for fields in [
            &[][..],
            &[("host", "evil.example")],
            &[("host", "localhost.evil.example")],
            &[("host", "127.0.0.1.evil.example")],
            &[("host", "127.0.0.1@evil.example")],
            &[("host", "0.0.0.0:8000")],
            &[("host", "")],
            &[host, ("host", "evil.example")],
            &[host, ("origin", "null")],
            &[host, ("origin", "")],
            &[host, ("origin", "https://evil.example")],
            &[host, ("origin", "http://localhost.evil.example")],
            &[host, ("origin", "http://localhost:3000"), ("origin", "https://evil.example")],
            &[host, ("origin", "file://localhost")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("x-forwarded-for", "127.0.0.1")],
            &[host, ("forwarded", "for=127.0.0.1")],
            &[host, ("x-real-ip", "127.0.0.1")],
            &[host, ("via", "1.1 proxy")],
        ] {
            assert!(!is_local("127.0.0.1:4711", fields), "{fields:?}");
        }
        let absolute = TestRequest::with_uri("http://evil.example/metrics").append_header(host);
        let absolute = absolute.peer_addr("127.0.0.1:4711".parse().unwrap()).to_http_request();
        assert!(check_local(&absolute).is_err());
    }

    #[cfg(feature = "paused-time")]
    #[tokio::test(start_paused = true)]
    async fn the_log_says_it_at_the_start_and_once_a_minute() {
        let said = Cell::new(0);
        let warn = || said.set(said.get() + 1);
        let three_minutes = Duration::from_secs(179);
        assert!(tokio::time::timeout(three_minutes, remind_by(Authentication::Off, warn)).await.is_err());
        assert_eq!(said.get(), 3);
        remind_by(Authentication::On, warn).await;
        assert_eq!(said.get(), 3);
    }
}
