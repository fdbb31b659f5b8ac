//! `keyloft key update`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::super::when::{instant, seconds};
use super::super::{ClientArgs, Outcome, output};
use super::settings::{LimitChanges, metadata, networks, streams};
use super::show::{self, KeyRef};
use super::wait::WaitArgs;
use crate::key::{KeyState, Label, Metadata, Networks, Streams};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key update checkout --disable
  keyloft key update checkout --streams 'web-*' --expires-in 90d
  keyloft key update checkout --allowed-cidrs 10.0.0.0/8,2001:db8::/32 --requests-per-minute 600:50
  keyloft key update checkout --end-overlap";

/// Changes of a key; settings without an option stay. Name and type never change.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub struct UpdateArgs {
    #[command(flatten)]
    key: KeyRef,
    /// The streams it may touch: patterns with *, separated by commas
    #[arg(long, group = "change", value_name = "PATTERNS", value_parser = streams)]
    streams: Option<Streams>,
    /// Accept it again
    #[arg(long, group = "change", conflicts_with = "disable")]
    enable: bool,
    /// Refuse it until it is enabled again; ends its running queries
    #[arg(long, group = "change")]
    disable: bool,
    /// The first instant at which it no longer works, such as 2027-01-01T00:00:00Z or 2027-01-01
    #[arg(long, group = "change", value_name = "INSTANT|DATE", value_parser = instant)]
    #[arg(conflicts_with_all = ["expires_in", "no_expiry"])]
    expires_at: Option<DateTime<Utc>>,
    /// How long it works from now on, such as 30d
    #[arg(long, group = "change", value_name = "DURATION", value_parser = seconds, conflicts_with = "no_expiry")]
    expires_in: Option<Duration>,
    /// Let it never expire
    #[arg(long, group = "change")]
    no_expiry: bool,
    /// The sending system, stored with every event
    #[arg(long, group = "change", value_name = "LABEL", value_parser = Label::parse)]
    source_id: Option<Label>,
    /// How far the source is trusted
    #[arg(long, group = "change", value_name = "LABEL", value_parser = Label::parse)]
    trust_level: Option<Label>,
    /// Whether it may ask for decisions of traffic policies
    #[arg(long, group = "change", value_name = "true|false", action = clap::ArgAction::Set)]
    decide: Option<bool>,
    /// The networks it may be used from, separated by commas
    #[arg(long, group = "change", value_name = "CIDRS", value_parser = networks, conflicts_with = "any_network")]
    allowed_cidrs: Option<Networks>,
    /// Let it be used from anywhere
    #[arg(long, group = "change")]
    any_network: bool,
    #[command(flatten)]
    limits: LimitChanges,
    /// Notes of your own, replaced whole: a JSON object of at most 4 KiB
    #[arg(long, group = "change", value_name = "JSON", value_parser = metadata)]
    metadata: Option<Metadata>,
    /// End the overlap of a rotation now: only the newest API key keeps working
    #[arg(long, group = "change")]
    end_overlap: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl UpdateArgs {
    fn body(&self) -> Value {
        let state = match (self.enable, self.disable) {
            (true, _) => Some(KeyState::Active),
            (_, true) => Some(KeyState::Disabled),
            _ => None,
        };
        let expiry = if self.no_expiry { Some(Value::Null) } else { self.expires_at.map(|end| json!(end)) };
        let networks = self.allowed_cidrs.as_ref().map(|value| json!(value));
        let networks = if self.any_network { Some(Value::Null) } else { networks };
        let changes = [
            ("streams", self.streams.as_ref().map(|value| json!(value))),
            ("state", state.map(|value| json!(value))),
            ("expiresAt", expiry),
            ("expiresInSeconds", self.expires_in.map(|value| json!(value.as_secs()))),
            ("olderSecrets", self.end_overlap.then(|| json!([]))),
            ("sourceId", self.source_id.as_ref().map(|value| json!(value))),
            ("trustLevel", self.trust_level.as_ref().map(|value| json!(value))),
            ("decide", self.decide.map(|value| json!(value))),
            ("allowedCidrs", networks),
            ("metadata", self.metadata.as_ref().map(|value| json!(value))),
        ];
        let said = changes.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?)));
        Value::Object(said.collect::<Map<_, _>>())
    }
}

pub(super) fn run(args: &ClientArgs, update: &UpdateArgs) -> Outcome {
    let client = args.connect()?;
    let (tenant, id) = (args.tenant(), update.key.id(args, &client)?.to_string());
    let path = ["tenants", tenant.as_str(), "apikeys", &id];
    let mut body = update.body();
    if let Some(limits) = update.limits.over(|| client.get(&path, &[]))? {
        body["limits"] = limits;
    }
    let answer = client.patch(&path, &update.wait.parameters(), &body)?;
    show::print(args, &answer)?;
    match update.wait.judge(&answer)? {
        Some(applied) if !args.json => output::print(&applied),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        update: UpdateArgs,
    }

    #[test]
    fn only_what_was_said_is_changed() {
        let body = |line: &[&str]| Line::parse_from([&["", "checkout"], line].concat()).update.body();
        assert_eq!(body(&["--disable"]), json!({"state": "disabled"}));
        assert_eq!(body(&["--enable", "--no-expiry"]), json!({"state": "active", "expiresAt": null}));
        assert_eq!(
            body(&["--expires-in", "1h", "--end-overlap"]),
            json!({"expiresInSeconds": 3600, "olderSecrets": []})
        );
        assert_eq!(body(&["--allowed-cidrs", "10.0.0.0/8"]), json!({"allowedCidrs": ["10.0.0.0/8"]}));
        assert_eq!(body(&["--any-network", "--no-limits"]), json!({"allowedCidrs": null}));
        assert_eq!(body(&["--streams", "*", "--metadata", "{}"]), json!({"streams": ["*"], "metadata": {}}));
    }
}
