//! Why somebody is not signed in.

use std::fmt::{self, Write as _};

/// Why a sign-in ends without an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The provider does not answer, or not as it must: later it may. The log says why.
    #[error("the provider is not available")]
    Unavailable,
    /// The person or the provider said no.
    #[error("the sign-in was refused at the provider")]
    Denied,
    /// What came back cannot be believed, or the configuration is wrong. The reason is for the log, and never shown: it
    /// holds no secret, and texts of the provider only escaped and cut.
    #[error("{0}")]
    Failed(String),
}

impl SignInError {
    /// [`SignInError::Failed`] with a reason.
    pub(super) fn failed(reason: impl fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

/// A text from outside for the log: escaped, and cut after 200 characters.
pub(super) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    let mut quoted = String::from("\"");
    quoted.extend(text.chars().take(MAX_CHARS).flat_map(char::escape_default));
    let _ = quoted.write_str(if text.chars().nth(MAX_CHARS).is_some() { "…\"" } else { "\"" });
    quoted
}

/// The code of an error that a provider gave: one of the words that the standards use, or nothing of it.
pub(super) fn code(text: &str) -> &str {
    let is_word = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_word { text } else { "an error without a code" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_providers_cannot_act_on_a_terminal() {
        assert_eq!(quoted("a\n\u{1b}[2J\"b"), r#""a\n\u{1b}[2J\"b""#);
        assert_eq!(quoted(&"x".repeat(201)).len(), "\"\"…".len() + 200);
        assert_eq!((code("invalid_grant"), code("<b>"), code("")), ("invalid_grant", code("\n"), code("<b>")));
    }
}
