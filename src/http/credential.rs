//! Where a client may put its API key: in exactly one of `X-API-KEY`, the further headers that an operator names, and
//! `Authorization` with `Bearer`, `ApiKey`, `Token`, `Splunk` or `Basic`.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Problem;
use crate::access::Denial;
use crate::key::{Credential, Digest, MalformedCredential};

/// The header that carries an API key everywhere.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Schemes whose credential is the API key as it is.
const PLAIN_SCHEMES: [&[u8]; 4] = [b"bearer", b"apikey", b"token", b"splunk"];
const TENANT_STATEMENTS: [HeaderName; 2] =
    [HeaderName::from_static("x-tenant-id"), HeaderName::from_static("x-p-tenant")];

/// The headers that carry an API key. An actix application adds names to `X-API-KEY` with a `web::Data<ApiKeyHeaders>`.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyHeaders(Vec<HeaderName>);

impl ApiKeyHeaders {
    /// These names besides `X-API-KEY`.
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self(names.into_iter().collect())
    }

    /// All names, `X-API-KEY` first.
    pub fn iter(&self) -> impl Iterator<Item = HeaderName> {
        std::iter::once(X_API_KEY).chain(self.0.iter().cloned())
    }

    /// Those that hold for a request.
    fn of(request: &HttpRequest) -> &[HeaderName] {
        request.app_data::<web::Data<Self>>().map_or(&[], |names| &names.0)
    }
}

/// The headers of a request that authenticate it, found in one pass: comparing the few there are is cheaper than
/// hashing each name.
#[derive(Debug, Default)]
pub struct AuthHeaders<'a> {
    /// All headers that carry an API key count as one: two of them are one repeated.
    api_key: SingleHeader<'a>,
    authorization: SingleHeader<'a>,
    tenants: [SingleHeader<'a>; 2],
}

/// A header that a request has at most once.
#[derive(Default, Clone, Copy)]
enum SingleHeader<'a> {
    #[default]
    Missing,
    Once(&'a HeaderValue),
    Repeated,
}

impl<'a> AuthHeaders<'a> {
    /// Finds them.
    pub fn of(request: &'a HttpRequest) -> Self {
        Self::with(request, None)
    }

    /// The same where one more header carries an API key.
    pub(super) fn with(request: &'a HttpRequest, header: Option<&HeaderName>) -> Self {
        Self::among(request.headers(), ApiKeyHeaders::of(request), header)
    }

