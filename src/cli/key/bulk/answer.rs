//! Reading the answer: the outcome of each line.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::super::super::output::{self, Column};
use super::super::super::{Failure, Outcome};
use super::super::wait::WaitArgs;

/// How many refused lines are shown.
const SHOWN: usize = 50;

const COLUMNS: &[Column] = &[
    ("LINE", "line"),
    ("STATUS", "status"),
    ("NAME", "keyName"),
    ("KEY ID", "keyId"),
    ("CODE", "code"),
    ("WHY", "detail"),
];

/// The answer so far.
#[derive(Debug)]
pub(crate) struct BulkAnswer {
    json: bool,
    progress: ProgressBar,
    refused: Vec<Value>,
    /// The lines whose secret belongs to another key, or did once.
    taken: Vec<u64>,
    last: Option<Value>,
}

impl BulkAnswer {
    /// Starts an answer of `lines` lines. Progress is drawn on standard error, if that is a terminal.
    pub(crate) fn new(json: bool, lines: usize) -> Self {
        let progress = ProgressBar::new(lines as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} lines, {elapsed}, {eta} left") {
            progress.set_style(style);
        }
        progress.enable_steady_tick(Duration::from_millis(200));
        Self { json, progress, refused: Vec::new(), taken: Vec::new(), last: None }
    }

    /// Adds a line of the answer; with `--json` it is printed as it came.
    pub(crate) fn line(&mut self, line: &str) -> Outcome {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            return Err(Failure::failed("the answer is not JSON: is this a Keyloft server?"));
        };
        if self.json {
            self.progress.suspend(|| output::print(line))?;
        }
        if value["summary"].is_object() {
            self.last = Some(value);
            return Ok(());
        }
        self.progress.set_position(value["line"].as_u64().unwrap_or_default());
        if value["code"] == "duplicate_api_key" {
            self.taken.extend(value["line"].as_u64());
        }
        if value["code"].is_string() && self.refused.len() < SHOWN {
            self.refused.push(value);
        }
        Ok(())
    }

    /// Removes the progress bar.
    pub(crate) fn finish(&self) {
        self.progress.finish_and_clear();
    }

    /// A number of the summary.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.last.as_ref().and_then(|last| last["summary"][what].as_u64()).unwrap_or_default()
    }

    /// The lines whose secret belongs to another key, or did once.
    pub(crate) fn taken(&self) -> &[u64] {
        &self.taken
    }

    /// Shows the refused lines, and the counts.
    pub(crate) fn print(&self, dry_run: bool) -> Outcome {
        if self.json {
            return Ok(());
        }
        if !self.refused.is_empty() {
            output::print(&output::table(COLUMNS, &self.refused))?;
            let rest = self.count("refused") + self.count("failed") - self.refused.len() as u64;
            output::print(&if rest > 0 { format!("… and {rest} more: see --json\n") } else { String::new() })?;
        }
        let words = ["issued", "updated", "revoked", "unchanged", "refused", "failed"];
        let counts: Vec<String> = words.iter().map(|word| format!("{word} {}", self.count(word))).collect();
        let head = if dry_run { "A dry run, nothing is changed: " } else { "" };
        output::print(&format!("{head}{}", counts.join(", ")))
    }

    /// The outcome of the command.
    pub(crate) fn judge(&self, wait: &WaitArgs, json: bool) -> Outcome {
        let Some(last) = &self.last else {
            return Err(Failure::unavailable("the answer ended before its end: run the same again"));
        };
        let (refused, failed) = (self.count("refused"), self.count("failed"));
        if failed > 0 {
            return Err(Failure::unavailable(format!("{failed} lines could not be done now: run the same again")));
        }
        if refused > 0 {
            return Err(Failure::refused(format!("{refused} lines were refused")));
        }
        if last["receipt"].is_null() {
            return Ok(());
        }
        match wait.judge(last)? {
            Some(applied) if !json => output::print(&applied),
            _ => Ok(()),
        }
    }
}
