//! The rules of the house, checked against the text of `src/`.

mod cycles;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each module may import from its neighbours. Data flows one way: a module that is not listed is out of reach.
/// Two edges look up on purpose: `keystore → sync` (a keystore can sync) and `access → store` (the digest of the admin
/// token is in the bucket).
const EDGES: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("clock", &["error"]),
    ("key", &[]),
    ("serde_text", &[]),
    ("policy", &[]),
    ("challenge", &["policy"]),
    ("layout", &["key"]),
    ("store", &["error", "key", "layout"]),
    ("jitter", &[]),
    ("documents", &["error", "jitter", "key", "layout", "store"]),
    ("cache", &["error", "key", "layout"]),
    ("sync", &["cache", "clock", "documents", "error", "jitter", "key", "layout", "store"]),
    ("keystore", &["cache", "clock", "documents", "error", "key", "layout", "store", "sync"]),
    ("shared_redis", &["error"]),
    ("access", &["cache", "clock", "error", "key", "layout", "shared_redis", "store"]),
    ("stream", &["cache", "clock", "documents", "error", "key", "layout", "store"]),
    ("ingest", &["clock", "error", "key", "layout", "store", "stream"]),
    ("compaction", &["clock", "documents", "error", "key", "keystore", "layout", "store", "stream", "sync"]),
    ("query", &["error", "key", "store", "stream"]),
    ("usage", &["documents", "error", "key", "keystore", "layout", "store", "stream", "sync"]),
    ("operators", &["documents", "error", "jitter", "key", "keystore", "layout", "store", "sync"]),
    ("jwt", &[]),
    ("signin", &["clock", "error", "jwt", "key", "operators"]),
    (
        "audit",
        &[
            "clock",
            "documents",
            "error",
            "jitter",
            "key",
            "keystore",
            "layout",
            "operators",
            "policy",
            "policy_book",
            "store",
            "stream",
            "sync",
        ],
    ),
    ("telemetry", &["error"]),
    (
        "policy_book",
        &[
            "cache",
            "clock",
            "documents",
            "error",
            "jitter",
            "key",
            "keystore",
            "layout",
            "operators",
            "policy",
            "store",
            "sync",
        ],
    ),
    (
        "mitigations",
        &[
            "cache",
            "clock",
            "documents",
            "error",
            "key",
            "keystore",
            "layout",
            "operators",
            "policy",
            "policy_book",
            "store",
            "sync",
        ],
    ),
    (
        "decisions",
        &[
            "challenge",
            "clock",
            "documents",
            "error",
            "jitter",
            "key",
            "keystore",
            "layout",
            "mitigations",
            "policy",
            "policy_book",
            "shared_redis",
            "store",
            "stream",
        ],
    ),
    ("backtest", &["decisions", "error", "key", "policy", "policy_book", "query", "stream"]),
    (
        "config",
        &[
            "compaction",
            "decisions",
            "ingest",
            "key",
            "operators",
            "query",
            "signin",
            "store",
            "sync",
            "telemetry",
            "usage",
        ],
    ),
    (
        "http",
        &[
            "access",
            "audit",
            "backtest",
            "cache",
            "challenge",
            "clock",
            "compaction",
            "config",
            "decisions",
            "documents",
            "error",
            "ingest",
            "key",
            "keystore",
            "layout",
            "mitigations",
            "operators",
            "policy",
            "policy_book",
            "query",
            "serde_text",
            "shared_redis",
            "signin",
            "store",
            "stream",
            "sync",
            "telemetry",
            "usage",
        ],
    ),
    (
        "cli",
        &[
            "access",
            "audit",
            "cache",
            "clock",
            "config",
            "documents",
            "error",
            "http",
            "key",
            "layout",
            "operators",
            "policy",
            "policy_book",
            "serde_text",
            "store",
            "telemetry",
            "stream",
        ],
    ),
];

/// Where each library may be named.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("actix_web", &["http/", "cli/serve.rs"]), // serve starts the runtime that actix needs
    ("clap", &["cli/"]),
    ("datafusion", &["query/"]),
    ("jsonwebtoken", &["jwt/"]),
    ("redis", &["shared_redis.rs"]),
    ("reqwest", &["cli/connection.rs", "signin/fetch.rs"]),
    (
        "ring",
        &[
            "challenge/keys.rs",
            "challenge/puzzle.rs",
            "jwt/crypto.rs",
            "operators/signers.rs",
            "operators/token.rs",
            "policy/entity.rs",
        ],
    ),
    ("sha2", &["key/digest.rs"]),
    ("rand", &["key/secret.rs"]),
    ("subtle", &["key/digest.rs"]),
    // DataFusion reads events through the same store, and wraps it.
    (
        "object_store",
        &[
            "store/",
            "stream/objects.rs",
            "stream/object_reader.rs",
            "compaction/",
            "query/engine.rs",
            "query/tables.rs",
            "query/failure.rs",
            "query/kept/",
            "query/named_objects.rs",
            "query/object_reader.rs",
        ],
    ),
    ("once_cell", &["cache/global.rs"]),
    ("scrypt", &["cli/key/hash.rs"]),
    ("serde_path_to_error", &["cli/yaml.rs", "serde_text.rs"]),
    ("serde_saphyr", &["cli/yaml.rs", "cli/apply/file.rs", "cli/import/vmauth.rs", "cli/policy/file.rs"]),
];

