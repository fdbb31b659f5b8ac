//! The format of Parseable's keys: `struct ApiKey` of its pull request 1620 in a file, and since 1628 an entry of
//! `users` in its metadata.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::parsed::{self, ParsedKey};
use crate::key::{KeyName, KeyType};

/// The types and privileges of Parseable whose holders manage it.
const MANAGING: [&str; 2] = ["admin", "editor"];

/// A key in clear text. Parseable's users spell their fields with underscores, its files do not.
#[derive(Deserialize)]
pub(super) struct Original {
    #[serde(alias = "keyId")]
    key_id: Option<String>,
    #[serde(alias = "apiKey")]
    api_key: Zeroizing<String>,
    #[serde(alias = "keyName")]
    key_name: Option<String>,
    #[serde(alias = "keyType")]
    key_type: Option<String>,
    #[serde(alias = "createdBy")]
    created_by: Option<String>,
    #[serde(alias = "createdAt")]
    created_at: Option<String>,
    #[serde(default)]
    roles: BTreeSet<String>,
}

impl Original {
    /// Reads the file of a key.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Whether its holder manages Parseable there: its type, or one of its roles, is that of an admin or an editor.
    pub(super) fn manages(&self, metadata: Option<&Value>) -> bool {
        match self.key_type.as_deref() {
            Some(stated) => MANAGING.contains(&stated),
            None => self.roles.iter().flat_map(|role| privileges(metadata, role)).any(|name| MANAGING.contains(&name)),
        }
    }

    /// Its name here; that of its source where it has none.
    pub(super) fn new_name(&self, source: &str) -> Option<KeyName> {
        parsed::key_name(self.key_name.as_deref().unwrap_or_default(), &format!("parseable {source}"))
    }

    /// The key to import; `otherwise` is its type where Parseable states none.
    pub(super) fn into_parsed(self, source: String, metadata: Option<&Value>, otherwise: KeyType) -> Option<ParsedKey> {
        let (key_type, note) = self.key_type(metadata, otherwise);
        let notes = [
            ("keyId", self.key_id.as_deref()),
            ("createdBy", self.created_by.as_deref()),
            ("createdAt", self.created_at.as_deref()),
        ];
        Some(ParsedKey {
            name: self.new_name(&source)?,
            source,
            key_type,
            metadata: parsed::metadata("parseable", &notes),
            secret: self.api_key,
            note,
        })
    }

    /// Its permissions there, as far as a key here has them.
    fn key_type(&self, metadata: Option<&Value>, otherwise: KeyType) -> (KeyType, Option<String>) {
        let wider = |what: &str| (otherwise, Some(format!("{what} there, {otherwise} only here")));
        match self.key_type.as_deref() {
            Some("ingestion") => return (KeyType::Ingestion, None),
            Some("query") => return (KeyType::Query, None),
            Some(manages) if MANAGING.contains(&manages) => return wider("admin or editor"),
            Some(_) => return wider("of another type"),
            None if self.roles.is_empty() => return (otherwise, None),
            None => {}
        }
        let privileges: BTreeSet<&str> = self.roles.iter().flat_map(|role| privileges(metadata, role)).collect();
        match privileges.into_iter().collect::<Vec<_>>().as_slice() {
            ["ingestor" | "ingester"] => (KeyType::Ingestion, None),
            ["reader"] => (KeyType::Query, None),
            [] => wider("roles that are not known"),
            _ => wider("more than one use"),
        }
    }
}

/// The privileges of a role: `{"privilege": "reader", …}` each.
fn privileges<'a>(metadata: Option<&'a Value>, role: &str) -> impl Iterator<Item = &'a str> {
    let role = metadata.and_then(|metadata| metadata.get("roles")?.get(role)?.as_array());
    role.into_iter().flatten().filter_map(|privilege| privilege.get("privilege")?.as_str())
}

