//! Bounds of texts.

use std::borrow::Cow;

use crate::policy::MAX_VALUE_BYTES;

/// Cuts a value to [`MAX_VALUE_BYTES`] at the end of a character, and says so.
pub(super) fn cut<'a>(text: Cow<'a, str>, malformed: &mut bool) -> Cow<'a, str> {
    if text.len() <= MAX_VALUE_BYTES {
        return text;
    }
    *malformed = true;
    let end = text.floor_char_boundary(MAX_VALUE_BYTES);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// Lower case of ASCII letters.
pub(super) fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(text.to_ascii_lowercase()) } else { text }
}

/// Upper case of ASCII letters.
pub(super) fn upper(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) { Cow::Owned(text.to_ascii_uppercase()) } else { text }
}

/// Whether a text holds a control character of ASCII other than a tab, which headers may hold.
pub(super) fn has_control(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
}

/// The byte that two hexadecimal digits at the start of `digits` stand for.
pub(super) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match digits {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_at_the_end_of_a_character_and_it_shows() {
        let mut malformed = false;
        assert_eq!(cut("a".repeat(1024).into(), &mut malformed).len(), 1024);
        assert!(!malformed);
        let text = format!("{}é", "a".repeat(1023));
        assert_eq!(cut(Cow::Borrowed(&text), &mut malformed).len(), 1023);
        assert!(malformed);
        assert_eq!(cut(text.clone().into(), &mut malformed).len(), 1023);
    }
}
