//! The address of the client: the peer of the connection, or the one that trusted proxies report.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, USER_AGENT};
use actix_web::{HttpRequest, web};

use crate::key::{Digest, Networks};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How many hops are read, from the right.
const MAX_HOPS: usize = 32;
/// No more words of a program's name are recorded: they have more than 120 bytes.
const MAX_WORDS: usize = 64;

/// The proxies whose forwarding headers are believed; none by default.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Networks);

impl TrustedProxies {
    /// Trusts the proxies in these networks.
    pub fn new(networks: Networks) -> Self {
        Self(networks)
    }

    fn trust(&self, address: IpAddr) -> bool {
        !self.0.is_any() && self.0.allow(address)
    }
}

/// The address of the client: that of the connection, or, when that is a trusted proxy, the right-most one in
/// `X-Forwarded-For` or `Forwarded` (RFC 7239) that is none. An IPv4 address that is written as IPv6 is given as IPv4.
///
/// `None` when a trusted proxy sends neither field, an unreadable one, or one with trusted proxies only; and when both
/// fields are there and differ, because one of them may have come from the client.
pub fn address(request: &HttpRequest, proxies: &TrustedProxies) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    if proxies.trust(peer) { forwarded(request.headers(), proxies) } else { Some(peer) }
}

/// The same with the proxies in the application's `web::Data<TrustedProxies>`; without it no proxy is trusted.
pub fn of(request: &HttpRequest) -> Option<IpAddr> {
    match request.app_data::<web::Data<TrustedProxies>>() {
        Some(proxies) => address(request, proxies),
        None => address(request, &TrustedProxies::default()),
    }
}

/// The program of the client, as it names itself; `None` when it does not, or when a word of that is a secret of ours.
pub(super) fn agent(request: &HttpRequest, is_secret: impl Fn(&Digest) -> bool) -> Option<String> {
    let agent = String::from_utf8_lossy(request.headers().get(USER_AGENT)?.as_bytes()).into_owned();
    let mut words = agent.split_whitespace().take(MAX_WORDS);
    (!words.any(|word| is_secret(&Digest::of(word)))).then_some(agent)
}

fn forwarded(headers: &HeaderMap, proxies: &TrustedProxies) -> Option<IpAddr> {
    let listed = headers.contains_key(&X_FORWARDED_FOR).then(|| {
        let list = joined(headers, &X_FORWARDED_FOR)?;
        client(list.rsplit(',').map(node), proxies)
    });
    let standard = headers.contains_key(&FORWARDED).then(|| {
        let list = joined(headers, &FORWARDED)?;
        client(split(&list, ',')?.into_iter().rev().map(hop), proxies)
    });
    match (listed, standard) {
        (Some(listed), Some(standard)) => listed.filter(|listed| Some(*listed) == standard),
        (listed, standard) => listed.or(standard).flatten(),
    }
}

/// Several fields of one name are one list, in their order (RFC 9110, section 5.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Result<Vec<_>, _> = headers.get_all(name).map(|value| value.to_str()).collect();
    Some(values.ok()?.join(","))
}

/// The first hop from the right that is no trusted proxy. An unreadable hop ends the search, because hops left of it
/// may be forged.
fn client(hops: impl Iterator<Item = Option<IpAddr>>, proxies: &TrustedProxies) -> Option<IpAddr> {
    hops.take(MAX_HOPS).map_while(|hop| hop).find(|hop| !proxies.trust(*hop))
}

/// The `for` of one element of `Forwarded`, which stands there once.
fn hop(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split(element, ';')? {
        let Some((name, value)) = pair.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    node(quoted.unwrap_or(value))
}

/// An address with or without a port; IPv6 in brackets when there is one. Names and `unknown` are no addresses.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bare).or_else(with_port).map(|address| address.to_canonical())
}

