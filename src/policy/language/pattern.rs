//! Regular expressions of a set: compiled once, the same text once, and each within a bound of time.
//!
//! A pattern becomes a deterministic automaton, which takes one look-up for each byte of a text, whatever the pattern
//! and the text are. One that does not become one within its bound is refused: engines that try it nevertheless take a
//! million times as long on texts that somebody has made for it (`union.{1,100}select` on a kilobyte of `union`: 3 ms).
//!
//! The syntax is that of the crate `regex`, whose engine this is. `\d`, `\w`, `\s` and `\b` know ASCII only, as in RE2
//! and thereby in CEL.

use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::prefilter::Prefilter;
use regex_automata::{Input, MatchKind};
use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::{Hir, Look};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Arc<dense::DFA<Vec<u32>>>);

/// What a pattern may take, in bytes.
const MAX_PATTERN_BYTES: usize = 256 << 10;
/// What all patterns of a set may take.
const MAX_BYTES: usize = 16 << 20;
/// How many different patterns a set may have, those that are refused included: more cost more than a set may.
const MAX_PATTERNS: usize = 100;
/// What it may take for a while to compile one. It bounds the time, too: 50 ms at worst.
const MAX_WORK_BYTES: usize = 128 << 10;
/// How deep a pattern may nest.
const MAX_NEST: u32 = 50;

impl Pattern {
    /// Whether it matches somewhere in a text, as in CEL.
    #[inline]
    pub(super) fn matches(&self, text: &str) -> bool {
        // The search has no errors: no byte makes this automaton stop, and it may begin anywhere.
        self.0.try_search_fwd(&Input::new(text).earliest(true)).is_ok_and(|found| found.is_some())
    }
}

/// The patterns of one set.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    compiled: HashMap<Box<str>, Result<Pattern, String>>,
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
        if let Some(known) = self.compiled.get(text) {
            return known.clone();
        }
        if self.compiled.len() == MAX_PATTERNS {
            return Err(format!("the set has more than {MAX_PATTERNS} different patterns"));
        }
        if self.bytes + MAX_PATTERN_BYTES > MAX_BYTES {
            return Err(format!("the patterns of the set take more than {} MiB together", MAX_BYTES >> 20));
        }
        let pattern = compiled(text);
        // One that is refused has taken time, and counts as a large one: a set cannot try many.
        self.bytes += pattern.as_ref().map_or(MAX_PATTERN_BYTES, |pattern| pattern.0.memory_usage());
        self.compiled.insert(text.into(), pattern.clone());
        pattern
    }
}

fn compiled(text: &str) -> Result<Pattern, String> {
    let hir = parsed(text)?;
    let nfa = thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .nfa_size_limit(Some(MAX_PATTERN_BYTES))
                .which_captures(thompson::WhichCaptures::None),
        )
        .build_from_hir(&hir)
        .map_err(|_| "the pattern is too large: repeat fewer things fewer times".to_owned())?;
    // A search for the first literal would only be in the way where a pattern holds at the start or not at all.
    let anchored = hir.properties().look_set_prefix().contains(Look::Start);
    let prefilter = Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, &hir).filter(|_| !anchored);
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(MAX_PATTERN_BYTES))
        .determinize_size_limit(Some(MAX_WORK_BYTES))
        .prefilter(prefilter);
    let automaton = dense::Builder::new().configure(config).build_from_nfa(&nfa);
    automaton
        .map(|automaton| Pattern(Arc::new(automaton)))
        .map_err(|_| "the pattern is too large: use .* for .{1,100}, and repeat fewer things fewer times".to_owned())
}

/// Parses a pattern.
fn parsed(text: &str) -> Result<Hir, String> {
    let no = |column: usize, why: &dyn std::fmt::Display| {
        format!("the pattern cannot be read from its character {column}: {why}")
    };
    let tree = ast::parse::ParserBuilder::new().nest_limit(MAX_NEST).build().parse(text);
    let tree = tree.map_err(|error| no(error.span().start.column, error.kind()))?;
    let mut plain = text.to_owned();
    for (span, ascii) in ast::visit(&tree, AsciiClasses::default()).map_err(|_| String::new())?.into_iter().rev() {
        plain.replace_range(span.start.offset..span.end.offset, ascii);
    }
    // Texts are UTF-8 and only asked whether they match: it does no harm where a match would begin inside a character.
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).nest_limit(MAX_NEST * 2).build().parse(&plain);
    parsed.map_err(|error| match error {
        regex_syntax::Error::Parse(error) => no(error.span().start.column, error.kind()),
        regex_syntax::Error::Translate(error) => no(error.span().start.column, error.kind()),
        _ => "the pattern cannot be read".to_owned(),
    })
}

/// Finds the classes and boundaries of Perl, and what they are in ASCII.
#[derive(Default)]
struct AsciiClasses(Vec<(ast::Span, &'static str)>);

impl AsciiClasses {
    fn class(&mut self, class: &ast::ClassPerl) {
        self.0.push((
            class.span,
            match (&class.kind, class.negated) {
                (ast::ClassPerlKind::Digit, false) => "[0-9]",
                (ast::ClassPerlKind::Digit, true) => "[^0-9]",
                (ast::ClassPerlKind::Space, false) => r"[\t\n\f\r\x20]",
                (ast::ClassPerlKind::Space, true) => r"[^\t\n\f\r\x20]",
                (ast::ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
                (ast::ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
            },
        ));
    }
}

impl ast::Visitor for AsciiClasses {
    type Output = Vec<(ast::Span, &'static str)>;
    type Err = ();

    fn finish(self) -> Result<Self::Output, ()> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), ()> {
        match tree {
            Ast::ClassPerl(class) => self.class(class),
            Ast::Assertion(assertion) => {
                let ascii = match assertion.kind {
                    ast::AssertionKind::WordBoundary => r"(?-u:\b)",
                    ast::AssertionKind::NotWordBoundary => r"(?-u:\B)",
                    ast::AssertionKind::WordBoundaryStart | ast::AssertionKind::WordBoundaryStartAngle => r"(?-u:\<)",
                    ast::AssertionKind::WordBoundaryEnd | ast::AssertionKind::WordBoundaryEndAngle => r"(?-u:\>)",
                    ast::AssertionKind::WordBoundaryStartHalf => r"(?-u:\b{start-half})",
                    ast::AssertionKind::WordBoundaryEndHalf => r"(?-u:\b{end-half})",
                    _ => return Ok(()),
                };
                self.0.push((assertion.span, ascii));
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), ()> {
        if let ast::ClassSetItem::Perl(class) = item {
            self.class(class);
        }
        Ok(())
    }
}
