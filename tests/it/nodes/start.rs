//! A node that starts from a snapshot is ready before it has listed the store. Until then it does not know what was
//! changed by hand, and says so.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyloft::key::{ApiKey, Digest, Hint, KeyName, KeyState, KeyType, NewKey, PlainSecret, TenantId};
use keyloft::store::StoreUrl;
use keyloft::testing::KeyDocument;
use keyloft::testing::layout::ObjectName;
use keyloft::{Clock, Keystore, SystemClock};
use serde_json::json;

use crate::support::people::{Signer, claims, id};
use crate::support::server::ADMIN_TOKEN;
use crate::support::{Client, Process, TestServer, context};

/// Enough for a snapshot.
const MANY: usize = 1_100;

/// Writes the document of a key as somebody does by hand.
fn write(store: &Path, key: &ApiKey) {
    let path = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id }.path().to_path(store);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, KeyDocument::new(key).to_bytes()).unwrap();
}

fn key(name: &str) -> (ApiKey, PlainSecret) {
    let secret = PlainSecret::generate(KeyType::Query).unwrap();
    let new = NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query);
    (new.into_key(TenantId::default(), secret.digest(), Hint::parse("x7Qa").unwrap()), secret)
}

fn keystore(store: &Path) -> Keystore {
    Keystore::new(StoreUrl::Directory(store.to_owned()).open().unwrap(), Arc::default(), Arc::new(SystemClock))
}

/// Writes as many keys as a snapshot needs.
fn write_many(store: &Path) {
    for number in 0..MANY {
        let (key, _) = key(&format!("filler {number}"));
        write(store, &ApiKey { digest: Digest::of(number.to_string()), ..key });
    }
}

/// Fills a directory with keys and a snapshot of them, and gives some that work.
async fn fill(store: &Path) -> Vec<(ApiKey, PlainSecret)> {
    write_many(store);
    let some: Vec<_> = ["good", "revoked", "removed"].map(key).into();
    some.iter().for_each(|(key, _)| write(store, key));
    let keystore = keystore(store);
    keystore.sync().await.unwrap();
    assert!(keystore.replica().compact().await.unwrap());
    // Through Keyloft: this is in the log.
    keystore.revoke(&context(), &TenantId::default(), some[1].0.key_id, None).await.unwrap();
    some
}

#[tokio::test]
async fn a_key_that_is_not_known_is_503_until_the_store_was_listed_and_401_then() {
    let server = TestServer::spawn_with(|setup| setup.hydrate = false).await;
    let some = fill(server.directory()).await;
    let (made, made_secret) = key("made by hand");
    write(server.directory(), &made);
    std::fs::remove_file(server.path(&format!(".settings/apikeys/{}.json", some[2].0.key_id))).unwrap();
    let nobodys = PlainSecret::generate(KeyType::Query).unwrap();
    let whoami = async |secret: &PlainSecret| server.with_key(secret.expose()).get("/api/v1/whoami").await;

    whoami(&some[0].1).await.refused(503, "not_ready");
    server.anonymous().get("/api/v1/readiness").await.refused(503, "not_ready");
    server.app.keystore.load().await.unwrap();
    let ready = server.anonymous().get("/api/v1/readiness").await.json();
    assert_eq!((&ready["status"], &ready["verified"]), (&json!("ready"), &json!(false)));
    assert_eq!(whoami(&some[0].1).await.status, 200);
    whoami(&some[1].1).await.refused(401, "invalid_api_key");
    assert_eq!(whoami(&some[2].1).await.status, 200, "nobody can know that it was removed by hand");
    for unknown in [&made_secret, &nobodys] {
        for _ in 0..3 {
            let answer = whoami(unknown).await;
            assert!(answer.header("retry-after").is_some());
            answer.refused(503, "not_ready");
        }
        let question = json!({"apiKey": unknown.expose()});
        server.admin().post("/api/v1/apikeys/verify", question).await.refused(503, "not_ready");
    }

    assert_eq!(server.admin().post("/api/v1/sync", json!({})).await.status, 200);
    assert_eq!(server.anonymous().get("/api/v1/readiness").await.json()["verified"], true);
    assert_eq!(whoami(&made_secret).await.status, 200);
    for refused in [&some[1].1, &some[2].1, &nobodys] {
        whoami(refused).await.refused(401, "invalid_api_key");
    }
    assert_eq!(some[1].0.state, KeyState::Active, "it was revoked since");
}

/// A machine may have been made by hand, and a signer may have come with a copied folder, since the snapshot.
#[tokio::test]
async fn a_token_that_is_not_known_is_503_until_the_store_was_listed_and_401_then() {
    let maker = TestServer::spawn().await;
    write_many(maker.directory());
    maker.app.keystore.sync().await.unwrap();
    assert!(maker.app.keystore.replica().compact().await.unwrap());
    let directory = maker.shared_directory();
    drop(maker);
    let server = TestServer::spawn_with(|setup| {
        setup.directory = directory;
        setup.hydrate = false;
    })
    .await;
    let token = PlainSecret::generate_machine().unwrap();
    let document = json!({
        "version": 1, "name": "by hand", "role": "viewer", "digest": token.digest().to_document(),
        "expiresAt": SystemClock.now() + chrono::TimeDelta::days(1),
    });
    let folder = server.path(".settings/service_operators");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json"), document.to_string()).unwrap();
    let (nobodys, signer) = (PlainSecret::generate_machine().unwrap(), Signer::unknown());
    let persons = signer.token(&claims(&id(1), "sid-00000000000000000000000000000001", SystemClock.now()));
    let me = async |token: &str| Client::admin(server.url(), token).get("/api/v1/auth/me").await;
    me(token.expose()).await.refused(503, "not_ready");
    server.app.keystore.load().await.unwrap();
    assert_eq!(me(ADMIN_TOKEN).await.status, 200);
    for unknown in [token.expose(), nobodys.expose(), &persons] {
        for _ in 0..3 {
            let answer = me(unknown).await;
            assert!(answer.header("retry-after").is_some());
            answer.refused(503, "not_ready");
        }
    }
    // What cannot be a token of ours is known at once.
    me("kl_svc_short").await.refused(401, "invalid_admin_token");
    assert_eq!(server.admin().post("/api/v1/sync", json!({})).await.status, 200);
    assert_eq!(me(token.expose()).await.status, 200);
    for unknown in [nobodys.expose(), &persons] {
        me(unknown).await.refused(401, "invalid_admin_token");
    }
}

#[tokio::test]
async fn a_server_over_a_directory_starts_from_its_snapshot_and_verifies_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    fill(&store).await;
    let (made, secret) = key("made by hand");
    write(&store, &made);
    let log = folder.path().join("log");
    let variables = [("KEYLOFT_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned())];
    let process = Process::serve_store(store.to_str().unwrap(), &log, &[], &variables);
    let client = process.anonymous();
    for _ in 0..500 {
        let ready = client.get("/api/v1/readiness").await;
        if ready.status == 200 && ready.json()["verified"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A thread of its own writes the log.
    let mut text = String::new();
    for _ in 0..500 {
        text = std::fs::read_to_string(&log).unwrap();
        if text.contains("all keys are verified against the store") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
    assert!(at("all keys are loaded") < at("all keys are verified against the store"), "{text}");
    assert_eq!(process.with_key(secret.expose()).get("/api/v1/whoami").await.status, 200);
}