    fn among(headers: &'a HeaderMap, further: &[HeaderName], one_more: Option<&HeaderName>) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            if *name == AUTHORIZATION {
                found.authorization.note(value);
            } else if *name == X_API_KEY || further.contains(name) || one_more == Some(name) {
                found.api_key.note(value);
            } else if let Some(at) = TENANT_STATEMENTS.iter().position(|statement| statement == name) {
                found.tenants[at].note(value);
            }
        }
        found
    }

    /// Whether no header is there that could carry one, whatever is in it.
    pub(super) fn are_missing(&self) -> bool {
        matches!((&self.api_key, &self.authorization), (SingleHeader::Missing, SingleHeader::Missing))
    }

    /// The digest of the credential that was presented.
    ///
    /// # Errors
    /// [`Denial::Missing`] without one, [`Denial::Ambiguous`] with more than one, repeated or joined by commas,
    /// [`Denial::Malformed`] when it cannot be a key.
    pub fn digest(&self) -> Result<Digest, Denial> {
        let presented = self.credential()?;
        match Credential::parse(&presented) {
            Ok(credential) => Ok(credential.digest()),
            // A comma means that two credentials were joined on the way (RFC 9110, section 5.2): none contains one.
            Err(_) if presented.is_ascii() && presented.contains(&b',') => Err(Denial::Ambiguous),
            Err(malformed) => Err(malformed.into()),
        }
    }

    /// The presented credential in clear text, well-formed or not.
    ///
    /// # Errors
    /// [`Denial::Missing`] without one, [`Denial::Ambiguous`] with more than one in fields of their own,
    /// [`Denial::Malformed`] when it is wrapped in something that is no Base64.
    pub fn credential(&self) -> Result<Cow<'a, [u8]>, Denial> {
        let direct = self.api_key.once()?;
        let authorization = self.authorization.once()?.and_then(scheme);
        match (direct, authorization) {
            (None, None) => Err(Denial::Missing),
            (Some(_), Some(_)) => Err(Denial::Ambiguous),
            (Some(value), None) => Ok(Cow::Borrowed(value.as_bytes().trim_ascii())),
            (None, Some((Scheme::Plain, value))) => Ok(Cow::Borrowed(value)),
            (None, Some((Scheme::Basic, value))) => Ok(Cow::Owned(basic(value)?)),
        }
    }

    /// Whether a text holds what is presented, in whichever of the headers.
    #[cfg_attr(not(feature = "query"), allow(dead_code))]
    pub fn are_quoted_in(&self, text: &str) -> bool {
        let direct = self.api_key.once().ok().flatten().map(|value| Cow::Borrowed(value.as_bytes().trim_ascii()));
        let authorization = match self.authorization.once().ok().flatten().and_then(scheme) {
            Some((Scheme::Plain, value)) => Some(Cow::Borrowed(value)),
            Some((Scheme::Basic, value)) => basic(value).ok().map(Cow::Owned),
            None => None,
        };
        let quoted = |presented: Cow<'_, [u8]>| {
            str::from_utf8(&presented).is_ok_and(|presented| !presented.is_empty() && text.contains(presented))
        };
        [direct, authorization].into_iter().flatten().any(quoted)
    }

    /// The bearer token of the admin plane; `None` when there is none.
    ///
    /// # Errors
    /// [`Denial::Ambiguous`] when the header is repeated.
    pub fn bearer(&self) -> Result<Option<&'a str>, Denial> {
        let Some(value) = self.authorization.once()?.and_then(|value| value.to_str().ok()) else { return Ok(None) };
        let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        Ok(token.map(|(_, token)| token.trim()))
    }

    /// The tenant that the client states; compared with the key's tenant, never used to choose one.
    ///
    /// # Errors
    /// 400 when a statement is empty, repeated or not ASCII, or when two of them differ.
    pub fn tenant(&self) -> Result<Option<&'a str>, Problem> {
        if let [SingleHeader::Missing, SingleHeader::Missing] = self.tenants {
            return Ok(None);
        }
        let mut stated = None;
        for (field, name) in self.tenants.iter().zip(&TENANT_STATEMENTS) {
            let Some(value) = field.once().map_err(|_| Problem::invalid(format!("{name} is repeated.")))? else {
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
}

impl<'a> SingleHeader<'a> {
    fn note(&mut self, value: &'a HeaderValue) {
        *self = if matches!(self, Self::Missing) { Self::Once(value) } else { Self::Repeated };
    }

    fn once(self) -> Result<Option<&'a HeaderValue>, Denial> {
        match self {
            Self::Missing => Ok(None),
            Self::Once(value) => Ok(Some(value)),
            Self::Repeated => Err(Denial::Ambiguous),
        }
    }
}

/// Never shows the value, which may be a key.
impl fmt::Debug for SingleHeader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "Missing",
            Self::Once(_) => "Once(..)",
            Self::Repeated => "Repeated",
        })
    }
}

enum Scheme {
    /// The credential as it is.
    Plain,
    /// Base64 of anything, a colon, and the credential.
    Basic,
}

/// Scheme names are case-insensitive (RFC 9110, section 11.1). Other schemes are ignored: they may be
/// for a proxy.
fn scheme(value: &HeaderValue) -> Option<(Scheme, &[u8])> {
    let bytes = value.as_bytes();
    let (name, rest) = bytes.split_at(bytes.iter().position(|&byte| byte == b' ').unwrap_or(bytes.len()));
    let scheme = if PLAIN_SCHEMES.iter().any(|plain| name.eq_ignore_ascii_case(plain)) {
        Scheme::Plain
    } else if name.eq_ignore_ascii_case(b"basic") {
        Scheme::Basic
    } else {
        return None;
    };
    Some((scheme, rest.trim_ascii()))
}

