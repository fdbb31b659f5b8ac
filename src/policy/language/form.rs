//! What the values of fields look like once they are normalised, so that a literal which none of them can equal is
//! found before it protects nothing.

use std::net::IpAddr;

use ipnet::IpNet;

use super::typed::Part;
use super::{MAX_VALUE_BYTES, tree::Comparison};
use crate::policy::event::{Door, stands_in_paths, unwrapped};
use crate::policy::field::Field;

/// Why a text never stands in a field, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Never {
    pub(super) why: &'static str,
    pub(super) instead: Option<String>,
}

fn never(why: &'static str, instead: impl Into<String>) -> Option<Never> {
    Some(Never { why, instead: Some(format!("'{}'", instead.into().replace('\\', "\\\\").replace('\'', "\\'"))) })
}

fn never_at_all(why: &'static str) -> Option<Never> {
    Some(Never { why, instead: None })
}

/// Why no value of a field is this text, or has it at this place. Empty text is what an absent field is.
pub(super) fn text(field: &Field, part: Part, text: &str) -> Option<Never> {
    if text.is_empty() {
        return None;
    }
    if text.len() > MAX_VALUE_BYTES {
        return never_at_all("values are cut to 1 KiB");
    }
    match field {
        Field::RequestMethod if text.contains(|c: char| c.is_ascii_lowercase()) => {
            never("methods are in upper case", text.to_ascii_uppercase())
        }
        Field::RequestScheme if text.contains(|c: char| c.is_ascii_uppercase()) => {
            never("schemes are in lower case", text.to_ascii_lowercase())
        }
        Field::RequestScheme if text.contains([':', '/']) => {
            never("a scheme has no colon", text.split(':').next().unwrap_or_default())
        }
        Field::Door if part == Part::Whole && Door::ALL.iter().all(|door| door.as_str() != text) => {
            never_at_all("events come by decide, ingest or gateway")
        }
        Field::RequestHost | Field::RefererHost => host(part, text),
        Field::RequestPath => path(part, text),
        Field::Country if text.contains(|c: char| c.is_ascii_lowercase()) => {
            never("countries are in upper case", text.to_ascii_uppercase())
        }
        Field::Country if part == Part::Whole && text.chars().count() != 2 => {
            never_at_all("countries have two letters")
        }
        Field::ClientNetwork if part == Part::Whole => network(text),
        _ => None,
    }
}

fn host(part: Part, text: &str) -> Option<Never> {
    if text.contains(|c: char| c.is_ascii_uppercase()) {
        return never("hosts are in lower case", text.to_ascii_lowercase());
    }
    if let Some((_, host)) = text.split_once("://") {
        return never("a host has no scheme", host.split('/').next().unwrap_or_default());
    }
    if text.contains(['/', '?', '#', ' ', '@']) {
        return never_at_all("this is more than a host");
    }
    if !text.is_ascii() {
        let punycode = url::Host::parse(text).ok().filter(|_| part == Part::Whole);
        return match punycode {
            Some(host) => never("hosts are in punycode", host.to_string()),
            None => never_at_all("hosts are in punycode"),
        };
    }
    let (at_start, at_end) = (matches!(part, Part::Whole | Part::Start), matches!(part, Part::Whole | Part::End));
    // An IPv6 address stands in brackets, without its port too.
    if at_start && !text.starts_with('[') && text.contains(':') {
        return never("a host has no port", text.split(':').next().unwrap_or_default());
    }
    if at_end && text.len() > 1 && text.ends_with('.') {
        return never("a host has no final point", text.trim_end_matches('.'));
    }
    None
}

