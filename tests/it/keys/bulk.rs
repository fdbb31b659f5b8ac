//! Bulk work over HTTP: every operation, filter and refusal, their order, dry runs and bounds.

use keyloft::key::{Digest, KeyType, PlainSecret};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Raw, TestServer};

const PATH: &str = "/api/v1/tenants/default/apikeys/bulk";

/// The lines of an answer.
#[derive(Debug)]
pub struct Lines {
    pub results: Vec<Value>,
    pub last: Value,
}

impl Lines {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut results: Vec<Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        let last = results.pop().unwrap();
        assert!(last["summary"].is_object(), "{last}");
        Self { results, last }
    }

    fn statuses(&self) -> Vec<(u64, u64)> {
        self.results.iter().map(|line| (line["line"].as_u64().unwrap(), line["status"].as_u64().unwrap())).collect()
    }

    /// Of line `line`, the first.
    fn line(&self, line: usize) -> &Value {
        self.results.iter().find(|result| result["line"] == line).unwrap()
    }

    fn count(&self, what: &str) -> u64 {
        self.last["summary"][what].as_u64().unwrap()
    }
}

fn ndjson(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

async fn send(admin: &Client, query: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = admin.request("POST", &format!("{PATH}{query}"));
    Answer::of(request.header("content-type", "application/x-ndjson").body(body)).await
}

async fn bulk(admin: &Client, lines: &[Value]) -> Lines {
    Lines::of(&send(admin, "", ndjson(lines)).await)
}

async fn dry(admin: &Client, lines: &[Value]) -> Lines {
    Lines::of(&send(admin, "?dryRun=true", ndjson(lines)).await)
}

fn issue(name: &str) -> Value {
    json!({"op": "issue", "keyName": name, "keyType": "query"})
}

fn brought(name: &str, secret: &str) -> Value {
    let digest = Digest::of(secret).to_document();
    json!({"op": "issue", "keyName": name, "keyType": "query", "digest": digest, "hint": &secret[52..]})
}

fn secret() -> String {
    PlainSecret::generate(KeyType::Query).unwrap().expose().to_owned()
}

async fn whoami(server: &TestServer, api_key: &str) -> u16 {
    server.with_key(api_key).get("/api/v1/whoami").await.status.as_u16()
}

async fn live(admin: &Client) -> Vec<String> {
    let page = admin.get("/api/v1/tenants/default/apikeys?limit=1000").await.json();
    let mut names: Vec<String> =
        page["items"].as_array().unwrap().iter().map(|item| item["keyName"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn keys_are_issued_changed_and_revoked_a_line_each_and_answered_in_order() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let old = admin.issue("default", "old", "query").await;
    let lines = [
        issue("a"),
        json!({"op": "update", "keyId": old.id, "sourceId": "s", "streams": ["web-*"]}),
        json!({"op": "issue", "keyName": "b", "keyType": "ingestion", "sourceId": "web", "metadata": {"n": 1}}),
        json!({"op": "revoke", "keyId": old.id}),
        issue("old"),
    ];
    let answer = send(&admin, "", ndjson(&lines)).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let lines = Lines::of(&answer);
    assert_eq!(lines.statuses(), [(1, 201), (2, 200), (3, 201), (4, 200), (5, 201)]);
    for number in [1, 3, 5] {
        let line = lines.line(number);
        assert_eq!(whoami(&server, line["apiKey"].as_str().unwrap()).await, 200);
        assert_eq!(line["change"], "issued");
    }
    assert_eq!((&lines.line(2)["change"], lines.line(2).get("apiKey")), (&json!("updated"), None));
    assert_eq!((&lines.line(4)["change"], &lines.line(4)["keyId"]), (&json!("revoked"), &json!(old.id)));
    assert_eq!(whoami(&server, &old.api_key).await, 401);
    let counts =
        ["lines", "issued", "updated", "revoked", "unchanged", "refused", "failed"].map(|count| lines.count(count));
    assert_eq!(counts, [5, 3, 1, 1, 0, 0, 0]);
    let receipt = &lines.last["receipt"];
    assert_eq!((&receipt["appliedOn"], &receipt["behind"]), (&json!(1), &json!([])));
    // One entry for the key that was issued alone, one for all lines.
    assert_eq!(receipt["changeSeq"], 2);
    let view =
        admin.get(&format!("/api/v1/tenants/default/apikeys/{}", lines.line(3)["keyId"].as_str().unwrap())).await;
    assert_eq!((&view.json()["sourceId"], &view.json()["createdBy"]), (&json!("web"), &json!("admin")));
    let server = server.restart().await;
    assert_eq!(live(&server.admin()).await, ["a", "b", "old"]);
}

#[tokio::test]
async fn a_line_that_cannot_be_read_or_done_is_refused_alone_and_repeats_no_value() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let taken = admin.issue("default", "taken", "query").await;
    let gone = admin.issue("default", "gone", "query").await;
    admin.delete(&format!("/api/v1/tenants/default/apikeys/{}", gone.id)).await;
    let nobody = "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10";
    let hunter = "hunter2-hunter2";
    let lines = [
        ("{\"op\":\"issue\"".to_owned(), 400, "invalid_request"),
        ("[1]".to_owned(), 400, "invalid_request"),
        ("nonsense".to_owned(), 400, "invalid_request"),
        (json!({"keyName": "a", "keyType": "query"}).to_string(), 400, "invalid_request"),
        (json!({"op": hunter}).to_string(), 400, "invalid_request"),
        (json!({"op": "issue", "keyName": "a"}).to_string(), 400, "invalid_request"),
        (json!({"op": "issue", "keyName": "a", "keyType": hunter}).to_string(), 400, "invalid_request"),
        (json!({"op": "issue", "keyName": "a", "keyType": "query", hunter: 1}).to_string(), 400, "invalid_request"),
        (
            json!({"op": "issue", "keyName": "a", "keyType": "query", "keyId": nobody}).to_string(),
            400,
            "invalid_request",
        ),
        (json!({"op": "issue", "keyName": "a", "keyType": "query", "filter": {}}).to_string(), 400, "invalid_request"),
        (
            json!({"op": "issue", "keyName": "a", "keyType": "query", "digest": hunter}).to_string(),
            400,
            "invalid_request",
        ),
        (
            json!({"op": "issue", "keyName": "a", "keyType": "query", "expiresAt": "2001-01-01T00:00:00Z"}).to_string(),
            400,
            "invalid_request",
        ),
        (issue("taken").to_string(), 409, "duplicate_key_name"),
        (json!({"op": "update", "keyId": nobody, "sourceId": "s"}).to_string(), 404, "not_found"),
        (json!({"op": "update", "keyId": gone.id, "sourceId": "s"}).to_string(), 409, "key_revoked"),
        (json!({"op": "update", "keyId": taken.id, "keyName": "x"}).to_string(), 400, "invalid_request"),
        (json!({"op": "update", "sourceId": "s"}).to_string(), 400, "invalid_request"),
        (json!({"op": "update", "keyId": taken.id, "filter": {"sourceId": "s"}}).to_string(), 400, "invalid_request"),
        (
            r#"{"op": "issue", "keyName": "a", "keyType": "query", "streams": ["b"], "streams": ["c"]}"#.to_owned(),
            400,
            "invalid_request",
        ),
        (
            json!({"op": "issue", "keyName": "a", "keyType": "query", "ownSecret": false}).to_string(),
            400,
            "invalid_request",
        ),
        (json!({"op": "revoke", "keyId": nobody}).to_string(), 404, "not_found"),
        (json!({"op": "revoke", "keyId": hunter}).to_string(), 400, "invalid_request"),
        (json!({"op": "revoke"}).to_string(), 400, "invalid_request"),
        (json!({"op": "revoke", "keyId": taken.id, "reason": "x"}).to_string(), 400, "invalid_request"),
        (json!({"op": "revoke", "filter": {}}).to_string(), 400, "invalid_request"),
        (json!({"op": "revoke", "filter": {"sourceId": null}}).to_string(), 400, "invalid_request"),
        (json!({"op": "revoke", "filter": {"colour": "red"}}).to_string(), 400, "invalid_request"),
        (json!({"op": "update", "filter": {}, "state": "disabled"}).to_string(), 400, "invalid_request"),
        (json!({"op": "revoke", "filter": {"unusedSince": "yesterday"}}).to_string(), 400, "invalid_request"),
        (format!("{{\"op\":\"issue\",\"keyName\":\"{}\"}}", "x".repeat(16 * 1024)), 413, "payload_too_large"),
        (issue("good").to_string(), 201, ""),
    ];
    let body: String = lines.iter().map(|(line, ..)| format!("{line}\n")).collect();
    let answer = send(&admin, "", body).await;
    assert!(!answer.text().contains(hunter), "{}", answer.text());
    let found = Lines::of(&answer);
    assert_eq!(found.results.len(), lines.len());
    for (at, (line, status, code)) in lines.iter().enumerate() {
        let result = &found.results[at];
        assert_eq!((&result["line"], &result["status"]), (&json!(at + 1), &json!(status)), "{line}: {result}");
        assert_eq!(result["code"].as_str().unwrap_or_default(), *code, "{line}");
    }
    assert_eq!((found.count("refused"), found.count("issued")), (lines.len() as u64 - 1, 1));
    assert_eq!(found.line(13)["keyName"], "taken");
    assert_eq!(live(&admin).await, ["good", "taken"]);
}

#[tokio::test]
async fn what_cannot_be_taken_at_all_is_a_problem_and_changes_nothing() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    send(&admin, "", "").await.refused(400, "invalid_request");
    send(&admin, "", "\n \n").await.refused(400, "invalid_request");
    send(&admin, "?dryRun=maybe", ndjson(&[issue("a")])).await.refused(400, "invalid_request");
    send(&admin, "?dry=true", ndjson(&[issue("a")])).await.refused(400, "invalid_request");
    send(&admin, "?wait=soon", ndjson(&[issue("a")])).await.refused(400, "invalid_request");
    send(&admin, "", format!("{}{}", issue("a"), "\n{}".repeat(100_000))).await.refused(413, "payload_too_large");
    send(&admin, "", vec![b' '; 64 * 1024 * 1024 + 1]).await.refused(413, "payload_too_large");
    let typed = |path: &str, content_type: &str| {
        Answer::of(admin.request("POST", path).header("content-type", content_type).body(ndjson(&[issue("a")])))
    };
    typed(PATH, "text/csv").await.refused(415, "unsupported_media_type");
    typed("/api/v1/tenants/nobody/apikeys/bulk", "application/x-ndjson").await.refused(404, "not_found");
    typed("/api/v1/tenants/No/apikeys/bulk", "application/x-ndjson").await.refused(400, "invalid_request");
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    admin.delete("/api/v1/tenants/acme").await;
    typed("/api/v1/tenants/acme/apikeys/bulk", "application/x-ndjson").await.refused(410, "tenant_deleted");
    // A body that ends early.
    let mut raw = Raw::connect(server.url());
    raw.send(format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 9999\r\n\r\n{}\n",
        crate::support::server::ADMIN_TOKEN,
        issue("a")
    ));
    drop(raw);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(live(&admin).await, [""; 0]);
}