/// The pieces between separators that stand outside of quotes; `None` when a quote is not closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    (!quoted).then_some(pieces)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies::new("10.0.0.0/8,2001:db8:ffff::/48".parse().unwrap())
    }

    fn seen(peer: &str, fields: &[(&str, &str)]) -> Option<String> {
        let mut request = TestRequest::default().peer_addr(format!("{peer}:4711").parse().unwrap());
        for (name, value) in fields {
            request = request.append_header((*name, *value));
        }
        address(&request.to_http_request(), &proxies()).map(|address| address.to_string())
    }

    #[test]
    fn untrusted_peers_are_not_believed() {
        let spoofed = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(seen("203.0.113.9", &spoofed).unwrap(), "203.0.113.9");
        assert_eq!(seen("[::ffff:203.0.113.9]", &spoofed).unwrap(), "203.0.113.9");
        let request = TestRequest::default().peer_addr("10.0.0.1:1".parse().unwrap());
        let request = request.append_header(("x-forwarded-for", "192.0.2.1")).to_http_request();
        assert_eq!(address(&request, &TrustedProxies::default()), "10.0.0.1".parse().ok());
    }

    #[test]
    fn the_right_most_hop_that_is_no_proxy_is_the_client() {
        for (list, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("198.51.100.1, 192.0.2.1", "192.0.2.1"),
            ("198.51.100.1, 192.0.2.1, 10.1.1.1,10.2.2.2", "192.0.2.1"),
            ("nonsense, 192.0.2.1, 10.1.1.1", "192.0.2.1"),
            ("192.0.2.1:8080", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1, ::ffff:10.0.0.9", "192.0.2.1"),
            ("2001:db8::1, 2001:db8:ffff::2", "2001:db8::1"),
        ] {
            assert_eq!(seen("10.0.0.1", &[("x-forwarded-for", list)]).as_deref(), Some(client), "{list}");
        }
        let repeated = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.1, 10.0.0.2")];
        assert_eq!(seen("10.0.0.1", &repeated).unwrap(), "192.0.2.1");
        assert_eq!(seen("[2001:db8:ffff::1]", &[("x-forwarded-for", "192.0.2.1")]).unwrap(), "192.0.2.1");
    }

    #[test]
    fn what_a_proxy_does_not_say_clearly_is_nobody() {
        let long = vec!["10.0.0.1"; MAX_HOPS].join(",");
        for list in [
            "",
            " ",
            "192.0.2.1,",
            "192.0.2.1, unknown",
            "192.0.2.1, example.com",
            "192.0.2.1, 10.0.0.2, x",
            "10.0.0.2",
            "fe80::1%eth0",
            "192.0.2.1:99999",
            "[192.0.2.1]",
            &format!("192.0.2.1,{long}"),
        ] {
            assert_eq!(seen("10.0.0.1", &[("x-forwarded-for", list)]), None, "{list}");
        }
        assert_eq!(seen("10.0.0.1", &[]), None);
    }

    #[test]
    fn the_standard_field_is_read_with_its_quotes() {
        for (list, client) in [
            ("for=192.0.2.1", Some("192.0.2.1")),
            ("For=\"[2001:db8::1]:4711\";proto=http;by=10.0.0.1", Some("2001:db8::1")),
            ("for=198.51.100.1, proto=https ; FOR = 192.0.2.1, for=10.0.0.2", Some("192.0.2.1")),
            ("for=198.51.100.1;by=\"a,b;for=1.1.1.1\\\"\", for=\"192.0.2.1:80\"", Some("192.0.2.1")),
            ("for=192.0.2.1, proto=https", None),
            ("for=192.0.2.1;for=192.0.2.2", None),
            ("for=_hidden", None),
            ("for=\"192.0.2.1", None),
            ("for=192.0.2.1;by=\", for=10.0.0.2", None),
        ] {
            assert_eq!(seen("10.0.0.1", &[("forwarded", list)]).as_deref(), client, "{list}");
        }
    }

    #[test]
    fn two_fields_count_only_when_they_agree() {
        let both = |listed, standard| seen("10.0.0.1", &[("x-forwarded-for", listed), ("forwarded", standard)]);
        assert_eq!(both("192.0.2.1", "for=192.0.2.1").unwrap(), "192.0.2.1");
        assert_eq!(both("192.0.2.1", "for=192.0.2.2"), None);
        assert_eq!(both("x", "for=x"), None);
        assert_eq!(both("192.0.2.1", "for=x"), None);
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_a_panic(list in "[ -~]{0,80}") {
            let _ = seen("10.0.0.1", &[("x-forwarded-for", &list), ("forwarded", &list)]);
            let _ = seen("10.0.0.1", &[("forwarded", &list)]);
        }

        /// Whatever a client sends first, only what the proxy appends is believed.
        #[test]
        fn no_client_chooses_its_address(sent in "[ -~]{0,60}") {
            for (name, appended) in [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")] {
                let client = seen("10.0.0.1", &[(name, &sent), (name, appended)]);
                prop_assert!(client.is_none_or(|client| client == "203.0.113.9"), "{sent}");
            }
        }
    }
}
