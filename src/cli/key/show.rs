//! `keyloft key show`, and finding a key by its id or its name.

use std::str::FromStr;

use clap::Args;
use serde_json::Value;

use super::super::output::{self, Column};
use super::super::{Client, ClientArgs, Failure, Outcome};
use super::list;
use crate::key::{InvalidId, KeyId, KeyName};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key show checkout
  keyloft key show 5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10 --json";

/// The key to show.
#[derive(Debug, Clone, Args)]
pub struct KeyRef {
    /// Its id, or the name of a key that is not revoked
    #[arg(value_name = "ID|NAME")]
    key: IdOrName,
}

/// An id if the text parses as one, else a name.
#[derive(Debug, Clone)]
enum IdOrName {
    Id(KeyId),
    Name(KeyName),
}

impl FromStr for IdOrName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        KeyId::parse(text).map(Self::Id).or_else(|_| KeyName::parse(text).map(Self::Name))
    }
}

impl FromStr for KeyRef {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Ok(Self { key: text.parse()? })
    }
}

impl KeyRef {
    /// The id; a name is looked up.
    pub(super) fn id(&self, args: &ClientArgs, client: &Client) -> Outcome<KeyId> {
        let name = match &self.key {
            IdOrName::Id(id) => return Ok(*id),
            IdOrName::Name(name) => name,
        };
        let tenant = args.tenant();
        let page = list::all(client, &["tenants", tenant.as_str(), "apikeys"], &[("name", name.to_string())], None)?;
        match live(list::items(&page), name).as_slice() {
            [id] => Ok(*id),
            [] => Err(Failure::refused(format!("tenant {tenant} has no live key named {name}"))),
            _ => Err(Failure::refused(format!("tenant {tenant} has more than one key named {name}: say which id"))),
        }
    }
}

/// The ids of the items that are not revoked and have exactly this name.
fn live(items: &[Value], name: &KeyName) -> Vec<KeyId> {
    items
        .iter()
        .filter(|item| item["keyName"] == name.as_str() && item["state"] != "revoked")
        .filter_map(|item| KeyId::parse(item["keyId"].as_str()?).ok())
        .collect()
}

pub(super) const CARD: &[Column] = &[
    ("Key id", "keyId"),
    ("Name", "keyName"),
    ("Type", "keyType"),
    ("State", "state"),
    ("Streams", "streams"),
    ("API key", "apiKeyHint"),
    ("Own secret", "ownSecret"),
    ("Older secrets", "olderSecrets"),
    ("Source", "sourceId"),
    ("Trust level", "trustLevel"),
    ("Created", "createdAt"),
    ("Created by", "createdBy"),
    ("Modified", "modifiedAt"),
    ("Modified by", "modifiedBy"),
    ("Expires", "expiresAt"),
    ("Networks", "allowedCidrs"),
    ("Limits", "limits"),
    ("Metadata", "metadata"),
    ("Revision", "rev"),
];

/// The rest of [`CARD`] when the server reports usage.
const USAGE: &[Column] = &[
    ("Last used", "lastUsedAt"),
    ("Last address", "lastAddress"),
    ("Requests", "requests"),
    ("Events", "events"),
    ("Bytes", "bytes"),
    ("Refused", "refused"),
];

pub(super) fn run(args: &ClientArgs, key: &KeyRef) -> Outcome {
    let client = args.connect()?;
    let id = key.id(args, &client)?.to_string();
    print(args, &client.get(&["tenants", args.tenant().as_str(), "apikeys", &id], &[])?)
}

pub(super) fn print(args: &ClientArgs, view: &Value) -> Outcome {
    if args.json {
        return output::print(&output::json(view));
    }
    let Some(usage) = view.get("usage") else { return output::print(&output::card(CARD, view)) };
    let mut flat = view.clone();
    for (_, field) in USAGE.iter().filter(|(_, field)| usage.get(field).is_some()) {
        flat[*field] = usage[*field].clone();
    }
    output::print(&output::card(&[CARD, USAGE].concat(), &flat))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_looks_like_an_id_is_one() {
        assert!(matches!("5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10".parse(), Ok(IdOrName::Id(_))));
        assert!(matches!("checkout".parse(), Ok(IdOrName::Name(_))));
        assert!("a\nb".parse::<IdOrName>().is_err());
    }

    #[test]
    fn a_name_means_the_live_key_that_has_exactly_it() {
        let (id, other) = (KeyId::random(), KeyId::random());
        let items = [
            json!({"keyId": other, "keyName": "checkout", "state": "revoked"}),
            json!({"keyId": id, "keyName": "checkout", "state": "disabled"}),
            json!({"keyId": other, "keyName": "checkout-2", "state": "active"}),
        ];
        assert_eq!(live(&items, &KeyName::parse("checkout").unwrap()), [id]);
    }
}
