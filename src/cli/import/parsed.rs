//! A key of another system, parsed.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::key::{KeyName, KeyType, Metadata};

/// A key of another system, with its secret: not `Debug`, and never written down.
pub(super) struct ParsedKey {
    /// Where it was found, for people: a file, a user.
    pub(super) source: String,
    /// The name of the new key.
    pub(super) name: KeyName,
    /// The type of the new key.
    pub(super) key_type: KeyType,
    pub(super) secret: Zeroizing<String>,
    /// Notes on its source, stored as metadata.
    pub(super) metadata: Metadata,
    /// A remark for the operator.
    pub(super) note: Option<String>,
}

/// A valid key name close to `text`: control characters become `-`, a long text is cut, an empty one becomes
/// `otherwise`.
pub(super) fn key_name(text: &str, otherwise: &str) -> Option<KeyName> {
    let clean = |text: &str| -> String {
        let harmless = |c: char| if c.is_control() { '-' } else { c };
        text.trim().chars().map(harmless).take(KeyName::MAX_CHARS).collect()
    };
    [text, otherwise].into_iter().find_map(|text| KeyName::parse(&clean(text)).ok())
}

/// Notes on the source of a key; empty when they would be too large.
pub(super) fn metadata(system: &str, fields: &[(&str, Option<&str>)]) -> Metadata {
    let said = fields.iter().filter_map(|(field, text)| Some(((*field).to_owned(), Value::from((*text)?))));
    let notes = Map::from_iter([(system.to_owned(), Value::Object(said.collect()))]);
    Metadata::try_from(notes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_name() {
        let name = |text: &str| key_name(text, "vmauth line 3").unwrap().to_string();
        assert_eq!(name(" check\u{7}out\n"), "check-out");
        assert_eq!(name(" \t"), "vmauth line 3");
        assert_eq!(name(&"ü".repeat(200)).chars().count(), 128);
    }
}
