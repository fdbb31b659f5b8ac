//! The public keys of a provider: its JWK set (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::crypto::ALGORITHMS;

/// Why a JWK set cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// It is no JSON object with a list of keys.
    #[error("the keys of the provider are no JWK set")]
    Malformed,
    /// It has more keys than [`KeySet::MAX_KEYS`].
    #[error("the provider has more than 100 keys")]
    TooMany,
    /// It has no key that signs with an algorithm of the list.
    #[error("the provider has no key for RS256, PS256, ES256 or EdDSA")]
    NoneUsable,
}

/// The keys of a provider that check signatures by RS256, PS256, ES256 or EdDSA. Others are left out, because a set
/// may hold keys for other purposes.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// What it may be used for: its type allows that, and so does its own `alg`.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// How many keys a set may have.
    pub const MAX_KEYS: usize = 100;
    /// The longest id of a key, in bytes.
    const MAX_ID_BYTES: usize = 256;

    /// Reads a JWK set.
    ///
    /// # Errors
    /// [`InvalidKeys`], also when none of the keys can be used.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidKeys> {
        let document: Document = serde_json::from_slice(body).map_err(|_| InvalidKeys::Malformed)?;
        if document.keys.len() > Self::MAX_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        let keys: Vec<Key> = document.keys.into_iter().filter_map(Key::of).collect();
        if keys.is_empty() { Err(InvalidKeys::NoneUsable) } else { Ok(Self(keys)) }
    }

    /// The key with this id for this algorithm. A token without an id of a key is for a set with one key.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let named: Vec<&Key> = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id).collect();
        let mut fitting = named.iter().filter(|key| key.algorithms.contains(&algorithm));
        match (named.is_empty(), fitting.next(), fitting.next()) {
            (true, ..) => Found::Unknown,
            (_, Some(key), None) => Found::Key(&key.key),
            (_, None, _) => Found::Unfit,
            (_, Some(_), Some(_)) => Found::Unclear,
        }
    }
}

/// What a set knows about the key that a token names.
pub(super) enum Found<'a> {
    /// This key.
    Key(&'a DecodingKey),
    /// No key has this id.
    Unknown,
    /// The key is for other algorithms.
    Unfit,
    /// Several keys fit.
    Unclear,
}

impl Key {
    fn of(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !signs || common.key_id.as_ref().is_some_and(|id| id.len() > KeySet::MAX_ID_BYTES) {
            return None;
        }
        let by_type: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::PS256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => return None,
        };
        let allows = |algorithm: &Algorithm| {
            ALGORITHMS.contains(algorithm)
                && common.key_algorithm.is_none_or(|own| own == KeyAlgorithm::from(*algorithm))
        };
        let algorithms: Vec<Algorithm> = by_type.iter().copied().filter(allows).collect();
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| !algorithms.is_empty())?;
        Some(Self { id: jwk.common.key_id, algorithms, key })
    }
}
