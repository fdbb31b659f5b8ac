//! Reading the file, showing the difference, asking, applying.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::super::terminal::{complain, escaped};
use super::super::yaml;
use super::super::{Client, ClientArgs, Failure, Outcome, input, output};
use super::file::{self, DeclaredKey, KeysFile};
use super::{difference, secrets};
use crate::key::{KeyName, KeyType};

pub(in super::super) const EXAMPLES: &str = "The file:
  version: 1
  tenant: acme                        # optional; must agree with --tenant
  permissionSets:
    writers: {streams: [web-*], limits: {requests: {perMinute: 6000}}}
  keys:
    - {name: checkout, type: ingestion, permissionSet: writers}
    - {name: dashboards, type: query, expiresAt: 2027-06-01T00:00:00Z}

What the file does not say of a key is the default; its secret, expiry and state
(active, disabled) stay as they are. Keys that are not in the file are left alone
unless --prune is given. A bad file changes nothing.

Examples:
  keyloft apply -f keys.yaml --dry-run
  keyloft apply -f keys.yaml --secrets new-keys.tsv
  keyloft apply -f keys.yaml --prune --yes";

/// What to apply, and how.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file that declares the keys; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Revoke the keys of the tenant that the file does not declare
    #[arg(long)]
    prune: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Add the API keys of issued keys to this file, a name, a tab and an API key a line, before they are issued; a
    /// line that stands there already is used again
    #[arg(long = "secrets", value_name = "FILE")]
    keep_in: Option<PathBuf>,
}

pub(in super::super) fn run(args: &ClientArgs, apply: &ApplyArgs) -> Outcome {
    let file = file::read(&yaml::text(&apply.file)?).map_err(|failure| named(&apply.file, &failure))?;
    let tenant = args.tenant_of_file(file.tenant.clone())?;
    if file.keys.is_empty() && apply.prune {
        return Err(Failure::usage("the file declares no key: with --prune every key would be revoked"));
    }
    let client = args.connect()?;
    let path = ["tenants", tenant.as_str(), "apikeys", "apply"];
    let mut body = json!({ "keys": bodies(&file.keys), "prune": apply.prune });
    let preview = client.post_many(&path, &[("dryRun", "true".to_owned())], &body);
    let preview = preview.map_err(|failure| placed(&apply.file, &file.keys, failure))?;
    let plan = steps(&preview, "plan")?;
    if apply.dry_run || plan.is_empty() {
        return show_only(args, &preview, plan);
    }
    if !args.json {
        output::print(&format!("{}\n\n{}", difference::lines(plan), difference::summary(plan)))?;
    }
    let fresh = fresh(&file, plan, apply, args.json)?;
    if !agreed(apply)? {
        return Err(Failure::refused("nothing was changed"));
    }
    let made = secrets::make(fresh, apply.keep_in.as_deref())?;
    let kept = &made.fresh;
    if apply.keep_in.is_none() && !kept.is_empty() {
        let lines: Vec<_> = kept.iter().map(secrets::Fresh::line).collect();
        let table: Vec<&str> = lines.iter().map(|line| line.as_str()).collect();
        output::print_once(&format!("\nKeep these API keys now: they are not shown again.\n\n{}\n", table.join("\n")))?;
    }
    issue_with(&mut body, kept);
    body["planTag"] = preview["planTag"].clone();
    finish(args, &client, &path, &body, apply.keep_in.as_deref())
}

fn named(path: &Path, failure: &Failure) -> Failure {
    Failure::usage(format!("{}: {failure}", path.display()))
}

/// Puts the line of the key before the server's refusal, which begins with the key's name. The longest name that fits
/// is meant, because one name may begin with another.
fn placed(path: &Path, keys: &[DeclaredKey], failure: Failure) -> Failure {
    let message = failure.to_string();
    let is_meant = |key: &&DeclaredKey| {
        let rest = message.strip_prefix(key.name.as_str());
        rest.is_some_and(|rest| rest.starts_with(": ") || rest.starts_with(" is of type "))
    };
    match keys.iter().filter(is_meant).max_by_key(|key| key.name.as_str().len()) {
        Some(key) => failure.at(&format!("{}: line {}", path.display(), key.line)),
        None => failure,
    }
}

