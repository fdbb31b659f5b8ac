//! Internal links: the file is there, and so is the heading.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::pages::{Page, pages, root};

/// The targets of the links of a page, and where they stand.
fn links(page: &Page) -> Vec<(usize, &str)> {
    let targets = |(number, line): (usize, &'_ str)| {
        line.match_indices("](").map(move |(at, _)| (number, at + 2)).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for (number, line) in page.prose() {
        for (_, at) in targets((number, line)) {
            let target = &line[at..];
            found.push((number, &target[..target.find(')').unwrap_or(target.len())]));
        }
    }
    found
}

/// The anchors of a page, as GitHub makes them from its headings.
fn anchors(page: &Page) -> HashSet<String> {
    let mut found = HashSet::new();
    for (_, line) in page.prose() {
        let Some(heading) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()) else { continue };
        let kept = heading.to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        assert!(found.insert(anchor.clone()), "{}: two headings make #{anchor}", page.path.display());
    }
    found
}

fn normal(path: &Path) -> PathBuf {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.iter().collect()
}

#[test]
fn every_internal_link_resolves() {
    let pages = pages();
    let mut broken = Vec::new();
    for page in &pages {
        for (line, target) in links(page) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.path.clone(),
                file => normal(&page.path.parent().unwrap().join(file)),
            };
            let meant = pages.iter().find(|page| page.path == path);
            let resolves = match meant {
                Some(meant) => anchor.is_empty() || anchors(meant).contains(anchor),
                None => anchor.is_empty() && root().join(&path).exists(),
            };
            if !resolves {
                broken.push(format!("{}:{line}: {target}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n  {}", broken.join("\n  "));
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let pages = pages();
    let readme = pages.iter().find(|page| page.path == Path::new("README.md")).unwrap();
    let linked: HashSet<&str> =
        links(readme).into_iter().map(|(_, target)| target.split('#').next().unwrap()).collect();
    for page in pages.iter().filter(|page| page.path != readme.path && !page.path.starts_with("fixtures")) {
        assert!(linked.contains(page.path.to_str().unwrap()), "README.md links nowhere to {}", page.path.display());
    }
}

/// Sources and scripts that the text names, with or without the leading `src/`.
#[test]
fn every_file_that_is_named_exists() {
    let mut missing = Vec::new();
    for page in pages().iter().filter(|page| page.path != Path::new("CHANGELOG.md")) {
        for (number, line) in page.prose() {
            let quoted = line.split('`').skip(1).step_by(2);
            let files = quoted.filter(|text| text.contains('/') && (text.ends_with(".rs") || text.ends_with(".sh")));
            for file in files.map(|file| file.rsplit(' ').next().unwrap().trim_start_matches("./")) {
                if !root().join(file).exists() && !root().join("src").join(file).exists() {
                    missing.push(format!("{}:{number}: {file}", page.path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "files that are not there:\n  {}", missing.join("\n  "));
}
