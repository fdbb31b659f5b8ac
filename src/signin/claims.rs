//! What claims of any provider mean: addresses, names, groups.

use serde_json::{Map, Value};

use crate::operators::{Email, Mapping};

use super::names::ProviderName;

/// The most groups that an identity has, and the longest name of one, in bytes.
const MAX_GROUPS: usize = 100;
const MAX_GROUP_BYTES: usize = 256;
/// The longest name of a person, in characters.
const MAX_NAME_CHARS: usize = 128;

/// A claim that is a text.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// The address, if it says that the provider has verified it: by a claim that is `true`, not `"true"`.
pub(super) fn verified_email(claims: &Map<String, Value>, is_trusted: bool) -> Option<Email> {
    let is_verified = claims.get("email_verified") == Some(&Value::Bool(true));
    text(claims, "email").filter(|_| is_verified || is_trusted).and_then(|email| Email::parse(email).ok())
}

/// What people call the person: the first of these claims that is a name.
pub(super) fn display_name(claims: &Map<String, Value>) -> Option<String> {
    ["name", "preferred_username"].iter().find_map(|name| text(claims, name).and_then(shown_name))
}

/// A name without what cannot be seen or turns text around, cut after 128 characters; nothing if nothing is left.
pub(super) fn shown_name(name: &str) -> Option<String> {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let seen: String = name.chars().filter(|c| !c.is_control() && !turns(*c)).take(MAX_NAME_CHARS).collect();
    let seen = seen.trim();
    (!seen.is_empty()).then(|| seen.to_owned())
}

/// The groups in a claim that is a list of texts, or one text. Those that a mapping names come first, so that a role
/// does not depend on how many others there are; what is beyond the bounds is left out.
pub(super) fn groups(claims: &Map<String, Value>, claim: &str, mapped: &[String]) -> Vec<String> {
    let all = match claims.get(claim) {
        Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(group)) => vec![&**group],
        _ => Vec::new(),
    };
    let mut groups: Vec<String> = Vec::new();
    for group in all.iter().filter(|group| (1..=MAX_GROUP_BYTES).contains(&group.len())) {
        if mapped.iter().any(|name| name == group) && !groups.iter().any(|known| known == group) {
            groups.push((*group).to_owned());
        }
    }
    let others = all
        .into_iter()
        .filter(|group| (1..=MAX_GROUP_BYTES).contains(&group.len()) && !mapped.iter().any(|name| name == group));
    groups.extend(others.map(str::to_owned));
    groups.truncate(MAX_GROUPS);
    groups
}

/// The groups of a provider that mappings name.
pub(super) fn mapped_groups(mappings: &[Mapping], provider: &ProviderName) -> Vec<String> {
    let mut groups: Vec<String> = mappings
        .iter()
        .filter(|mapping| mapping.provider == *provider.label())
        .map(|mapping| mapping.group.clone())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_address_counts_only_when_the_provider_has_verified_it() {
        let email = |verified: Value| {
            let mut claims = claims(json!({"email": "Ada@Example.com"}));
            if !verified.is_null() {
                claims.insert("email_verified".to_owned(), verified);
            }
            [false, true].map(|is_trusted| verified_email(&claims, is_trusted).map(|email| email.to_string()))
        };
        let given = Some("Ada@Example.com".to_owned());
        assert_eq!(email(json!(true)), [given.clone(), given.clone()]);
        for not_true in [Value::Null, json!(false), json!("true"), json!(1), json!([true])] {
            assert_eq!(email(not_true), [None, given.clone()]);
        }
        for bad in [json!("a@x@y"), json!("a"), json!(["a@b"]), Value::Null] {
            assert!(verified_email(&claims(json!({"email": bad, "email_verified": true})), true).is_none());
        }
    }

    #[test]
    fn groups_are_bounded_and_those_of_mappings_are_never_left_out() {
        let many: Vec<String> = (0..200).map(|number| format!("g{number}")).collect();
        let found = groups(&claims(json!({"groups": many})), "groups", &["g199".to_owned()]);
        assert_eq!((found.len(), found[0].as_str(), found[1].as_str()), (100, "g199", "g0"));
        let odd = claims(json!({"groups": ["a", 1, "", null, ["b"], "x".repeat(257), "y".repeat(256)], "one": "c"}));
        assert_eq!(groups(&odd, "groups", &[]), ["a".to_owned(), "y".repeat(256)]);
        assert_eq!(groups(&odd, "one", &[]), ["c"]);
        assert_eq!(groups(&odd, "none", &[]), Vec::<String>::new());
        let twice = claims(json!({"groups": vec!["a"; 300]}));
        assert_eq!(groups(&twice, "groups", &["a".to_owned()]), ["a"]);
    }

    #[test]
    fn a_name_is_shown_without_what_acts_on_the_reader() {
        assert_eq!(shown_name(" Ada\u{1b}[2J\n\u{202e}L "), Some("Ada[2JL".to_owned()));
        assert_eq!(shown_name("\u{202e}\n "), None);
        assert_eq!(shown_name(&"ü".repeat(129)).unwrap().chars().count(), 128);
        assert_eq!(display_name(&claims(json!({"name": "", "preferred_username": "ada"}))), Some("ada".to_owned()));
    }
}
