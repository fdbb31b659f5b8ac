//! `keyloft key bulk`: many changes from a file.
//!
//! 1. `lines`: the file of changes, and the lines that are sent.
//! 2. `secrets`: the file that API keys are written to before they are sent.
//! 3. `answer`: the outcome of each line.

pub(super) mod answer;
mod lines;
mod secrets;

use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::super::terminal::complain;
use super::super::{ClientArgs, Failure, Outcome};
use super::wait::WaitArgs;
use answer::BulkAnswer;
use secrets::Secrets;

pub(super) const EXAMPLES: &str = r#"A line is one of:
  {"op": "issue", "keyName": "web-1", "keyType": "ingestion", "sourceId": "web"}
  {"op": "update", "keyId": "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10", "state": "disabled"}
  {"op": "revoke", "keyId": "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10"}
  {"op": "revoke", "filter": {"sourceId": "web", "name": "web-*"}}

API keys are made here and written to FILE.secrets (or --out) before anything is sent; the
server gets their digests alone. Run the same again after any interruption: it takes the API
keys from that file and ends where an undisturbed run would. An API key of a line that was
refused opens nothing.

Examples:
  keyloft key bulk keys.ndjson --dry-run
  keyloft key bulk keys.ndjson
  keyloft key bulk - --out new.secrets < keys.ndjson

Exit codes: 3 if any line was refused, 4 if any could not be done now."#;

/// The largest file, in bytes: the limit of the server.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What to do, and where the API keys go.
#[derive(Debug, Args)]
pub struct BulkArgs {
    /// One JSON object a line; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check every line and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Where new API keys are kept, a line of JSON each, readable only by you [default: FILE.secrets]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl BulkArgs {
    fn out(&self) -> Option<PathBuf> {
        let beside = || (!self.is_stdin()).then(|| PathBuf::from(format!("{}.secrets", self.file.display())));
        self.out.clone().or_else(beside)
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    fn text(&self) -> Outcome<String> {
        let unreadable = |error| Failure::usage(format!("cannot read {}: {error}", self.file.display()));
        let mut text = String::new();
        let read = if self.is_stdin() {
            std::io::stdin().lock().take(MAX_BYTES + 1).read_to_string(&mut text)
        } else {
            let file = std::fs::File::open(&self.file).map_err(unreadable)?;
            file.take(MAX_BYTES + 1).read_to_string(&mut text)
        };
        if read.map_err(unreadable)? as u64 > MAX_BYTES {
            return Err(Failure::usage(format!("{} is larger than 64 MiB: split it", self.file.display())));
        }
        // Some programs begin every text with a byte order mark.
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }
}

pub(super) fn run(args: &ClientArgs, bulk: &BulkArgs) -> Outcome {
    let client = args.connect()?;
    let (text, tenant) = (bulk.text()?, args.tenant());
    let mut secrets = match (bulk.out(), bulk.dry_run) {
        (None, _) => None,
        (Some(path), true) => Secrets::read(&path)?,
        (Some(path), false) if lines::need_secrets(&text) => Some(Secrets::open(&path)?),
        (Some(_), false) => None,
    };
    if secrets.is_none() && !bulk.dry_run && lines::need_secrets(&text) {
        return Err(Failure::usage("say with --out where the API keys of a file on standard input are to be kept"));
    }
    let (body, reused) = lines::prepare(&text, &tenant, secrets.as_mut(), bulk.dry_run)?;
    let made = match &mut secrets {
        Some(secrets) if !bulk.dry_run => secrets.save()?, // Before they are sent.
        _ => 0,
    };
    let mut answer = BulkAnswer::new(args.json, text.lines().count());
    let mut parameters = bulk.wait.parameters();
    parameters.push(("dryRun", bulk.dry_run.to_string()));
    let path = ["tenants", tenant.as_str(), "apikeys", "bulk"];
    let ended = client.stream(&path, &parameters, body, |line| answer.line(line));
    answer.finish();
    if let Some(secrets) = secrets {
        let path = secrets.path().display();
        if !args.json && !bulk.dry_run {
            complain(&kept(made, reused.len(), &path));
        }
        if answer.taken().iter().any(|line| reused.contains(line)) {
            complain(&format!(
                "an API key in {path} belongs to a revoked key or to another one: with another --out, fresh ones are made"
            ));
        }
    }
    ended?;
    answer.print(bulk.dry_run)?;
    answer.judge(&bulk.wait, args.json)
}

fn kept(made: usize, reused: usize, path: &impl Display) -> String {
    match (made, reused) {
        (0, 0) => format!("no API key is needed from {path}"),
        (0, _) => format!("all {reused} API keys stood in {path} already"),
        (_, 0) => format!("{made} new API keys are kept in {path}"),
        _ => format!("{made} new API keys are kept in {path}, where {reused} stood already"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bulk: BulkArgs,
    }

    #[test]
    fn api_keys_are_kept_beside_the_file_unless_somebody_says_where() {
        let out = |line: &[&str]| Line::parse_from([&[""], line].concat()).bulk.out();
        assert_eq!(out(&["a/keys.ndjson"]).unwrap(), Path::new("a/keys.ndjson.secrets"));
        assert_eq!(out(&["keys.ndjson", "--out", "x"]).unwrap(), Path::new("x"));
        assert_eq!(out(&["-"]), None);
    }
}
