//! A key of another system, as it was found.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::key::{KeyName, KeyType, Metadata};

/// A key of another system, with its secret: not `Debug`, and never written down.
pub(super) struct ParsedKey {
    /// Where it was found, for people: a file, a user.
    pub(super) source: String,
    /// What it shall be called.
    pub(super) name: KeyName,
    /// What it is for.
    pub(super) key_type: KeyType,
    /// Its secret.
    pub(super) secret: Zeroizing<String>,
    /// What is kept of where it comes from.
    pub(super) metadata: Metadata,
    /// What the operator should know of it.
    pub(super) note: Option<String>,
}

/// A valid key name as near to `text` as can be: control characters become `-`, what is too long is cut, and what is
/// empty becomes `otherwise`.
pub(super) fn key_name(text: &str, otherwise: &str) -> Option<KeyName> {
    let clean = |text: &str| -> String {
        let harmless = |c: char| if c.is_control() { '-' } else { c };
        text.trim().chars().map(harmless).take(KeyName::MAX_CHARS).collect()
    };
    [text, otherwise].into_iter().find_map(|text| KeyName::parse(&clean(text)).ok())
}

/// Notes on where a key comes from; none rather than too many.
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
