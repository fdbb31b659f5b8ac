//! Paths of requests.

use std::borrow::Cow;

use super::text::hex_byte;

/// A path in one spelling, so that a rule about `/login` holds for every way to write it:
///
/// - percent-decoded once, only what is the same path by RFC 3986 and RFC 3987: letters, digits, `-._~`, and characters
///   from U+00A0 on. `%2F` and `%25` stay, so nothing is ever decoded twice.
/// - percent-encoded, what RFC 3986 has no place for in a path: a blank is `%20`, however it was sent.
/// - `//` is `/`, `.` and `..` are resolved, a fragment is cut off. Case is kept.
/// - it begins with `/`, or is `*`.
///
/// Bad UTF-8, control characters, a `%` without digits, a fragment, and `..` above the root are marked.
pub(super) fn normalized<'a>(raw: Cow<'a, str>, malformed: &mut bool) -> Cow<'a, str> {
    if raw == "*" || is_normal(&raw) {
        return raw;
    }
    Cow::Owned(resolved(&decoded(&raw, malformed), malformed))
}

/// Whether there is nothing to do, as for most.
fn is_normal(raw: &str) -> bool {
    let mut before = b' ';
    let plain = raw.bytes().all(|byte| {
        let apart = before == b'/' && matches!(byte, b'/' | b'.');
        before = byte;
        (byte == b'/' || stands_in_paths(byte)) && !apart
    });
    plain && raw.starts_with('/')
}

/// Whether it may stand in a segment of a path as it is (`pchar` of RFC 3986).
pub(in crate::policy) fn stands_in_paths(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn decoded(raw: &str, malformed: &mut bool) -> String {
    let (path, fragment) = raw.split_once('#').map_or((raw, None), |(path, fragment)| (path, Some(fragment)));
    *malformed |= fragment.is_some();
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        if first == '%' {
            rest = escape(rest, &mut out, malformed);
            continue;
        }
        *malformed |= first.is_control();
        let stands = |byte: u8| byte == b'/' || stands_in_paths(byte);
        if first.is_control() || first.is_ascii() && !u8::try_from(first).is_ok_and(stands) {
            let mut bytes = [0; 4];
            first.encode_utf8(&mut bytes).bytes().for_each(|byte| push_escaped(byte, &mut out));
        } else {
            out.push(first);
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    out
}

/// Decodes what stands escaped at the start of `rest`, and returns what follows.
fn escape<'a>(rest: &'a str, out: &mut String, malformed: &mut bool) -> &'a str {
    let behind = |bytes: usize| rest.get(bytes..).unwrap_or_default();
    let Some(byte) = hex_byte(rest.as_bytes().get(1..).unwrap_or_default()) else {
        *malformed = true;
        push_escaped(b'%', out);
        return behind(1);
    };
    if is_unreserved(byte) {
        out.push(char::from(byte));
        return behind(3);
    }
    if !byte.is_ascii()
        && let Some(character) = escaped_character(rest)
        && character >= '\u{a0}'
    {
        out.push(character);
        return behind(3 * character.len_utf8());
    }
    *malformed |= !byte.is_ascii() || byte.is_ascii_control();
    push_escaped(byte, out);
    behind(3)
}

/// The character whose bytes in UTF-8 stand escaped at the start of `rest`, one behind the other.
fn escaped_character(rest: &str) -> Option<char> {
    let mut bytes = [0; 4];
    let mut found = 0;
    for (place, escape) in bytes.iter_mut().zip(rest.as_bytes().chunks_exact(3)) {
        let Some(byte) = escape.strip_prefix(b"%").and_then(hex_byte) else { break };
        *place = byte;
        found += 1;
    }
    (2..=found).find_map(|length| {
        let text = str::from_utf8(bytes.get(..length)?).ok()?;
        text.chars().next()
    })
}

fn push_escaped(byte: u8, out: &mut String) {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase();
    out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

/// Merges slashes and resolves dots (RFC 3986, section 5.2.4).
fn resolved(path: &str, malformed: &mut bool) -> String {
    *malformed |= !path.starts_with('/');
    let mut out = String::with_capacity(path.len() + 1);
    let mut open = true; // Whether the path ends in a slash as far as it is read.
    for segment in path.split('/') {
        open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => match out.rfind('/') {
                Some(parent) => out.truncate(parent),
                None => *malformed = true,
            },
            name => {
                out.push('/');
                out.push_str(name);
            }
        }
    }
    if open {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(raw: &str) -> (String, bool) {
        let mut malformed = false;
        let path = normalized(Cow::Borrowed(raw), &mut malformed).into_owned();
        (path, malformed)
    }

    #[test]
    fn a_path_has_one_spelling() {
        for (raw, path) in [
            ("/login", "/login"),
            ("/", "/"),
            ("*", "*"),
            ("/%6Cogin", "/login"),
            ("/%6c%6F%67in", "/login"),
            ("//login", "/login"),
            ("/a///b//", "/a/b/"),
            ("/./login", "/login"),
            ("/a/../login", "/login"),
            ("/a/%2e%2E/login", "/login"),
            ("/a//../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("/a%2fb", "/a%2Fb"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/%25", "/%25"),
            ("/Login", "/Login"),
            ("/a%3fb", "/a%3Fb"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%20b"),
            ("/<a>\"|", "/%3Ca%3E%22%7C"),
            ("/caf%C3%A9", "/café"),
            ("/café", "/café"),
            ("/%F0%9F%A6%80%C3%A9", "/🦀é"),
            ("/;a=b/c", "/;a=b/c"),
        ] {
            assert_eq!(read(raw), (path.to_owned(), false), "{raw}");
        }
    }

    #[test]
    fn what_is_no_path_is_marked() {
        for (raw, path) in [
            ("", "/"),
            ("login", "/login"),
            ("/a%00b", "/a%00b"),
            ("/a\0b", "/a%00b"),
            ("/a%0d%0ab", "/a%0D%0Ab"),
            ("/%ff", "/%FF"),
            ("/%C3", "/%C3"),
            ("/%C3%28", "/%C3%28"),
            ("/%c0%ae%c0%ae/x", "/%C0%AE%C0%AE/x"), // An overlong dot.
            ("/%C2%80", "/%C2%80"),
            ("/%", "/%25"),
            ("/%2", "/%252"),
            ("/%zz%6c", "/%25zzl"),
            ("/%%36c", "/%256c"),
            ("/login#x", "/login"),
            ("/../x", "/x"),
            ("/a/../../x", "/x"),
        ] {
            assert_eq!(read(raw), (path.to_owned(), true), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_spelling_is_final(raw in "(/|\\.|%2e|%2F|%25|%C3%A9|%|é|a|\0|#){0,12}|\\PC{0,40}") {
            let (path, _) = read(&raw);
            prop_assert!(path == "*" || path.starts_with('/'));
            prop_assert!(!path.contains("//") && !path.contains("/./") && !path.contains("/../"), "{path}");
            prop_assert!(!path.contains(|c: char| c == '#' || c.is_ascii_control()));
            let (again, _) = read(&path);
            prop_assert_eq!(again, path);
        }
    }
}
