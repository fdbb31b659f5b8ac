//! Queries, and cookies: pairs of names and values.

use std::borrow::Cow;

use super::text::hex_byte;

/// How many pairs of a query, or cookies, are read: more than applications read (PHP, and Express, 1,000), because a
/// client could hide one behind others.
pub const MAX_PAIRS: usize = 1024;

/// A pair as it was sent.
pub(super) type Pair<'a> = (&'a str, &'a str);

/// The first pairs of a query; whether there are more.
pub(super) fn pairs(query: &str) -> (impl Iterator<Item = Pair<'_>>, bool) {
    let present = || query.split('&').filter(|pair| !pair.is_empty());
    let read = present().take(MAX_PAIRS).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    (read, present().nth(MAX_PAIRS).is_some())
}

/// The first cookies of a `Cookie` header; whether there are more.
pub(super) fn cookies(header: &str) -> (impl Iterator<Item = Pair<'_>>, bool) {
    let present = || header.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    let read = present().take(MAX_PAIRS).map(|pair| pair.split_once('=').unwrap_or(("", pair)));
    (read, present().nth(MAX_PAIRS).is_some())
}

/// How the names of cookies begin that hold clearances. Browsers take a cookie with `__Host-` from this host alone,
/// over https, for all paths (draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
pub const CLEARANCE_COOKIES: &str = "__Host-keyloft_";

/// Decodes a name or value of a form: `+` is a space, `%20` too. What is no UTF-8 becomes U+FFFD.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| hex_byte(behind)).flatten();
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
}

/// Whether expressions name `sent` by `name`: what is no ASCII letter, digit or `_` is `_` there. Case counts.
pub(super) fn is_named(sent: &str, name: &str) -> bool {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    sent.chars().map(word).eq(name.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_a_form_and_decoded_once() {
        let (read, more) = pairs("a=1&&b&c=x=y&=z&a=2");
        assert_eq!(read.collect::<Vec<_>>(), [("a", "1"), ("b", ""), ("c", "x=y"), ("", "z"), ("a", "2")]);
        assert!(!more);
        for (sent, value) in
            [("a+b%20c", "a b c"), ("%2525", "%25"), ("%C3%A9", "é"), ("%", "%"), ("%4", "%4"), ("%zz+", "%zz ")]
        {
            assert_eq!(decoded(sent), value);
        }
        assert_eq!((decoded("%ff"), decoded("é%")), ("\u{fffd}".into(), "é%".into()));
    }

    #[test]
    fn pairs_beyond_the_bound_are_not_read() {
        let query = |pairs| "a=1&".repeat(pairs);
        let (full, more) = (query(MAX_PAIRS), query(MAX_PAIRS + 1));
        assert_eq!((pairs(&full).0.count(), pairs(&full).1), (MAX_PAIRS, false));
        assert_eq!((pairs(&more).0.count(), pairs(&more).1), (MAX_PAIRS, true));
        let header = "a=1; ".repeat(MAX_PAIRS + 1);
        assert_eq!((cookies(&header).0.count(), cookies(&header).1), (MAX_PAIRS, true));
    }

    #[test]
    fn cookies_and_names_are_read_as_browsers_send_them() {
        let (read, _) = cookies(" a=1;b=\"x\"; c = d=e ;;f");
        assert_eq!(read.collect::<Vec<_>>(), [("a", "1"), ("b", "\"x\""), ("c ", " d=e"), ("", "f")]);
        assert!(is_named("user-id", "user_id") && is_named("a[b]", "a_b_") && is_named("é", "_"));
        assert!(!is_named("User", "user") && !is_named("a", "a_"));
    }
}
