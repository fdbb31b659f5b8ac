//! An answer that comes before the body of its request was read: little more of the body is read, and the answer
//! arrives.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use keyloft::testing::{MAX_LINGER, MAX_UNREAD_BYTES};
use serde_json::json;

use crate::support::{Raw, TestServer};

/// What the kernel holds at most for both ends on loopback, whatever the server reads.
const KERNEL_BYTES: usize = 16 << 20;
const LENGTH: &str = "content-length: 99999999999";
const CHUNKED: &str = "transfer-encoding: chunked";

/// Pushes a body without end: how many bytes it took, how long, and what was answered.
async fn push(server: &TestServer, request: &str, key: Option<&str>, framing: &str) -> (usize, Duration, String) {
    let mut raw = Raw::connect(server.url());
    let key = key.map_or_else(String::new, |key| format!("x-p-stream: web\r\nx-api-key: {key}\r\n"));
    let head = format!("{request} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{key}{framing}\r\n\r\n");
    raw.send(head);
    let data = "x".repeat(60_000);
    let piece = if framing == CHUNKED { format!("{:x}\r\n{data}\r\n", data.len()) } else { data };
    let push = move || {
        let start = Instant::now();
        let sent = raw.send_without_end(piece.as_bytes());
        (sent, start.elapsed(), String::from_utf8_lossy(&raw.read_to_end()).into_owned())
    };
    tokio::task::spawn_blocking(push).await.unwrap()
}

#[tokio::test]
async fn nobody_pushes_a_body_without_end() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let good = admin.issue("default", "good", "ingestion").await.api_key;
    let reader = admin.issue("default", "reader", "query").await.api_key;
    let limits = json!({"requests": {"perMinute": 1, "burst": 1}});
    let limited = json!({"keyName": "limited", "keyType": "ingestion", "limits": limits});
    let limited = admin.issue_with("default", limited).await.api_key;
    assert_eq!(server.with_key(&limited).ingest("web", "{\"a\":1}").await.status, 200);
    for (request, key, status) in [
        ("POST /api/v1/ingest", None, 401),
        ("POST /api/v1/query", None, 401),
        ("POST /api/v1/tenants", None, 401),
        ("POST /api/v1/nowhere", None, 404),
        ("PUT /api/v1/query", None, 405),
        ("GET /api/v1/liveness", None, 200),
        ("POST /api/v1/ingest", Some(&reader), 403),
        ("POST /api/v1/ingest", Some(&limited), 429),
        ("POST /api/v1/ingest", Some(&good), 413),
    ] {
        // Without a length, as much is read as a body may have.
        let framings: &[&str] = if status == 413 { &[LENGTH] } else { &[LENGTH, CHUNKED] };
        for framing in framings {
            let (sent, elapsed, answer) = push(&server, request, key.map(String::as_str), framing).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}, {framing}: {answer}");
            assert!(answer.contains("connection: close"), "{answer}");
            assert!(sent <= MAX_UNREAD_BYTES + KERNEL_BYTES, "{request}, {framing}: {sent} bytes");
            assert!(elapsed < MAX_LINGER + Duration::from_millis(1500), "{request}, {framing}: {elapsed:?}");
        }
    }
    assert_eq!(server.anonymous().get("/api/v1/liveness").await.status, 200);
}

/// Neither reading nor closing: the connection ends all the same.
#[tokio::test]
async fn a_client_that_sends_slowly_keeps_no_connection() {
    let server = TestServer::spawn().await;
    let mut raw = Raw::connect(server.url());
    raw.send(format!("POST /api/v1/ingest HTTP/1.1\r\nhost: x\r\n{LENGTH}\r\n\r\nx"));
    let start = Instant::now();
    let answer = tokio::task::spawn_blocking(move || raw.read_to_end()).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
    let elapsed = start.elapsed();
    assert!(elapsed > MAX_LINGER / 2 && elapsed < MAX_LINGER + Duration::from_millis(1500), "{elapsed:?}");
}

