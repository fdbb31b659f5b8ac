//! Lines of access logs.

use super::{NOW_MS, field};
use crate::policy::event::{Arrival, Door, LogFormat, Phase};

fn combined(line: &str, names: &[&str]) -> Result<Vec<Option<String>>, String> {
    let read = LogFormat::Combined.read(line.as_bytes(), Arrival::new(Door::Ingest, NOW_MS), |event| {
        assert_eq!(event.phase(), Phase::Both);
        names.iter().map(|name| field(&event, name)).collect()
    });
    read.map_err(|error| error.to_string())
}

const NAMES: [&str; 10] = [
    "client_ip",
    "observed_at",
    "request_method",
    "request_path",
    "request_query",
    "response_status",
    "response_bytes",
    "referer",
    "user_agent",
    "request_malformed",
];

#[test]
fn a_line_is_a_request_and_its_answer() {
    let line = concat!(
        r#"198.18.0.1 - bob [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 404 203023 "http://a.example/" "#,
        r#""A \"B\" \\ \xc3\xa9" extra"#
    );
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        combined(line, &NAMES).unwrap(),
        [
            text("198.18.0.1"),
            text("2015-05-17T10:05:03.000Z"),
            text("GET"),
            text("/a"),
            text("b=c"),
            text("404"),
            text("203023"),
            text("http://a.example/"),
            text("A \"B\" \\ é"),
            text("false"),
        ]
    );
    let line = r#"198.18.0.1 - - [17/May/2015:10:05:03 +0000] "-" 408 - "-" "-""#;
    let read = combined(line, &NAMES).unwrap();
    assert_eq!(read[2..9], [None, None, None, text("408"), None, None, None]);
    assert_eq!(read[9], text("true"));
    let common = r#"host.example - - [17/May/2015:10:05:03 +0000] "\x16\x03 GET / HTTP/1.0" 200 5"#;
    let read = combined(common, &NAMES).unwrap();
    assert_eq!((&read[0], &read[3], &read[9]), (&None, &text("/GET%20/"), &text("true")));
}

#[test]
fn a_line_that_is_cut_off_is_unreadable_and_says_where() {
    for (line, rule) in [
        ("198.18.0.1", "there is no client address"),
        ("198.18.0.1 - - [17/May/2015:10:05", "there is no time in brackets"),
        ("198.18.0.1 - - [17/May/2015:10:05]", "the time is not like 17/May/2015:10:05:03 +0000"),
        (r#"198.18.0.1 - - [17/May/2015:10:05:03 +0000] "GET /"#, "there is no request in quotes"),
        (r#"198.18.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1""#, "there is no status"),
        (r#"198.18.0.1 - - [17/May/2015:10:05:03 +0000] "GET /" 200 5 "ht"#, "the referer is not closed by a quote"),
        (
            r#"198.18.0.1 - - [17/May/2015:10:05:03 +0000] "GET /" 200 5 "-" "Mo"#,
            "the user agent is not closed by a quote",
        ),
    ] {
        assert_eq!(combined(line, &[]).unwrap_err(), format!("the line is not in the combined format: {rule}"));
    }
    for no_line in ["", " ", "\u{0}", "{}", "a [b] c", "a [17/May/2015:10:05:03 +0000] \"x\" y"] {
        assert!(combined(no_line, &[]).is_err(), "{no_line}");
    }
    assert!(LogFormat::Combined.read(&vec![b'a'; 70_000], Arrival::new(Door::Ingest, 0), |_| ()).is_err());
}

#[test]
fn formats_have_the_names_of_the_command_line() {
    assert!(["combined", "nginx-json", "ecs", "ndjson"].iter().all(|name| LogFormat::parse(name).is_some()));
    assert!(LogFormat::parse("csv").is_none());
    let ndjson = LogFormat::parse("ndjson").unwrap();
    let line = br#"{"request": {"path": "/x"}, "response": {"status": 200}}"#;
    assert_eq!(ndjson.read(line, Arrival::new(Door::Ingest, 0), |event| event.phase()), Ok(Phase::Both));
}
