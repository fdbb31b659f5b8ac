//! The keys of challenges and clearances: each tenant has its own, from the secret of the installation.
//!
//! A key is named by an id of the secret that it comes from, so that two secrets work side by side while they are
//! exchanged: one makes and verifies, the other only verifies. What carries the id of any other secret is void.

use std::fmt;

use ring::hmac::{self, HMAC_SHA256};

use super::hex;

/// What a key is for. What is signed for one purpose is worth nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Signs challenges.
    Challenge,
    /// Signs clearances.
    Clearance,
    /// Binds a clearance to the one that it was given to.
    Binding,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Challenge => b"keyloft challenges 1\0",
            Self::Clearance => b"keyloft clearances 1\0",
            Self::Binding => b"keyloft bindings of clearances 1\0",
        }
    }
}

/// The keys of all tenants. Silent in `Debug`.
pub struct Keys {
    current: Secret,
    other: Option<Secret>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

struct Secret {
    id: String,
    key: hmac::Key,
}

impl Secret {
    fn new(secret: &[u8]) -> Self {
        let key = hmac::Key::new(HMAC_SHA256, secret);
        let tag = hmac::sign(&key, b"keyloft id of a secret of challenges 1\0");
        Self { id: hex::encode(tag.as_ref().get(..4).unwrap_or_default()), key }
    }

    fn key(&self, purpose: Purpose, tenant: &str) -> Key {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose.label());
        context.update(tenant.as_bytes());
        // ALTCHA's libraries take a key as text.
        let text = hex::encode(context.sign().as_ref());
        Key(hmac::Key::new(HMAC_SHA256, text.as_bytes()))
    }
}

impl Keys {
    /// Signs with the first secret, and verifies with both: the other is the next or the last one.
    pub fn new(current: &[u8], other: Option<&[u8]>) -> Self {
        Self { current: Secret::new(current), other: other.map(Secret::new) }
    }

    /// The id of the secret that signs.
    pub fn id(&self) -> &str {
        &self.current.id
    }

    /// The key of a tenant; `None` when it comes from a secret that is not known, or not any more.
    pub fn find(&self, id: &str, purpose: Purpose, tenant: &str) -> Option<Key> {
        let mut secrets = [Some(&self.current), self.other.as_ref()].into_iter().flatten();
        secrets.find(|secret| secret.id == id).map(|secret| secret.key(purpose, tenant))
    }

    /// The key of a tenant that signs.
    pub fn signing(&self, purpose: Purpose, tenant: &str) -> Key {
        self.current.key(purpose, tenant)
    }
}

/// A key of one tenant for one purpose. Silent in `Debug`.
pub struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// The code of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut code = [0; 32];
        code.iter_mut().zip(hmac::sign(&self.0, message).as_ref()).for_each(|(to, from)| *to = *from);
        code
    }

    /// Whether this is the code of a message. Takes the same time whatever the code is.
    pub fn verifies(&self, message: &[u8], code: &[u8]) -> bool {
        hmac::verify(&self.0, message, code).is_ok()
    }

    /// The code of several texts, each behind its length, so that no two lists are the same message.
    pub fn sign_texts<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
        let mut message = Vec::with_capacity(256);
        for text in texts {
            message.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            message.extend(text.as_bytes());
        }
        self.sign(&message)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_differ_by_purpose_tenant_and_secret_and_none_shows() {
        let (keys, others) = (Keys::new(b"one", None), Keys::new(b"two", None));
        let mut codes = HashSet::new();
        for purpose in [Purpose::Challenge, Purpose::Clearance, Purpose::Binding] {
            for tenant in ["acme", "acm", "other"] {
                codes.extend([&keys, &others].map(|keys| keys.signing(purpose, tenant).sign(b"m")));
            }
        }
        assert_eq!(codes.len(), 18);
        assert_eq!(format!("{keys:?} {:?}", keys.signing(Purpose::Binding, "a")), "Keys(..) Key(..)");
    }

    #[test]
    fn two_secrets_verify_while_they_are_exchanged_and_a_retired_one_does_not() {
        let old = Keys::new(b"old", None);
        let (both, new) = (Keys::new(b"new", Some(b"old")), Keys::new(b"new", None));
        let code = old.signing(Purpose::Challenge, "acme").sign(b"m");
        let found = both.find(old.id(), Purpose::Challenge, "acme").unwrap();
        assert!(found.verifies(b"m", &code) && !found.verifies(b"n", &code) && !found.verifies(b"m", b""));
        assert!(new.find(old.id(), Purpose::Challenge, "acme").is_none());
        assert_eq!(both.id(), new.id(), "the first one signs");
    }

    #[test]
    fn lists_of_texts_are_told_apart() {
        let key = Keys::new(b"s", None).signing(Purpose::Binding, "acme");
        let lists: [&[&str]; 6] = [&[], &[""], &["ab", "c"], &["a", "bc"], &["abc"], &["abc", ""]];
        let codes: HashSet<_> = lists.iter().map(|list| key.sign_texts(list.iter().copied())).collect();
        assert_eq!(codes.len(), lists.len());
    }
}
