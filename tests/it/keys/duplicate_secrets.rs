//! Keys that share a secret, because of a file that was copied or edited: no request is let in by it, whatever happens
//! to the keys.

use std::time::Duration;

use keyloft::key::PlainSecret;
use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::key_files::{ID, OTHER, key_file, minimal, secret, sync, unreadable, whoami, write};

const PATH: &str = "/api/v1/tenants/default/apikeys";

fn both() -> [(String, String); 2] {
    [ID, OTHER].map(|id| (key_file(id), "its digest is also that of another key".to_owned()))
}

/// A server with two documents that have one secret.
async fn with_a_copy() -> (TestServer, PlainSecret) {
    let (server, shared) = (TestServer::spawn().await, secret());
    write(&server, &key_file(ID), minimal("one", &shared).to_string());
    write(&server, &key_file(OTHER), minimal("two", &shared).to_string());
    sync(&server).await;
    (server, shared)
}

async fn check_refused(server: &TestServer, shared: &PlainSecret) {
    assert_eq!(whoami(server, shared.expose()).await, 401);
    assert_eq!(unreadable(server).await, both());
}

#[tokio::test]
async fn a_change_of_one_of_them_lets_nobody_in() {
    let (server, shared) = with_a_copy().await;
    let change = json!({"trustLevel": "low"});
    assert_eq!(server.admin().patch(&format!("{PATH}/{OTHER}"), change).await.status, 200);
    check_refused(&server, &shared).await;
    let line = json!({"op": "update", "keyId": ID, "trustLevel": "low"});
    let answer = server.admin().request("POST", &format!("{PATH}/bulk")).body(line.to_string()).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains(r#""updated":1"#), "{text}");
    check_refused(&server, &shared).await;
    sync(&server).await;
    check_refused(&server, &shared).await;
}

#[tokio::test]
async fn the_one_that_is_left_works_again() {
    let (server, shared) = with_a_copy().await;
    write(&server, &key_file(OTHER), minimal("two", &secret()).to_string());
    sync(&server).await;
    assert_eq!(whoami(&server, shared.expose()).await, 200);
    assert_eq!(unreadable(&server).await, []);
}

#[tokio::test]
async fn nobody_else_can_be_given_their_secret() {
    let (server, shared) = with_a_copy().await;
    let digest = shared.digest().to_document();
    let issue = json!({"keyName": "three", "keyType": "ingestion", "digest": digest, "hint": "abcd"});
    server.admin().post(PATH, issue.clone()).await.refused(409, "duplicate_api_key");
    for dry_run in ["", "?dryRun=true"] {
        let mut line = issue.clone();
        line["op"] = json!("issue");
        let path = format!("{PATH}/bulk{dry_run}");
        let answer = server.admin().request("POST", &path).body(line.to_string()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["code"], "duplicate_api_key", "{dry_run}");
    }
    check_refused(&server, &shared).await;
}

#[tokio::test]
async fn secrets_that_are_exchanged_by_hand_work_after_one_sync() {
    let (server, first, second) = (TestServer::spawn().await, secret(), secret());
    let place = async |one: &PlainSecret, two: &PlainSecret| {
        write(&server, &key_file(ID), minimal("one", one).to_string());
        write(&server, &key_file(OTHER), minimal("two", two).to_string());
        assert_eq!(sync(&server).await["unreadable"], 0);
        for (secret, name) in [(one, "one"), (two, "two")] {
            let answer = server.with_key(secret.expose()).get("/api/v1/whoami").await;
            assert_eq!(answer.json()["keyName"], name);
        }
        assert_eq!(unreadable(&server).await, []);
    };
    place(&first, &second).await;
    place(&second, &first).await;
    // One takes the secret that the other gives up.
    place(&first, &secret()).await;
    place(&secret(), &first).await;
}

#[tokio::test]
async fn another_node_lists_both_when_it_hears_of_them() {
    let (server, first, second) = (TestServer::spawn().await, secret(), secret());
    write(&server, &key_file(ID), minimal("one", &first).to_string());
    write(&server, &key_file(OTHER), minimal("two", &second).to_string());
    sync(&server).await;
    let directory = server.shared_directory();
    let other = TestServer::spawn_with(|setup| {
        setup.directory = directory;
        setup.config.sync.poll_interval = Duration::from_millis(20);
    })
    .await;
    assert_eq!(whoami(&other, first.expose()).await, 200);
    write(&server, &key_file(OTHER), minimal("two", &first).to_string());
    assert_eq!(server.admin().patch(&format!("{PATH}/{OTHER}"), json!({"trustLevel": "low"})).await.status, 200);
    other.until("the news arrive", |other| other.app.keystore.cache().unreadable().len() == 2).await;
    for server in [&server, &other] {
        check_refused(server, &first).await;
    }
}