fn path(part: Part, text: &str) -> Option<Never> {
    let (at_start, at_end) = (matches!(part, Part::Whole | Part::Start), matches!(part, Part::Whole | Part::End));
    if at_start && text == "*" {
        return None; // OPTIONS *
    }
    if text.contains("://") {
        return never_at_all("a path has neither scheme nor host");
    }
    if at_start && !text.starts_with('/') {
        return never("paths begin with /", format!("/{text}"));
    }
    if text.contains("//") {
        return never("slashes are merged", merged(text));
    }
    if text.contains(['?', '#']) {
        const WHY: &str = "the query stands in request_query";
        let path = text.split(['?', '#']).next().filter(|path| !path.is_empty());
        return path.map_or_else(|| never_at_all(WHY), |path| never(WHY, path));
    }
    let dots = |end: bool, segment: &str| {
        let inside = text.contains(&format!("/{segment}/"));
        inside || end && at_end && text.ends_with(&format!("/{segment}"))
    };
    if dots(true, ".") || dots(true, "..") {
        return never_at_all("the points of a path are resolved");
    }
    if text.bytes().any(is_escaped) {
        let escape = |c: char| match u8::try_from(c) {
            Ok(byte) if is_escaped(byte) => format!("%{byte:02X}"),
            _ => c.to_string(),
        };
        return never("paths have this escaped", text.chars().map(escape).collect::<String>());
    }
    let decoded = decoded(text);
    (decoded != text).then(|| never("paths are decoded once, in what needs no escape", decoded)).flatten()
}

fn is_escaped(byte: u8) -> bool {
    byte.is_ascii() && !matches!(byte, b'/' | b'%') && !stands_in_paths(byte)
}

fn merged(path: &str) -> String {
    let mut merged = String::new();
    for c in path.chars() {
        if !(c == '/' && merged.ends_with('/')) {
            merged.push(c);
        }
    }
    merged
}

/// A path with its ASCII letters, digits and `-._~` decoded, and upper case digits in the other escapes.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => plain.push(char::from(byte)),
            Some(byte) => plain.push_str(&format!("%{byte:02X}")),
            None => {
                plain.push('%');
                plain.push_str(part);
                continue;
            }
        }
        plain.push_str(part.get(2..).unwrap_or_default());
    }
    plain
}

fn network(text: &str) -> Option<Never> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let address = unwrapped(address);
        return never("networks end with their size", format!("{address}/{}", if address.is_ipv4() { 32 } else { 64 }));
    }
    match text.parse::<IpNet>() {
        Err(_) => never_at_all("this is no network"),
        Ok(network) if network.trunc().to_string() != text => never("this is another way", network.trunc().to_string()),
        Ok(IpNet::V4(network)) if network.prefix_len() != 32 => {
            Some(Never { why: "networks of clients are /32", instead: Some(format!("ip_in(client_ip, ['{text}'])")) })
        }
        Ok(IpNet::V6(network)) if !(48..=64).contains(&network.prefix_len()) => {
            Some(Never { why: "networks of clients are /64", instead: Some(format!("ip_in(client_ip, ['{text}'])")) })
        }
        Ok(_) => None,
    }
}

/// The least and the most of a number, and what it is.
fn range(field: &Field) -> Option<(i64, i64, &'static str)> {
    Some(match field {
        Field::HourOfDay => (0, 23, "hours are 0 to 23"),
        Field::DayOfWeek => (0, 6, "days are 0 (Sunday) to 6 (Saturday)"),
        Field::ResponseStatus => (100, 599, "a status is 100 to 599"),
        Field::Asn => (0, i64::from(u32::MAX), "the number of an autonomous system has 32 bits"),
        Field::RequestBytes | Field::PayloadBytes | Field::PayloadFields | Field::ResponseBytes | Field::DurationMs => {
            (0, i64::MAX, "it is never negative")
        }
        _ => return None,
    })
}

/// Why a number of a field never compares so with this one. Of different ones: why it always does.
pub(super) fn number(field: &Field, comparison: Comparison, number: i64) -> Option<Never> {
    let (least, most, why) = range(field)?;
    let pointless = match comparison {
        Comparison::Equal | Comparison::Different => number < least || number > most,
        Comparison::Less => number <= least,
        Comparison::AtMost => number < least,
        Comparison::Greater => number >= most,
        Comparison::AtLeast => number > most,
    };
    pointless.then_some(Never { why, instead: None })
}

/// Why no instant compares so with this text: they are compared as texts, from the left.
pub(super) fn instant(text: &str) -> Option<Never> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.000Z";
    let fits = text.len() <= SHAPE.len()
        && text
            .bytes()
            .zip(SHAPE)
            .all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape });
    let why = "instants are in UTC, with milliseconds";
    (!fits).then(|| never(why, "2027-01-31T12:00:00.000Z")).flatten()
}
