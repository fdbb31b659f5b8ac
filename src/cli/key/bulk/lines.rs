//! The file of changes, and the lines that are sent: the digest in place of an API key that is generated here.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::super::super::Outcome;
use super::secrets::Secrets;
use crate::clock::{Clock, SystemClock};
use crate::key::{KeyName, KeyType, TenantId};

/// Whether any line issues a key without an imported secret.
pub(super) fn need_secrets(text: &str) -> bool {
    text.lines().any(|line| wanted(line).is_some())
}

/// The lines to send, and which of them have an API key of an earlier run. A line that cannot be parsed is sent as it
/// is: the server explains the error. A dry run generates no API key, so a new key is sent without one.
pub(super) fn prepare(
    text: &str,
    tenant: &TenantId,
    mut secrets: Option<&mut Secrets>,
    dry_run: bool,
) -> Outcome<(Vec<u8>, BTreeSet<u64>)> {
    let mut reused = BTreeSet::new();
    let mut body = Vec::with_capacity(text.len() + text.len() / 2);
    for (number, line) in (1..).zip(text.lines()) {
        let mut sent = None;
        if let Some((mut fields, name, key_type)) = wanted(line) {
            let end = end(&fields);
            let entry = match &mut secrets {
                Some(secrets) if dry_run => secrets.find(tenant, &name, key_type).cloned(),
                Some(secrets) => Some(secrets.find_or_make(tenant, &name, key_type, end)?),
                None => None,
            };
            if let Some(entry) = entry {
                if entry.stood_there {
                    reused.insert(number);
                }
                fields.remove("apiKey");
                fields.insert("ownSecret".to_owned(), json!(false));
                fields.insert("digest".to_owned(), json!(entry.digest.to_document()));
                fields.insert("hint".to_owned(), json!(entry.hint.as_str()));
                // Counted from the first run, so that a repeated run declares the same expiry.
                if let Some(end) = entry.expires_at
                    && fields.remove("expiresInSeconds").is_some()
                {
                    fields.insert("expiresAt".to_owned(), json!(end.to_rfc3339_opts(SecondsFormat::Millis, true)));
                }
                sent = Some(Value::Object(fields).to_string());
            }
        }
        body.extend_from_slice(sent.as_deref().unwrap_or(line).as_bytes());
        body.push(b'\n');
    }
    Ok((body, reused))
}

/// The fields that import a secret; `null` imports none.
const SECRET: [&str; 4] = ["apiKey", "digest", "hint", "ownSecret"];

/// The fields of a line. Parsing fails when one is duplicated: the server explains that.
struct Once(Map<String, Value>);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceVisitor)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
        let mut fields = Map::new();
        while let Some((field, value)) = map.next_entry()? {
            if fields.insert(field, value).is_some() {
                return Err(A::Error::custom("a field occurs twice"));
            }
        }
        Ok(Once(fields))
    }
}

/// A line that issues a key without an imported secret.
fn wanted(line: &str) -> Option<(Map<String, Value>, KeyName, KeyType)> {
    let Once(fields) = serde_json::from_str(line).ok()?;
    let issues = fields.get("op")?.as_str()? == "issue";
    let imported = SECRET.into_iter().any(|field| fields.get(field).is_some_and(|value| !value.is_null()));
    let name = KeyName::parse(fields.get("keyName")?.as_str()?).ok()?;
    let key_type = fields.get("keyType")?.as_str()?.parse().ok()?;
    (issues && !imported).then_some((fields, name, key_type))
}

/// The expiry of a line that states seconds from now.
fn end(fields: &Map<String, Value>) -> Option<DateTime<Utc>> {
    let seconds = fields.get("expiresInSeconds")?.as_u64().and_then(|seconds| i64::try_from(seconds).ok())?;
    SystemClock.now().checked_add_signed(TimeDelta::try_seconds(seconds)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"op":"issue","keyName":"a","keyType":"query","expiresInSeconds":60}
nonsense
{"op":"issue","keyName":"b","keyType":"query","digest":"sha256:0"}
{"op":"revoke","keyId":"x"}
{"op":"issue","keyName":"c","keyType":"both"}"#;

    #[test]
    fn only_what_has_no_secret_is_given_one_and_the_rest_is_sent_as_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let tenant = TenantId::default();
        let mut secrets = Secrets::open(&path).unwrap();
        let (body, reused) = prepare(TEXT, &tenant, Some(&mut secrets), false).unwrap();
        assert_eq!((secrets.save().unwrap(), reused.len()), (1, 0));
        drop(secrets);
        let body = String::from_utf8(body).unwrap();
        let lines: Vec<&str> = body.lines().collect();
        assert_eq!(lines[1..], TEXT.lines().collect::<Vec<_>>()[1..]);
        let first: Value = serde_json::from_str(lines[0]).unwrap();
        assert!(first["digest"].as_str().unwrap().starts_with("sha256:") && first["expiresAt"].is_string());
        assert_eq!(
            (first.get("expiresInSeconds"), first.get("apiKey"), &first["ownSecret"]),
            (None, None, &json!(false))
        );
        let mut again = Secrets::open(&path).unwrap();
        let same = prepare(TEXT, &tenant, Some(&mut again), false).unwrap();
        assert_eq!(same, (body.into_bytes(), BTreeSet::from([1])));
        assert_eq!(again.save().unwrap(), 0);
    }

    #[test]
    fn a_dry_run_makes_no_api_key() {
        let (sent, _) = prepare(TEXT, &TenantId::default(), None, true).unwrap();
        assert_eq!(sent, format!("{TEXT}\n").into_bytes());
        let nulls = r#"{"op":"issue","keyName":"a","keyType":"query","apiKey":null,"digest":null,"hint":null}"#;
        assert!(need_secrets(nulls) && !need_secrets(&nulls.replacen('{', r#"{"op":"issue","#, 1)));
        assert!(need_secrets(TEXT) && !need_secrets("{\"op\":\"revoke\"}\nx"));
    }
}
