//! The public items of the crate are those that `docs/embedding.md` lists: everything else is hidden or private.

use std::collections::{BTreeMap, BTreeSet};

use super::pages::root;
use super::tables::{quoted, table};

/// The modules of the contract, with the file that declares the items of each.
const MODULES: &[(&str, &str)] = &[
    ("keyloft", "lib.rs"),
    ("keyloft::access", "access/mod.rs"),
    ("keyloft::config", "config/mod.rs"),
    ("keyloft::http", "http/mod.rs"),
    ("keyloft::http::middleware", "http/middleware/mod.rs"),
    ("keyloft::key", "key/mod.rs"),
    ("keyloft::keystore", "keystore/mod.rs"),
    ("keyloft::store", "store/mod.rs"),
];

/// The names that a declaration makes public: those of a `pub use`, or the name of an item.
fn names(declaration: &str) -> Vec<String> {
    let name = |path: &str| path.trim().rsplit("::").next().unwrap().rsplit(" as ").next().unwrap().trim().to_owned();
    if let Some(path) = declaration.strip_prefix("pub use ") {
        let path = path.trim_end_matches(';');
        return match path.split_once('{') {
            Some((_, group)) => {
                group.trim_end_matches('}').split(',').map(name).filter(|name| !name.is_empty()).collect()
            }
            None => vec![name(path)],
        };
    }
    let head = declaration.split(['(', '{', '<', ':', '=', ';']).next().unwrap();
    let name = head.split_whitespace().last().unwrap();
    vec![name.to_owned()]
}

/// The public items at the top level of a file, without those that the documentation hides.
fn public(source: &str) -> BTreeSet<String> {
    let (mut found, mut is_hidden) = (BTreeSet::new(), false);
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("#[doc(hidden)]") {
            is_hidden = true;
        } else if line.starts_with("pub ") {
            let mut declaration = line.to_owned();
            while line.starts_with("pub use ") && !declaration.ends_with(';') {
                declaration.push_str(lines.next().unwrap().trim());
            }
            if !is_hidden {
                found.extend(names(&declaration));
            }
            is_hidden = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_hidden = false;
        }
    }
    found
}

#[test]
fn the_documented_items_are_the_public_items() {
    let is: BTreeMap<String, BTreeSet<String>> = MODULES
        .iter()
        .map(|(module, file)| {
            let mut items = public(&std::fs::read_to_string(root().join("src").join(file)).unwrap());
            items.retain(|item| !MODULES.iter().any(|(other, _)| *other == format!("{module}::{item}")));
            ((*module).to_owned(), items)
        })
        .collect();
    let said: BTreeMap<String, BTreeSet<String>> = table("docs/embedding.md", "| module | items |")
        .iter()
        .map(|row| (quoted(&row[0]).next().unwrap().to_owned(), quoted(&row[1]).map(str::to_owned).collect()))
        .collect();
    assert_eq!(said, is, "docs/embedding.md and the public items of src differ");
}

#[test]
fn hidden_and_private_items_are_not_public() {
    let source = "pub mod a;\nmod b;\n#[doc(hidden)]\npub use c::D;\n#[cfg(x)]\npub use e::{\n    F, G,\n};\npub(crate) use h::I;\n\
                  /// J.\npub struct J<T> {\n    pub k: T,\n}\n#[doc(hidden)]\n#[cfg(x)]\npub fn l() {}\n\
                  pub const fn m() {}\n";
    assert_eq!(public(source).into_iter().collect::<Vec<_>>(), ["F", "G", "J", "a", "m"]);
}
