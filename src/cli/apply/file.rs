//! `keys.yaml`: the declared keys of a tenant, and the requests made from them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;

use super::super::Outcome;
use super::super::yaml::{self, ErrorMode, FieldHelp};
use crate::key::{Digest, Hint, KeyName, KeyType, Label, Limits, Metadata, Networks, Streams, TenantId};
use crate::serde_text::{Rfc3339, nullable};

const VERSION: u32 = 1;

/// A file that was parsed and checked.
#[derive(Debug)]
pub struct KeysFile {
    /// The tenant, if the file names one.
    pub tenant: Option<TenantId>,
    /// The keys, in their order.
    pub keys: Vec<DeclaredKey>,
}

/// A key of the file.
#[derive(Debug)]
pub struct DeclaredKey {
    /// Its name.
    pub name: KeyName,
    /// Its type.
    pub key_type: KeyType,
    /// The line it begins on.
    pub line: u64,
    /// The declaration as it is sent.
    pub body: Map<String, Value>,
}

struct Written {
    version: Spanned<u32>,
    tenant: Option<TenantId>,
    permission_sets: BTreeMap<String, PermissionSet>,
    keys: Vec<Spanned<KeyEntry>>,
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WrittenVisitor)
    }
}

/// Written by hand: serde's derive cannot refuse unknown fields and accept those that begin with `x-`, which hold
/// anchors.
struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with version and keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let (mut version, mut tenant, mut permission_sets, mut keys) = (None, None, None, None);
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "version" => version = Some(map.next_value()?),
                "tenant" => tenant = map.next_value()?,
                "permissionSets" => permission_sets = Some(map.next_value()?),
                "keys" => keys = Some(map.next_value()?),
                name if name.starts_with("x-") => drop(map.next_value::<IgnoredAny>()?),
                name => {
                    return Err(A::Error::unknown_field(name, &["version", "tenant", "permissionSets", "keys", "x-…"]));
                }
            }
        }
        Ok(Written {
            version: version.ok_or_else(|| A::Error::missing_field("version"))?,
            tenant,
            permission_sets: permission_sets.unwrap_or_default(),
            keys: keys.ok_or_else(|| A::Error::missing_field("keys"))?,
        })
    }
}

/// What each field takes.
const HELP: FieldHelp = &[
    ("version", "the number 1"),
    ("tenant", "a tenant id, such as acme"),
    ("permissionSets", "a mapping from names to streams, allowedCidrs and limits"),
    ("keys", "a list of keys, such as - {name: web, type: ingestion}"),
    ("name", "a text, such as checkout"),
    ("type", "ingestion or query"),
    ("permissionSet", "the name of a permission set of this file"),
    ("streams", "a list of patterns, such as [web-*, audit] or ['*']"),
    ("allowedCidrs", "a list of networks, such as [10.0.0.0/8]"),
    ("limits", "a mapping, such as {requests: {perMinute: 600}}"),
    ("requests", "a mapping, such as {perMinute: 600, burst: 50}"),
    ("events", "a mapping, such as {perMinute: 600, burst: 50}"),
    ("bytes", "a mapping, such as {perMinute: 1048576}"),
    ("perMinute", "a whole number"),
    ("burst", "a whole number"),
    ("sourceId", "a text, such as web"),
    ("trustLevel", "a text, such as high"),
    ("expiresAt", "an instant such as 2027-01-01T00:00:00Z, or null"),
    ("metadata", "a mapping, such as {team: ops}"),
    ("state", "active or disabled"),
    ("digest", "sha256: and 64 hexadecimal digits"),
    ("hint", "the last four characters of the API key"),
    ("ownSecret", "true or false"),
    ("overlapSeconds", "a whole number of seconds"),
];

/// Settings that several keys share.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PermissionSet {
    streams: Option<Streams>,
    allowed_cidrs: Option<Networks>,
    limits: Option<Limits>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DeclaredState {
    Active,
    Disabled,
}

impl DeclaredState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyEntry {
    name: KeyName,
    #[serde(rename = "type")]
    key_type: KeyType,
    permission_set: Option<Spanned<String>>,
    streams: Option<Streams>,
    allowed_cidrs: Option<Networks>,
    limits: Option<Limits>,
    source_id: Option<Label>,
    trust_level: Option<Label>,
    decide: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    expires_at: Option<Option<Rfc3339>>,
    metadata: Option<Metadata>,
    state: Option<DeclaredState>,
    digest: Option<Spanned<String>>,
    hint: Option<Spanned<String>>,
    own_secret: Option<bool>,
    overlap_seconds: Option<u32>,
}

