//! The secret half of an API key. It exists in clear only between [`PlainSecret::generate`] and the answer that shows
//! it; everything stored or cached is a [`Digest`]. The only user of the random generator.

use std::fmt;

use chrono::{DateTime, Utc};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::credential::{ADMIN_PREFIX, BASE62, CHECKSUM_LEN, LEN, MACHINE_PREFIX, PREFIX_LEN, SECRET_LEN, checksum};
use super::id::InvalidId;
use super::{Digest, KeyType};

/// An API key in clear text. Not `Clone`, not `Serialize`, silent in `Debug`, wiped when dropped.
pub struct PlainSecret(Zeroizing<String>);

/// The operating system's random generator did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random generator failed")]
pub struct NoRandomness;

impl PlainSecret {
    /// A fresh API key with 256 bits from the operating system's random generator.
    ///
    /// # Errors
    /// [`NoRandomness`] when the generator fails.
    pub fn generate(key_type: KeyType) -> Result<Self, NoRandomness> {
        Self::signed(key_type.prefix())
    }

    /// A fresh bootstrap token for the admin plane: `kl_adm_` and 256 random bits.
    ///
    /// # Errors
    /// [`NoRandomness`] when the generator fails.
    pub fn generate_admin() -> Result<Self, NoRandomness> {
        let mut text = Zeroizing::new(String::with_capacity(LEN));
        text.push_str(ADMIN_PREFIX);
        push_random(&mut text)?;
        Ok(Self(text))
    }

    /// A fresh token for a machine: as an API key, with a prefix of its own.
    ///
    /// # Errors
    /// [`NoRandomness`] when the generator fails.
    pub fn generate_machine() -> Result<Self, NoRandomness> {
        Self::signed(MACHINE_PREFIX)
    }

    /// A prefix, 256 random bits, and the checksum of both.
    fn signed(prefix: &str) -> Result<Self, NoRandomness> {
        let mut text = Zeroizing::new(String::with_capacity(LEN));
        text.push_str(prefix);
        push_random(&mut text)?;
        debug_assert_eq!(text.len(), PREFIX_LEN + SECRET_LEN);
        let sum = checksum(text.as_bytes());
        text.extend(sum.iter().map(|&b| char::from(b)));
        debug_assert_eq!(text.len(), PREFIX_LEN + SECRET_LEN + CHECKSUM_LEN);
        Ok(Self(text))
    }

    /// The digest, which is stored.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// The last four characters, which lists show so that people can distinguish keys.
    pub fn hint(&self) -> Hint {
        Hint::of(&self.0)
    }

    /// The secret itself, for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PlainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainSecret(..)")
    }
}

/// 32 random bytes in base64 for URLs, for what is used once: state, nonce and verifier of a sign-in. Silent in
/// `Debug`, wiped when dropped.
#[cfg(feature = "server")]
pub(crate) struct RandomText(Zeroizing<String>);

#[cfg(feature = "server")]
impl RandomText {
    /// Fresh bytes from the operating system's random generator.
    ///
    /// # Errors
    /// [`NoRandomness`] when the generator fails.
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        use base64::Engine as _;
        let mut bytes = Zeroizing::new([0u8; 32]);
        SysRng.try_fill_bytes(&mut *bytes).map_err(|_| NoRandomness)?;
        Ok(Self(Zeroizing::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(*bytes))))
    }

    /// The text itself.
    pub(crate) fn into_inner(self) -> Zeroizing<String> {
        self.0
    }
}

#[cfg(feature = "server")]
impl fmt::Debug for RandomText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RandomText(..)")
    }
}

/// 256 random bits, from which a key is made that signs.
///
/// # Errors
/// [`NoRandomness`] when the generator fails.
#[cfg(feature = "server")]
pub(crate) fn seed() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(&mut *seed).map_err(|_| NoRandomness)?;
    Ok(seed)
}

