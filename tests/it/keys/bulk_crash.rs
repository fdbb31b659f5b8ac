//! Bulk work that is cut short: servers and clients that are killed, stores that fail, nodes that do the same at once.
//! Repeating the request gives the result of an undisturbed run, and no API key is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyloft::Bucket;
use keyloft::key::{Digest, KeyType, PlainSecret};
use serde_json::{Value, json};

use crate::support::process::keyloft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::{Answer, Client, Fault, Faults, Faulty, Process, Raw, TestServer};

const PATH: &str = "/api/v1/tenants/default/apikeys/bulk";
/// More than one entry of the log holds.
const COUNT: usize = 1500;

/// A store, a file of many keys, and where their API keys are kept.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let line =
            |number| json!({"op": "issue", "keyName": format!("k-{number}"), "keyType": "ingestion", "sourceId": "s"});
        let text: String = (0..COUNT).map(|number| format!("{}\n", line(number))).collect();
        std::fs::write(place.file(), text).unwrap();
        place
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("keys.ndjson")
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn serve(&self) -> Process {
        Process::serve_with(&self.store(), &[], &[("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN)])
    }

    /// The documents of keys, without what a crash left half written beside them.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.store().join(".settings/apikeys")).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
    }

    /// How many documents of keys there are.
    fn documents(&self) -> usize {
        self.files().len()
    }

    /// How many of them are of revoked keys.
    fn revoked(&self) -> usize {
        let texts = self.files().into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
        texts.filter(|text| text.contains("\"state\": \"revoked\"")).count()
    }

    /// The API keys that were kept, by their names.
    fn secrets(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(self.folder.path().join("keys.ndjson.secrets")).unwrap();
        let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
        let word = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
        text.lines().map(line).map(|line| (word(&line, "keyName"), word(&line, "apiKey"))).collect()
    }
}

fn start(server: &Process, words: &[&str]) -> Child {
    let mut command = keyloft();
    command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN).arg("key").args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The exit code, and all that was said.
fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn until(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(60), "a minute passed and still not: {what}");
        std::thread::sleep(Duration::from_millis(20)); // To look takes time of the server's.
    }
}

