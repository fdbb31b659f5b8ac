//! Names of hosts.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::text::lower;

/// A host in one spelling: lower case, punycode, without port and without the final dot; an IPv6 address in brackets.
/// What is no host is kept in lower case and marked.
pub(super) fn normalized<'a>(text: Cow<'a, str>, malformed: &mut bool) -> Cow<'a, str> {
    if !text.is_empty() && text.bytes().all(is_plain) && !text.ends_with('.') {
        return text;
    }
    // A user and a password have no place here, and are no part of the host.
    let host = text.rsplit_once('@').map_or(&*text, |(_, host)| host);
    *malformed |= host.len() < text.len();
    let name = if host.starts_with('[') { bracketed(host) } else { named(host) };
    Cow::Owned(name.unwrap_or_else(|| {
        *malformed = true;
        lower(Cow::Borrowed(host)).into_owned()
    }))
}

/// What stands in normalised names. `_` does in names that no registry knows.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
}

fn bracketed(text: &str) -> Option<String> {
    let (address, port) = text.strip_prefix('[')?.split_once(']')?;
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
    let address: Ipv6Addr = address.parse().ok()?;
    is_port.then(|| format!("[{address}]"))
}

fn named(text: &str) -> Option<String> {
    let name = match text.rsplit_once(':') {
        Some((name, port)) if is_number(port) => name,
        _ => text,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let name = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        url::Host::parse(name).ok()?.to_string() // Punycode, by UTS 46 as browsers do.
    };
    (!name.is_empty() && name.bytes().all(is_plain)).then_some(name)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The host of a URL such as that of a referer; `None` when it has none.
pub(super) fn of_url(url: &str) -> Option<Cow<'_, str>> {
    let (scheme, rest) = url.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut malformed = false;
    let host = normalized(Cow::Borrowed(host), &mut malformed);
    (is_scheme && !malformed).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, bool) {
        let mut malformed = false;
        let host = normalized(Cow::Borrowed(text), &mut malformed).into_owned();
        (host, malformed)
    }

    #[test]
    fn a_host_has_one_spelling() {
        for (written, host) in [
            ("shop.example", "shop.example"),
            ("Shop.EXAMPLE", "shop.example"),
            ("shop.example.", "shop.example"),
            ("shop.example:8443", "shop.example"),
            ("shop.example.:443", "shop.example"),
            ("shop.example:", "shop.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("bücher.example:80", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("[::1]", "[::1]"),
            ("[2001:DB8:0:0::1]:443", "[2001:db8::1]"),
            ("203.0.113.7:80", "203.0.113.7"),
            ("my_service", "my_service"),
        ] {
            assert_eq!(read(written), (host.to_owned(), false), "{written}");
        }
        for none in ["", ".", ":80", "a b", "a/b", "[::1", "[::1]x", "[fe80::1%25eth0]", "a:b:c", "user@host", "\0"] {
            assert!(read(none).1, "{none}");
        }
        assert_eq!(read("A B").0, "a b");
        assert_eq!(read("user:secret@Shop.example:8443"), ("shop.example".to_owned(), true));
    }

    #[test]
    fn a_referer_has_the_host_behind_its_user() {
        let host = |url| of_url(url).map(Cow::into_owned);
        assert_eq!(host("https://News.example:8443/a?b=http://other.example").as_deref(), Some("news.example"));
        assert_eq!(host("http://shop.example@evil.example/").as_deref(), Some("evil.example"));
        assert_eq!(host(r"http://evil.example\@shop.example/").as_deref(), Some("evil.example"));
        for none in ["", "-", "shop.example", "://x", "http://", "http:///x", "about:blank", "ht tp://x"] {
            assert_eq!(host(none), None, "{none}");
        }
    }
}
