//! Events as `decide` takes them.

use proptest::prelude::*;
use serde_json::{Value as Reference, json};

use super::{NOW_MS, decide, field, fields, some};
use crate::policy::event::{Event, Phase, Text};
use crate::policy::{Field, Fields, Value};

/// The example of the contract, filled in.
const EXAMPLE: &str = r#"{"observedAt": "2026-11-29T08:00:00.250+01:00", "clientIp": "::ffff:203.0.113.7",
    "country": "de", "asn": 64496, "tls": {"version": "1.3", "ja3": "a", "ja4": "b"},
    "request": {"method": "post", "scheme": "HTTPS", "host": "Shop.Example:443", "path": "/a/%2e%2e/l%6Fgin",
        "query": "user=a%20b&user=c&x-y=%2525", "headers": {"User-Agent": "Mozilla/5.0",
        "Referer": "https://news.example/?q=1", "Content-Type": "application/json", "X-A": ["1", "2"]},
        "cookies": {"session-id": "s"}, "bytes": 12},
    "payload": {"user": {"email": "a@b.example", "age": 5.0, "score": 1.5, "vip": true}, "user_name": "n", "list": [1]},
    "response": {"status": 401, "bytes": 7, "durationMs": 3, "decision": null}, "clearance": "kc1.x.y",
    "returnPath": "/login"}"#;

#[test]
fn every_field_has_its_value_in_one_spelling() {
    for (name, value) in [
        ("source_id", "web-1"),
        ("trust_level", "high"),
        ("key_id", "key"),
        ("door", "decide"),
        ("client_ip", "203.0.113.7"),
        ("client_network", "203.0.113.7/32"),
        ("user_agent", "Mozilla/5.0"),
        ("referer", "https://news.example/?q=1"),
        ("referer_host", "news.example"),
        ("country", "DE"),
        ("asn", "64496"),
        ("tls_version", "1.3"),
        ("tls_ja3", "a"),
        ("tls_ja4", "b"),
        ("request_method", "POST"),
        ("request_scheme", "https"),
        ("request_host", "shop.example"),
        ("request_path", "/login"),
        ("request_path_raw", "/a/%2e%2e/l%6Fgin"),
        ("request_query", "user=a%20b&user=c&x-y=%2525"),
        ("request_query_user", "a b"),
        ("request_query_x_y", "%25"),
        ("request_header_x_a", "1, 2"),
        ("request_header_user_agent", "Mozilla/5.0"),
        ("request_cookie_session_id", "s"),
        ("request_bytes", "12"),
        ("request_malformed", "false"),
        ("content_type", "application/json"),
        ("payload_user_email", "a@b.example"),
        ("payload_user_age", "5"),
        ("payload_user_score", "1.5"),
        ("payload_user_vip", "true"),
        ("payload_user_name", "n"),
        ("payload_fields", "7"),
        ("response_status", "401"),
        ("response_bytes", "7"),
        ("duration_ms", "3"),
        ("observed_at", "2026-11-29T07:00:00.250Z"),
        ("hour_of_day", "7"),
        ("day_of_week", "0"),
    ] {
        assert_eq!(fields(EXAMPLE, [name]), some([value]), "{name}");
    }
    let absent = ["payload_user", "payload_list", "payload_user_email_x", "request_query_x", "request_header_x_b"];
    assert_eq!(fields(EXAMPLE, absent), [const { None }; 5]);
    decide(EXAMPLE, |event| {
        assert_eq!((event.clearance(), event.return_path()), (Some("kc1.x.y"), Some("/login")));
        assert_eq!((event.phase(), event.has_own_decision()), (Phase::Response, false));
        assert_eq!(event.value(&Field::parse("payload_user_age").unwrap()), Value::Int(5));
        assert!(!format!("{event:?}").contains("203.0.113.7"), "no value is shown");
    })
    .unwrap();
}

#[test]
fn an_event_without_members_is_a_request_of_which_nothing_is_known() {
    decide("{}", |event| {
        assert_eq!((event.observed_at_ms(), event.phase()), (NOW_MS, Phase::Request));
        let present: Vec<&str> = Field::names().filter(|name| field(event, name).is_some()).collect();
        let known = ["source_id", "trust_level", "key_id", "door", "request_malformed", "observed_at", "hour_of_day"];
        assert_eq!(present, [&known[..], &["day_of_week"]].concat());
    })
    .unwrap();
    let null = r#"{"observedAt":null,"clientIp":null,"request":null,"payload":null,"response":null,"clearance":null}"#;
    assert!(decide(null, |event| event.phase() == Phase::Request).unwrap());
}

