//! Places in the source of an expression.

use crate::policy::fault::{Fault, Place};

/// A part of a source, in bytes. A source has [`super::MAX_BYTES`] at most, so that 32 bits always suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    /// From one byte to another.
    pub(super) fn new(start: usize, end: usize) -> Self {
        let small = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: small(start), end: small(end.max(start)) }
    }

    /// From the start of this one to the end of the other.
    pub(super) fn to(self, end: Self) -> Self {
        Self { start: self.start, end: end.end.max(self.start) }
    }

    /// The text of it.
    pub(super) fn text(self, source: &str) -> &str {
        let at = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        source.get(at(self.start)..at(self.end)).unwrap_or_default()
    }

    /// Where it stands: a line ends with a line feed, a carriage return, or both.
    pub(super) fn place(self, source: &str) -> Place {
        let (mut line, mut column) = (1, 1);
        let mut before = ' ';
        let ahead = Self { start: 0, end: self.start };
        for c in ahead.text(source).chars() {
            match c {
                '\n' if before == '\r' => {}
                '\n' | '\r' => (line, column) = (line + 1, 1),
                _ => column += 1,
            }
            before = c;
        }
        Place { line, column, length: u32::try_from(self.text(source).chars().count()).unwrap_or(u32::MAX) }
    }
}

/// What is wrong at a place of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    #[must_use]
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Offers names that come near.
    #[must_use]
    pub(super) fn nearest(self, names: &[String]) -> Self {
        if names.is_empty() { self } else { self.hint(format!("did you mean {}?", names.join(" or "))) }
    }

    /// It as a fault of this source.
    pub(super) fn fault(self, source: &str) -> Fault {
        let place = Some(self.span.place(source));
        Fault { path: String::new(), place, message: self.message, hint: self.hint }
    }
}
