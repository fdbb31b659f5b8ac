//! The settings of a key as they are typed: streams, networks, limits, metadata. Tenants have limits too.

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::{Failure, Outcome};
use crate::key::{InvalidId, Limits, Metadata, Networks, Rate, Streams};

/// The limits of a new key or tenant.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// Requests a minute, and how many at once [default: no limit; a burst of as many]
    #[arg(long, value_name = "N[:BURST]")]
    requests_per_minute: Option<Rate>,
    /// Events a minute, and how many at once
    #[arg(long, value_name = "N[:BURST]")]
    events_per_minute: Option<Rate>,
    /// Bytes of bodies a minute as they are sent, and how many at once
    #[arg(long, value_name = "N[:BURST]")]
    bytes_per_minute: Option<Rate>,
}

impl LimitArgs {
    /// The limits; none where no option is given.
    pub(in crate::cli) fn limits(&self) -> Limits {
        Limits { requests: self.requests_per_minute, events: self.events_per_minute, bytes: self.bytes_per_minute }
    }
}

/// Changes of limits; limits without an option stay.
#[derive(Debug, Args)]
pub struct LimitChanges {
    /// Requests a minute, and how many at once
    #[arg(long, group = "change", value_name = "N[:BURST]")]
    requests_per_minute: Option<Rate>,
    /// Events a minute, and how many at once
    #[arg(long, group = "change", value_name = "N[:BURST]")]
    events_per_minute: Option<Rate>,
    /// Bytes of bodies a minute as they are sent, and how many at once
    #[arg(long, group = "change", value_name = "N[:BURST]")]
    bytes_per_minute: Option<Rate>,
    /// Remove all limits; limits given beside it are set
    #[arg(long, group = "change")]
    no_limits: bool,
}

impl LimitChanges {
    /// The limits to send; `None` when nothing is to change. Limits are replaced whole, so `known` is asked for the
    /// current ones when some of them stay.
    pub(in crate::cli) fn over(&self, known: impl FnOnce() -> Outcome<Value>) -> Outcome<Option<Value>> {
        let said = [self.requests_per_minute, self.events_per_minute, self.bytes_per_minute];
        let limits = match (self.no_limits, said) {
            (false, [None, None, None]) => return Ok(None),
            (true, _) | (_, [Some(_), Some(_), Some(_)]) => Limits::default(),
            (false, _) => {
                let known = serde_json::from_value(known()?["limits"].take());
                known.map_err(|_| Failure::failed("the answer shows no limits: is this a Keyloft server?"))?
            }
        };
        let [requests, events, bytes] = said;
        let limits = Limits {
            requests: requests.or(limits.requests),
            events: events.or(limits.events),
            bytes: bytes.or(limits.bytes),
        };
        Ok(Some(json!(limits)))
    }
}

/// At least one network: an empty text does not mean every address.
pub(in crate::cli) fn networks(text: &str) -> Result<Networks, InvalidId> {
    const NONE: InvalidId = InvalidId::new("allowedCidrs", "one or more networks, separated by commas");
    let networks: Networks = text.parse()?;
    if networks.is_any() { Err(NONE) } else { Ok(networks) }
}

/// At least one pattern: an empty text is a mistake, such as an unset variable of the shell.
pub(super) fn streams(text: &str) -> Result<Streams, InvalidId> {
    const NONE: InvalidId = InvalidId::new("streams", "one or more patterns, separated by commas");
    let streams: Streams = text.parse()?;
    if matches!(&streams, Streams::Matching(patterns) if patterns.is_empty()) { Err(NONE) } else { Ok(streams) }
}

/// A JSON object.
pub(super) fn metadata(text: &str) -> Result<Metadata, String> {
    let map: Map<String, Value> = serde_json::from_str(text).map_err(|_| "must be a JSON object".to_owned())?;
    Metadata::try_from(map).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::{ArgGroup, Parser};

    use super::*;

    #[derive(Parser)]
    #[command(group = ArgGroup::new("change").multiple(true))]
    struct Line {
        #[command(flatten)]
        changes: LimitChanges,
    }

    fn over(line: &[&str], known: Value) -> Value {
        let line = Line::parse_from([&[""], line].concat());
        line.changes.over(|| Ok(json!({"limits": known}))).unwrap().unwrap_or(Value::Null)
    }

    #[test]
    fn what_is_not_said_stays() {
        let known = json!({"requests": {"perMinute": 5, "burst": 5}, "events": {"perMinute": 7, "burst": 8}});
        assert_eq!(over(&[], known.clone()), Value::Null);
        let changed = over(&["--requests-per-minute", "600:50"], known.clone());
        assert_eq!(
            changed,
            json!({"requests": {"perMinute": 600, "burst": 50}, "events": {"perMinute": 7, "burst": 8}})
        );
        assert_eq!(over(&["--no-limits"], known.clone()), json!({}));
        let both = over(&["--no-limits", "--bytes-per-minute", "1024"], known);
        assert_eq!(both, json!({"bytes": {"perMinute": 1024, "burst": 1024}}));
    }
}