#[test]
fn a_refusal_names_the_member_and_never_its_value() {
    for (event, refusal) in [
        (r#"[]"#, "the event must be an object"),
        (r#"{"clientIP": "x"}"#, "clientIP must be left out: it is not known, and clientIp is"),
        (r#"{"request": {"headrs": {}}}"#, "request.headrs must be left out: it is not known, and headers is"),
        (r#"{"request": []}"#, "request must be an object"),
        (r#"{"request": {"method": 5}}"#, "request.method must be text"),
        (r#"{"request": {"headers": []}}"#, "request.headers must be an object of texts, or of arrays of texts"),
        (r#"{"request": {"headers": {"X-Foo": {"secret": 1}}}}"#, "request.headers.X-Foo must be text"),
        (r#"{"request": {"cookies": {"a": [7]}}}"#, "request.cookies.a must be text"),
        (r#"{"request": {"path": "/a", "path": "/b"}}"#, "request.path must be given once"),
        (r#"{"clientIp": "fe80::1%eth0"}"#, "clientIp must be an IP address without port and zone"),
        (r#"{"observedAt": "secret"}"#, "observedAt must be a time such as 2026-11-29T07:00:00.000Z"),
        (r#"{"response": {"status": "200"}}"#, "response.status must be a whole number from 0 on"),
        (r#"{"asn": -1}"#, "asn must be a whole number from 0 on"),
        (r#"{"a": "#, "the event is not valid JSON: line 1, column 6"),
    ] {
        assert_eq!(decide(event, |_| ()).unwrap_err().to_string(), refusal, "{event}");
    }
    let unknown = decide(r#"{"zebra": 1}"#, |_| ()).unwrap_err().to_string();
    assert!(
        unknown.starts_with("zebra must be left out: it is not known (known are observedAt, clientIp,"),
        "{unknown}"
    );
    let large = json!({"payload": "x".repeat(64 << 10)}).to_string();
    decide(&large, |_| ()).unwrap(); // Its client chooses how large it is.
}

#[test]
fn what_a_client_chooses_never_makes_an_event_invalid() {
    let long = "x".repeat(2000);
    let many: serde_json::Map<String, Reference> = (0..4097).map(|n| (format!("h{n}"), json!("v"))).collect();
    let deep = format!(r#"{{"payload": {}1{}}}"#, "[".repeat(500), "]".repeat(500));
    for (event, field) in [
        (json!({"request": {"headers": {"User-Agent": long}}}).to_string(), "user_agent"),
        (json!({"request": {"method": "G T"}}).to_string(), "request_method"),
        (json!({"request": {"path": "/a%00"}}).to_string(), "request_path"),
        (json!({"request": {"path": "/\u{0}\u{202e}"}}).to_string(), "request_path"),
        (json!({"request": {"path": "x"}}).to_string(), "request_path"),
        (json!({"request": {"host": "a b"}}).to_string(), "request_host"),
        (json!({"request": {"query": long}}).to_string(), "request_query"),
        (json!({"request": {"query": "a=1&".repeat(1025)}}).to_string(), "request_query_a"),
        (json!({"request": {"headers": many}}).to_string(), "request_header_h0"),
        (json!({"request": {"headers": {"X-A": "1", "x_a": "2"}}}).to_string(), "request_header_x_a"),
        (
            json!({"request": {"headers": {"X-A": ["x".repeat(600), "y".repeat(600)]}}}).to_string(),
            "request_header_x_a",
        ),
        (json!({"request": {"headers": {"Cookie": format!("a={long}")}}}).to_string(), "request_cookie_a"),
        (json!({"request": {"headers": {"X-A": "a\r\nb"}}}).to_string(), "request_header_x_a"),
        (json!({"request": {"cookies": {"a": long}}}).to_string(), "request_cookie_a"),
        (json!({"payload": {"a": long}}).to_string(), "payload_a"),
        (json!({"response": {"status": 999}}).to_string(), "door"),
        (deep, "door"),
        (r#"{"payload": {"a": 1e999, "b": NaN}}"#.to_owned(), "payload_fields"),
        (r#"{"payload": {"a": "\ud800 \udc00\ud83e\udd80"}}"#.to_owned(), "payload_a"),
    ] {
        let mut names = Fields::default();
        let (read, malformed) = (Field::parse(field).unwrap(), Field::RequestMalformed);
        let slots = [malformed, read].map(|field| names.slot(field).unwrap());
        let text = Text::new(event.as_bytes());
        let (json, mended) = text.json().unwrap_or_else(|error| panic!("{event:.60}: {error}"));
        let event = Event::of_decide(&json, super::arrival()).unwrap();
        let values = event.values(&names);
        assert!(mended || *values.get(slots[0]) == Value::Bool(true), "{field}");
        assert!(values.get(slots[1]).is_present() && values.get(slots[1]).text().len() <= 1024, "{field}");
    }
}

#[test]
fn a_long_text_is_a_fault_only_where_a_set_reads_it() {
    let (token, cookie) = ("x".repeat(3000), format!("theme={}; sid=7", "x".repeat(3000)));
    let event = json!({"request": {"headers": {"Authorization": token, "Cookie": cookie, "X-Tab": "a\tb"}},
        "payload": {"comment": "x".repeat(3000)}})
    .to_string();
    for (names, malformed) in [
        (vec!["request_cookie_sid", "request_path"], false),
        (vec!["request_header_authorization"], true),
        (vec!["request_cookie_theme"], true),
        (vec!["payload_comment"], true),
    ] {
        let mut fields = Fields::default();
        let mut slot = |name: &str| fields.slot(Field::parse(name).unwrap()).unwrap();
        let (marked, read) = (slot("request_malformed"), slot(names[0]));
        let rest: Vec<_> = names.iter().map(|name| slot(name)).collect();
        decide(&event, |event| {
            let values = event.values(&fields);
            assert_eq!(*values.get(marked), Value::Bool(malformed), "{names:?}");
            assert!(values.get(read).is_present() && rest.iter().all(|slot| values.get(*slot).text().len() <= 1024));
        })
        .unwrap();
    }
    assert_eq!(fields(&event, ["request_cookie_sid"]), some(["7"]), "behind a long one");
}

#[test]
fn the_senders_own_words_about_host_and_cookies_win_over_the_headers() {
    let event = r#"{"request": {"headers": {"Host": "Front.example", "Cookie": "a=1; b=2"}}}"#;
    assert_eq!(fields(event, ["request_host", "request_cookie_b"]), some(["front.example", "2"]));
    let event =
        r#"{"request": {"host": "back.example", "headers": {"Host": "x", "Cookie": "a=1"}, "cookies": {"a": "2"}}}"#;
    assert_eq!(fields(event, ["request_host", "request_cookie_a"]), some(["back.example", "2"]));
}

#[test]
fn a_target_is_taken_apart() {
    let names = ["request_path", "request_query", "request_host"];
    let of = |path: &str| fields(&json!({"request": {"path": path}}).to_string(), names);
    assert_eq!(of("/a?b=c?d"), [Some("/a".into()), Some("b=c?d".into()), None]);
    assert_eq!(of("http://X.example:80/a?b"), some(["/a", "b", "x.example"]));
    assert_eq!(of("http://u:p@x.example"), [Some("/".into()), None, Some("x.example".into())]);
    assert_eq!(of("http://x.example?b"), some(["/", "b", "x.example"]));
    assert_eq!(of("HTTPS://x.example/a"), [Some("/a".into()), None, Some("x.example".into())]);
    let event = r#"{"request": {"path": "http://a.example/", "headers": {"Host": "b.example"}}}"#;
    assert_eq!(fields(event, ["request_host"]), some(["a.example"]));
    assert_eq!(of("*"), [Some("*".into()), None, None]);
}

#[test]
fn an_event_that_carries_our_decision_says_so() {
    let own = |decision: &str| decide(decision, |event| event.has_own_decision()).unwrap();
    assert!(own(r#"{"response": {"decision": "0193"}}"#));
    assert!(!own(r#"{"response": {"decision": ""}}"#) && !own(r#"{"response": {"status": 403}}"#));
}

proptest! {
    #[test]
    fn no_event_of_json_is_a_panic(text in "[\\{\\}\\[\\]\",:a-z0-9 \\\\%/.-]{0,200}") {
        let _ = decide(&text, |_| ());
    }

    #[test]
    fn no_text_of_a_client_makes_an_event_invalid(path in "\\PC*", name in "\\PC+", value in ".*", host in ".*") {
        let headers = json!({name.clone(): value, "Host": host});
        let event = json!({"request": {"path": path, "query": value, "headers": headers, "cookies": {name: value}}});
        let read = decide(&event.to_string(), |event| {
            for name in Field::names() {
                prop_assert!(field(event, name).is_none_or(|text| text.len() <= 1024));
            }
            Ok(())
        });
        read.unwrap()?;
    }
}
