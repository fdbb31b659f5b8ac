//! Requests that are no HTTP: they are answered and recorded like every other refusal.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Process, Raw};

/// Every answer on a connection after this was sent, until the server has hung up. The client may close its sending
/// side before.
async fn answers(url: &str, sent: Vec<u8>, closes: bool) -> Vec<(u16, String, String)> {
    let mut raw = Raw::connect(url);
    let read = move || {
        if raw.try_send(sent).is_ok() && closes {
            raw.finish_sending();
        }
        String::from_utf8(raw.read_to_end()).unwrap()
    };
    let mut rest = tokio::task::spawn_blocking(read).await.unwrap();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{rest}"));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let (body, more) = body.split_at(length);
        let status = head[9..12].parse().unwrap();
        let answer = (status, head.to_owned(), body.to_owned());
        rest = more.to_owned();
        found.push(answer);
    }
    found
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn is_problem((status, head, body): &(u16, String, String), expected: u16, code: &str) -> String {
    assert_eq!((*status, field(head, "connection")), (expected, Some("close")), "{head}");
    assert_eq!(field(head, "content-type"), Some("application/problem+json"), "{head}");
    assert!(field(head, "date").is_some(), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], expected);
    field(head, "x-request-id").unwrap_or_else(|| panic!("{head}")).to_owned()
}

#[tokio::test]
async fn a_request_that_is_no_http_is_a_problem_with_an_id_in_the_log_and_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::serve(&folder.path().join("store"), &[]);
    let secret = "kl_ing_0123456789abcdef0123456789abcdef0123456789abcdefgh";
    let many: String = (0..97).map(|n| format!("x-{n}: y\r\n")).collect();
    let start = format!("POST /api/v1/ingest HTTP/1.1\r\nhost: x\r\nx-api-key: {secret}\r\n");
    let large = "x".repeat(1_000_000);
    let long = format!("{start}x-long: {}\r\n\r\n", "x".repeat(200_000));
    let cases = [
        (400, "\0\0\0\r\n\r\n".to_owned()),
        (400, "GET\r\n\r\n".to_owned()),
        (400, "GET / HTTP/9.9\r\n\r\n".to_owned()),
        (400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (400, "GET /api/v1/liveness HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET /api/v1/live ness HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        (400, format!("{start}broken\r\n\r\n")),
        (400, format!("{start}content-length: 1\r\ncontent-length: 1\r\n\r\nx")),
        (400, format!("{start}content-length: -1\r\n\r\n")),
        (400, format!("{start}transfer-encoding: gzip\r\n\r\n")),
        // The client is still sending when the answer comes.
        (400, format!("{start}content-length: 1000000\r\ntransfer-encoding: chunked\r\n\r\n{large}")),
        (431, format!("{start}{many}\r\n")),
        (431, long),
    ];
    let mut ids = Vec::new();
    let twice = cases.iter().flat_map(|case| [(case, false), (case, true)]);
    for ((status, sent), closes) in twice {
        let found = answers(process.url(), sent.clone().into(), closes).await;
        let [answer] = &found[..] else { panic!("{} has {found:?}", &sent[..sent.len().min(300)]) };
        ids.push(is_problem(answer, *status, if *status == 400 { "invalid_request" } else { "headers_too_large" }));
    }
    // After a request on the same connection, which has its own answer.
    let pipelined = "GET /api/v1/liveness HTTP/1.1\r\nhost: x\r\n\r\nnonsense\r\n\r\n";
    let found = answers(process.url(), pipelined.into(), true).await;
    let [(200, ..), broken] = &found[..] else { panic!("{found:?}") };
    ids.push(is_problem(broken, 400, "invalid_request"));
    let metrics = process.anonymous().get("/metrics").await;
    for (status, count) in [(400, 2 * (cases.len() - 2) + 1), (431, 4)] {
        let line = format!("method=\"other\",route=\"none\",status=\"{status}\"}} {count}\n");
        assert!(metrics.text().contains(&line), "{line}{}", metrics.text());
    }
    let log = || std::fs::read_to_string(folder.path().join("store.log")).unwrap();
    let line_of = |id: &str| log().lines().find(|line| line.contains(id)).map(str::to_owned);
    for id in ids {
        let start = Instant::now();
        while line_of(&id).is_none() && start.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let line = line_of(&id).unwrap_or_else(|| panic!("{id}: {}", log()));
        assert!(line.contains("request completed method=\"other\" route=\"none\" status=4"), "{line}");
    }
    let log = log();
    assert!(!log.contains(secret) && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn a_body_whose_framing_is_broken_has_one_answer() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::serve(&folder.path().join("store"), &[]);
    let admin = process.admin(process.admin_token().unwrap());
    let key = admin.issue("default", "shipper", "ingestion").await.api_key;
    for (key, status) in [(key.as_str(), 400), ("unknown", 401)] {
        for chunk in ["nonsense\r\n", "-1\r\n", "fffffffffffffffff\r\nx", "3\r\n{}\r\n\r\n", "1\r\n{}\r\n0\r\n\r\n"] {
            let sent = format!(
                "POST /api/v1/logstream/web HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ntransfer-encoding: chunked\r\n\
                 \r\n{chunk}GET /api/v1/liveness HTTP/1.1\r\nhost: x\r\n\r\n"
            );
            let found = answers(process.url(), sent.into(), status == 400).await;
            let [(found, head, body)] = &found[..] else { panic!("{chunk:?} with {key} has {found:?}") };
            assert_eq!((*found, field(head, "connection")), (status, Some("close")), "{chunk:?}: {head}{body}");
            assert!(field(head, "x-request-id").is_some() && body.contains("urn:keyloft:problem:"), "{head}{body}");
        }
    }
    let log = std::fs::read_to_string(folder.path().join("store.log")).unwrap();
    assert!(!log.contains("ERROR"), "{log}");
}
