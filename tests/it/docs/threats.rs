//! The threat model: every claim names a test that exists.

use std::collections::BTreeSet;
use std::path::Path;

use super::pages::{page, root};

/// The names of all functions below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names =
                text.split("fn ").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name.to_owned());
            found.extend(names);
        }
    }
}

/// What stands between backticks in a text, and is a sentence with underscores.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_test = |word: &&str| {
        word.matches('_').count() >= 3 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    text.split('`').skip(1).step_by(2).filter(is_test)
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let mut known = BTreeSet::new();
    functions(&root().join("src"), &mut known);
    functions(&root().join("tests"), &mut known);
    let page = page("docs/threat-model.md");
    let missing: Vec<_> = named(&page.text).filter(|name| !known.contains(*name)).collect();
    assert!(missing.is_empty(), "no test has these names: {missing:?}");
    assert!(named(&page.text).count() > 50);
}

#[test]
fn every_promise_of_the_threat_model_names_a_test() {
    let page = page("docs/threat-model.md");
    let mut promises = Vec::new();
    let mut is_promises = false;
    for line in page.text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        match cells[..] {
            ["", "promise", _, _, ""] => is_promises = true,
            ["", promise, shows, test, ""] if is_promises && !promise.starts_with("---") => {
                assert!(!promise.is_empty() && !shows.is_empty(), "{line}");
                promises.push((promise.to_owned(), named(test).count()));
            }
            ["", _, _, _, ""] => {}
            _ => is_promises = false,
        }
    }
    let bare: Vec<_> = promises.iter().filter(|(_, tests)| *tests == 0).collect();
    assert!(bare.is_empty(), "promises without a test: {bare:?}");
    assert!(promises.len() > 30, "{promises:?}");
}
