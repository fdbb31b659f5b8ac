//! Events under the names of others.

use std::collections::BTreeMap;

use super::{NOW_MS, field};
use crate::policy::event::{Arrival, Door, Event, Names, Phase, Text};

fn read<R>(names: &Names, line: &str, ask: impl FnOnce(&Event<'_>) -> R) -> R {
    let text = Text::new(line.as_bytes());
    let (json, _) = text.json().unwrap();
    ask(&Event::of_names(names, &json, Arrival::new(Door::Ingest, NOW_MS)))
}

fn assert_fields(names: &Names, line: &str, expected: &[(&str, Option<&str>)]) {
    read(names, line, |event| {
        for (name, value) in expected {
            assert_eq!(field(event, name).as_deref(), *value, "{name}");
        }
    });
}

fn map(pairs: &[(&str, &str)]) -> Result<Names, Vec<String>> {
    let map: BTreeMap<String, String> =
        pairs.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned())).collect();
    Names::of_map(&map)
}

/// As the nginx module of Filebeat makes them.
#[test]
fn ecs_events_are_read_nested_and_flat() {
    let nested = r#"{"@timestamp": "2026-11-29T06:59:59.5Z", "source": {"ip": "198.51.100.9", "address": "x",
        "geo": {"country_iso_code": "fr"}, "as": {"number": 64500}}, "event": {"duration": 5400000},
        "http": {"request": {"method": "get", "referrer": "http://a.example/"}, "response": {"status_code": 404,
        "body": {"bytes": 12}}}, "url": {"original": "/a%2e/?q=1", "domain": "Shop.example"},
        "user_agent": {"original": "curl/8", "name": "curl"}, "agent": {"type": "filebeat"}}"#;
    let expected = [
        ("observed_at", Some("2026-11-29T06:59:59.500Z")),
        ("client_ip", Some("198.51.100.9")),
        ("country", Some("FR")),
        ("asn", Some("64500")),
        ("duration_ms", Some("5")),
        ("request_method", Some("GET")),
        ("referer_host", Some("a.example")),
        ("response_status", Some("404")),
        ("response_bytes", Some("12")),
        ("request_path", Some("/a./")),
        ("request_query_q", Some("1")),
        ("request_host", Some("shop.example")),
        ("user_agent", Some("curl/8")),
        ("request_malformed", Some("false")),
        ("door", Some("ingest")),
        ("tls_version", None),
    ];
    assert_fields(&Names::ecs(), nested, &expected);
    let flat =
        r#"{"source.ip": "198.51.100.9", "http.response.status_code": "404", "url.path": "/x", "event.duration": 5}"#;
    let expected = [("client_ip", Some("198.51.100.9")), ("response_status", Some("404")), ("duration_ms", Some("0"))];
    assert_fields(&Names::ecs(), flat, &expected);
    read(&Names::ecs(), flat, |event| assert_eq!(event.phase(), Phase::Both));
    read(&Names::ecs(), r#"{"url.path": "/x"}"#, |event| assert_eq!(event.phase(), Phase::Request));
    let own = r#"{"http": {"response": {"status_code": 403, "headers": {"keyloft-decision": "block; id=1"}}}}"#;
    assert!(read(&Names::ecs(), own, |event| event.has_own_decision()));
}

#[test]
fn what_a_shipper_sends_is_never_refused_only_absent_and_marked() {
    let line = r#"{"source": {"ip": "unknown"}, "http": {"response": {"status_code": "many"}},
        "event": {"duration": -5},
        "@timestamp": "yesterday", "user_agent": {"original": ["x"]}, "url": 7}"#;
    let expected = [
        ("client_ip", None),
        ("response_status", None),
        ("duration_ms", None),
        ("user_agent", None),
        ("observed_at", Some("2026-11-29T07:00:00.000Z")),
        ("request_malformed", Some("true")),
    ];
    assert_fields(&Names::ecs(), line, &expected);
    for other in ["7", "[]", "null", r#"{"a": 1}"#] {
        read(&Names::ecs(), other, |event| assert_eq!(field(event, "client_ip"), None));
    }
}

/// `uri` is decoded already: decoded again, `/%2561dmin` would be `/admin`.
#[test]
fn the_variables_of_nginx_are_read() {
    let line = r#"{"msec": "1795935599.250", "remote_addr": "198.51.100.9", "request": "POST /%2561dmin?x=1 HTTP/2.0",
        "uri": "/%61dmin", "status": 200, "body_bytes_sent": "5", "request_time": "0.012", "http_user_agent": "",
        "http_host": "shop.example:8443", "http_referer": "-", "ssl_protocol": "TLSv1.3"}"#;
    let expected = [
        ("observed_at", Some("2026-11-29T06:59:59.250Z")),
        ("client_ip", Some("198.51.100.9")),
        ("request_method", Some("POST")),
        ("request_path", Some("/%2561dmin")),
        ("request_query_x", Some("1")),
        ("response_status", Some("200")),
        ("response_bytes", Some("5")),
        ("duration_ms", Some("12")),
        ("user_agent", None),
        ("referer", None),
        ("request_host", Some("shop.example")),
        ("tls_version", Some("TLSv1.3")),
        ("request_malformed", Some("false")),
    ];
    assert_fields(&Names::nginx(), line, &expected);
}

#[test]
fn a_tenant_maps_our_fields_to_its_own_names() {
    let names = map(&[
        ("client_ip", "peer.addr"),
        ("request_path", "route"),
        ("request_header_x_app", "app"),
        ("request_cookie_sid", "sid"),
        ("request_query_user", "user"),
        ("payload_user_email", "email"),
        ("response_decision", "kl"),
    ])
    .unwrap();
    let line = r#"{"peer": {"addr": "198.51.100.9"}, "route": "/a", "app": 7, "sid": "s", "user": "a+b&c=%41",
        "email": "e", "kl": "x"}"#;
    let expected = [
        ("client_ip", Some("198.51.100.9")),
        ("request_path", Some("/a")),
        ("request_header_x_app", Some("7")),
        ("request_cookie_sid", Some("s")),
        ("request_query_user", Some("a+b&c=%41")),
        ("payload_user_email", Some("e")),
    ];
    assert_fields(&names, line, &expected);
    assert!(read(&names, line, |event| event.has_own_decision()));
    let wrong = map(&[("client_ip", "a"), ("trust_level", "b"), ("nonsense", "c"), ("request_malformed", "d")]);
    assert_eq!(wrong.unwrap_err(), ["nonsense", "request_malformed", "trust_level"]);
}

#[test]
fn dotted_names_are_found_nested_flat_and_mixed() {
    let line = r#"{"a": {"b": {"c": "1"}, "b.d": "2"}, "e.f": {"g": "3"}, "h": {"i": "4"}, "x": {"y": "5", "y": "6"},
        "a.b": 7, "z": [{"a": 1}], "": {"": "8"}}"#;
    let found = |theirs: &str| {
        let names = map(&[("request_header_x", theirs)]).unwrap();
        read(&names, line, |event| field(event, "request_header_x"))
    };
    let values = ["a.b.c", "a.b.d", "e.f.g", "h.i", "x.y", "a.b", "."].map(found);
    assert_eq!(values, ["1", "2", "3", "4", "6", "7", "8"].map(|value| Some(value.to_owned())));
    assert_eq!(["a.c", "a.b.c.d", "z", "z.a", "e", "y"].map(found), [const { None }; 6]);
    let twice = map(&[("request_header_x", "h.i"), ("request_cookie_y", "h.i")]).unwrap();
    assert_fields(&twice, line, &[("request_header_x", Some("4")), ("request_cookie_y", Some("4"))]);
}
