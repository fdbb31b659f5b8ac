//! The names of keys, patterns of them, and labels. Each is parsed once, at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::digest::Digest;
use super::id::{InvalidId, display_inner, textual};
use super::stream::covers;

/// The name of a key: 1-128 characters, none of them a control character. Given once, unique among the live keys of
/// its tenant.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Reads a key name.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a key name", "1-128 characters without control characters");
        if is_printable(text) { Ok(Self(text.into())) } else { Err(RULE) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the claims on the name are filed under.
    pub fn hash(&self) -> NameHash {
        NameHash(Digest::of(self.as_str()).hex()[..NameHash::DIGITS].into())
    }
}

/// What the claims on a key name are filed under: the first 32 hexadecimal digits of the SHA-256 of the name, so that
/// any name is a safe path segment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NameHash(Box<str>);

impl NameHash {
    const DIGITS: usize = 32;

    /// Reads the hash as it stands in an object name.
    ///
    /// # Errors
    /// [`InvalidId`] for any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == Self::DIGITS && text.bytes().all(hex) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new("the hash of a name", "32 hexadecimal digits in lower case"))
        }
    }
}

/// A name of a key in which `*` stands for any run of characters, the empty one included.
///
/// - 1-128 characters, none of them a control character, as for a [`KeyName`].
///
/// ```
/// use keyloft::key::{KeyName, NamePattern};
/// let pattern = NamePattern::parse("web-*")?;
/// assert!(pattern.matches(&KeyName::parse("web-17")?));
/// assert!(!pattern.matches(&KeyName::parse("my web-17")?));
/// # Ok::<(), keyloft::key::InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NamePattern(Box<str>);

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a name pattern", "1-128 characters without control characters");
        KeyName::parse(text).map_err(|_| RULE)?;
        Ok(Self(text.into()))
    }

    /// Whether a name is covered.
    pub fn matches(&self, name: &KeyName) -> bool {
        covers(&self.0, name.as_str())
    }
}

/// A short free text an operator attaches to a key (its source, its trust level, who made it): 1-128 characters, none
/// of them a control character.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Box<str>);

impl Label {
    /// Reads a label.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a label", "1-128 characters without control characters");
        if is_printable(text) { Ok(Self(text.into())) } else { Err(RULE) }
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_printable(text: &str) -> bool {
    let characters = text.chars().take(129).count();
    (1..=128).contains(&characters) && !text.chars().any(char::is_control)
}

display_inner!(KeyName, NameHash, NamePattern, Label);
textual!(KeyName, NameHash, NamePattern, Label);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_counted_in_characters_and_holds_no_control_character() {
        assert!(KeyName::parse(&"ü".repeat(128)).is_ok());
        assert!(KeyName::parse(&"ü".repeat(129)).is_err());
        for bad in ["", "a\nb", "\u{7f}", "\u{85}"] {
            assert!(KeyName::parse(bad).is_err());
        }
    }
}
