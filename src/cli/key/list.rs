//! `keyloft key list`, and following cursors.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::super::connection::Parameter;
use super::super::output::{self, Column};
use super::super::{Client, ClientArgs, Failure, Outcome};
use crate::clock::{Clock, SystemClock};
use crate::key::{KeyName, KeyState, KeyType};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key list
  keyloft key list --tenant acme --type query --limit 20
  keyloft key list --expires-before 2027-01-01T00:00:00Z
  keyloft key list --unused-since 30d
  keyloft key list --state revoked --json | jq -r '.items[].keyName'";

/// The largest page that a server gives.
const PAGE: usize = 1000;

/// Which keys are meant.
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
    /// Only keys that expire before this, or have, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "RFC 3339")]
    expires_before: Option<DateTime<Utc>>,
    /// Only keys that nobody has used for so long (30d), or since an instant (2027-01-01T00:00:00Z)
    #[arg(long, value_name = "DURATION|INSTANT")]
    unused_since: Option<Since>,
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

/// An instant, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Ago(Duration),
    At(DateTime<Utc>),
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ago = humantime::parse_duration(text).map(Self::Ago);
        let at = || DateTime::parse_from_rfc3339(text).map(|at| Self::At(at.with_timezone(&Utc)));
        ago.or_else(|_| at()).map_err(|_| "must be a duration such as 30d, or an instant such as 2027-01-01T00:00:00Z")
    }
}

impl Since {
    fn instant(self, now: DateTime<Utc>) -> String {
        let at = match self {
            Self::Ago(ago) => {
                TimeDelta::from_std(ago).ok().and_then(|ago| now.checked_sub_signed(ago)).unwrap_or_default()
            }
            Self::At(at) => at,
        };
        at.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

pub(super) fn run(args: &ClientArgs, list: &ListArgs) -> Outcome {
    let client = args.connect()?;
    let filters = [
        ("keyType", list.key_type.map(|word| word.to_string())),
        ("state", list.state.map(|word| word.to_string())),
        ("name", list.name.as_ref().map(KeyName::to_string)),
        ("expiresBefore", list.expires_before.map(|bound| bound.to_rfc3339_opts(SecondsFormat::Millis, true))),
        ("unusedSince", list.unused_since.map(|since| since.instant(SystemClock.now()))),
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
    fn since_is_an_instant_or_how_long_ago_it_was() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let at = |text: &str| text.parse().map(|since: Since| since.instant(now));
        assert_eq!(at("1h").unwrap(), "2026-09-21T13:13:20.000Z");
        assert_eq!(at("2026-01-01T01:00:00+01:00").unwrap(), "2026-01-01T00:00:00.000Z");
        assert_eq!(at("9999999y").unwrap(), "1970-01-01T00:00:00.000Z");
        assert!(at("yesterday").is_err() && at("30").is_err());
    }

    #[test]
    fn a_server_that_goes_in_circles_is_left() {
        let circle = |_, _| Ok(json!({ "items": [1], "nextCursor": "again" }));
        assert!(follow(None, circle).is_err());
        assert!(follow(None, |_, _| Ok(Value::Null)).is_err());
    }
}