/// Reads a file.
///
/// # Errors
/// Usage, with the line, when it is no such file, says a thing twice, or refers to a permission set that is not there.
pub fn read(text: &str) -> Outcome<KeysFile> {
    let written: Written = yaml::parse(text, ErrorMode::Explain(HELP))?;
    if written.version.value != VERSION {
        return Err(yaml::wrong(written.version.referenced.line(), "version 1 is the only one that is understood"));
    }
    let (mut names, mut digests) = (BTreeMap::new(), BTreeMap::new());
    let mut keys = Vec::with_capacity(written.keys.len());
    for entry in written.keys {
        let (line, entry) = (entry.referenced.line(), entry.value);
        if let Some(first) = names.insert(entry.name.clone(), line) {
            return Err(yaml::wrong(line, &format!("{} is declared on line {first} already", entry.name)));
        }
        if let Some(digest) = &entry.digest {
            let line = digest.referenced.line();
            if let Some(first) = digests.insert(digest.value.clone(), line) {
                return Err(yaml::wrong(line, &format!("this digest stands on line {first} already")));
            }
        }
        keys.push(entry.declared(line, &written.permission_sets)?);
    }
    Ok(KeysFile { tenant: written.tenant, keys })
}

impl KeyEntry {
    fn declared(self, line: u64, sets: &BTreeMap<String, PermissionSet>) -> Outcome<DeclaredKey> {
        let set = match &self.permission_set {
            None => PermissionSet::default(),
            Some(name) => sets.get(&name.value).cloned().ok_or_else(|| {
                yaml::wrong(name.referenced.line(), &format!("there is no permission set named {}", name.value))
            })?,
        };
        self.check_secret(line)?;
        let optional = [
            ("streams", self.streams.or(set.streams).map(|value| json!(value))),
            ("allowedCidrs", self.allowed_cidrs.or(set.allowed_cidrs).map(|value| json!(value))),
            ("limits", self.limits.or(set.limits).map(|value| json!(value))),
            ("sourceId", self.source_id.map(|value| json!(value))),
            ("trustLevel", self.trust_level.map(|value| json!(value))),
            ("decide", self.decide.map(|value| json!(value))),
            ("expiresAt", self.expires_at.map(|end| json!(end.map(|end| end.0)))),
            ("metadata", self.metadata.map(|value| json!(value))),
            ("state", self.state.map(|state| json!(state.as_str()))),
            ("digest", self.digest.map(|digest| json!(digest.value))),
            ("hint", self.hint.map(|hint| json!(hint.value))),
            ("ownSecret", self.own_secret.map(|own| json!(own))),
            ("overlapSeconds", self.overlap_seconds.map(|seconds| json!(seconds))),
        ];
        let mut body = Map::new();
        body.insert("keyName".to_owned(), json!(self.name));
        body.insert("keyType".to_owned(), json!(self.key_type));
        body.extend(optional.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
        Ok(DeclaredKey { name: self.name, key_type: self.key_type, line, body })
    }

    /// Checks the fields of the secret: digest and hint must parse, and the others need a digest.
    fn check_secret(&self, line: u64) -> Outcome {
        if let Some(digest) = &self.digest {
            Digest::parse(&digest.value).map_err(|error| yaml::wrong(digest.referenced.line(), &error.to_string()))?;
        } else if self.hint.is_some() || self.own_secret.is_some() || self.overlap_seconds.is_some() {
            return Err(yaml::wrong(line, "hint, ownSecret and overlapSeconds need a digest"));
        }
        match &self.hint {
            Some(hint) => Hint::parse(&hint.value)
                .map(drop)
                .map_err(|error| yaml::wrong(hint.referenced.line(), &error.to_string())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::failure::FailureKind;
    use super::*;

    const GOOD: &str = "\
version: 1
tenant: acme
permissionSets:
  writers:
    streams: [web-*, audit]
    limits: {requests: {perMinute: 600}}
keys:
  - name: checkout
    type: ingestion
    permissionSet: writers
    metadata: {team: shop, pager: 7}
  - name: ci
    type: query
    permissionSet: writers
    streams: ['*']
    expiresAt: null
    state: disabled
    digest: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    hint: x7Qa
    overlapSeconds: 3600
";

    #[test]
    fn a_key_takes_what_its_permission_set_says_and_its_own_word_wins() {
        let file = read(GOOD).unwrap();
        assert_eq!(file.tenant.unwrap().as_str(), "acme");
        let bodies: Vec<_> = file.keys.into_iter().map(|key| Value::Object(key.body)).collect();
        let expected = [
            json!({
                "keyName": "checkout", "keyType": "ingestion", "streams": ["web-*", "audit"],
                "limits": {"requests": {"perMinute": 600, "burst": 600}}, "metadata": {"team": "shop", "pager": 7},
            }),
            json!({
                "keyName": "ci", "keyType": "query", "streams": ["*"], "expiresAt": null, "state": "disabled",
                "limits": {"requests": {"perMinute": 600, "burst": 600}},
                "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "hint": "x7Qa",
                "overlapSeconds": 3600,
            }),
        ];
        assert_eq!(bodies, expected);
    }

    #[test]
    fn what_is_wrong_is_said_by_its_line_and_without_its_value() {
        let twin = "  - {name: ci, type: query}\n";
        for (from, to, line, reason) in [
            ("version: 1", "version: 2", 1, "version 1"),
            ("tenant: acme", "tenant: ../canary", 2, "a tenant id must be"),
            ("streams: [web-*, audit]", "streams: [CANARY]", 5, "a stream pattern must be"),
            ("perMinute: 600", "perMinute: 0", 6, "a limit must be"),
            ("type: ingestion", "type: canary", 9, "type takes ingestion or query"),
            (
                "permissionSet: writers\n    meta",
                "permissionSet: readers\n    meta",
                10,
                "no permission set named readers",
            ),
            ("metadata: {team", "apiKey: canary\n    metadata: {team", 11, "unknown field apiKey"),
            ("state: disabled", "state: canary", 17, "state takes active or disabled"),
            ("sha256:9f86", "md5:canary9f86", 18, "a digest must be"),
            ("hint: x7Qa", "hint: canary", 19, "a hint must be"),
            ("expiresAt: null", "expiresAt: canary", 16, "expiresAt: expected an instant"),
            ("streams: [web-*, audit]", "streams: canary-*", 5, "streams takes a list of patterns, such as"),
            ("streams: [web-*, audit]", "streams: [*]", 5, "has to be quoted: '*'"),
            ("streams: [web-*, audit]", "streams: [*web]", 5, "has to be quoted: '*'"),
            ("{requests: {perMinute: 600}}", "{requests: 600}", 6, "requests takes a mapping, such as {perMinute"),
            ("{perMinute: 600}", "{perMinute: many}", 6, "perMinute takes a whole number"),
            ("name: checkout", "name: null", 8, "name takes a text"),
            ("metadata: {team: shop, pager: 7}", "metadata: canary", 11, "metadata takes a mapping"),
            ("keys:\n", "<<: canary\nkeys:\n", 7, "<< takes an alias of a mapping"),
            ("keys:\n", "X-common: 1\nkeys:\n", 7, "expected one of version, tenant, permissionSets, keys, x-…"),
            (
                "    overlapSeconds: 3600\n",
                &format!("    overlapSeconds: 3600\n{twin}"),
                21,
                "ci is declared on line 12",
            ),
            (
                "    overlapSeconds: 3600\n",
                "    overlapSeconds: -1\n",
                20,
                "overlapSeconds takes a whole number of seconds",
            ),
            ("keys:\n", "keys: canary\nother:\n", 7, "keys takes a list of keys"),
            ("    type: query\n", "", 19, "type is missing from what ends here"),
            ("    hint: x7Qa\n", "    hint: x7Qa\n    hint: x7Qa\n", 20, "twice"),
            ("keys:\n", "keys: [\n", 8, ""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let failure = read(&text).unwrap_err();
            let said = failure.to_string();
            assert_eq!(failure.kind(), FailureKind::Usage);
            assert!(said.starts_with(&format!("line {line}: ")) && said.contains(reason), "{to}: {said}");
            assert!(!said.to_lowercase().contains("canary"), "{said}");
        }
    }

    #[test]
    fn what_keys_share_may_stand_in_an_anchor_and_be_merged() {
        let text = "\
version: 1
x-common: &common
  type: ingestion
  limits: &limits {requests: {perMinute: 60}}
  metadata: {team: shop}
x-more: [anything, {at: all}]
permissionSets:
  writers: {limits: *limits}
keys:
  - <<: *common
    name: one
  - {<<: *common, name: two, metadata: {team: ops}}
";
        let keys = read(text).unwrap().keys;
        let teams: Vec<_> = keys.iter().map(|key| (key.name.as_str(), &key.body["metadata"]["team"])).collect();
        assert_eq!(teams, [("one", &json!("shop")), ("two", &json!("ops"))]);
        assert_eq!(keys[1].body["limits"], json!({"requests": {"perMinute": 60, "burst": 60}}));
        assert_eq!((keys[0].line, keys[1].line), (10, 12));
        let said = read(&text.replace("team: shop}", "team: shop}\n  canaryField: 1")).unwrap_err().to_string();
        assert!(said.contains("unknown field canaryField"), "{said}");
    }

    #[test]
    fn of_a_secret_that_is_not_named_nothing_is_said() {
        let said = read("version: 1\nkeys:\n  - {name: a, type: query, overlapSeconds: 5}\n").unwrap_err().to_string();
        assert!(said.starts_with("line 3: hint, ownSecret"), "{said}");
        assert!(read("version: 1\nkeys: []\n---\nversion: 1\nkeys: []\n").is_err());
    }
}
