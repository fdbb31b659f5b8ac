//! `keyloft key list`, and following cursors.

use clap::Args;
use serde_json::{Value, json};

use super::super::connection::Parameter;
use super::super::output::{self, Column};
use super::super::when::Moment;
use super::super::{Client, ClientArgs, Failure, Outcome};
use crate::clock::{Clock, SystemClock};
use crate::key::{KeyName, KeyState, KeyType};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key list
  keyloft key list --tenant acme --type query --limit 20
  keyloft key list --expires-before 90d
  keyloft key list --unused-since 30d
  keyloft key list --state revoked --json | jq -r '.items[].keyName'";

/// The largest page of a server.
const PAGE: usize = 1000;

/// Which keys to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only keys of this type: ingestion or query
    #[arg(long = "type", value_name = "TYPE")]
    key_type: Option<KeyType>,
    /// Only keys in this state: active, disabled or revoked
    #[arg(long)]
    state: Option<KeyState>,
    /// Only the key of this name
    #[arg(long, value_parser = KeyName::parse)]
    name: Option<KeyName>,
    /// Only keys that expire within this time (90d) or before an instant (2027-01-01), or have expired
    #[arg(long, value_name = "DURATION|INSTANT|DATE")]
    expires_before: Option<Moment>,
    /// Only keys without a recorded use for this long (30d), or since an instant (2027-01-01T00:00:00Z)
    #[arg(long, value_name = "DURATION|INSTANT|DATE")]
    unused_since: Option<Moment>,
    /// At most this many [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

const COLUMNS: &[Column] = &[
    ("KEY ID", "keyId"),
    ("NAME", "keyName"),
    ("TYPE", "keyType"),
    ("STATE", "state"),
    ("STREAMS", "streams"),
    ("API KEY", "apiKeyHint"),
    ("EXPIRES", "expiresAt"),
    ("LAST USED", "lastUsedAt"),
];

pub(super) fn run(args: &ClientArgs, list: &ListArgs) -> Outcome {
    let client = args.connect()?;
    let now = SystemClock.now();
    let filters = [
        ("keyType", list.key_type.map(|word| word.to_string())),
        ("state", list.state.map(|word| word.to_string())),
        ("name", list.name.as_ref().map(KeyName::to_string)),
        ("expiresBefore", list.expires_before.map(|bound| bound.future(now))),
        ("unusedSince", list.unused_since.map(|since| since.past(now))),
    ];
    let filters: Vec<Parameter> = filters.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
    let limit = list.limit.map(|limit| limit as usize);
    let page = all(&client, &["tenants", args.tenant().as_str(), "apikeys"], &filters, limit)?;
    output::print(&if args.json { output::json(&page) } else { output::table(COLUMNS, items(&page)) })
}

/// Every item of a list, or the first `limit`: `{"items":[…],"nextCursor"}`, where a cursor says that there are more.
pub(crate) fn all(client: &Client, path: &[&str], filters: &[Parameter], limit: Option<usize>) -> Outcome<Value> {
    follow(limit, |page, cursor| {
        let mut parameters = filters.to_vec();
        parameters.push(("limit", page.to_string()));
        parameters.extend(cursor.map(|cursor| ("cursor", cursor)));
        client.get(path, &parameters)
    })
}

fn follow(limit: Option<usize>, mut get: impl FnMut(usize, Option<String>) -> Outcome<Value>) -> Outcome<Value> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = limit.map_or(PAGE, |limit| (limit - found.len()).min(PAGE));
        let mut answer = get(page, cursor.clone())?;
        let Value::Array(items) = answer["items"].take() else {
            return Err(Failure::failed("the answer is no list: is this a Keyloft server?"));
        };
        found.extend(items);
        let next = answer["nextCursor"].as_str().map(str::to_owned);
        if next.is_none() || limit.is_some_and(|limit| found.len() >= limit) {
            found.truncate(limit.unwrap_or(usize::MAX));
            return Ok(json!({ "items": found, "nextCursor": next }));
        }
        if next == cursor {
            return Err(Failure::failed("the server gave the same cursor twice"));
        }
        cursor = next;
    }
}

/// The items of a list.
pub(crate) fn items(page: &Value) -> &[Value] {
    page["items"].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of 2,500 numbers.
    fn numbers(page: usize, cursor: Option<String>) -> Outcome<Value> {
        let start: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let end = (start + page).min(2500);
        let next = (end < 2500).then(|| end.to_string());
        Ok(json!({ "items": (start..end).collect::<Vec<_>>(), "nextCursor": next }))
    }

    #[test]
    fn cursors_are_followed_to_the_end_or_to_the_limit() {
        let whole = follow(None, numbers).unwrap();
        assert_eq!((items(&whole).len(), &whole["nextCursor"]), (2500, &Value::Null));
        let some = follow(Some(1200), numbers).unwrap();
        assert_eq!((items(&some).len(), &some["nextCursor"]), (1200, &json!("1200")));
        assert_eq!(items(&follow(Some(9999), numbers).unwrap()).len(), 2500);
    }

    #[test]
    fn a_server_that_goes_in_circles_is_left() {
        let circle = |_, _| Ok(json!({ "items": [1], "nextCursor": "again" }));
        assert!(follow(None, circle).is_err());
        assert!(follow(None, |_, _| Ok(Value::Null)).is_err());
    }
}
