//! Blocks of shell, run page by page against a fresh server.
//!
//! The blocks of a page share one shell, so that a later one uses the variables of an earlier one. Comments before a
//! block say more:
//! - `<!-- not run: REASON -->`: the block cannot run in a test. Scripts and tests that the reason names must exist.
//! - `<!-- file: NAME -->`: the block is the content of a file, which later blocks use.
//! - `<!-- prints -->`: the block is what the block before prints; `…` stands for anything, alone on a line for lines.
//!
//! A block of `sql` is one query with the page's `$QUERY`.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::pages::{Block, Page, page, pages, root};
use crate::support::Process;

const PRELUDE: &str = r#"
ask() {
    jq -Rs '{query: .}' | curl -sS --fail-with-body "$KEYLOFT_URL/api/v1/query" -H "X-API-KEY: $QUERY" \
        -H 'Content-Type: application/json' --data-binary @-
}
"#;

/// What stands between the outputs of two blocks.
const SEPARATOR: char = '\u{1e}';

/// What a page runs, and what it says that is printed.
#[derive(Default)]
struct Script<'a> {
    text: String,
    blocks: Vec<Block<'a>>,
    prints: Vec<(usize, &'a str)>,
}

impl<'a> Script<'a> {
    fn of(page: &'a Page) -> Self {
        let mut script = Self::default();
        for block in page.blocks() {
            let place = format!("{}:{}", page.path.display(), block.line);
            script.add(block, &place);
        }
        script
    }

    fn add(&mut self, block: Block<'a>, place: &str) {
        let marker = block.marker.map(|marker| marker.split_once(':').unwrap_or((marker, "")));
        match (marker, block.language) {
            (Some(("not run", reason)), _) => check_reason(reason, place),
            (Some(("file", name)), _) => {
                writeln!(self.text, "cat > {} <<'KEYLOFT_END_OF_FILE'", name.trim()).unwrap();
                writeln!(self.text, "{}KEYLOFT_END_OF_FILE", block.text).unwrap();
            }
            (Some(("prints", _)), _) => {
                let last = self.blocks.len().checked_sub(1).unwrap_or_else(|| panic!("{place}: nothing runs before"));
                self.prints.push((last, block.text));
            }
            (None, "sh") => self.run(block, block.text),
            (None, "sql") => {
                self.run(block, &format!("ask <<'KEYLOFT_END_OF_QUERY'\n{}KEYLOFT_END_OF_QUERY\n", block.text))
            }
            (None, "json") => {
                let parsed = serde_json::from_str::<serde_json::Value>(block.text);
                assert!(parsed.is_ok(), "{place}: this is not JSON: {parsed:?}");
            }
            (None, "toml") => {
                let parsed = toml::from_str::<toml::Table>(block.text);
                assert!(parsed.is_ok(), "{place}: this is not TOML: {parsed:?}");
            }
            (None, "text" | "rust" | "nginx" | "caddyfile" | "mermaid") => {}
            (marker, language) => {
                panic!("{place}: nobody knows what to do with a block of {language:?} after {marker:?}")
            }
        }
    }

    fn run(&mut self, block: Block<'a>, text: &str) {
        writeln!(self.text, "printf '\\036'\n{text}").unwrap();
        self.blocks.push(block);
    }
}

fn check_reason(reason: &str, place: &str) {
    assert!(reason.trim().len() > 10, "{place}: say why the block is not run");
    for word in reason.split_whitespace().filter(|word| word.contains('/')) {
        let path = word.trim_matches(|c: char| !c.is_alphanumeric());
        assert!(root().join(path).exists(), "{place}: there is no {path}");
    }
}

/// A folder to run in, with links to what commands of the pages read.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["fixtures", "scripts", "examples"] {
        std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Runs a page, and returns what each of its blocks printed.
fn run(page: &Page, script: &Script<'_>) -> Vec<String> {
    let folder = folder();
    let server = Process::serve(&folder.path().join("keyloft-data"), &[]);
    let binary = Path::new(env!("CARGO_BIN_EXE_keyloft"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    // A reader of the tour may have run the commands that the server prints when it starts.
    let greeting = server.greeting().lines().filter(|line| line.contains(" key create "));
    let mut greeted: String = greeting.map(|command| format!("{command} > greeted\n")).collect();
    assert_eq!(greeted.lines().count(), 2, "{}", server.greeting());
    if !page.path.ends_with("README.md") {
        greeted.clear(); // Other pages print the numbers of changes.
    }
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &(PRELUDE.to_owned() + &greeted + &script.text)])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("KEYLOFT_URL", server.url())
        .env("KEYLOFT_ADMIN_TOKEN", server.admin_token().expect("the first start prints a token"))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let outputs: Vec<String> = printed.split(SEPARATOR).skip(1).map(str::to_owned).collect();
    if !output.status.success() {
        let block = script.blocks[outputs.len() - 1];
        let complaint = String::from_utf8_lossy(&output.stderr);
        panic!("{}:{} fails:\n{printed}\n{complaint}", page.path.display(), block.line);
    }
    outputs
}

#[test]
fn every_block_of_shell_does_what_its_page_says() {
    for page in pages() {
        let mut script = Script::of(&page);
        if script.blocks.is_empty() {
            continue;
        }
        script.text = at_any_address(&script.text);
        let outputs = run(&page, &script);
        assert_eq!(outputs.len(), script.blocks.len());
        for (at, expected) in &script.prints {
            let (expected, printed): (Vec<&str>, Vec<&str>) =
                (expected.lines().collect(), outputs[*at].lines().collect());
            let place = format!("{}:{}", page.path.display(), script.blocks[*at].line);
            assert!(
                prints(&expected, &printed),
                "{place} prints:\n{}\nexpected:\n{}",
                outputs[*at],
                expected.join("\n")
            );
        }
    }
}

/// The pages name the default address; the server of a test has another.
fn at_any_address(text: &str) -> String {
    text.replace("'http://127.0.0.1:8000", "\"$KEYLOFT_URL\"'").replace("http://127.0.0.1:8000", "$KEYLOFT_URL")
}

/// Whether lines were printed as expected.
fn prints(expected: &[&str], printed: &[&str]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => (0..=printed.len()).any(|skipped| prints(rest, &printed[skipped..])),
        (Some((line, rest)), Some((shown, others))) => matches(line, shown) && prints(rest, others),
        _ => false,
    }
}

/// Whether a line is as expected, each `…` standing for any characters.
fn matches(expected: &str, printed: &str) -> bool {
    let Some((head, rest)) = expected.split_once('…') else { return expected == printed };
    let Some(printed) = printed.strip_prefix(head) else { return false };
    let ends = printed.char_indices().map(|(at, _)| at).chain([printed.len()]);
    ends.into_iter().any(|at| matches(rest, &printed[at..]))
}

#[test]
fn an_ellipsis_stands_for_anything() {
    assert!(matches("a…c", "abc") && matches("…", "") && matches("x", "x") && !matches("a…c", "abd"));
    assert!(prints(&["a", "…", "c"], &["a", "b", "b", "c"]) && prints(&["…"], &[]) && !prints(&["a"], &["a", "b"]));
}

#[test]
fn the_configuration_file_of_the_docs_is_accepted() {
    let folder = folder();
    let page = page("docs/configuration.md");
    let file = folder.path().join("keyloft.toml");
    std::fs::write(&file, page.only("toml").text).unwrap();
    let server =
        Process::serve(&folder.path().join("store"), &["--config", file.to_str().unwrap(), "--log-format", "text"]);
    assert!(server.url().starts_with("http://127.0.0.1:"));
}