#[tokio::test]
async fn a_small_body_that_nobody_wants_costs_no_connection() {
    let server = TestServer::spawn().await;
    for (framing, body) in [("content-length: 7", "{\"a\":1}"), (CHUNKED, "7\r\n{\"a\":1}\r\n0\r\n\r\n")] {
        let mut raw = Raw::connect(server.url());
        let answers = tokio::task::spawn_blocking(move || {
            let mut ask = |request: &str| {
                raw.send(request);
                raw.read_answer()
            };
            let refused = ask(&format!("POST /api/v1/ingest HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n{body}"));
            [refused, ask("GET /api/v1/liveness HTTP/1.1\r\nhost: x\r\n\r\n")]
        });
        let [refused, alive] = answers.await.unwrap();
        assert!(refused.starts_with("HTTP/1.1 401") && !refused.contains("connection: close"), "{refused}");
        assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    }
}

/// A body of 12 MB for each client to send from.
fn large_body(folder: &Path) -> String {
    let path = folder.join("body");
    std::fs::write(&path, vec![b'x'; 12_000_000]).unwrap();
    path.to_str().unwrap().to_owned()
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// What urllib3, and so requests, does when a server answers and closes early: it goes on to read the answer.
const PYTHON: &str = r#"
import http.client, sys
host, path, key, chunked = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "chunked"
body = open(path, "rb").read()
for _ in range(3):
    connection = http.client.HTTPConnection(host, timeout=20)
    pieces = (body[at:at + 65536] for at in range(0, len(body), 65536))
    try:
        connection.request("POST", "/api/v1/logstream/web", body=pieces if chunked else body,
                           headers={"X-API-KEY": key, "Content-Type": "application/json"}, encode_chunked=chunked)
    except BrokenPipeError:
        pass
    answer = connection.getresponse()
    print(answer.status, b"urn:keyloft:problem:" in answer.read())
"#;

const NODE: &str = r#"
const [url, path, key] = process.argv.slice(1);
const body = require("fs").readFileSync(path);
(async () => {
    for (let round = 0; round < 3; round += 1) {
        const headers = {"X-API-KEY": key, "Content-Type": "application/json"};
        const answer = await fetch(url + "/api/v1/logstream/web", {method: "POST", body, headers});
        console.log(answer.status, (await answer.text()).includes("urn:keyloft:problem:"));
    }
})();
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_reaches_clients_that_are_still_sending() {
    let server = TestServer::spawn().await;
    let sender = server.admin().issue("default", "shipper", "ingestion").await;
    let folder = tempfile::tempdir().unwrap();
    let body = large_body(folder.path());
    // Too large for a good key, and nothing that a stranger may send.
    for (status, key) in [("413", sender.api_key.as_str()), ("401", "a-key-that-is-nobody's-at-all-really")] {
        for extra in [&[][..], &["-H", "Expect:"], &["-H", "Transfer-Encoding: chunked"]] {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "-w", "\n%{http_code}", "--data-binary", &format!("@{body}"), "-H"])
                .arg(format!("X-API-KEY: {key}"))
                .args(["-H", "Content-Type: application/json"])
                .args(extra)
                .arg(format!("{}/api/v1/logstream/web", server.url()));
            let lines = lines(&run(curl).await);
            assert!(lines[0].contains("urn:keyloft:problem:") && lines[1] == status, "curl {extra:?}: {lines:?}");
        }
        for framing in ["length", "chunked"] {
            let mut python = Command::new("python3");
            python.args(["-c", PYTHON, server.url().trim_start_matches("http://"), &body, key, framing]);
            assert_eq!(lines(&run(python).await), vec![format!("{status} True"); 3], "Python, {framing}");
        }
        if is_there("node") {
            let mut node = Command::new("node");
            node.args(["-e", NODE, server.url(), &body, key]);
            assert_eq!(lines(&run(node).await), vec![format!("{status} true"); 3], "Node");
        }
    }
    assert!(!server.path("streams/web").exists());
}
