//! Reading a presented API key: a ladder of cheap checks with named errors, so that garbage costs neither a hash nor a
//! lookup. It is `kl_ing_` or `kl_qry_`, 43 base62 characters, and the CRC32 of all that in 6 more; or an imported
//! secret, whose length and alphabet alone can be checked.

use std::fmt;

use super::{Digest, KeyType};

pub(super) const PREFIX_LEN: usize = 7;
pub(super) const SECRET_LEN: usize = 43;
pub(super) const CHECKSUM_LEN: usize = 6;
pub(super) const LEN: usize = PREFIX_LEN + SECRET_LEN + CHECKSUM_LEN;
/// What the token of a machine begins with.
pub(super) const MACHINE_PREFIX: &str = "kl_svc_";
/// What the admin token begins with, if Keyloft has made it.
pub(super) const ADMIN_PREFIX: &str = "kl_adm_";
/// The lengths of imported secrets.
pub(super) const OWN_LEN: std::ops::RangeInclusive<usize> = 32..=128;
/// What only secrets of our own making start with.
const RESERVED_PREFIX: &[u8] = b"kl_";
pub(super) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether a text may hold a secret of our own making: an API key, the token of a machine or the admin token.
#[cfg(feature = "query")]
pub fn may_hold_secret(text: &str) -> bool {
    let keys = KeyType::ALL.into_iter().map(KeyType::prefix);
    keys.chain([MACHINE_PREFIX, ADMIN_PREFIX]).any(|prefix| text.contains(prefix))
}

/// A well-formed API key that was presented. A lookup finds out whether it belongs to a key.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    bytes: &'a [u8],
    key_type: Option<KeyType>,
}

/// The first rung of the ladder that a text fell from. For logs and metrics; clients see one 401 for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedCredential {
    /// It starts with neither `kl_ing_` nor `kl_qry_`, and is too short or too long for an imported secret.
    #[error("unknown prefix")]
    Prefix,
    /// It is not 56 bytes long.
    #[error("wrong length")]
    Length,
    /// A character after the prefix is not base62.
    #[error("character outside base62")]
    Alphabet,
    /// The CRC32 does not fit: a typing error, or a scanner's noise.
    #[error("wrong checksum")]
    Checksum,
}

impl<'a> Credential<'a> {
    /// Climbs the ladder.
    ///
    /// ```
    /// use keyloft::key::{Credential, KeyType, MalformedCredential, PlainSecret};
    /// let secret = PlainSecret::generate(KeyType::Query)?;
    /// assert!(Credential::parse(secret.expose()).is_ok());
    /// assert_eq!(Credential::parse("hunter2").unwrap_err(), MalformedCredential::Prefix);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`MalformedCredential`] names the first check that failed.
    pub fn parse(presented: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Self, MalformedCredential> {
        let bytes = presented.as_ref();
        let of_type = |key_type: &&KeyType| bytes.starts_with(key_type.prefix().as_bytes());
        let Some(&key_type) = KeyType::ALL.iter().find(of_type) else { return Self::own(bytes) };
        check_signed(bytes)?;
        Ok(Self { bytes, key_type: Some(key_type) })
    }

    /// An imported secret: it may look like anything except a key of Keyloft.
    fn own(bytes: &'a [u8]) -> Result<Self, MalformedCredential> {
        if !OWN_LEN.contains(&bytes.len()) || bytes.starts_with(RESERVED_PREFIX) {
            return Err(MalformedCredential::Prefix);
        }
        // A comma in a header would make two values of it.
        if !all(bytes, |byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(MalformedCredential::Alphabet);
        }
        Ok(Self { bytes, key_type: None })
    }

    /// The type that the prefix claims; `None` for an imported secret.
    pub fn key_type(&self) -> Option<KeyType> {
        self.key_type
    }

    /// The digest to look up.
    pub fn digest(&self) -> Digest {
        Digest::of(self.bytes)
    }
}

/// The digest of a token that a machine presents; `None` when it cannot be one.
#[cfg(feature = "server")]
pub(crate) fn machine_token(presented: &str) -> Option<Digest> {
    let is_token = presented.starts_with(MACHINE_PREFIX) && check_signed(presented.as_bytes()).is_ok();
    is_token.then(|| Digest::of(presented))
}

/// Checks length, alphabet and checksum of what begins with a prefix of ours.
fn check_signed(bytes: &[u8]) -> Result<(), MalformedCredential> {
    if bytes.len() != LEN {
        return Err(MalformedCredential::Length);
    }
    if !all(&bytes[PREFIX_LEN..], |byte| byte.is_ascii_alphanumeric()) {
        return Err(MalformedCredential::Alphabet);
    }
    let (signed, sum) = bytes.split_at(PREFIX_LEN + SECRET_LEN);
    if checksum(signed) == sum { Ok(()) } else { Err(MalformedCredential::Checksum) }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}..)", self.key_type.map_or("", KeyType::prefix))
    }
}

/// Looks at every byte, because a loop that never leaves early compares many at once.
fn all(bytes: &[u8], is_good: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_good(*byte))
}

/// The CRC32 (IEEE) of `signed`, in base62, most significant digit first.
pub(super) fn checksum(signed: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(signed);
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PlainSecret;
    use super::*;

    #[test]
    fn each_rung_has_its_name() {
        let secret = PlainSecret::generate(KeyType::Ingestion).unwrap();
        let good = secret.expose();
        let swapped = |at: usize, with: char| {
            let mut text: Vec<char> = good.chars().collect();
            text[at] = with;
            text.into_iter().collect::<String>()
        };
        let other = if good.as_bytes()[20] == b'a' { 'b' } else { 'a' };
        for (text, rung) in [
            (String::new(), MalformedCredential::Prefix),
            (format!("kl_xyz_{}", &good[7..]), MalformedCredential::Prefix),
            (good[..55].to_owned(), MalformedCredential::Length),
            (format!("{good}x"), MalformedCredential::Length),
            (swapped(20, '-'), MalformedCredential::Alphabet),
            (swapped(20, other), MalformedCredential::Checksum),
        ] {
            assert_eq!(Credential::parse(&text).unwrap_err(), rung);
        }
    }

    #[test]
    fn the_format_is_frozen() {
        // Issued keys must parse for ever.
        let golden = include_str!("../../fixtures/credential/v1.txt");
        for line in golden.lines() {
            assert!(Credential::parse(line).is_ok(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,140}") {
            let own = (32..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
            prop_assert_eq!(Credential::parse(&text).is_ok(), own && !text.starts_with("kl_"));
        }

        #[test]
        fn a_changed_character_is_noticed(at in 7usize..56, with in "[0-9A-Za-z]") {
            let secret = PlainSecret::generate(KeyType::Query).unwrap();
            let mut text = secret.expose().to_owned();
            prop_assume!(text[at..=at] != *with);
            text.replace_range(at..=at, &with);
            prop_assert_eq!(Credential::parse(&text).unwrap_err(), MalformedCredential::Checksum);
        }
    }
}
