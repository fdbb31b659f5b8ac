//! `keyloft key create`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::terminal::escaped;
use super::super::when::{instant, seconds};
use super::super::{ClientArgs, Failure, Outcome, input, output};
use super::settings::{LimitArgs, metadata, networks, streams};
use super::show::CARD;
use crate::clock::{Clock, SystemClock};
use crate::key::{KeyName, KeySettings, KeyType, Label, Metadata, Networks, NewKey, Streams, TrustLevel};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key create --name checkout --type ingestion
  keyloft key create --name dashboards --type query --streams 'web-*,audit'
  keyloft key create --name trial --type query --expires-in 30d
  keyloft key create --name edge --type ingestion --allowed-cidrs 10.0.0.0/8 --requests-per-minute 600
  keyloft key create --name agents --type ingestion --api-key-stdin < old-api-key.txt
  keyloft key create --name ci --type ingestion --json | jq -r .apiKey";

/// The settings of a new key.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Its name, unique among the live keys of the tenant
    #[arg(long, value_parser = KeyName::parse)]
    pub(super) name: KeyName,
    /// What it is for: ingestion (sends events) or query (reads them)
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) key_type: KeyType,
    /// The streams it may touch: patterns with *, separated by commas [default: *]
    #[arg(long, value_name = "PATTERNS", value_parser = streams)]
    pub(super) streams: Option<Streams>,
    /// The sending system, stored with every event
    #[arg(long, value_name = "LABEL", value_parser = Label::parse)]
    pub(super) source_id: Option<Label>,
    /// How far the source is trusted [default: standard]
    #[arg(long, value_name = "LABEL", value_parser = Label::parse)]
    pub(super) trust_level: Option<Label>,
    /// Whether it may ask for decisions of traffic policies [default: an ingestion key with a source may]
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    pub(super) decide: Option<bool>,
    /// The first instant at which it no longer works, such as 2027-01-01T00:00:00Z or 2027-01-01 [default: that of
    /// its tenant]
    #[arg(long, value_name = "INSTANT|DATE", value_parser = instant, conflicts_with_all = ["expires_in", "no_expiry"])]
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// How long it works, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = seconds, conflicts_with = "no_expiry")]
    pub(super) expires_in: Option<Duration>,
    /// Let it never expire, whatever its tenant's default is
    #[arg(long)]
    pub(super) no_expiry: bool,
    /// The networks it may be used from, separated by commas [default: any]
    #[arg(long, value_name = "CIDRS", value_parser = networks)]
    pub(super) allowed_cidrs: Option<Networks>,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    /// Notes of your own: a JSON object of at most 4 KiB
    #[arg(long, value_name = "JSON", value_parser = metadata)]
    pub(super) metadata: Option<Metadata>,
}

impl CreateArgs {
    /// The settings, as a new key.
    pub(super) fn into_new(self) -> NewKey {
        let expires_at = self.expires_at.or_else(|| Some(SystemClock.now() + self.expires_in?));
        NewKey {
            settings: KeySettings {
                streams: self.streams.unwrap_or_default(),
                source_id: self.source_id,
                trust_level: self.trust_level.map(TrustLevel::from).unwrap_or_default(),
                decide: self.decide,
                allowed_cidrs: self.allowed_cidrs.unwrap_or_default(),
                limits: self.limits.limits().into(),
                metadata: self.metadata.unwrap_or_default(),
            },
            expires_at: self.no_expiry.then_some(None).or(expires_at.map(Some)),
            ..NewKey::new(self.name, self.key_type)
        }
    }

    fn body(&self) -> Value {
        let mut body = json!({ "keyName": self.name, "keyType": self.key_type });
        let limits = self.limits.limits();
        let optional = [
            ("streams", self.streams.as_ref().map(|value| json!(value))),
            ("sourceId", self.source_id.as_ref().map(|value| json!(value))),
            ("trustLevel", self.trust_level.as_ref().map(|value| json!(value))),
            ("decide", self.decide.map(|value| json!(value))),
            ("expiresAt", self.no_expiry.then_some(Value::Null).or(self.expires_at.map(|value| json!(value)))),
            ("expiresInSeconds", self.expires_in.map(|value| json!(value.as_secs()))),
            ("allowedCidrs", self.allowed_cidrs.as_ref().map(|value| json!(value))),
            ("limits", (!limits.is_none()).then(|| json!(limits))),
            ("metadata", self.metadata.as_ref().map(|value| json!(value))),
        ];
        for (field, value) in optional {
            if let Some(value) = value {
                body[field] = value;
            }
        }
        body
    }
}

