//! Literals as CEL writes them: texts with escapes, raw texts, texts over several lines, and whole numbers.

use super::span::{Problem, Span};

/// A literal and its length in the source, or what is wrong with it and the length to go on behind it.
type Read<T> = Result<(usize, T), (usize, Problem)>;

/// The text that begins at `at`; `None` when none does.
pub(super) fn text(source: &str, at: usize) -> Option<Read<Box<str>>> {
    let rest = source.get(at..)?;
    let marks = rest.bytes().take(2).take_while(|byte| matches!(byte, b'r' | b'R' | b'b' | b'B')).count();
    let (prefix, body) = rest.split_at_checked(marks)?;
    if matches!(prefix, "rr" | "RR" | "rR" | "Rr" | "bb" | "BB" | "bB" | "Bb") {
        return None;
    }
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote))?;
    let raw = prefix.contains(['r', 'R']);
    let start = marks + quote.len();
    let Some(length) = content(rest.get(start..)?, quote, raw) else {
        // What stands behind an open quote means nothing any more.
        let problem = Problem::new(Span::new(at, at + marks + quote.len()), "the text has no end");
        return Some(Err((rest.len(), problem.hint(format!("it ends with {quote}")))));
    };
    let end = start + length + quote.len();
    if prefix.contains(['b', 'B']) {
        let problem = Problem::new(Span::new(at, at + end), "there are no bytes, only text");
        return Some(Err((end, problem.hint(format!("leave out {prefix}")))));
    }
    let inside = rest.get(start..start + length)?;
    if raw {
        return Some(Ok((end, inside.into())));
    }
    Some(match unescape(inside, at + start) {
        Ok(text) => Ok((end, text.into())),
        Err(problem) => Err((end, problem)),
    })
}

/// How many bytes stand before the closing quote; `None` when there is none.
fn content(text: &str, quote: &str, raw: bool) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if quote.len() == 1 && matches!(c, '\n' | '\r') {
            return None;
        }
        if escaped {
            escaped = false;
        } else if c == '\\' && !raw {
            escaped = true;
        } else if text.get(at..)?.starts_with(quote) {
            return Some(at);
        }
    }
    None
}

/// Reads the escapes of a text that begins at `start` of the source.
fn unescape(text: &str, start: usize) -> Result<String, Problem> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        let at = start + text.len() - escape.len() - 1;
        let (length, c) = one(escape).ok_or_else(|| {
            let shown = escape.chars().next().map_or(1, |c| 1 + c.len_utf8());
            Problem::new(Span::new(at, at + shown), "there is no such escape")
                .hint("a backslash is \\\\, and a pattern is best a raw text: r'\\d+'")
        })?;
        plain.push(c);
        rest = escape.get(length..).unwrap_or_default();
    }
    plain.push_str(rest);
    Ok(plain)
}

/// The character that an escape stands for, and its length without the backslash.
fn one(escape: &str) -> Option<(usize, char)> {
    let code = |from: usize, length: usize, radix: u32| {
        let digits = escape.get(from..from + length)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some((from + length, char::from_u32(u32::from_str_radix(digits, radix).ok().filter(|_| plain)?)?))
    };
    let c = match escape.chars().next()? {
        c @ ('\\' | '?' | '"' | '\'' | '`') => c,
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' | 'X' => return code(1, 2, 16),
        'u' => return code(1, 4, 16),
        'U' => return code(1, 8, 16),
        '0'..='3' => return code(0, 3, 8),
        _ => return None,
    };
    Some((1, c))
}

/// The whole number that begins at `at`, in decimal or hexadecimal.
pub(super) fn int(source: &str, at: usize) -> Read<u64> {
    let rest = source.get(at..).unwrap_or_default();
    let exponent = |end: usize| {
        let sign = rest.get(end..).is_some_and(|rest| rest.starts_with(['+', '-']));
        sign && rest.get(..end).is_some_and(|before| before.ends_with(['e', 'E']) && !before.starts_with("0x"))
    };
    // All that belongs to it as people see it: a number with a point is one fault, not three.
    let mut end = 0;
    for (i, c) in rest.char_indices() {
        if !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.') || exponent(i)) {
            break;
        }
        end = i + 1;
    }
    let word = rest.get(..end).unwrap_or_default();
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    if digits < word.len() && word.get(digits..).is_some_and(|rest| rest.starts_with('.')) {
        let fraction = word.get(digits + 1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !fraction && word.len() > digits + 1 {
            // `5.size()`: a call on a number, whose fault is its type.
            return number(word.get(..digits).unwrap_or_default(), at);
        }
    }
    number(word, at)
}

fn number(word: &str, at: usize) -> Read<u64> {
    let span = Span::new(at, at + word.len());
    let hex = word.strip_prefix("0x");
    let (digits, radix) = hex.map_or((word, 10), |digits| (digits, 16));
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    match u64::from_str_radix(digits, radix) {
        Ok(number) if plain && number <= 1 << 63 => Ok((word.len(), number)),
        _ if plain => {
            let problem = Problem::new(span, format!("{word} is too large"));
            Err((word.len(), problem.hint("numbers have 64 bits with their sign")))
        }
        _ => {
            let problem = Problem::new(span, format!("{word} is no whole number"));
            let unsigned = word.strip_suffix(['u', 'U']).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
            let hint = unsigned.map_or_else(|| "there are whole numbers only".to_owned(), |digits| digits.to_owned());
            Err((word.len(), problem.hint(hint)))
        }
    }
}
