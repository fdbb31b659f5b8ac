//! Plain words and short lines.

use super::pages::{Page, page, pages, root};

const MAX_COLUMNS: usize = 120;

/// Words that made older texts hard to read, and what to write instead.
const RIDDLES: &[(&str, &str)] = &[
    ("whoever", "name who: the client, the operator, the caller"),
    ("nobody's", "say what is meant: unknown, no tenant"),
    ("of which nothing is said", "say: by default"),
    ("is told", "say: is notified, is answered, reports"),
    ("are told", "say: are notified, are answered, report"),
    ("brought along", "say: imported"),
    ("looks at everything", "say: full reconcile"),
    ("look at everything", "say: full reconcile"),
];

/// More of them, in comments of sources. A comment can use none of these words well.
const SOURCE_RIDDLES: &[(&str, &str)] = &[
    ("was told", "say: was notified, was configured"),
    ("told of", "say: reported, announced"),
    ("by whomever", "say: by another writer"),
    ("nothing is said", "say: by default, unset"),
    ("it was so already", "say: no change"),
    ("bring along", "say: import"),
    ("brings along", "say: imports"),
    ("speaks of", "say: holds, names"),
    ("speak of", "say: hold, name"),
    ("can be told", "say: is known"),
    ("said so", "say: published, confirmed"),
    ("so that it can be relied on", "say what is guaranteed"),
    ("listing tells", "say: listing shows"),
    ("reaches nobody", "say who does not see it"),
];

#[test]
fn lines_are_short() {
    let mut long = Vec::new();
    for page in pages() {
        // A row of a table cannot be broken.
        let lines = page.text.lines().enumerate().filter(|(_, line)| !line.starts_with('|'));
        let too_long = lines.filter(|(_, line)| line.chars().count() > MAX_COLUMNS);
        long.extend(too_long.map(|(at, _)| format!("{}:{}", page.path.display(), at + 1)));
    }
    assert!(long.is_empty(), "lines of more than {MAX_COLUMNS} characters:\n  {}", long.join("\n  "));
}

/// Tests read code in the text line by line.
#[test]
fn code_in_a_sentence_stands_on_one_line() {
    let mut broken = Vec::new();
    for page in pages() {
        let odd = page.prose().filter(|(_, line)| line.matches('`').count() % 2 == 1);
        broken.extend(odd.map(|(number, _)| format!("{}:{number}", page.path.display())));
    }
    assert!(broken.is_empty(), "backticks that are not closed on their line:\n  {}", broken.join("\n  "));
}

/// The pages, and the sources that people read beside them.
fn texts() -> Vec<Page> {
    let mut texts = pages();
    for folder in ["examples", "scripts"] {
        for file in std::fs::read_dir(root().join(folder)).unwrap() {
            texts.push(page(&format!("{folder}/{}", file.unwrap().file_name().to_str().unwrap())));
        }
    }
    texts
}

/// The riddles of a text, whose sentences run over lines.
fn riddles<'a>(text: &str, list: &[&'a [(&'a str, &'a str)]]) -> Vec<String> {
    let text = text.to_lowercase().replace(['\n', '#'], " ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = list.iter().copied().flatten().filter(|(riddle, _)| text.contains(riddle));
    found.map(|(riddle, advice)| format!("\"{riddle}\": {advice}")).collect()
}

#[test]
fn words_are_plain() {
    let mut found = Vec::new();
    for page in texts() {
        let path = page.path.display();
        found.extend(riddles(&page.text, &[RIDDLES]).iter().map(|riddle| format!("{path}: {riddle}")));
    }
    assert!(found.is_empty(), "riddles:\n  {}", found.join("\n  "));
}

/// Every source below a folder, by its path from the root.
fn sources(folder: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            sources(&path, found);
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The comments of a source, without their marks.
fn comments(source: &str) -> String {
    let lines = source.lines().filter_map(|line| Some(&line[line.find("//")?..]));
    lines.map(|line| line.trim_start_matches(['/', '!']).to_owned() + "\n").collect()
}

#[test]
fn words_of_comments_are_plain() {
    let mut paths = Vec::new();
    ["src", "tests", "benches"].iter().for_each(|folder| sources(folder, &mut paths));
    assert!(paths.len() > 300, "only {} sources are found", paths.len());
    let mut found = Vec::new();
    for path in paths.iter().filter(|path| !path.ends_with("docs/style.rs")) {
        let comments = comments(&std::fs::read_to_string(root().join(path)).unwrap());
        found.extend(riddles(&comments, &[RIDDLES, SOURCE_RIDDLES]).iter().map(|riddle| format!("{path}: {riddle}")));
    }
    assert!(found.is_empty(), "riddles:\n  {}", found.join("\n  "));
}

#[test]
fn a_riddle_is_found_across_lines() {
    let source = "/// The client\n    /// is told.\nlet told = \"whoever\";\n";
    assert_eq!(riddles(&comments(source), &[RIDDLES, SOURCE_RIDDLES]).len(), 1);
}

#[test]
fn the_readme_is_read_in_one_go() {
    let lines = page("README.md").text.lines().count();
    assert!(lines <= 170, "README.md has {lines} lines: reference belongs into docs/");
}

/// The README's example of embedding is part of an example that is compiled.
#[test]
fn the_readme_embeds_as_the_example_does() {
    let readme = page("README.md");
    let example = std::fs::read_to_string(root().join("examples/embed.rs")).unwrap();
    let example: Vec<&str> = example.lines().map(str::trim).collect();
    for line in readme.only("rust").text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(example.contains(&line), "examples/embed.rs has no line {line}");
    }
}