/// A new key, and its secret if it is imported.
#[derive(Debug, Args)]
pub struct IssueArgs {
    #[command(flatten)]
    create: CreateArgs,
    #[command(flatten)]
    stdin: StdinArgs,
}

/// Where the secret comes from.
#[derive(Debug, Args)]
pub struct StdinArgs {
    /// Read the API key from standard input, one line of 32-128 visible characters, instead of generating one
    #[arg(id = "from_stdin", long = "api-key-stdin")]
    from_stdin: bool,
}

impl StdinArgs {
    /// Fails when the server would generate an API key that standard output would lose.
    pub(super) fn require_output(&self) -> Outcome {
        if self.from_stdin { Ok(()) } else { output::require_output() }
    }

    /// Sends the body with the API key of standard input, if there is one; the body is wiped afterwards.
    pub(super) fn send(&self, mut body: Value, send: impl FnOnce(&Value) -> Outcome<Value>) -> Outcome<Value> {
        if !self.from_stdin {
            return send(&body);
        }
        body["apiKey"] = Value::String(std::mem::take(&mut *input::api_key()?));
        let answer = send(&body);
        if let Value::String(api_key) = body["apiKey"].take() {
            drop(Zeroizing::new(api_key));
        }
        answer
    }
}

pub(super) fn run(args: &ClientArgs, issue: &IssueArgs) -> Outcome {
    issue.stdin.require_output()?;
    let client = args.connect()?;
    let tenant = args.tenant();
    let path = ["tenants", tenant.as_str(), "apikeys"];
    let answer = issue.stdin.send(issue.create.body(), |body| client.post(&path, body))?;
    show(args, &answer, &issue.stdin, |id| format!("key {id} was issued, but its API key is lost: revoke it"))
}

/// Shows a key with its new secret; `lost` says what to do when it cannot be shown.
pub(super) fn show(args: &ClientArgs, answer: &Value, stdin: &StdinArgs, lost: impl FnOnce(&str) -> String) -> Outcome {
    let card = output::card(CARD, answer);
    if stdin.from_stdin {
        return output::print(&if args.json { output::json(answer) } else { card });
    }
    let api_key = answer["apiKey"].as_str();
    let api_key = api_key.ok_or_else(|| Failure::failed("the answer shows no API key: is this a Keyloft server?"))?;
    let text = if args.json { output::json(answer) } else { for_people(api_key, &card) };
    output::print_once(&text).map_err(|failure| {
        Failure::failed(format!("{} ({failure})", lost(answer["keyId"].as_str().unwrap_or_default())))
    })
}

/// The API key stands first: it is shown only once.
pub(super) fn for_people(api_key: &str, rest: &str) -> String {
    format!("API key  {}\n\nKeep it now: it is not shown again.\n\n{rest}", escaped(api_key))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: CreateArgs,
    }

    #[test]
    fn only_what_was_said_is_sent() {
        let line = Line::parse_from(["", "--name", "checkout", "--type", "ingestion"]);
        assert_eq!(line.create.body(), json!({"keyName": "checkout", "keyType": "ingestion"}));
        let line = Line::parse_from([
            "",
            "--name",
            "checkout",
            "--type",
            "query",
            "--streams",
            "web-*, audit",
            "--source-id",
            "web",
            "--trust-level",
            "high",
            "--expires-at",
            "2027-01-01T01:00:00+01:00",
            "--allowed-cidrs",
            "10.0.0.0/8, ::1",
            "--requests-per-minute",
            "600",
            "--bytes-per-minute",
            "1024:2048",
            "--metadata",
            "{\"a\":1}",
        ]);
        let body = json!({
            "keyName": "checkout", "keyType": "query", "streams": ["web-*", "audit"], "sourceId": "web",
            "trustLevel": "high", "expiresAt": "2027-01-01T00:00:00Z", "metadata": {"a": 1},
            "allowedCidrs": ["10.0.0.0/8", "::1/128"],
            "limits": {"requests": {"perMinute": 600, "burst": 600}, "bytes": {"perMinute": 1024, "burst": 2048}},
        });
        assert_eq!(line.create.body(), body);
    }

    #[test]
    fn a_key_for_no_stream_at_all_is_a_slip() {
        assert!(Line::try_parse_from(["", "--name", "a", "--type", "query", "--streams", ""]).is_err());
    }
}