/// Every `static`. A counter that only makes file names differ within the process holds no state of the system.
const STATICS: &[(&str, &str)] =
    &[("cache/global.rs", "CACHE"), ("main.rs", "ALLOCATOR"), ("store/durable.rs", "NEXT")];

/// Words that only `layout` may spell.
const OBJECT_NAMES: &[&str] =
    &["apikeys", ".settings", "streams/", "schema.json", "manifest.json", "tenant.json", "admin.json", "members.json"];

/// Where such a word means something else: a segment of a URL, or what must not reach a client.
const NO_OBJECT_NAMES: &[(&str, &str)] = &[
    ("http/", "/apikeys"),
    ("cli/key/", "\"apikeys\""),
    ("cli/apply/", "\"apikeys\""),
    ("cli/import/", "\"apikeys\""),
    ("cli/import/parseable/run.rs", ".settings/apikeys/<ulid>.json"), // said to people
    ("query/failure.rs", "contains(\"streams/\")"),
];

const MAX_LINES: usize = 400;
const MAX_COLUMNS: usize = 120;
const MAX_MEDIAN: usize = 150;

/// A file of `src/`.
struct Source {
    /// Its path below `src/`.
    path: String,
    /// All of it.
    text: String,
    /// What is neither comment nor test.
    code: String,
}

impl Source {
    /// The module it belongs to.
    fn module(&self) -> &str {
        let head = self.path.split('/').next().unwrap();
        head.trim_end_matches(".rs")
    }

    /// The lines of its code, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(at, line)| (at + 1, line))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = |(path, text): (String, String)| {
        let is_test = path.split('/').any(|part| matches!(part, "tests" | "tests.rs"));
        let code = if is_test { String::new() } else { code(&text) };
        Source { path, text, code }
    };
    let found: Vec<Source> = texts(&root).into_iter().map(source).collect();
    assert!(found.len() > 100, "only {} files found in {}", found.len(), root.display());
    found
}

/// Every source below a folder: its path from there, and its text.
fn texts(root: &Path) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Blanks comments, and ends where the tests of a file begin: they stand last.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let line = |line: &str| line.split_once("//").map_or(line, |(code, _)| without_url(line, code)).to_owned() + "\n";
    text[..end].lines().map(line).collect()
}

/// `//` inside of a literal (`"s3://"`) is no comment.
fn without_url<'a>(line: &'a str, code: &'a str) -> &'a str {
    if code.ends_with(':') || code.matches('"').count() % 2 == 1 { line } else { code }
}

/// The words that follow `prefix` in a text, those in braces (`crate::{a, b}`) included.
fn after(text: &str, prefix: &str) -> BTreeSet<String> {
    let word = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    let mut found = BTreeSet::new();
    for rest in text.split(prefix).skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group.split('}').next().unwrap().split(',').map(|item| word(item.trim()))),
            None => _ = found.insert(word(rest)),
        }
    }
    found
}

#[track_caller]
fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn imports_point_downwards_only() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !matches!(&*source.path, "build.rs" | "lib.rs" | "main.rs")) {
        let allowed = EDGES.iter().find(|(module, _)| *module == source.module());
        let Some((module, allowed)) = allowed else {
            broken.push(format!("{} is in no module of EDGES: say there what it may import", source.path));
            continue;
        };
        for used in after(&source.code, "crate::") {
            // Types re-exported at the root (`crate::Result`) belong to `error`, `clock` and `store`.
            let root = used.starts_with(char::is_uppercase);
            if !root && used != *module && !allowed.contains(&&*used) {
                broken.push(format!("{} uses crate::{used}", source.path));
            }
        }
    }
    assert_none("an import that EDGES in tests/it/tidy does not allow", &broken);
    for (module, allowed) in EDGES {
        let code: String =
            sources().iter().filter(|source| source.module() == *module).map(|source| source.code.clone()).collect();
        let used = after(&code, "crate::");
        let unused: Vec<_> = allowed.iter().filter(|edge| !used.contains(**edge)).map(ToString::to_string).collect();
        assert_none(&format!("edges of {module} that EDGES allows and no import needs"), &unused);
    }
}

