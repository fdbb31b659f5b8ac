//! JSON that some writers make and `serde_json` does not read.

/// How many digits of an exponent a number may have: with more it is beyond every double.
const MAX_EXPONENT_DIGITS: usize = 2;
const REPLACEMENT: &[u8] = br"\ufffd";

/// Replaces what `serde_json` refuses in otherwise valid JSON: values nested deeper than `depth` and numbers with a
/// large exponent by `null`, `NaN` and `Infinity` too, halves of surrogate pairs by U+FFFD. What else is wrong stays
/// so. Takes time in proportion to the text.
pub(super) fn mended(text: &[u8], depth: usize) -> Vec<u8> {
    let mut mend = Mend { out: Vec::with_capacity(text.len()), depth: 0, max_depth: depth };
    let mut rest = text;
    while let Some(first) = rest.first() {
        let length = match first {
            b'"' => mend.string(rest),
            b'{' | b'[' => mend.open(*first),
            b'}' | b']' => mend.close(*first),
            b'-' | b'0'..=b'9' | b'N' | b'I' => mend.number(rest),
            other => mend.keep(&[*other]),
        };
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    mend.out
}

struct Mend {
    out: Vec<u8>,
    depth: usize,
    max_depth: usize,
}

impl Mend {
    /// Writes bytes, unless they are within what is dropped.
    fn keep(&mut self, bytes: &[u8]) -> usize {
        if self.depth <= self.max_depth {
            self.out.extend_from_slice(bytes);
        }
        bytes.len()
    }

    fn open(&mut self, bracket: u8) -> usize {
        self.depth = self.depth.saturating_add(1);
        if self.depth == self.max_depth.saturating_add(1) {
            self.out.extend_from_slice(b"null");
        }
        self.keep(&[bracket])
    }

    fn close(&mut self, bracket: u8) -> usize {
        self.keep(&[bracket]);
        self.depth = self.depth.saturating_sub(1);
        1
    }

    /// A number, or a word that stands for one.
    fn number(&mut self, rest: &[u8]) -> usize {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = rest.iter().take_while(|byte| is_part(byte)).count();
        let token = rest.get(..length).unwrap_or_default();
        let exponent = token.iter().rposition(|byte| matches!(byte, b'e' | b'E')).and_then(|at| token.get(at..));
        let digits = exponent.map_or(0, |exponent| exponent.iter().filter(|byte| byte.is_ascii_digit()).count());
        let is_word = matches!(token, b"NaN" | b"Infinity" | b"-Infinity");
        let is_long = token.len() > 300; // As long as the largest double.
        if is_word || digits > MAX_EXPONENT_DIGITS || is_long {
            self.keep(b"null");
        } else {
            self.keep(token);
        }
        length
    }

    /// A string, its quotes included.
    fn string(&mut self, rest: &[u8]) -> usize {
        let mut at = 1;
        self.keep(b"\"");
        while let Some(byte) = rest.get(at) {
            let behind = rest.get(at..).unwrap_or_default();
            at = at.saturating_add(match byte {
                b'"' => {
                    self.keep(b"\"");
                    return at.saturating_add(1);
                }
                b'\\' => self.escape(behind),
                other => self.keep(&[*other]),
            });
        }
        at
    }

    fn escape(&mut self, behind: &[u8]) -> usize {
        match (unit(behind), behind.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => self.keep(behind.get(..12).unwrap_or_default()),
            (Some(0xd800..=0xdfff), _) => self.keep(REPLACEMENT),
            _ => self.keep(behind.get(..2).unwrap_or(behind)),
        }
    }
}

/// The UTF-16 code unit of a `\uXXXX`.
fn unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(br"\u")?.get(..4)?;
    digits.iter().try_fold(0u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
        Some(unit << 4 | digit)
    })
}
