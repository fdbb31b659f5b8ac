//! Pages, and the fenced blocks in them.

use std::path::{Path, PathBuf};

/// A Markdown file.
pub struct Page {
    /// Its path below the root of the repository.
    pub path: PathBuf,
    pub text: String,
}

/// A fenced block.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The line of its fence, counted from 1.
    pub line: usize,
    pub language: &'a str,
    pub text: &'a str,
    /// What the HTML comment right before it says.
    pub marker: Option<&'a str>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One page by its path.
pub fn page(path: &str) -> Page {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Page { path: path.into(), text }
}

/// The pages outside of `docs/`.
const OTHERS: [&str; 6] = [
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "fixtures/events/README.md",
    "fixtures/import/README.md",
    "fixtures/stores/before-compaction/README.md",
];

/// Every page: [`OTHERS`], and all of `docs/`.
pub fn pages() -> Vec<Page> {
    let mut found: Vec<Page> = OTHERS.map(page).into();
    let files = std::fs::read_dir(root().join("docs")).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<String> = files.map(|name| format!("docs/{}", name.to_str().unwrap())).collect();
    names.retain(|name| name.ends_with(".md"));
    names.sort();
    assert!(names.len() > 10, "only {} pages in docs/", names.len());
    found.extend(names.iter().map(|name| page(name)));
    found
}

impl Page {
    /// Its fenced blocks, in order.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let (mut blocks, mut open, mut marker, mut at) = (Vec::new(), None, None, 0);
        for (number, line) in self.text.split_inclusive('\n').enumerate() {
            let start = at;
            at += line.len();
            match (line.trim_end().strip_prefix("```"), open) {
                (Some(language), None) => open = Some((number + 1, language, at, marker.take())),
                (Some(_), Some((line, language, from, marker))) => {
                    blocks.push(Block { line, language, text: &self.text[from..start], marker });
                    open = None;
                }
                (None, None) => {
                    let comment = line.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
                    marker = comment.map(str::trim);
                }
                (None, Some(_)) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path.display());
        blocks
    }

    /// The only block in this language.
    pub fn only(&self, language: &str) -> Block<'_> {
        let blocks: Vec<_> = self.blocks().into_iter().filter(|block| block.language == language).collect();
        assert_eq!(blocks.len(), 1, "{} has {} blocks of {language}", self.path.display(), blocks.len());
        blocks[0]
    }

    /// Its lines outside of fenced blocks, each with its number from 1.
    pub fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut fenced = false;
        self.text.lines().enumerate().filter_map(move |(at, line)| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            (!fenced && !fence).then_some((at + 1, line))
        })
    }
}