#[test]
fn a_library_is_named_only_where_it_belongs() {
    let mut broken = Vec::new();
    for (library, places) in LIBRARIES {
        let names = |source: &Source| {
            let word = |end: char| !end.is_alphanumeric() && end != '_';
            source.code.match_indices(library).any(|(at, _)| {
                let (before, behind) = (&source.code[..at], &source.code[at + library.len()..]);
                before.ends_with(word)
                    && (behind.starts_with("::") || before.ends_with("use ") && behind.starts_with(';'))
            })
        };
        let sources = sources();
        let users: Vec<_> = sources.iter().filter(|source| names(source)).map(|source| &*source.path).collect();
        let stray = users.iter().filter(|user| !places.iter().any(|place| user.starts_with(place)));
        broken.extend(stray.map(|user| format!("{library} in {user}")));
        let empty = places.iter().filter(|place| !users.iter().any(|user| user.starts_with(**place)));
        broken.extend(empty.map(|place| format!("{library} is not in {place} any more: take it out of LIBRARIES")));
    }
    assert_none("a library outside of its place (LIBRARIES in tests/it/tidy)", &broken);
}

#[test]
fn there_is_one_static() {
    let mut found = Vec::new();
    for source in sources() {
        for (_, line) in source.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let Some(at) = words.iter().position(|word| *word == "static") {
                found.push((source.path.clone(), words[at + 1].trim_end_matches(':').to_owned()));
            }
            assert!(!line.contains("thread_local!") && !line.contains("lazy_static!"), "{}: {line}", source.path);
        }
    }
    let expected: Vec<_> = STATICS.iter().map(|(path, name)| ((*path).to_owned(), (*name).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn files_are_short() {
    let mut lengths: Vec<_> = sources().into_iter().map(|source| (source.text.lines().count(), source.path)).collect();
    lengths.sort();
    let long: Vec<_> =
        lengths.iter().filter(|(lines, _)| *lines > MAX_LINES).map(|found| format!("{found:?}")).collect();
    assert_none(&format!("files above {MAX_LINES} lines"), &long);
    let median = lengths[lengths.len() / 2].0;
    assert!(median <= MAX_MEDIAN, "the median is {median} lines, above {MAX_MEDIAN}: {lengths:#?}");
}

/// The columns of a line without its longest literal, which the formatter does not break.
fn columns(line: &str) -> usize {
    let literals = line.split('"').skip(1).step_by(2);
    line.chars().count() - literals.map(|literal| literal.chars().count()).max().unwrap_or(0)
}

/// The formatter leaves comments and the insides of macros as they are.
#[test]
fn lines_fit_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wide = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for (path, text) in texts(&root.join(folder)) {
            for (at, line) in text.lines().enumerate() {
                // A quotation in a comment can be broken.
                let columns = if line.trim_start().starts_with("//") { line.chars().count() } else { columns(line) };
                if columns > MAX_COLUMNS {
                    wide.push(format!("{folder}/{path}:{}", at + 1));
                }
            }
        }
    }
    assert_none(&format!("lines of more than {MAX_COLUMNS} columns"), &wide);
}

#[test]
fn object_names_are_spelt_in_layout_only() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.module() != "layout") {
        for (number, line) in source.lines() {
            let allowed = NO_OBJECT_NAMES.iter().filter(|(place, _)| source.path.starts_with(place));
            let line = allowed.fold(line.to_owned(), |line, (_, harmless)| line.replace(harmless, ""));
            let literals: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            let name = OBJECT_NAMES.iter().find(|name| literals.iter().any(|literal| literal.contains(**name)));
            broken.extend(name.map(|name| format!("{name} in {}:{number}", source.path)));
        }
    }
    assert_none("object names outside of src/layout", &broken);
}

#[test]
fn every_folder_has_a_table_of_contents() {
    let sources = sources();
    let folders: BTreeSet<_> =
        sources.iter().filter_map(|source| source.path.rsplit_once('/')).map(|(at, _)| at).collect();
    let mut broken = Vec::new();
    for folder in folders {
        let named = [format!("{folder}/mod.rs"), format!("{folder}.rs")];
        let head = sources.iter().find(|source| named.contains(&source.path));
        if !head.is_some_and(|head| head.text.starts_with("//! ")) {
            broken.push(format!("{folder}/mod.rs"));
        }
    }
    assert_none("a folder whose mod.rs does not begin with what lives here (//!)", &broken);
    let silent = sources.iter().filter(|source| !source.code.is_empty() && !source.text.starts_with("//! "));
    assert_none("a file that does not say what it is", &silent.map(|source| source.path.clone()).collect::<Vec<_>>());
}

#[test]
fn nothing_panics_on_purpose() {
    const WORDS: [&str; 6] = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "dbg!("];
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.lines() {
            broken.extend(
                WORDS
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{word} in {}:{number}", source.path)),
            );
        }
    }
    assert_none("a panic outside of tests", &broken);
}