fn basic(value: &[u8]) -> Result<Vec<u8>, Denial> {
    if value.contains(&b',') {
        return Err(Denial::Ambiguous);
    }
    let malformed = || Denial::from(MalformedCredential::Alphabet);
    let mut text = STANDARD.decode(value).map_err(|_| malformed())?;
    let colon = text.iter().position(|&byte| byte == b':').ok_or_else(malformed)?;
    Ok(text.split_off(colon + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "imported-from-another-system-01234";

    fn headers(fields: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn present(fields: &[(&'static str, &[u8])]) -> Result<String, Denial> {
        let headers = headers(fields);
        let presented = AuthHeaders::among(&headers, &[HeaderName::from_static("x-further")], None);
        let digest = presented.digest()?;
        let text = String::from_utf8(presented.credential().unwrap().into_owned()).unwrap();
        assert_eq!(digest, Digest::of(&text));
        Ok(text)
    }

    fn stated_tenant(fields: &[(&'static str, &[u8])]) -> Result<Option<String>, Problem> {
        AuthHeaders::among(&headers(fields), &[], None).tenant().map(|tenant| tenant.map(str::to_owned))
    }

    #[test]
    fn every_carrier_is_read() {
        for (name, value) in [
            ("x-api-key", KEY.to_owned()),
            ("x-api-key", format!(" {KEY}\t")),
            ("authorization", format!("Bearer {KEY}")),
            ("authorization", format!("bEARER   {KEY} ")),
            ("authorization", format!("ApiKey {KEY}")),
            ("authorization", format!("Token {KEY}")),
            ("authorization", format!("splunk {KEY}")),
            ("x-further", KEY.to_owned()),
            ("authorization", format!("Basic {}", STANDARD.encode(format!("any:{KEY}")))),
        ] {
            assert_eq!(present(&[(name, value.as_bytes())]).unwrap(), KEY);
        }
    }

    #[test]
    fn what_was_presented_is_not_shown() {
        let headers = headers(&[("x-api-key", KEY.as_bytes()), ("authorization", b"Bearer also-a-secret")]);
        let shown = format!("{:?}", AuthHeaders::among(&headers, &[], None));
        assert!(shown.contains("Once(..)") && !shown.contains(KEY) && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_text_that_quotes_what_was_presented_is_recognised_whatever_carries_it() {
        let basic = format!("Basic {}", STANDARD.encode(format!("any:{KEY}")));
        let bearer = format!("Bearer {KEY}");
        for fields in [
            &[("x-api-key", KEY.as_bytes())][..],
            &[("authorization", bearer.as_bytes())],
            &[("authorization", basic.as_bytes())],
            &[("x-api-key", KEY.as_bytes()), ("authorization", b"Bearer another")],
            &[("x-api-key", b"another"), ("authorization", bearer.as_bytes())],
        ] {
            let headers = headers(fields);
            let presented = AuthHeaders::among(&headers, &[], None);
            assert!(presented.are_quoted_in(&format!("SELECT {KEY}")), "{fields:?}");
            assert!(!presented.are_quoted_in("SELECT 1"), "{fields:?}");
        }
        assert!(!AuthHeaders::among(&headers(&[("x-api-key", b"")]), &[], None).are_quoted_in("SELECT 1"));
    }

    #[test]
    fn another_scheme_is_not_ours() {
        assert_eq!(present(&[("authorization", b"Negotiate abc")]), Err(Denial::Missing));
        assert_eq!(present(&[("authorization", b"Negotiate abc"), ("x-api-key", KEY.as_bytes())]).unwrap(), KEY);
    }

    #[test]
    fn more_than_one_credential_is_ambiguous() {
        for fields in [
            &[("x-api-key", &b"a"[..]), ("x-api-key", b"a")][..],
            &[("authorization", b"Bearer a"), ("authorization", b"Negotiate b")],
            &[("x-api-key", b"a"), ("authorization", b"Bearer a")],
            &[("x-further", b"a"), ("x-further", b"a")],
            &[("x-further", b"a"), ("x-api-key", b"a")],
            &[("x-further", b"a"), ("authorization", b"Token a")],
            &[("x-further", b"a,b")],
            &[("authorization", b"Token a, Splunk b")],
            &[("x-api-key", b"a,b")],
            &[("authorization", b"Bearer a, Bearer b")],
            &[("authorization", b"Basic YTpi,YTpi")],
        ] {
            assert_eq!(present(fields), Err(Denial::Ambiguous), "{fields:?}");
        }
    }

    #[test]
    fn what_is_empty_or_not_ascii_is_no_key() {
        for value in [&b""[..], b"\xffabc", &[b'\xff'; 32], "schl\u{fc}ssel".as_bytes()] {
            assert!(matches!(present(&[("x-api-key", value)]), Err(Denial::Malformed(_))));
            assert!(matches!(present(&[("x-further", value)]), Err(Denial::Malformed(_))));
        }
        assert!(matches!(present(&[("authorization", b"Bearer \xff")]), Err(Denial::Malformed(_))));
        assert!(matches!(present(&[("authorization", b"Basic !!")]), Err(Denial::Malformed(_))));
    }

    #[test]
    fn a_tenant_statement_is_one_word_or_none() {
        assert_eq!(stated_tenant(&[]).unwrap(), None);
        assert_eq!(stated_tenant(&[("x-tenant-id", b"a"), ("x-p-tenant", b"a")]).unwrap().as_deref(), Some("a"));
        for fields in [
            &[("x-tenant-id", &b""[..])][..],
            &[("x-tenant-id", b"a"), ("x-tenant-id", b"a")],
            &[("x-tenant-id", b"a"), ("x-p-tenant", b"b")],
        ] {
            assert!(stated_tenant(fields).is_err());
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
