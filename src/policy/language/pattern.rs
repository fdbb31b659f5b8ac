//! Regular expressions of a set: compiled once, the same text once, within bounds.

use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// A compiled pattern. Matching takes time in proportion to the text, whatever the pattern is.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Arc<Regex>,
    /// The bound within which it was compiled, in bytes.
    bytes: usize,
}

/// The bounds that are tried, the largest of which is what a pattern may take.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];
/// What all patterns of a set may take.
const MAX_BYTES: usize = 16 << 20;
/// How deep a pattern may nest.
const MAX_NEST: u32 = 50;
/// What the automaton of a pattern may grow to in one thread while it matches.
const CACHE_BYTES: usize = 1 << 20;

impl Pattern {
    /// Whether it matches somewhere in a text, as in CEL.
    #[inline]
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What it took to compile, in bytes: one of a few bounds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The patterns of one set.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    compiled: HashMap<Box<str>, Pattern>,
    bytes: usize,
}

impl Patterns {
    /// How many different patterns there are.
    pub fn len(&self) -> usize {
        self.compiled.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.compiled.is_empty()
    }

    /// The pattern of a text.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(super) fn get(&mut self, text: &str) -> Result<Pattern, String> {
        if let Some(pattern) = self.compiled.get(text) {
            return Ok(pattern.clone());
        }
        let pattern = compiled(text)?;
        if self.bytes + pattern.bytes > MAX_BYTES {
            return Err(format!("the patterns of the set take more than {} MiB together", MAX_BYTES >> 20));
        }
        self.bytes += pattern.bytes;
        self.compiled.insert(text.into(), pattern.clone());
        Ok(pattern)
    }
}

fn compiled(text: &str) -> Result<Pattern, String> {
    let mut builder = RegexBuilder::new(text);
    builder.nest_limit(MAX_NEST).dfa_size_limit(CACHE_BYTES);
    for bytes in SIZES {
        match builder.size_limit(bytes).build() {
            Ok(regex) => return Ok(Pattern { regex: Arc::new(regex), bytes }),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(error) => return Err(reason(&error.to_string())),
        }
    }
    Err("the pattern is too large".to_owned())
}

/// The last line of a message, which says what is wrong; those above it show where, over several lines.
fn reason(message: &str) -> String {
    let last = message.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let reason = last.trim().trim_start_matches("error:").trim();
    let reason = reason.split(" (or ").next().unwrap_or(reason);
    format!("the pattern cannot be read: {reason}")
}