/// The entries of `users` that are API keys, with their places.
pub(super) fn keys_in(metadata: &Value) -> Vec<(usize, Option<Original>)> {
    let users = metadata.get("users").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let entries = users.iter().enumerate().filter(|(_, user)| is_key(user));
    entries.map(|(at, user)| (at, Original::deserialize(user).ok())).collect()
}

fn is_key(user: &Value) -> bool {
    secrets(user).next().is_some()
}

fn secrets(user: &Value) -> impl Iterator<Item = &str> {
    ["api_key", "apiKey"].into_iter().filter_map(|field| user.get(field)?.as_str())
}

/// The metadata without the API keys that are named by their secrets; everything else stays as it is.
pub(super) fn without_keys(mut metadata: Value, gone: impl Fn(&str) -> bool) -> Value {
    if let Some(users) = metadata.get_mut("users").and_then(Value::as_array_mut) {
        users.retain(|user| !secrets(user).any(&gone));
    }
    metadata
}

/// Whether a file name is that of a key of Parseable: a ULID.
pub(super) fn is_key_file(name: &str) -> bool {
    let crockford = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() && !b"ILOU".contains(&byte);
    name.strip_suffix(".json").is_some_and(|stem| stem.len() == 26 && stem.bytes().all(crockford))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const METADATA: &str = include_str!("../../../../fixtures/import/parseable/metadata.json");

    #[test]
    fn the_keys_of_the_metadata_are_told_from_its_people() {
        let metadata: Value = serde_json::from_str(METADATA).unwrap();
        let found: Vec<_> = keys_in(&metadata)
            .into_iter()
            .map(|(at, key)| {
                key.unwrap().into_parsed(format!("users[{at}]"), Some(&metadata), KeyType::Ingestion).unwrap()
            })
            .collect();
        let keys: Vec<_> = found.iter().map(|key| (key.name.as_str(), key.key_type, key.note.is_some())).collect();
        let (ingestion, query) = (KeyType::Ingestion, KeyType::Query);
        let expected = [
            ("agents", ingestion, false),
            ("reports", query, false),
            ("all", ingestion, true),
            ("guessable", ingestion, false),
        ];
        assert_eq!(keys, expected);
        let secrets: Vec<_> = found.iter().map(|key| key.secret.to_string()).collect();
        let left = without_keys(metadata.clone(), |secret| secrets[..3].iter().any(|gone| gone == secret));
        assert_eq!(keys_in(&left).len(), 1);
        assert_eq!(left["users"].as_array().unwrap().len(), 3);
        assert_eq!((&left["roles"], &left["users"][0]), (&metadata["roles"], &metadata["users"][0]));
    }

    #[test]
    fn who_manages_is_told_by_the_type_or_else_by_the_privileges_of_the_roles() {
        let metadata: Value = serde_json::from_str(METADATA).unwrap();
        let manages = |key: Value| Original::deserialize(&key).unwrap().manages(Some(&metadata));
        for (key, expected) in [
            (json!({"apiKey": "x", "keyType": "admin"}), true),
            (json!({"apiKey": "x", "keyType": "editor"}), true),
            (json!({"apiKey": "x", "keyType": "query", "roles": ["admins"]}), false),
            (json!({"apiKey": "x", "roles": ["readers", "admins"]}), true),
            (json!({"apiKey": "x", "roles": ["readers", "senders"]}), false),
            (json!({"apiKey": "x", "roles": ["admin"]}), false),
            (json!({"apiKey": "x"}), false),
        ] {
            assert_eq!(manages(key.clone()), expected, "{key}");
        }
    }

    #[test]
    fn only_a_ulid_is_the_name_of_a_key_file() {
        assert!(is_key_file("01JQZV5K9M3X7T2B8C4D6E0F1G.json"));
        for other in ["01JQZV5K9M3X7T2B8C4D6E0F1G", "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json", "notes.json", ".json"]
        {
            assert!(!is_key_file(other), "{other}");
        }
    }
}