/// Appends 256 random bits as 43 base62 characters: 62^43 is just above 2^256, so nothing is lost.
fn push_random(text: &mut String) -> Result<(), NoRandomness> {
    let mut number = Zeroizing::new([0u8; 32]);
    SysRng.try_fill_bytes(&mut *number).map_err(|_| NoRandomness)?;
    for _ in 0..SECRET_LEN {
        let mut remainder = 0u32;
        for byte in number.iter_mut() {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        text.push(char::from(BASE62[remainder as usize]));
    }
    Ok(())
}

/// Up to four visible ASCII characters from the end of an API key. A document written by hand may have none.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hint([u8; 4]);

impl Hint {
    pub(super) fn of(secret: &str) -> Self {
        secret
            .len()
            .checked_sub(4)
            .and_then(|at| secret.get(at..))
            .and_then(|tail| Self::parse(tail).ok())
            .unwrap_or_default()
    }

    /// Reads a stored hint.
    ///
    /// # Errors
    /// [`InvalidId`] unless it is empty or four visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        match text.as_bytes() {
            [] => Ok(Self::default()),
            &[a, b, c, d] if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self([a, b, c, d])),
            _ => Err(InvalidId::new("a hint", "four visible ASCII characters")),
        }
    }

    /// The characters; empty when unknown.
    pub fn as_str(&self) -> &str {
        if self.0 == [0; 4] { "" } else { std::str::from_utf8(&self.0).unwrap_or_default() }
    }
}

impl Serialize for Hint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Hint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hint({})", self.as_str())
    }
}

/// A secret that was rotated away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OlderSecret {
    /// The digest of the secret.
    pub digest: Digest,
    /// Its last characters.
    pub hint: Hint,
    /// The first instant at which it no longer works.
    pub until: DateTime<Utc>,
}

/// The secrets that were rotated away and may still work, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OlderSecrets(Box<[OlderSecret]>);

impl OlderSecrets {
    /// How many secrets of one key may overlap its current one.
    pub const MAX: usize = 4;

    /// The secrets.
    pub fn iter(&self) -> impl Iterator<Item = &OlderSecret> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<OlderSecret>> for OlderSecrets {
    type Error = InvalidId;

    /// # Errors
    /// [`InvalidId`] when there are more than [`OlderSecrets::MAX`].
    fn try_from(older: Vec<OlderSecret>) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("olderSecrets", "at most 4 secrets");
        if older.len() <= Self::MAX { Ok(Self(older.into())) } else { Err(RULE) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Credential;
    use super::*;

    #[test]
    fn a_fresh_secret_reads_back_as_a_credential_of_its_type() {
        for key_type in KeyType::ALL {
            let secret = PlainSecret::generate(key_type).unwrap();
            let credential = Credential::parse(secret.expose()).unwrap();
            assert_eq!(credential.key_type(), Some(key_type));
            assert!(credential.digest().verify(&secret.digest()));
            assert!(secret.expose().ends_with(secret.hint().as_str()));
        }
    }

    #[test]
    fn two_secrets_differ() {
        let [a, b] = [(); 2].map(|()| PlainSecret::generate(KeyType::Query).unwrap());
        assert_ne!(a.expose(), b.expose());
        assert!(!a.digest().verify(&b.digest()));
    }

    #[test]
    #[cfg(feature = "server")]
    fn a_random_text_is_32_bytes_and_silent() {
        let [a, b] = [(); 2].map(|()| RandomText::generate().unwrap());
        assert_eq!(format!("{a:?}"), "RandomText(..)");
        let (a, b) = (a.into_inner(), b.into_inner());
        assert!(a.len() == 43 && *a != *b && a.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    }

    #[test]
    fn neither_the_secret_nor_its_digest_shows_in_debug() {
        let secret = PlainSecret::generate(KeyType::Ingestion).unwrap();
        assert_eq!(format!("{secret:?} {:?}", secret.digest()), "PlainSecret(..) Digest(..)");
    }
}
