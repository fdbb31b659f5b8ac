//! ID tokens (OpenID Connect Core 1.0, section 3.1.3.7): whether one was made by the provider, for us and for this
//! sign-in.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::crypto::{self, ALGORITHMS};
use super::keys::{Found, KeySet};

/// The longest token, in bytes: one with as many groups as are taken is half of it.
const MAX_BYTES: usize = 64 * 1024;
/// How far the clock of the provider may be away from ours, in seconds.
const LEEWAY: i64 = 30;
/// The last second of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The names of the provider, each compared exactly.
    pub issuers: &'a [&'a str],
    /// Our name at the provider.
    pub client_id: &'a str,
    /// The value that was sent with the browser.
    pub nonce: &'a str,
}

/// What a token says that was checked.
#[derive(Debug)]
pub struct Claims {
    /// The provider's name for the person.
    pub subject: String,
    /// All claims that are not judged here: e-mail, groups.
    pub others: Map<String, Value>,
}

/// Why a token is refused. Nothing of the token is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is too long, has not three parts, or its header cannot be read: an `alg` that is not known is one reason.
    #[error("the ID token cannot be read")]
    Malformed,
    /// Its header has `crit`: extensions that would have to be understood.
    #[error("the ID token has a critical header")]
    Critical,
    /// Its algorithm is none of the list.
    #[error("the ID token is not signed by RS256, PS256, ES256 or EdDSA")]
    Algorithm,
    /// The provider has no key with the id that it names. It may have by now.
    #[error("the ID token is signed by a key that the provider does not publish")]
    UnknownKey,
    /// The key is for other algorithms.
    #[error("the ID token is signed by an algorithm that its key is not for")]
    UnfitKey,
    /// It names no key, and several would fit.
    #[error("the ID token does not say which key signed it")]
    UnclearKey,
    /// The signature is not that of the key, or the claims cannot be read.
    #[error("the signature of the ID token is wrong, or its claims cannot be read")]
    Signature,
    /// Its claims are not what is expected.
    #[error("the ID token is refused: {0}")]
    Claim(&'static str),
}

#[derive(Deserialize)]
struct Judged {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: Number,
    iat: Number,
    nbf: Option<Number>,
    nonce: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Checks a token at an instant.
///
/// 1. The algorithm is RS256, PS256, ES256 or EdDSA, and the key that the token names is one of `keys` and fits it.
///    Keys and addresses in the header (`jwk`, `jku`, `x5u`, `x5c`) are not looked at.
/// 2. The signature is that of the key.
/// 3. `iss` is the provider, `aud` is or holds our client id, and `azp` is it where it is given; several audiences need
///    one.
/// 4. `exp` is not past, and neither `iat` nor `nbf` is in the future, each with 30 s of leeway.
/// 5. `nonce` is ours.
///
/// # Errors
/// The first [`Refusal`].
pub fn check(token: &str, keys: &KeySet, expected: &Expected<'_>, now: DateTime<Utc>) -> Result<Claims, Refusal> {
    crypto::install();
    if token.len() > MAX_BYTES {
        return Err(Refusal::Malformed);
    }
    let header: Header = decode_header(token).map_err(|_| Refusal::Malformed)?;
    if header.crit.is_some() {
        return Err(Refusal::Critical);
    }
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refusal::Algorithm);
    }
    let key = match keys.find(header.kid.as_deref(), header.alg) {
        Found::Key(key) => key,
        Found::Unknown => return Err(Refusal::UnknownKey),
        Found::Unfit => return Err(Refusal::UnfitKey),
        Found::Unclear => return Err(Refusal::UnclearKey),
    };
    let claims = decode::<Judged>(token, key, &signature_only(header.alg)).map_err(|_| Refusal::Signature)?.claims;
    judge(&claims, expected, now).map_err(Refusal::Claim)?;
    Ok(Claims { subject: claims.sub, others: claims.others })
}

/// The checks of the library without its claims: it would read the clock of the machine, and pass what is absent.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn judge(claims: &Judged, expected: &Expected<'_>, now: DateTime<Utc>) -> Result<(), &'static str> {
    if !expected.issuers.contains(&&*claims.iss) {
        return Err("iss is another provider");
    }
    let (is_ours, are_several) = match &claims.aud {
        Audience::One(one) => (one == expected.client_id, false),
        Audience::Several(several) => (several.iter().any(|one| one == expected.client_id), several.len() > 1),
    };
    if !is_ours {
        return Err("aud is another client");
    }
    match &claims.azp {
        Some(party) if party != expected.client_id => return Err("azp is another client"),
        None if are_several => return Err("aud names several clients, and azp is absent"),
        _ => {}
    }
    let now = now.timestamp();
    if seconds(&claims.exp)? < now - LEEWAY {
        return Err("exp is past");
    }
    if seconds(&claims.iat)? > now + LEEWAY {
        return Err("iat is in the future");
    }
    if claims.nbf.as_ref().map(seconds).transpose()?.is_some_and(|from| from > now + LEEWAY) {
        return Err("nbf is in the future");
    }
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err("nonce is that of another sign-in");
    }
    if claims.sub.is_empty() {
        return Err("sub is empty");
    }
    Ok(())
}

/// The seconds of a `NumericDate` (RFC 7519, section 2), which may have a fraction.
fn seconds(number: &Number) -> Result<i64, &'static str> {
    let seconds = number.as_f64().filter(|seconds| (0.0..=LAST_SECOND).contains(seconds));
    #[allow(clippy::cast_possible_truncation)] // The range was checked, and the fraction is not needed.
    seconds.map(|seconds| seconds as i64).ok_or("a time is out of range")
}
