//! `--wait`: until every node has applied a change.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::super::connection::Parameter;
use super::super::{ClientArgs, Failure, Outcome, output};
use crate::config::parse_duration;

/// How long to wait for the other nodes.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Wait until every live node has applied the change; exit with 4 and name those that have not after this long,
    /// such as 5s, at most 60s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
}

impl WaitArgs {
    pub(in crate::cli) fn parameters(&self) -> Vec<Parameter> {
        self.wait.iter().map(|wait| ("wait", humantime::format_duration(*wait).to_string().replace(' ', ""))).collect()
    }

    /// Says that the wait is over, or which nodes are behind.
    pub(in crate::cli) fn report(&self, args: &ClientArgs, answer: &Value) -> Outcome {
        match self.judge(answer)? {
            Some(applied) if !args.json => output::print(&applied),
            _ => Ok(()),
        }
    }

    /// The outcome of the wait, `None` without `--wait`. The change is durable either way.
    pub(in crate::cli) fn judge(&self, answer: &Value) -> Outcome<Option<String>> {
        let receipt = &answer["receipt"];
        let behind: Vec<&str> = receipt["behind"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match self.wait {
            None => Ok(None),
            Some(_) if behind.is_empty() && receipt["liveNodes"].is_null() => Err(Failure::unavailable(format!(
                "the change is durable (number {}), but the nodes could not be asked whether they have applied it",
                receipt["changeSeq"]
            ))),
            Some(_) if behind.is_empty() => Ok(Some(format!("Applied on every live node ({}).", receipt["liveNodes"]))),
            Some(_) => Err(Failure::unavailable(format!(
                "the change is durable (number {}), but has not been applied by: {}",
                receipt["changeSeq"],
                behind.join(", ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_wait_reports_the_nodes_that_are_behind() {
        let answer = json!({"receipt": {"changeSeq": 7, "liveNodes": 2, "behind": ["b"]}});
        let (waits, does_not) = (WaitArgs { wait: Some(Duration::from_millis(1500)) }, WaitArgs { wait: None });
        assert_eq!(waits.parameters(), [("wait", "1s500ms".to_owned())]);
        assert_eq!(does_not.judge(&answer).unwrap(), None);
        let failure = waits.judge(&answer).unwrap_err().to_string();
        assert_eq!(failure, "the change is durable (number 7), but has not been applied by: b");
        let complete = json!({"receipt": {"changeSeq": 7, "liveNodes": 2, "behind": []}});
        assert_eq!(waits.judge(&complete).unwrap().unwrap(), "Applied on every live node (2).");
    }
}
