//! What signers sign: JSON Web Signatures in compact form (RFC 7515). Exactly the form that is written is accepted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::id::LoginId;
use super::{OperatorId, Signer};
use crate::key::SignerId;

/// How far clocks of nodes may differ, in seconds.
const LEEWAY: i64 = 30;
/// For whom tokens are.
pub const AUDIENCE: &str = "keyloft";

/// What a token is for. None passes for another (RFC 8725, section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// `Authorization: Bearer`.
    Operator,
    /// The cookie of the console.
    Console,
    /// Exchanged for a token, once.
    Handoff,
    /// The cookie of a sign-in under way.
    Flow,
}

/// What tokens of a sign-in say: who it is, and by which sign-in. What they may do, documents say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionClaims {
    /// Who has issued it: the public URL, or `keyloft`.
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// Who it is.
    pub sub: OperatorId,
    /// By which sign-in.
    pub sid: LoginId,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// From when it holds.
    pub nbf: i64,
    /// The first second at which it no longer does.
    pub exp: i64,
}

/// What every token says.
pub trait Claims: Serialize + DeserializeOwned {
    /// Issuer and audience.
    fn parties(&self) -> (&str, &str);

    /// `iat`, `nbf` and `exp`, in seconds since 1970.
    fn times(&self) -> [i64; 3];
}

impl Claims for SessionClaims {
    fn parties(&self) -> (&str, &str) {
        (&self.iss, &self.aud)
    }

    fn times(&self) -> [i64; 3] {
        [self.iat, self.nbf, self.exp]
    }
}

/// Why a text is no good token. For our log: clients get one answer for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It is not of the form that we write.
    Form,
    /// Its signer is not known here. Another node may have made it a moment ago.
    Signer,
    /// The signature does not fit.
    Signature,
    /// A claim does not hold.
    Claims,
}

impl TokenType {
    /// The `typ` of the header.
    const fn typ(self) -> &'static str {
        match self {
            Self::Operator => "kl-op+jwt",
            Self::Console => "kl-con+jwt",
            Self::Handoff => "kl-hand+jwt",
            Self::Flow => "kl-flow+jwt",
        }
    }

    /// The longest one, in bytes.
    const fn max_bytes(self) -> usize {
        match self {
            Self::Flow => 3072, // A cookie has 4 KiB.
            _ => 2048,
        }
    }

    /// The one header that is accepted, as it is written.
    fn header(self, signer: &SignerId) -> String {
        format!(r#"{{"alg":"EdDSA","kid":"{signer}","typ":"{}"}}"#, self.typ())
    }
}

#[derive(Deserialize)]
struct Kid {
    kid: SignerId,
}

/// Writes a token.
pub(super) fn sign(kind: TokenType, id: &SignerId, pair: &Ed25519KeyPair, claims: &impl Claims) -> String {
    let claims = serde_json::to_vec(claims).unwrap_or_default();
    let mut text = URL_SAFE_NO_PAD.encode(kind.header(id));
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    let signature = pair.sign(text.as_bytes());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    text
}

/// Reads a token of `issuer` that holds at `now`: its signer, whom `find` finds, and its claims.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn verify<C: Claims>(
    kind: TokenType,
    text: &str,
    issuer: &str,
    now: DateTime<Utc>,
    find: impl FnOnce(&SignerId) -> Option<std::sync::Arc<Signer>>,
) -> Result<(SignerId, C), TokenFault> {
    let parts = (text.len() <= kind.max_bytes()).then(|| text.rsplit_once('.')).flatten();
    let (signed, signature) = parts.ok_or(TokenFault::Form)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenFault::Form)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Form);
    let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
    let Kid { kid } = serde_json::from_slice(&header).map_err(|_| TokenFault::Form)?;
    if kind.header(&kid).as_bytes() != header {
        return Err(TokenFault::Form);
    }
    let signer = find(&kid).ok_or(TokenFault::Signer)?;
    let key = UnparsedPublicKey::new(&ED25519, signer.key_bytes());
    key.verify(signed.as_bytes(), &signature).map_err(|_| TokenFault::Signature)?;
    let claims: C = serde_json::from_slice(&claims).map_err(|_| TokenFault::Claims)?;
    let ([iat, nbf, exp], seconds) = (claims.times(), now.timestamp());
    let signs = signer.created_at.timestamp() - LEEWAY..=signer.signs_until.timestamp() + LEEWAY;
    let is_good = claims.parties() == (issuer, AUDIENCE)
        && signs.contains(&iat)
        && iat.max(nbf) <= seconds + LEEWAY
        && seconds < exp
        && exp <= signer.expires_at.timestamp();
    if is_good { Ok((kid, claims)) } else { Err(TokenFault::Claims) }
}
