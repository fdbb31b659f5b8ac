//! What a file of changes says, and what is sent of it: the digest in place of an API key that is made here.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::super::super::Outcome;
use super::secrets::Secrets;
use crate::clock::{Clock, SystemClock};
use crate::key::{KeyName, KeyType, TenantId};

/// Whether any line issues a key for which nobody has brought a secret.
pub(super) fn need_secrets(text: &str) -> bool {
    text.lines().any(|line| wanted(line).is_some())
}

/// What is sent, line by line. A line that is not understood is sent as it stands: the server says what is wrong with it.
/// In a dry run no API key is made, so a line for which there is none yet goes without.
pub(super) fn prepare(
    text: &str,
    tenant: &TenantId,
    mut secrets: Option<&mut Secrets>,
    dry_run: bool,
) -> Outcome<Vec<u8>> {
    let mut body = Vec::with_capacity(text.len() + text.len() / 2);
    for line in text.lines() {
        let mut sent = None;
        if let Some((mut fields, name, key_type)) = wanted(line) {
            let end = end(&fields);
            let entry = match &mut secrets {
                Some(secrets) if dry_run => secrets.find(tenant, &name, key_type).cloned(),
                Some(secrets) => Some(secrets.find_or_make(tenant, &name, key_type, end)?),
                None => None,
            };
            if let Some(entry) = entry {
                fields.insert("digest".to_owned(), json!(entry.digest.to_document()));
                fields.insert("hint".to_owned(), json!(entry.hint.as_str()));
                // Counted from the first run, so that the same again is the same key.
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
    Ok(body)
}

/// A line that issues a key for which nobody has brought a secret.
fn wanted(line: &str) -> Option<(Map<String, Value>, KeyName, KeyType)> {
    let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let issues = fields.get("op")?.as_str()? == "issue";
    let brought = ["apiKey", "digest", "hint"].into_iter().any(|field| fields.contains_key(field));
    let name = KeyName::parse(fields.get("keyName")?.as_str()?).ok()?;
    let key_type = fields.get("keyType")?.as_str()?.parse().ok()?;
    (issues && !brought).then_some((fields, name, key_type))
}

/// The end of a key that is told as a time from now.
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
        let body = prepare(TEXT, &tenant, Some(&mut secrets), false).unwrap();
        assert_eq!(secrets.save().unwrap(), 1);
        drop(secrets);
        let body = String::from_utf8(body).unwrap();
        let lines: Vec<&str> = body.lines().collect();
        assert_eq!(lines[1..], TEXT.lines().collect::<Vec<_>>()[1..]);
        let first: Value = serde_json::from_str(lines[0]).unwrap();
        assert!(first["digest"].as_str().unwrap().starts_with("sha256:") && first["expiresAt"].is_string());
        assert_eq!((first.get("expiresInSeconds"), first.get("apiKey")), (None, None));
        let mut again = Secrets::open(&path).unwrap();
        assert_eq!(prepare(TEXT, &tenant, Some(&mut again), false).unwrap(), body.as_bytes());
        assert_eq!(again.save().unwrap(), 0);
    }

    #[test]
    fn a_dry_run_makes_no_api_key() {
        let sent = prepare(TEXT, &TenantId::default(), None, true).unwrap();
        assert_eq!(sent, format!("{TEXT}\n").into_bytes());
        assert!(need_secrets(TEXT) && !need_secrets("{\"op\":\"revoke\"}\nx"));
    }
}