fn bodies(keys: &[DeclaredKey]) -> Vec<Value> {
    keys.iter().map(|key| Value::Object(key.body.clone())).collect()
}

fn steps<'a>(answer: &'a Value, field: &str) -> Outcome<&'a [Value]> {
    let steps = answer[field].as_array().map(Vec::as_slice);
    steps.ok_or_else(|| Failure::failed("the answer holds no plan: is this a Keyloft server?"))
}

fn show_only(args: &ClientArgs, preview: &Value, plan: &[Value]) -> Outcome {
    let lines = difference::lines(plan);
    let people = if plan.is_empty() { String::new() } else { format!("{lines}\n\n") } + &difference::summary(plan);
    output::print(&if args.json { output::json(preview) } else { people })
}

/// The keys that have to be issued and declare no digest.
fn fresh(file: &KeysFile, plan: &[Value], apply: &ApplyArgs, json: bool) -> Outcome<Vec<(KeyName, KeyType)>> {
    let issued: BTreeSet<_> =
        plan.iter().filter(|step| step["action"] == "issue").filter_map(|step| step["keyName"].as_str()).collect();
    let keys = file.keys.iter().filter(|key| !key.body.contains_key("digest") && issued.contains(key.name.as_str()));
    let fresh: Vec<_> = keys.map(|key| (key.name.clone(), key.key_type)).collect();
    if json && !fresh.is_empty() && apply.keep_in.is_none() {
        return Err(Failure::usage("keys have to be issued: with --json, say by --secrets where their API keys go"));
    }
    if !fresh.is_empty() && apply.keep_in.is_none() {
        output::require_output().map_err(|failure| failure.and("--secrets FILE keeps API keys in a file"))?;
    }
    Ok(fresh)
}

/// Asks for confirmation, if there is a terminal.
fn agreed(apply: &ApplyArgs) -> Outcome<bool> {
    if apply.yes || !input::is_terminal() { Ok(true) } else { input::agrees("Apply this?") }
}

fn issue_with(body: &mut Value, kept: &[secrets::Fresh]) {
    let kept: BTreeMap<_, _> = kept.iter().map(|fresh| (fresh.name.as_str(), fresh)).collect();
    for key in body["keys"].as_array_mut().into_iter().flatten() {
        if let Some(fresh) = key["keyName"].as_str().and_then(|name| kept.get(name)) {
            let (digest, hint) = fresh.digest_and_hint();
            key["issueWith"] = json!({ "digest": digest.to_document(), "hint": hint.as_str() });
        }
    }
}

fn finish(args: &ClientArgs, client: &Client, path: &[&str], body: &Value, keep_in: Option<&Path>) -> Outcome {
    let answer = client.post_many(path, &[], body)?;
    let results = steps(&answer, "results")?;
    let failed: Vec<_> = results.iter().filter(|result| result["ok"] != true).collect();
    if args.json {
        output::print(&output::json(&answer))?;
    } else {
        let kept = keep_in.map_or_else(String::new, |path| format!(" API keys: {}.", path.display()));
        output::print(&format!("{} of {} done.{kept}", results.len() - failed.len(), results.len()))?;
    }
    let away = |result: &&Value| matches!(result["code"].as_str(), Some("store_unavailable" | "store_not_safe"));
    for result in &failed {
        let word = |field: &str| result[field].as_str().unwrap_or_default().to_owned();
        let message = format!("{} {}: {} ({})", word("action"), word("keyName"), word("detail"), word("code"));
        complain(&escaped(&message));
    }
    let is_taken = |result: &&Value| result["code"] == "duplicate_api_key" && result["action"] == "issue";
    if let Some(path) = keep_in.filter(|_| failed.iter().any(is_taken)) {
        complain(&format!(
            "an API key in {} may belong to a revoked key or to another one: with another --secrets, fresh ones are made",
            path.display()
        ));
    }
    match failed.len() {
        0 => Ok(()),
        count if failed.iter().any(away) => {
            Err(Failure::unavailable(format!("{count} steps are left: run the same command again")))
        }
        count => Err(Failure::refused(format!("{count} steps were refused"))),
    }
}
