//! The ids of people who administer, and of the keys that sign for them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Digest;
use super::id::{InvalidId, textual};

/// A prefix and 32 hexadecimal digits in lower case: one spelling for each id.
macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// Reads the one accepted spelling of an id.
            ///
            /// # Errors
            /// [`InvalidId`] for any other text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                const RULE: InvalidId =
                    InvalidId::new($what, concat!($prefix, " and 32 hexadecimal digits in lower case"));
                let digits = text.strip_prefix($prefix).ok_or(RULE)?;
                let id = u128::from_str_radix(digits, 16).map(Self).map_err(|_| RULE)?;
                // It would also take a sign, upper case, and other numbers of digits.
                if id.to_string() == text { Ok(id) } else { Err(RULE) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }
    };
}

#[cfg(feature = "server")]
pub(crate) use prefixed_id;

prefixed_id! {
    /// The id of somebody who signs in: it follows from the identity alone, so that two nodes give one person one id,
    /// and a role can be given before the first sign-in.
    OperatorId, "op-", "the id of an operator"
}

prefixed_id! {
    /// The id of a key that signs: the `kid` of tokens (RFC 7515, section 4.1.4). It follows from the public key, so an
    /// id never comes to mean another key.
    SignerId, "sig-", "the id of a signer"
}

impl OperatorId {
    /// How many digits of the digest an id has.
    const DIGITS: usize = 32;
    /// The longest issuer and the longest subject, in bytes.
    const MAX_BYTES: usize = 1024;

    /// The id of an identity: the first 32 hexadecimal digits of SHA-256 over the issuer, a newline and the subject,
    /// both exactly as the provider spells them. An e-mail address is never part of it.
    ///
    /// # Errors
    /// [`InvalidId`] when one of them is empty, longer than 1,024 bytes, or holds a control character: a newline in
    /// one of them could stand for another identity.
    pub fn of(issuer: &str, subject: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId =
            InvalidId::new("an issuer and a subject", "1-1024 bytes each, without control characters");
        let is_good = |text: &str| (1..=Self::MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        if !is_good(issuer) || !is_good(subject) {
            return Err(RULE);
        }
        Self::parse(&format!("op-{}", &Digest::of(format!("{issuer}\n{subject}")).hex()[..Self::DIGITS]))
    }
}

impl OperatorId {
    /// A hash for in-memory tables: it is part of a digest already.
    #[cfg(feature = "server")]
    pub(crate) fn table_hash(&self) -> u64 {
        (self.0 >> 64) as u64
    }
}

impl SignerId {
    /// The id of a public key: the first 32 hexadecimal digits of its SHA-256.
    pub fn of(public_key: &[u8]) -> Self {
        let mut head = [0; 16];
        let hex = Digest::of(public_key).hex();
        for (byte, digits) in head.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte =
                std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(0);
        }
        Self(u128::from_be_bytes(head))
    }
}

textual!(OperatorId, SignerId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_the_digest_of_issuer_and_subject() {
        // printf 'https://accounts.google.com\n110169484474386276334' | sha256sum
        let id = OperatorId::of("https://accounts.google.com", "110169484474386276334").unwrap();
        assert_eq!(id.to_string(), "op-5a12af06505d0ebbb95bca5441f5c29f");
        assert_eq!(OperatorId::parse(&id.to_string()), Ok(id));
        assert_ne!(OperatorId::of("https://accounts.google.com/", "110169484474386276334"), Ok(id));
        for (issuer, subject) in [("", "a"), ("a", ""), ("a\nb", "c"), ("a", "b\nc"), ("a", "\u{85}")] {
            assert!(OperatorId::of(issuer, subject).is_err(), "{issuer:?} {subject:?}");
        }
        assert!(OperatorId::of(&"a".repeat(1025), "b").is_err());
    }
}
