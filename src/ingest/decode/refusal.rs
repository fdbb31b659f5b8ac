//! Why a request is refused, before the line is known. Names are told, values never.

use crate::error::{Error, ErrorKind};

#[derive(Debug)]
pub(super) struct Refusal {
    kind: ErrorKind,
    message: String,
}

impl Refusal {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Invalid, message: message.into() }
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::TooLarge, message: message.into() }
    }

    /// The public error, with the line (from 1) on which reading stopped.
    pub(super) fn on_line(self, line: usize) -> Error {
        Error::new(self.kind, format!("line {line}: {}", self.message))
    }
}

/// A client's field name, made fit for a message: escaped, and cut at 64 characters.
pub(super) fn quoted(name: &str) -> String {
    let mut quoted: String = std::iter::once('`').chain(name.chars().take(64).flat_map(char::escape_debug)).collect();
    quoted.push_str(if name.chars().nth(64).is_some() { "…`" } else { "`" });
    quoted
}
