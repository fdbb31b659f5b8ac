//! Who makes a change, and by which request.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::id::{InvalidId, textual};
use super::name::Label;

/// Who makes a change. Written as one word in documents, the change log and answers.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Actor {
    /// The holder of the admin token: `admin`.
    AdminToken,
    /// Keyloft itself, for maintenance: `system`.
    System,
    /// A client of a server that takes requests without a credential: `auth_off`.
    AuthOff,
    /// Known only by name: a program that embeds Keyloft, a command without a server, or the name in a file that was
    /// written by hand.
    Named(Label),
}

impl Actor {
    const ADMIN_TOKEN: &'static str = "admin";
    const SYSTEM: &'static str = "system";
    const AUTH_OFF: &'static str = "auth_off";

    /// The actor that a text names.
    ///
    /// # Errors
    /// [`InvalidId`] for a text that is no [`Label`].
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        match text {
            Self::ADMIN_TOKEN => Ok(Self::AdminToken),
            Self::SYSTEM => Ok(Self::System),
            Self::AUTH_OFF => Ok(Self::AuthOff),
            name => Label::parse(name).map(Self::Named),
        }
    }

    /// The word of documents and answers.
    pub fn as_str(&self) -> &str {
        match self {
            Self::AdminToken => Self::ADMIN_TOKEN,
            Self::System => Self::SYSTEM,
            Self::AuthOff => Self::AUTH_OFF,
            Self::Named(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of a request: the one that its answer carries in `X-Request-Id`.
///
/// - 1-48 of letters, digits, `_`, `-` and `.`: an API key of ours is longer, so none passes for an id.
/// - no `kl_` in it: it may be the greater part of such a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    text: [u8; Self::MAX_LEN],
    len: u8,
}

impl RequestId {
    const MAX_LEN: usize = 48;

    /// Reads a request id.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a request id", "1-48 letters, digits, _, - and ., without kl_");
        let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(harmless) || text.contains("kl_") {
            return Err(RULE);
        }
        Ok(Self::padded(text.as_bytes()))
    }

    pub(super) fn padded(id: &[u8]) -> Self {
        let mut text = [0; Self::MAX_LEN];
        let len = id.len().min(Self::MAX_LEN);
        text[..len].copy_from_slice(&id[..len]);
        Self { text, len: len as u8 }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

textual!(Actor, RequestId);

/// Who made a change and by which request, as documents and the change log say it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attribution {
    /// Who made it; `None` when that is not known, as for a file that was written by hand.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub modified_by: Option<Actor>,
    /// By which request; `None` when there was none.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// Reads a field that older files may use for something else: a value that cannot be parsed is unknown.
pub(crate) fn lenient<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text.parse().ok()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_one_word_both_ways() {
        for (text, actor) in [
            ("admin", Actor::AdminToken),
            ("system", Actor::System),
            ("auth_off", Actor::AuthOff),
            ("keyloft key generate", Actor::Named(Label::parse("keyloft key generate").unwrap())),
        ] {
            assert_eq!((Actor::parse(text), actor.as_str()), (Ok(actor.clone()), text));
        }
        assert!(Actor::parse("").is_err() && Actor::parse("a\nb").is_err());
    }

    #[test]
    fn an_attribution_that_an_older_file_uses_otherwise_is_not_known() {
        let read = |text| serde_json::from_str::<Attribution>(text).unwrap();
        let known = read(r#"{"modifiedBy":"admin","requestId":"a-1"}"#);
        assert_eq!(known.modified_by, Some(Actor::AdminToken));
        assert_eq!(known.request_id, RequestId::parse("a-1").ok());
        for odd in [
            "{}",
            r#"{"modifiedBy":null,"requestId":null}"#,
            r#"{"modifiedBy":{"a":1},"requestId":7}"#,
            r#"{"modifiedBy":"","requestId":"a b"}"#,
        ] {
            assert_eq!(read(odd), Attribution::default(), "{odd}");
        }
        assert_eq!(serde_json::to_string(&Attribution::default()).unwrap(), "{}");
    }

    #[test]
    fn an_api_key_of_ours_is_no_request_id() {
        let secret = crate::key::PlainSecret::generate(crate::key::KeyType::Query).unwrap();
        for end in 3..=secret.expose().len() {
            let part = &secret.expose()[..end];
            assert!(RequestId::parse(part).is_err(), "{end} characters of it");
            assert!(RequestId::parse(&format!("a{part}")).is_err(), "{end} characters of it after another one");
        }
    }

    #[test]
    fn a_request_id_reads_back_as_it_was_written() {
        let long = "x".repeat(48);
        for text in ["a", "7d0e6c1a-52b3-4f0d-9a64-0c2b1e8f7a95", &long] {
            assert_eq!(RequestId::parse(text).unwrap().as_str(), text);
        }
        assert_ne!(RequestId::parse("a").unwrap(), RequestId::parse("aa").unwrap());
        for bad in ["", "a b", "\u{e4}", "x\0", &format!("{long}x")] {
            assert!(RequestId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
