//! The digest of a secret. The only user of SHA-256 and `subtle`.
//!
//! API keys are 256 random bits, so one fast hash is enough: NIST SP 800-63B asks a look-up secret of at least 112 bits
//! for an approved one-way function, not for a slow one.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::id::InvalidId;

/// The SHA-256 of a whole API key: all that is stored or cached of it.
///
/// It reveals nothing about the key, yet stays out of logs: `Debug` is silent and there is no `Display`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a secret in clear text.
    pub fn of(secret: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Compares in constant time, so that timing reveals nothing about the stored digest.
    pub fn verify(&self, presented: &Self) -> bool {
        // By words: `subtle` compares slices byte by byte, which costs as much as the rest of a lookup.
        let equal = self.words().zip(presented.words()).fold(Choice::from(1), |equal, (a, b)| equal & a.ct_eq(&b));
        equal.into()
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.0.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word))
    }

    /// A hash for in-memory tables. The digest is uniform already, so eight of its bytes serve.
    pub(crate) fn table_hash(&self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(head)
    }

    /// Reads `sha256:<64 lower-case hex>`, the form of stored documents.
    ///
    /// # Errors
    /// [`InvalidId`] for any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a digest", "sha256: and 64 hexadecimal digits in lower case");
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64).ok_or(RULE)?;
        // No branch for each digit: a million keys have 64 random ones each.
        let (mut bytes, mut seen) = ([0u8; 32], 0);
        for (byte, [high, low]) in bytes.iter_mut().zip(hex.as_bytes().as_chunks().0) {
            let (high, low) = (NIBBLES[usize::from(*high)], NIBBLES[usize::from(*low)]);
            seen |= high | low;
            *byte = high << 4 | low;
        }
        if seen < 16 { Ok(Self(bytes)) } else { Err(RULE) }
    }

    /// The form of stored documents. Named for the only place it may go.
    pub fn to_document(self) -> String {
        format!("sha256:{}", self.hex())
    }

    /// Base64 for URLs without padding, as PKCE has it (RFC 7636, section 4.2).
    #[cfg(feature = "server")]
    pub(crate) fn base64url(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Sixty-four hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The value of each lower-case hexadecimal digit; a larger one for any other byte.
const NIBBLES: [u8; 256] = {
    let (mut nibbles, mut worth) = ([u8::MAX; 256], 0);
    while worth < 16 {
        nibbles[b"0123456789abcdef"[worth as usize] as usize] = worth;
        worth += 1;
    }
    nibbles
};

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_round_trips_through_its_document_form() {
        // The example of FIPS 180-2, appendix B.1.
        let digest = Digest::of("abc");
        let text = digest.to_document();
        assert_eq!(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::parse(&text), Ok(digest));
        for bad in
            ["", "sha256:", &text.to_uppercase(), &text[..70], &text.replace("sha256", "md5"), &text.replace('4', "g")]
        {
            assert!(Digest::parse(bad).is_err());
        }
    }

    #[test]
    #[cfg(feature = "server")]
    fn a_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let digest = Digest::of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(digest.base64url(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
