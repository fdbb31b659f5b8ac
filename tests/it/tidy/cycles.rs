//! No file imports another that imports it, by whatever way.

use std::collections::{BTreeMap, BTreeSet};

use super::{assert_none, sources};

/// A module as its path: `["store", "bucket"]`.
type Module = Vec<String>;

/// What each file defines and names.
#[derive(Default)]
struct File {
    defined: BTreeSet<String>,
    imports: Vec<Import>,
    /// Paths in its code: `limits::Quota`.
    paths: BTreeSet<Vec<String>>,
    words: BTreeSet<String>,
}

struct Import {
    /// Whether others can import it from here.
    public: bool,
    path: Vec<String>,
    name: String,
}

struct House(BTreeMap<Module, File>);

impl House {
    fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let read = |(path, code): (String, String)| (module(&path), File::of(&code));
        Self(files.into_iter().map(read).collect())
    }

    /// The module in which a path ends, through re-exports; `None` for what is not ours.
    fn home(&self, path: &[String], depth: usize) -> Option<&Module> {
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (at, file) = self.0.get_key_value(&path[..length])?;
        let name = path.get(length)?; // A module is no item.
        if file.defined.contains(name) || depth == 0 {
            return Some(at);
        }
        match file.imports.iter().find(|import| import.name == *name) {
            Some(import) => {
                let more = path[length + 1..].iter().cloned();
                self.home(&self.absolute(at, &import.path)?.into_iter().chain(more).collect::<Vec<_>>(), depth - 1)
            }
            None => Some(at),
        }
    }

    /// A path as it stands in the file of `at`, from the root.
    fn absolute(&self, at: &Module, path: &[String]) -> Option<Vec<String>> {
        let (mut from, mut rest) = (at.clone(), path);
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    from.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child = [at.as_slice(), &[first.to_owned()]].concat();
                if !self.0.contains_key(&child) {
                    let import = self.0[at].imports.iter().find(|import| import.name == first)?;
                    let imported = import.path.first().is_some_and(|head| head != first);
                    return imported.then(|| self.absolute(at, &[&import.path, &path[1..]].concat()))?;
                }
            }
        }
        Some([&from, rest].concat())
    }

    /// The files that a file needs. The head of a folder lists what is in it, which ties it to nothing.
    fn needs(&self, at: &Module) -> BTreeSet<&Module> {
        let file = &self.0[at];
        let used = file.imports.iter().filter(|import| !import.public || file.words.contains(&import.name));
        let paths = used.map(|import| &import.path).chain(&file.paths);
        let homes = paths.filter_map(|path| self.home(&self.absolute(at, path)?, 8));
        homes.filter(|home| !home.starts_with(at)).collect()
    }

    /// The shortest way from a file back to itself.
    fn cycle<'a>(&'a self, start: &'a Module) -> Option<Vec<&'a Module>> {
        let (mut seen, mut ways) = (BTreeSet::new(), std::collections::VecDeque::from([vec![start]]));
        while let Some(way) = ways.pop_front() {
            for next in self.needs(way.last()?) {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next) {
                    ways.push_back([way.as_slice(), &[next]].concat());
                }
            }
        }
        None
    }

    /// Every cycle, once.
    fn cycles(&self) -> BTreeSet<String> {
        let first = |cycle: &Vec<&Module>| cycle.iter().all(|module| *module >= cycle[0]);
        let text = |cycle: Vec<&Module>| cycle.iter().map(|module| module.join("/")).collect::<Vec<_>>().join(" -> ");
        self.0.keys().filter_map(|module| self.cycle(module)).filter(first).map(text).collect()
    }
}

impl File {
    fn of(code: &str) -> Self {
        let mut file = Self::default();
        let (mut uses, mut rest) = (String::new(), String::new());
        let mut in_use = false;
        for line in code.lines() {
            let start = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            in_use |= start.starts_with("use ") || start.starts_with("pub use ") || start.starts_with("pub(in");
            in_use &= in_use && !start.contains(" fn ");
            let text = if in_use { &mut uses } else { &mut rest };
            text.push_str(line);
            text.push('\n');
            in_use &= !line.contains(';');
        }
        for statement in uses.split(';') {
            if let Some((before, tree)) = statement.split_once("use ") {
                file.imports.extend(expand(tree).into_iter().map(|(path, name)| Import {
                    public: before.contains("pub"),
                    path,
                    name,
                }));
            }
        }
        let mut before = "";
        for word in rest.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':' | '!')) {
            let defines = ["struct", "enum", "trait", "type", "fn", "const", "static", "macro_rules!"];
            if defines.contains(&before) {
                file.defined.insert(word.trim_end_matches(':').to_owned());
            }
            let path: Vec<String> = word.split("::").map(|part| part.trim_matches(':').to_owned()).collect();
            file.words.insert(path[0].clone());
            if path.len() > 1 && path[0].starts_with(char::is_lowercase) {
                file.paths.insert(path);
            }
            before = if word.is_empty() { before } else { word };
        }
        file
    }
}

/// The paths of a tree (`a::{b, c as d}`), and the names they have here.
fn expand(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let (mut depth, mut parts) = (0, vec![String::new()]);
        for c in group.trim_end().strip_suffix('}').unwrap().chars() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            match c {
                ',' if depth == 0 => parts.push(String::new()),
                c => parts.last_mut().unwrap().push(c),
            }
        }
        let parts = parts.iter().filter(|part| !part.trim().is_empty());
        return parts.flat_map(|part| expand(&format!("{head}{}", part.trim()))).collect();
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
    let mut path: Vec<String> = path.trim().split("::").map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.map(str::trim).or(path.last().map(String::as_str)).unwrap_or_default().to_owned();
    vec![(path, name)]
}

/// `store/bucket.rs` and `store/mod.rs` as modules.
fn module(path: &str) -> Module {
    let parts = path.trim_end_matches(".rs").split('/').map(str::to_owned);
    parts.filter(|part| !matches!(part.as_str(), "mod" | "lib")).collect()
}

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let files = sources().into_iter().filter(|source| !matches!(&*source.path, "main.rs" | "build.rs"));
    let house = House::of(files.map(|source| (source.path, source.code)));
    assert!(house.needs(&module("store/bucket.rs")).len() > 5, "the imports of src/store/bucket.rs are not found");
    assert_none("files that import each other in a circle", &house.cycles().into_iter().collect::<Vec<_>>());
}

#[test]
fn a_circle_is_found_through_a_re_export_and_through_a_path() {
    let house = |a: &str| {
        let files = [
            ("lib.rs", "mod x;"),
            ("x/mod.rs", "mod a;\nmod b;\npub use a::{One, Two as Zwei};\npub use b::Three;\npub struct Root(Three);"),
            ("x/a.rs", a),
            ("x/b.rs", "use super::{\n    One, Root,\n};\npub struct Three(One, Root);"),
        ];
        House::of(files.map(|(path, code)| (path.to_owned(), code.to_owned()))).cycles().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(house("pub struct One;\npub struct Two;"), Vec::<String>::new());
    assert_eq!(house("use super::Three;\npub struct One(Three);"), ["x/a -> x/b"]);
    assert_eq!(house("use super::b;\npub struct One(b::Three);"), ["x/a -> x/b"]);
    assert_eq!(house("pub struct One(crate::x::Three);"), ["x/a -> x/b"]);
}
