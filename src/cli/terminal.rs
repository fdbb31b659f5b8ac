//! Text for terminals: errors, and escapes.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard error; a failure to write is ignored.
pub(super) fn complain(message: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "keyloft: {message}");
}

/// `text` with control characters escaped that would move the cursor, change colours or turn the reading direction, so
/// that a server cannot forge what a terminal shows.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_active) {
        return text.into();
    }
    let escape = |c: char| if is_active(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect::<String>().into()
}

fn is_active(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_characters_are_written_out_and_others_stay() {
        assert_eq!(escaped("a\u{1b}[31m\nb\u{202e}c"), "a\\u{1b}[31m\\nb\\u{202e}c");
        assert_eq!(escaped("grün…"), "grün…");
    }
}
