//! The tokens of an expression.

use super::literal;
use super::span::{Problem, Span};

/// A word, a literal or a sign, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name, or a word of the language.
    Word(Box<str>),
    /// A text, its escapes read.
    Text(Box<str>),
    /// A whole number without its sign: `-9223372036854775808` is one too.
    Int(u64),
    /// A sign.
    Sign(&'static str),
}

/// Signs, the longer before those that they begin with.
const SIGNS: [&str; 20] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "%", "?", ":", "(", ")", "[", "]", ",", "."];
/// Signs of CEL, or of other languages, that are none here, and what to write instead.
const OTHER_SIGNS: [(&str, &str); 9] = [
    ("=", "equality is =="),
    ("&", "and is &&"),
    ("|", "or is ||"),
    ("*", "arithmetic is + - %"),
    ("/", "arithmetic is + - %"),
    ("{", "there are no maps"),
    ("}", "there are no maps"),
    ("~", "patterns are request_path.matches('^/a')"),
    ("`", "texts stand between ' or \""),
];

/// More faults of tokens than these are noise.
const MAX_PROBLEMS: usize = 16;

/// Cuts a source into tokens. Comments (`//` to the end of the line) and blanks stand between them.
///
/// # Errors
/// What is no token: characters that mean nothing, texts without an end, numbers that are not whole.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, Vec<Problem>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(c) = source.get(at..).and_then(|rest| rest.chars().next()) {
        if problems.len() == MAX_PROBLEMS {
            break;
        }
        let rest = source.get(at..).unwrap_or_default();
        let end = match c {
            ' ' | '\t' | '\n' | '\r' | '\x0c' => at + 1,
            '/' if rest.starts_with("//") => {
                let end = at + rest.find(['\n', '\r']).unwrap_or(rest.len());
                problems.extend(hidden(source, at, end));
                end
            }
            _ => match next(source, at, c) {
                Ok(token) => {
                    let end = at + token.0;
                    if matches!(token.1, TokenKind::Text(_)) {
                        problems.extend(hidden(source, at, end));
                    }
                    found.push(Token { kind: token.1, span: Span::new(at, end) });
                    end
                }
                Err((length, problem)) => {
                    problems.push(problem);
                    at + length
                }
            },
        };
        at = end.max(at + 1);
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// The token that begins here, and its length in bytes.
fn next(source: &str, at: usize, c: char) -> Result<(usize, TokenKind), (usize, Problem)> {
    let rest = source.get(at..).unwrap_or_default();
    if let Some(text) = literal::text(source, at) {
        return text.map(|(length, text)| (length, TokenKind::Text(text)));
    }
    if c.is_ascii_alphabetic() || c == '_' {
        let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let length = rest.find(word).unwrap_or(rest.len());
        return Ok((length, TokenKind::Word(rest.get(..length).unwrap_or_default().into())));
    }
    let point = rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if c.is_ascii_digit() || point {
        return literal::int(source, at).map(|(length, number)| (length, TokenKind::Int(number)));
    }
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((sign.len(), TokenKind::Sign(sign)));
    }
    let span = Span::new(at, at + c.len_utf8());
    let problem = match OTHER_SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        Some((sign, hint)) => Problem::new(span, format!("{sign} means nothing here")).hint(*hint),
        None => Problem::new(span, format!("{} means nothing here", shown(c))),
    };
    Err((c.len_utf8(), problem))
}

/// A character for people: one that cannot be seen by its number.
pub(super) fn shown(c: char) -> String {
    if c.is_ascii_graphic() || c.is_alphanumeric() { c.to_string() } else { format!("U+{:04X}", u32::from(c)) }
}

/// Characters that cannot be seen, or change how what stands beside them is shown: a text that holds one does not
/// mean what it looks like. Written as escapes they are welcome.
fn hidden(source: &str, start: usize, end: usize) -> Vec<Problem> {
    let text = source.get(start..end).unwrap_or_default();
    let hides = |c: char| {
        c.is_control() && !matches!(c, '\t' | '\n' | '\r')
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
            || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let problem = |(at, c): (usize, char)| {
        let span = Span::new(start + at, start + at + c.len_utf8());
        let code = u32::from(c);
        let escape = if code > 0xffff { format!("\\U{code:08x}") } else { format!("\\u{code:04x}") };
        Problem::new(span, format!("{} cannot be seen", shown(c))).hint(format!("write it as {escape}"))
    };
    text.char_indices().filter(|(_, c)| hides(*c)).take(MAX_PROBLEMS).map(problem).collect()
}
