//! Patterns of key names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyName;
use super::id::{InvalidId, display_inner, textual};
use super::stream::covers;

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

display_inner!(NamePattern);
textual!(NamePattern);