/// Asserts that there is exactly one live key for each name, and that its API key is the one that was kept.
async fn assert_whole(place: &Place, server: &Process) {
    let admin = server.admin(ADMIN_TOKEN);
    let names = admin.names().await;
    let once: BTreeSet<&String> = names.iter().collect();
    assert_eq!((names.len(), once.len()), (COUNT, COUNT));
    assert_eq!(admin.get("/api/v1/unreadable").await.json()["items"], json!([]));
    assert_eq!(place.documents(), COUNT, "no key that was not reported");
    let secrets = place.secrets();
    assert_eq!(secrets.len(), COUNT);
    for (name, api_key) in secrets.iter().step_by(97) {
        let view = server.with_key(api_key).get("/api/v1/whoami").await;
        assert_eq!((view.status.as_u16(), view.json()["keyName"].as_str()), (200, Some(name.as_str())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_it_issues_and_while_it_revokes_is_made_good_by_the_same_again() {
    let place = Place::new();
    let file = place.file();
    let bulk = ["bulk", file.to_str().unwrap()];
    let server = place.serve();
    server.anonymous().until_ready().await;
    let client = start(&server, &bulk);
    until("some keys are there", || place.documents() > 100);
    server.signal("KILL");
    let (code, said) = ended(client);
    assert_eq!(code, Some(4), "{said}");
    drop(server);
    let there = place.documents();
    assert!(there < COUNT, "it was killed too late to say anything");
    let server = place.serve();
    server.anonymous().until_ready().await;
    let (code, said) = ended(start(&server, &bulk));
    assert_eq!(code, Some(0), "{said}");
    assert_whole(&place, &server).await;

    let revoke = ["revoke", "--source-id", "s", "--yes"];
    let client = start(&server, &revoke);
    until("some keys are revoked", || place.revoked() > 100);
    server.signal("KILL");
    assert_eq!(ended(client).0, Some(4));
    drop(server);
    assert!(place.revoked() < COUNT, "it was killed too late to say anything");
    let server = place.serve();
    server.anonymous().until_ready().await;
    let (code, said) = ended(start(&server, &revoke));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((place.revoked(), server.admin(ADMIN_TOKEN).names().await.len()), (COUNT, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_killed_loses_no_api_key_and_may_ask_again() {
    let place = Place::new();
    let file = place.file();
    let bulk = ["bulk", file.to_str().unwrap()];
    let server = place.serve();
    server.anonymous().until_ready().await;
    let mut client = start(&server, &bulk);
    until("some keys are there", || place.documents() > 100);
    client.kill().unwrap();
    client.wait().unwrap();
    let kept = place.secrets();
    let (code, said) = ended(start(&server, &bulk));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(place.secrets(), kept);
    assert_whole(&place, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_client_hangs_up_what_has_begun_ends_and_the_rest_does_not_begin() {
    let server = TestServer::spawn().await;
    let line = |number: usize| json!({"op": "issue", "keyName": format!("k-{number}"), "keyType": "query"});
    let body: String = (0..20_000).map(|number| format!("{}\n", line(number))).collect();
    let mut raw = Raw::connect(server.url());
    raw.send(format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let head = tokio::task::spawn_blocking(move || (raw.read_some(), raw)).await.unwrap();
    assert!(head.0.starts_with(b"HTTP/1.1 200"));
    let keys = || server.app.keystore.cache().key_count();
    until("some keys are there", || keys() > 10);
    drop(head);
    let (mut before, start) = (0, Instant::now());
    while before != keys() {
        assert!(start.elapsed() < Duration::from_secs(60), "it goes on");
        before = keys();
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    assert!(keys() < 20_000);
    // Every key that exists was announced, and the permit is free again.
    let entries = std::fs::read_dir(server.path(".settings/keyloft/log")).unwrap();
    let announced: usize = entries
        .map(|entry| -> Value { serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap() })
        .map(|entry| entry["changes"].as_array().unwrap().len())
        .sum();
    assert_eq!(announced, keys());
    for _ in 0..3 {
        let again = server.admin().request("POST", PATH).body(line(0).to_string());
        assert_eq!(Answer::of(again).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_only_so_much_bulk_work_at_once() {
    let server = TestServer::spawn().await;
    let line = |number: usize| json!({"op": "issue", "keyName": format!("k-{number}"), "keyType": "query"});
    let body: String = (0..3000).map(|number| format!("{}\n", line(number))).collect();
    let running: Vec<_> =
        (0..2).map(|_| tokio::spawn(server.admin().request("POST", PATH).body(body.clone()).send())).collect();
    server.until("two are at work", |server| server.app.bulk.available_permits() == 0).await;
    let third = Answer::of(server.admin().request("POST", PATH).body(line(0).to_string())).await;
    third.refused(429, "too_many_bulk");
    assert!(third.header("retry-after").is_some());
    let apply = server.admin().post("/api/v1/tenants/default/apikeys/apply", json!({"keys": []})).await;
    apply.refused(429, "too_many_bulk");
    // Nothing of a body is taken in for which there is no room: this one never comes.
    let mut raw = Raw::connect(server.url());
    let path = "/api/v1/tenants/default/apikeys/apply";
    raw.send(format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{"
    ));
    let head = tokio::task::spawn_blocking(move || raw.read_some()).await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 429"));
    for answer in running {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_says_which_lines_it_did_not_begin() {
    const LINES: usize = 2500;
    let place = Place::new();
    let mut server = place.serve();
    server.anonymous().until_ready().await;
    let (body, secrets) = file(LINES);
    let answer = tokio::spawn(Answer::of(server.admin(ADMIN_TOKEN).request("POST", PATH).body(body.clone())));
    until("some keys are there", || place.documents() > 100);
    server.signal("TERM");
    let answer = answer.await.unwrap();
    assert_eq!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap(), Some(0));
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), LINES + 1);
    let issued = lines.iter().filter(|line| line["status"] == 201).count();
    let rest: Vec<_> = lines[..LINES].iter().filter(|line| line["code"] == "not_begun").collect();
    assert_eq!((issued + rest.len(), place.documents()), (LINES, issued));
    assert!(issued >= 100 && rest.iter().all(|line| line["detail"].as_str().unwrap().contains("shutting down")));
    let server = place.serve();
    server.anonymous().until_ready().await;
    let lines = send(&server.admin(ADMIN_TOKEN), &body).await;
    assert_eq!(lines[LINES]["summary"]["unchanged"], issued);
    assert_eq!(lines[LINES]["summary"]["issued"], LINES - issued);
    assert_eq!(server.with_key(&secrets[LINES - 1]).get("/api/v1/whoami").await.status, 200);
}

fn file(count: usize) -> (String, Vec<String>) {
    let secrets: Vec<String> =
        (0..count).map(|_| PlainSecret::generate(KeyType::Query).unwrap().expose().to_owned()).collect();
    let line = |(number, secret): (usize, &String)| {
        let digest = Digest::of(secret).to_document();
        let name = format!("k-{number}");
        json!({"op": "issue", "keyName": name, "keyType": "query", "digest": digest, "hint": &secret[52..]})
    };
    (secrets.iter().enumerate().map(|pair| format!("{}\n", line(pair))).collect(), secrets)
}

async fn send(admin: &Client, body: &str) -> Vec<Value> {
    let answer = Answer::of(admin.request("POST", PATH).body(body.to_owned())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_do_the_same_at_once_end_in_one_key_for_each_name() {
    let a = TestServer::spawn().await;
    let directory = a.shared_directory();
    let b = TestServer::spawn_with(|setup| setup.directory = directory).await;
    let (body, secrets) = file(400);
    let (one, other) = tokio::join!(async { send(&a.admin(), &body).await }, async { send(&b.admin(), &body).await });
    let mut issued = 0;
    for (one, other) in one.iter().zip(&other).take(400) {
        let changes = [&one["change"], &other["change"]];
        assert!(changes.iter().all(|change| *change == "issued" || *change == "unchanged"), "{one} {other}");
        assert_eq!(one["keyId"], other["keyId"]);
        issued += changes.iter().filter(|change| **change == "issued").count();
    }
    assert_eq!(issued, 400);
    for server in [&a, &b] {
        server.app.keystore.catch_up().await.unwrap();
        assert_eq!(server.admin().names().await.len(), 400);
        assert!(server.app.unreadable().is_empty());
        for secret in secrets.iter().step_by(29) {
            assert_eq!(server.with_key(secret).get("/api/v1/whoami").await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_store_that_stops_answering_is_not_asked_line_after_line_and_the_same_again_makes_it_good() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await;
    let (body, secrets) = file(600);
    faults.inject(Fault::ErrorBefore, |call| call.number > 200);
    let lines = send(&server.admin(), &body).await;
    let count = |code: &str| lines.iter().filter(|line| line["code"] == code).count();
    assert_eq!(lines.len(), 601);
    assert!(count("not_begun") > 300 && count("store_unavailable") >= 32, "{lines:?}");
    assert!(lines.iter().all(|line| line["status"] != 201), "nothing is acknowledged that could not be announced");
    assert_eq!(lines[600]["summary"]["failed"], 600);
    faults.none();
    let lines = send(&server.admin(), &body).await;
    assert!(lines[..600].iter().all(|line| line["status"] == 200 || line["status"] == 201), "{lines:?}");
    for secret in secrets.iter().step_by(29) {
        assert_eq!(server.with_key(secret).get("/api/v1/whoami").await.status, 200);
    }
    assert_eq!(server.app.keystore.cache().key_count(), 600);
    assert!(server.app.unreadable().is_empty());
}

#[tokio::test]
async fn a_store_that_fails_at_random_loses_and_doubles_nothing() {
    for seed in 0..6 {
        let faults = Arc::new(Faults::default());
        let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
        let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await;
        let (body, secrets) = file(120);
        let odds = crate::support::Odds { error_before: 30, error_after: 30, conflict: 20, ..Default::default() };
        faults.seeded(seed, odds);
        let first = send(&server.admin(), &body).await;
        faults.none();
        let again = send(&server.admin(), &body).await;
        for (first, again) in first.iter().zip(&again).take(120) {
            assert!(again["status"] == 200 || again["status"] == 201, "seed {seed}: {first} {again}");
            assert!(first["keyId"].is_null() || first["keyId"] == again["keyId"], "seed {seed}: {first} {again}");
        }
        assert_eq!(server.app.keystore.cache().key_count(), 120, "seed {seed}");
        for secret in secrets.iter().step_by(29) {
            assert_eq!(server.with_key(secret).get("/api/v1/whoami").await.status, 200);
        }
    }
}