#[tokio::test]
async fn a_filter_means_every_live_key_of_which_all_that_it_says_is_true() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = |name: &str, key_type: &str, source_id: &str| {
        let op = "issue";
        json!({"op": op, "keyName": name, "keyType": key_type, "sourceId": source_id})
    };
    let lines = [
        key("web-1", "query", "a"),
        key("web-2", "ingestion", "a"),
        key("app-1", "query", "a"),
        key("app-2", "query", "b"),
        key("app*3", "query", "b"),
        key("dead", "query", "a"),
    ];
    bulk(&admin, &lines).await;
    bulk(&admin, &[json!({"op": "revoke", "filter": {"name": "dead"}})]).await;
    let meant = async |filter: Value| {
        let lines = dry(&admin, &[json!({"op": "revoke", "filter": filter})]).await;
        let (last, keys) = lines.results.split_last().unwrap();
        assert_eq!(last, &json!({"line": 1, "status": 200, "matched": keys.len()}));
        let mut names: Vec<String> = keys.iter().map(|line| line["keyName"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(meant(json!({"sourceId": "a"})).await, "app-1 web-1 web-2");
    assert_eq!(meant(json!({"sourceId": "a", "keyType": "query"})).await, "app-1 web-1");
    assert_eq!(meant(json!({"sourceId": "a", "name": "web-*"})).await, "web-1 web-2");
    assert_eq!(meant(json!({"name": "*-1"})).await, "app-1 web-1");
    assert_eq!(meant(json!({"name": "app-1"})).await, "app-1");
    assert_eq!(meant(json!({"name": "*"})).await, "app*3 app-1 app-2 web-1 web-2");
    assert_eq!(meant(json!({"createdBy": "admin", "keyType": "ingestion"})).await, "web-2");
    assert_eq!(meant(json!({"createdBy": "somebody"})).await, "");
    let lines = bulk(
        &admin,
        &[
            json!({"op": "update", "filter": {"name": "web-*"}, "state": "disabled"}),
            json!({"op": "revoke", "filter": {"sourceId": "a"}}),
            issue("web-1"),
            json!({"op": "revoke", "filter": {"name": "web-*"}}),
            json!({"op": "revoke", "filter": {"name": "nobody"}}),
        ],
    )
    .await;
    let counts = ["updated", "revoked", "issued"].map(|count| lines.count(count));
    assert_eq!(counts, [2, 4, 1], "a filter sees what the lines before it did");
    assert_eq!(lines.results.last().unwrap(), &json!({"line": 5, "status": 200, "matched": 0}));
    assert_eq!(live(&admin).await, ["app*3", "app-2"]);
}

#[tokio::test]
async fn the_same_again_changes_nothing_and_says_so() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let (one, other) = (secret(), secret());
    let file = [brought("one", &one), brought("other", &other)];
    let first = bulk(&admin, &file).await;
    assert_eq!(first.statuses(), [(1, 201), (2, 201)]);
    assert!(first.results.iter().all(|line| line.get("apiKey").is_none()), "what was brought is not shown");
    assert_eq!((whoami(&server, &one).await, whoami(&server, &other).await), (200, 200));
    let again = bulk(&admin, &file).await;
    assert_eq!((again.statuses(), again.count("unchanged")), (vec![(1, 200), (2, 200)], 2));
    assert_eq!(again.line(1)["keyId"], first.line(1)["keyId"]);
    let mut wider = brought("one", &one);
    wider["sourceId"] = json!("s");
    let refused = bulk(&admin, &[wider, brought("one", &secret()), brought("third", &one), issue("one")]).await;
    let codes: Vec<_> = refused.results.iter().map(|line| line["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["duplicate_key_name", "duplicate_key_name", "duplicate_api_key", "duplicate_key_name"]);
    let id = first.line(1)["keyId"].clone();
    let revoke = json!({"op": "revoke", "keyId": id});
    let update = json!({"op": "update", "keyId": first.line(2)["keyId"], "sourceId": "s"});
    let lines = bulk(&admin, &[revoke.clone(), revoke, update.clone(), update]).await;
    let changes: Vec<_> = lines.results.iter().map(|line| line["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["revoked", "unchanged", "updated", "unchanged"]);
    // The secret of a revoked key does not come back.
    assert_eq!(bulk(&admin, &[brought("one", &one)]).await.line(1)["code"], "duplicate_api_key");
}

#[tokio::test]
async fn names_and_secrets_are_given_once_within_a_file_too() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let (one, other) = (secret(), secret());
    let file = [
        brought("a", &one),
        brought("b", &one),
        brought("a", &other),
        brought("c", &other),
        brought("a", &one),
        issue("c"),
        issue("d"),
        issue("d"),
    ];
    let expected = [(1, 201), (2, 409), (3, 409), (4, 201), (5, 200), (6, 409), (7, 201), (8, 409)];
    assert_eq!(dry(&admin, &file).await.statuses(), expected, "rehearsed");
    assert_eq!(bulk(&admin, &file).await.statuses(), expected);
    assert_eq!(live(&admin).await, ["a", "c", "d"]);
    assert_eq!((whoami(&server, &one).await, whoami(&server, &other).await), (200, 200));
    assert!(server.app.unreadable().is_empty());
}

#[tokio::test]
async fn a_dry_run_judges_every_line_after_those_before_it_and_writes_nothing() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", key.id);
    let before = (admin.get(&path).await.json(), server.app.keystore.replica().applied_seq());
    let file = [
        issue("k"),
        json!({"op": "update", "keyId": key.id, "state": "disabled", "sourceId": "s"}),
        json!({"op": "update", "keyId": key.id, "state": "disabled"}),
        json!({"op": "revoke", "filter": {"sourceId": "s"}}),
        json!({"op": "update", "keyId": key.id, "state": "active"}),
        json!({"op": "revoke", "keyId": key.id}),
        issue("k"),
        issue("k"),
        json!({"op": "revoke", "filter": {"name": "k"}}),
        issue("k"),
        json!({"op": "nonsense"}),
    ];
    let rehearsed = dry(&admin, &file).await;
    assert_eq!(rehearsed.last["receipt"], Value::Null);
    assert!(rehearsed.results.iter().all(|line| line.get("apiKey").is_none()));
    assert_eq!((admin.get(&path).await.json(), server.app.keystore.replica().applied_seq()), before);
    assert_eq!(live(&admin).await, ["k"]);
    let expected = [
        (1, 409),
        (2, 200),
        (3, 200),
        (4, 200),
        (4, 200),
        (5, 409),
        (6, 200),
        (7, 201),
        (8, 409),
        (9, 200),
        (9, 200),
        (10, 201),
        (11, 400),
    ];
    assert_eq!(rehearsed.statuses(), expected);
    let real = bulk(&admin, &file).await;
    assert_eq!(real.statuses(), expected);
    assert_eq!(real.last["summary"], rehearsed.last["summary"]);
    let changes = |lines: &Lines| lines.results.iter().map(|line| line["change"].clone()).collect::<Vec<_>>();
    assert_eq!(changes(&real), changes(&rehearsed));
}

#[tokio::test]
async fn thousands_of_lines_take_an_entry_of_the_log_for_each_thousand_at_most() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let file: Vec<Value> = (0..2500).map(|number| brought(&format!("k-{number}"), &secret())).collect();
    let before = server.app.keystore.replica().applied_seq();
    let lines = bulk(&admin, &file).await;
    assert_eq!(lines.count("issued"), 2500);
    assert!(lines.results.iter().enumerate().all(|(at, line)| line["line"] == at + 1));
    assert_eq!(server.app.keystore.replica().applied_seq() - before, 3);
    assert_eq!(lines.last["receipt"]["changeSeq"], before + 3);
    let lines = bulk(&admin, &[json!({"op": "revoke", "filter": {"name": "k-*"}})]).await;
    assert_eq!((lines.count("revoked"), lines.results.len()), (2500, 2501));
    assert_eq!(server.app.keystore.replica().applied_seq() - before, 6);
    assert_eq!(live(&admin).await, [""; 0]);
}
