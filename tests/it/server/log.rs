//! Whatever becomes of the log, the server answers.

use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Process;

struct Logged {
    _folder: tempfile::TempDir,
    process: Process,
    log: BufReader<PipeReader>,
}

/// A server whose log goes into a pipe.
fn serve(options: &[&str]) -> Logged {
    let folder = tempfile::tempdir().unwrap();
    let (log, writer) = pipe().unwrap();
    let store = folder.path().join("store");
    let process = Process::serve_logging_to(writer, store.to_str().unwrap(), options, &[]);
    Logged { _folder: folder, process, log: BufReader::new(log) }
}

/// Sends ten events one by one, and asks for what was stored: each is acknowledged, and there once.
async fn must_work(process: &Process) {
    let admin = process.admin(process.admin_token().unwrap());
    let sender = process.with_key(&admin.issue("default", "shipper", "ingestion").await.api_key);
    let reader = process.with_key(&admin.issue("default", "dashboard", "query").await.api_key);
    for n in 0..10 {
        assert_eq!(sender.ingest("web", format!("{{\"n\":{n}}}")).await.status, 200);
    }
    let count = reader.query("SELECT count(*) AS n FROM web").await;
    assert_eq!(count.json(), json!([{"n": 10}]));
    let anybody = process.anonymous();
    for path in ["/api/v1/liveness", "/api/v1/readiness", "/metrics"] {
        assert_eq!(anybody.get(path).await.status, 200);
    }
    anybody.get("/api/v1/nowhere").await.refused(404, "not_found");
}

async fn must_stop(mut process: Process) {
    process.signal("TERM");
    assert_eq!(tokio::task::spawn_blocking(move || process.wait()).await.unwrap(), Some(0));
}

#[tokio::test]
async fn the_log_names_the_operator_who_asks_and_not_what_was_presented() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let process = Process::serve(&store, &["--log-format", "json"]);
    let admin = process.admin(process.admin_token().unwrap());
    let machine = json!({"name": "ci", "role": "analyst"});
    let made = admin.post("/api/v1/tenants/default/service-operators", machine).await.json();
    let token = made["token"].as_str().unwrap();
    let query = json!({"query": "SELECT 1 AS x"});
    assert_eq!(process.admin(token).post("/api/v1/tenants/default/query", query).await.json(), json!([{"x": 1}]));
    for _ in 0..500 {
        let log = std::fs::read_to_string(store.with_extension("log")).unwrap();
        if let Some(line) = log.lines().find(|line| line.contains("/api/v1/tenants/{tenant}/query")) {
            assert!(line.contains(made["id"].as_str().unwrap()), "{line}");
            return assert!(!log.contains(token));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("five seconds passed, and the log has no line");
}

#[tokio::test]
async fn a_log_reader_that_goes_away_breaks_nothing() {
    for format in ["text", "json"] {
        let Logged { _folder, process, mut log } = serve(&["--log-format", format]);
        let mut first = String::new();
        assert!(log.read_line(&mut first).unwrap() > 0, "{format}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&first).is_ok(), format == "json", "{first}");
        drop(log);
        must_work(&process).await;
        must_stop(process).await;
    }
}

#[tokio::test]
async fn a_server_starts_without_a_log_reader() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let (log, writer) = pipe().unwrap();
        drop(log);
        let store = folder.path().join("store");
        let process = Process::serve_logging_to(writer, store.to_str().unwrap(), &["--log-format", format], &[]);
        must_work(&process).await;
        must_stop(process).await;
    }
}

/// `docker logs` that is paused, a terminal with Ctrl-S: the pipe is full, and writing to it blocks.
#[tokio::test]
async fn a_log_reader_that_is_stuck_holds_up_nobody() {
    let Logged { _folder, process, log } = serve(&["--log-filter", "trace"]);
    let work = async {
        for _ in 0..3 {
            let anybody = process.anonymous();
            for _ in 0..100 {
                assert_eq!(anybody.get("/api/v1/liveness").await.status, 200);
            }
        }
        must_work(&process).await;
    };
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("the server waits for the reader of its log");
    must_stop(process).await;
    drop(log);
}

#[tokio::test]
async fn the_last_lines_are_in_the_log_when_the_server_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::serve(&folder.path().join("store"), &[]);
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0));
    let log = std::fs::read_to_string(folder.path().join("store.log")).unwrap();
    assert!(log.contains("listening") && log.trim_end().ends_with("stopped"), "{log}");
}

/// The line of a request in the log of a server, once it is there.
async fn line_of(logged: &mut Logged, request_id: &str) -> String {
    let mut line = String::new();
    while !line.contains(request_id) {
        line.clear();
        assert!(logged.log.read_line(&mut line).unwrap() > 0, "{request_id}");
    }
    line
}

#[tokio::test]
async fn the_line_of_a_request_says_who_administers() {
    let mut logged = serve(&["--log-format", "json"]);
    let admin = logged.process.admin(logged.process.admin_token().unwrap());
    let made = admin.post("/api/v1/tenants/default/service-operators", json!({"name": "ci", "role": "viewer"})).await;
    let made = made.json();
    let machine = logged.process.admin(made["token"].as_str().unwrap());
    for (client, status, actor) in [
        (&admin, 201, json!("admin")),
        (&machine, 403, made["id"].clone()),
        (&logged.process.admin("x"), 401, Value::Null),
    ] {
        let answer = client.post("/api/v1/tenants/default/apikeys", json!({"keyName": "k", "keyType": "query"})).await;
        let line = line_of(&mut logged, answer.header("x-request-id").unwrap()).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((answer.status.as_u16(), &line["actor"]), (status, &actor), "{line}");
    }
    must_stop(logged.process).await;
}

#[tokio::test]
async fn a_request_is_one_line_that_its_id_finds() {
    for format in ["text", "json"] {
        let mut logged = serve(&["--log-format", format]);
        let admin = logged.process.admin(logged.process.admin_token().unwrap());
        let issued = admin.issue("default", "dashboard", "query").await;
        let answer = logged.process.with_key(&issued.api_key).get("/api/v1/logstream").await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        let line = line_of(&mut logged, &id).await;
        if format == "text" {
            for part in [
                " INFO ",
                &format!("request{{id={id}}}: "),
                ": request completed method=\"GET\" route=\"/api/v1/logstream\" status=200 millis=",
                &format!(" tenant=default key_id={}", issued.id),
            ] {
                assert!(line.contains(part), "{part}: {line}");
            }
        } else {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["span"], json!({"name": "request", "id": id}));
            assert_eq!((&line["message"], &line["status"]), (&json!("request completed"), &json!(200)));
            assert_eq!((&line["tenant"], &line["key_id"]), (&json!("default"), &json!(issued.id)));
            assert!(line["millis"].is_u64(), "{line}");
        }
        must_stop(logged.process).await;
    }
}
