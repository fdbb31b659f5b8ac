//! Numbers as they were written. `serde_json` turns `-0` and whole numbers beyond 64 bits into floats
//! silently, and rounds the last digit of some floats; where that matters, the number is read from the text.

/// Finds the n-th number of a text. What was passed over is not looked at again, so a whole body costs one pass,
/// however often it is asked.
#[derive(Debug)]
pub(super) struct Literals<'t> {
    text: &'t str,
    at: usize,
    passed: usize,
}

impl<'t> Literals<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, passed: 0 }
    }

    /// The number with `index` others before it. Indices must not go down, and the text up to there must be sound
    /// JSON; otherwise the answer is empty or another number, which the caller treats as broken.
    pub(super) fn nth(&mut self, index: usize) -> &'t str {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => self.at = string_end(bytes, self.at + 1),
                b'-' | b'0'..=b'9' => {
                    let start = self.at;
                    let rest = &bytes[start..];
                    let length = rest.iter().position(|&b| !is_number(b)).unwrap_or(rest.len());
                    self.at += length;
                    self.passed += 1;
                    if self.passed > index {
                        return &self.text[start..start + length];
                    }
                }
                _ => self.at += 1,
            }
        }
        ""
    }
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether a number is written as a whole one.
pub(super) fn is_whole(literal: &str) -> bool {
    !literal.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_place_and_digits_in_strings_are_none() {
        let mut literals = Literals::new(r#"{"a1":-0,"2\"3":[4.50,"5",true],"c":1e+2}"#);
        assert_eq!(literals.nth(0), "-0");
        assert_eq!(literals.nth(2), "1e+2");
        assert_eq!(literals.nth(9), "");
    }
}
