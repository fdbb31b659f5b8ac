//! Names in the text: commands, flags, variables and metrics that a page mentions exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use keyloft::config::options;

use super::pages::{Page, pages};
use super::tables::metrics;
use crate::support::process::keyloft;

/// Flags of other programs that the pages mention.
const FOREIGN_FLAGS: &[&str] = &["--no-default-features", "--features", "--release", "--profile", "--locked", "--open"];

/// Variables that are no options of `keyloft serve`.
const OTHER_VARIABLES: &[&str] =
    &["KEYLOFT_API_KEY", "KEYLOFT_TOKEN", "KEYLOFT_TOKEN_FILE", "KEYLOFT_URL", "KEYLOFT_TARGET_DIR"];

/// Streams of the system: they look like metrics.
const SYSTEM_STREAMS: &[&str] = &["keyloft_audit", "keyloft_usage", "keyloft_rejected", "keyloft_traffic"];

/// What stands between backticks outside of blocks, each with its place.
fn quoted(page: &Page) -> Vec<(String, String)> {
    let place = |number: usize| format!("{}:{number}", page.path.display());
    let words = page.prose().flat_map(|(number, line)| {
        line.split('`').skip(1).step_by(2).map(move |text| (place(number), text.to_owned())).collect::<Vec<_>>()
    });
    words.collect()
}

fn all_quoted() -> Vec<(String, String)> {
    pages().iter().filter(|page| page.path != Path::new("CHANGELOG.md")).flat_map(quoted).collect()
}

fn help(command: &[String]) -> String {
    let output = keyloft().args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "keyloft {} --help fails", command.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Every flag of a command and its subcommands.
fn flags(command: &[String], found: &mut BTreeSet<String>) {
    let text = help(command);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    found.extend(words.filter(|word| word.starts_with("--")).map(str::to_owned));
    let commands = text.split("\nCommands:\n").nth(1).unwrap_or_default();
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        let name =
            line.strip_prefix("  ").filter(|line| !line.starts_with(' ')).and_then(|line| line.split(' ').next());
        if let Some(name) = name.filter(|name| *name != "help") {
            flags(&[command, &[name.to_owned()]].concat(), found);
        }
    }
}

#[test]
fn every_flag_that_is_mentioned_exists() {
    let mut known = BTreeSet::new();
    flags(&[], &mut known);
    assert!(known.len() > 60, "only {} flags are known: {known:?}", known.len());
    let mut unknown = Vec::new();
    for (place, text) in all_quoted() {
        let ours = text.starts_with("keyloft ") || text.starts_with("--");
        let words = text.split([' ', '=', '[', ']']).filter(|word| word.starts_with("--") && word.len() > 2);
        let strange = words.filter(|word| !known.contains(*word) && !FOREIGN_FLAGS.contains(word));
        unknown.extend(strange.filter(|_| ours).map(|word| format!("{place}: {word}")));
    }
    assert!(unknown.is_empty(), "flags that no command has:\n  {}", unknown.join("\n  "));
}

/// A command with `--help` after it is parsed up to there.
#[test]
fn every_command_that_is_mentioned_exists() {
    let binary = Path::new(env!("CARGO_BIN_EXE_keyloft"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let commands: BTreeSet<(String, String)> = all_quoted()
        .into_iter()
        .filter(|(_, text)| text.starts_with("keyloft ") && !text.contains(['…', '|', '{', '<', ';']))
        .map(|(place, text)| (text, place))
        .collect();
    assert!(commands.len() > 20, "only {} commands are mentioned", commands.len());
    for (command, place) in commands {
        let line = format!("{command} --help");
        let output = Command::new("bash").args(["-c", &line]).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{place}: {command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_variable_that_is_mentioned_exists() {
    let mut unknown = Vec::new();
    for page in pages() {
        for text in page.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let ours = text.starts_with("KEYLOFT_") && !text.starts_with("KEYLOFT_TEST_");
            if ours && !OTHER_VARIABLES.contains(&text) && options().all(|option| option.env != text) {
                unknown.push(format!("{}: {text}", page.path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "variables that nothing reads:\n  {}", unknown.join("\n  "));
}

#[actix_web::test]
async fn every_metric_that_is_mentioned_exists() {
    let known = metrics().await;
    let mut unknown = Vec::new();
    for (place, text) in all_quoted() {
        let name = text.split('{').next().unwrap();
        let name = name.strip_suffix("_total").unwrap_or(name);
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if name.starts_with("keyloft_")
            && is_name
            && name.len() > 8
            && !SYSTEM_STREAMS.contains(&name)
            && !known.contains_key(name)
        {
            unknown.push(format!("{place}: {text}"));
        }
    }
    assert!(unknown.is_empty(), "metrics that are not there:\n  {}", unknown.join("\n  "));
}
