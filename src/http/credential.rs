//! Where a client may put its API key: exactly one of `X-API-KEY`, or `Authorization` with `Bearer`, `ApiKey` or `Basic`.

use std::borrow::Cow;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Problem;
use crate::auth::Denial;
use crate::key::MalformedCredential;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const TENANT_STATEMENTS: [HeaderName; 2] =
    [HeaderName::from_static("x-tenant-id"), HeaderName::from_static("x-p-tenant")];

/// The credential that was presented, in clear text.
///
/// # Errors
/// [`Denial::Missing`] without one, [`Denial::Ambiguous`] with more than one, repeated or joined by commas,
/// [`Denial::Malformed`] when it is empty or not ASCII.
pub fn presented(headers: &HeaderMap) -> Result<Cow<'_, str>, Denial> {
    let direct = single(headers, &X_API_KEY)?;
    let authorization = single(headers, &AUTHORIZATION)?.and_then(scheme);
    let credential = match (direct, authorization) {
        (None, None) => return Err(Denial::Missing),
        (Some(_), Some(_)) => return Err(Denial::Ambiguous),
        (Some(value), None) => Cow::Borrowed(ascii(value)?),
        (None, Some((Scheme::Plain, value))) => Cow::Borrowed(value),
        (None, Some((Scheme::Basic, value))) => Cow::Owned(basic(value)?),
        (None, Some((Scheme::Unreadable, _))) => return Err(MalformedCredential::Alphabet.into()),
    };
    if credential.contains(',') { Err(Denial::Ambiguous) } else { Ok(credential) }
}

/// The bearer token of the admin plane; `None` when there is none.
///
/// # Errors
/// [`Denial::Ambiguous`] when the header is repeated.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denial> {
    let Some(value) = single(headers, &AUTHORIZATION)?.and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(token.map(|(_, token)| token.trim()))
}

/// What the client says its tenant is; compared with the key's tenant, never used to choose one.
///
/// # Errors
/// 400 when a statement is empty, repeated or not ASCII, or when two of them differ.
pub fn stated_tenant(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut stated = None;
    for name in &TENANT_STATEMENTS {
        let Some(value) = single(headers, name).map_err(|_| Problem::invalid(format!("{name} is repeated.")))? else {
            continue;
        };
        let value = value.to_str().ok().map(str::trim).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| Problem::invalid(format!("{name} is empty or not ASCII.")))?;
        if *stated.get_or_insert(value) != value {
            return Err(Problem::invalid("Two different tenants are stated."));
        }
    }
    Ok(stated)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Denial> {
    let mut values = headers.get_all(name);
    let first = values.next();
    if values.next().is_some() { Err(Denial::Ambiguous) } else { Ok(first) }
}

enum Scheme {
    /// The credential as it is.
    Plain,
    /// Base64 of anything, a colon, and the credential.
    Basic,
    /// One of ours, but not ASCII.
    Unreadable,
}

/// Scheme names are case-insensitive (RFC 9110, section 11.1). Schemes that are not ours are ignored: they are meant for
/// somebody else on the way.
fn scheme(value: &HeaderValue) -> Option<(Scheme, &str)> {
    let bytes = value.as_bytes();
    let end = bytes.iter().position(|&b| b == b' ').unwrap_or(bytes.len());
    let name = std::str::from_utf8(&bytes[..end]).ok()?;
    let scheme = if name.eq_ignore_ascii_case("bearer") || name.eq_ignore_ascii_case("apikey") {
        Scheme::Plain
    } else if name.eq_ignore_ascii_case("basic") {
        Scheme::Basic
    } else {
        return None;
    };
    match ascii(value) {
        Ok(text) => Some((scheme, text[end..].trim())),
        Err(_) => Some((Scheme::Unreadable, "")),
    }
}

fn ascii(value: &HeaderValue) -> Result<&str, Denial> {
    value.to_str().map(str::trim).map_err(|_| MalformedCredential::Alphabet.into())
}

fn basic(value: &str) -> Result<String, Denial> {
    if value.contains(',') {
        return Err(Denial::Ambiguous);
    }
    let malformed = || Denial::from(MalformedCredential::Alphabet);
    let decoded = STANDARD.decode(value).map_err(|_| malformed())?;
    let text = String::from_utf8(decoded).map_err(|_| malformed())?;
    text.split_once(':').map(|(_, password)| password.to_owned()).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn present(fields: &[(&'static str, &[u8])]) -> Result<String, Denial> {
        presented(&headers(fields)).map(Cow::into_owned)
    }

    #[test]
    fn every_carrier_is_read() {
        for (name, value) in [
            ("x-api-key", &b"secret"[..]),
            ("authorization", b"Bearer secret"),
            ("authorization", b"bEARER   secret "),
            ("authorization", b"ApiKey secret"),
            ("authorization", b"Basic YW55OnNlY3JldA=="),
        ] {
            assert_eq!(present(&[(name, value)]).unwrap(), "secret");
        }
    }

    #[test]
    fn another_scheme_is_not_ours() {
        assert_eq!(present(&[("authorization", b"Negotiate abc")]), Err(Denial::Missing));
        assert_eq!(present(&[("authorization", b"Negotiate abc"), ("x-api-key", b"k")]).unwrap(), "k");
    }

    #[test]
    fn more_than_one_credential_is_ambiguous() {
        for fields in [
            &[("x-api-key", &b"a"[..]), ("x-api-key", b"a")][..],
            &[("authorization", b"Bearer a"), ("authorization", b"Negotiate b")],
            &[("x-api-key", b"a"), ("authorization", b"Bearer a")],
            &[("x-api-key", b"a,b")],
            &[("authorization", b"Bearer a, Bearer b")],
            &[("authorization", b"Basic YTpi,YTpi")],
        ] {
            assert_eq!(present(fields), Err(Denial::Ambiguous), "{fields:?}");
        }
    }

    #[test]
    fn what_is_empty_or_not_ascii_is_no_key() {
        assert_eq!(present(&[("x-api-key", b"")]).unwrap(), "");
        for value in [&b"\xffabc"[..], "schl\u{fc}ssel".as_bytes()] {
            assert!(matches!(present(&[("x-api-key", value)]), Err(Denial::Malformed(_))));
        }
        assert!(matches!(present(&[("authorization", b"Bearer \xff")]), Err(Denial::Malformed(_))));
        assert!(matches!(present(&[("authorization", b"Basic !!")]), Err(Denial::Malformed(_))));
    }

    #[test]
    fn a_tenant_statement_is_one_word_or_none() {
        assert_eq!(stated_tenant(&headers(&[])).unwrap(), None);
        assert_eq!(stated_tenant(&headers(&[("x-tenant-id", b"a"), ("x-p-tenant", b"a")])).unwrap(), Some("a"));
        for fields in [
            &[("x-tenant-id", &b""[..])][..],
            &[("x-tenant-id", b"a"), ("x-tenant-id", b"a")],
            &[("x-tenant-id", b"a"), ("x-p-tenant", b"b")],
        ] {
            assert!(stated_tenant(&headers(fields)).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(value in proptest::collection::vec(32u8..=255, 0..60)) {
            let value: Vec<u8> = value.into_iter().filter(|&b| b != 127).collect();
            let _ = present(&[("authorization", &value)]);
            let _ = present(&[("x-api-key", &value)]);
        }
    }
}
