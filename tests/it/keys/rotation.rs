//! A new secret for a key, and what becomes of the old ones.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use keyloft::{Clock, ManualClock};
use serde_json::{Value, json};

use crate::support::scene::{COMPUTING, must_break_off};
use crate::support::{Answer, Client, Issued, Scene, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";
const OWN: &str = "8Jq2-vT9x_mW4c.Zr7Kd0pLs6YhNf3Be";

fn path(id: &str) -> String {
    format!("{KEYS}/{id}")
}

async fn spawn() -> (TestServer, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
    let shared = clock.clone();
    (TestServer::spawn_with(move |setup| setup.clock = shared).await, clock)
}

async fn rotate(admin: &Client, id: &str, body: Value) -> Answer {
    admin.post(&format!("{}/rotate", path(id)), body).await
}

/// Rotates and gives the new secret.
async fn new_secret(admin: &Client, id: &str, overlap_seconds: u32) -> String {
    let answer = rotate(admin, id, json!({"overlapSeconds": overlap_seconds})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["apiKey"].as_str().unwrap().to_owned()
}

async fn works(server: &TestServer, secret: &str) -> bool {
    let answer = server.with_key(secret).get("/api/v1/whoami").await;
    if answer.status != 200 {
        answer.refused(401, "invalid_api_key");
    }
    answer.status == 200
}

/// Which of these secrets work.
async fn working(server: &TestServer, secrets: &[&str]) -> Vec<bool> {
    let mut found = Vec::new();
    for secret in secrets {
        found.push(works(server, secret).await);
    }
    found
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[tokio::test]
async fn a_rotation_shows_a_new_key_once_and_the_old_one_works_until_the_overlap_ends() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let body = json!({
        "keyName": "k", "keyType": "query", "streams": ["web-*"], "sourceId": "s", "allowedCidrs": ["127.0.0.0/8"],
        "limits": {"requests": {"perMinute": 6000}}, "metadata": {"a": 1}, "expiresInSeconds": 90_000,
    });
    let old = admin.issue_with("default", body).await;
    let mut before = admin.get(&path(&old.id)).await.json();
    let answer = rotate(&admin, &old.id, json!({"overlapSeconds": 60})).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, Some("\"2\"")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut view = answer.json();
    assert!(view["receipt"]["changeSeq"].is_u64());
    let new = view["apiKey"].as_str().unwrap().to_owned();
    assert!(new.starts_with("kl_qry_") && new != old.api_key);
    assert_eq!(view["apiKeyHint"], format!("kl_qry_…{}", &new[52..]));
    let until = text(clock.now() + TimeDelta::seconds(60));
    assert_eq!(view["olderSecrets"], json!([{"apiKeyHint": format!("…{}", &old.api_key[52..]), "until": until}]));
    // Everything else is as it was.
    for changed in ["apiKeyHint", "olderSecrets", "modifiedAt", "rev", "apiKey", "receipt", "lastUsedAt", "usage"] {
        view.as_object_mut().unwrap().remove(changed);
        before.as_object_mut().unwrap().remove(changed);
    }
    assert_eq!(view, before);
    let shown = admin.get(&path(&old.id)).await;
    assert!(!shown.text().contains(&new) && !shown.text().contains("digest"), "{}", shown.text());

    let server = server.restart().await; // On the machine's clock: the overlap has ended long ago.
    assert_eq!(working(&server, &[&old.api_key, &new]).await, [false, false], "and the key has expired");
}

#[tokio::test]
async fn the_old_secret_stops_at_the_very_instant() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let old = admin.issue("default", "k", "query").await;
    let new = new_secret(&admin, &old.id, 60).await;
    clock.advance(TimeDelta::milliseconds(59_999));
    assert_eq!(working(&server, &[&old.api_key, &new]).await, [true, true]);
    let verify = async |secret: &str| {
        let verdict = admin.post("/api/v1/apikeys/verify", json!({"apiKey": secret})).await.json();
        (verdict["code"].as_str().unwrap().to_owned(), verdict["keyId"].as_str().unwrap() == old.id)
    };
    assert_eq!(verify(&old.api_key).await, ("valid".to_owned(), true));
    clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(working(&server, &[&old.api_key, &new]).await, [false, true]);
    assert_eq!(verify(&old.api_key).await, ("rotated".to_owned(), true));
    assert_eq!(admin.get(&path(&old.id)).await.json()["olderSecrets"], json!([]));
    let unknown = server.with_key("hunter2").get("/api/v1/whoami").await;
    let rotated = server.with_key(&old.api_key).get("/api/v1/whoami").await;
    assert_eq!(rotated.body, unknown.body, "all 401 are the same bytes");
    assert!(server.anonymous().get("/metrics").await.text().contains("keyloft_denials_total{reason=\"rotated\"}"));
}

#[tokio::test]
async fn a_rotation_inside_an_overlap_keeps_or_shortens_what_is_left() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let first = admin.issue("default", "k", "query").await;
    let second = new_secret(&admin, &first.id, 100).await;
    clock.advance(TimeDelta::seconds(10));
    let third = new_secret(&admin, &first.id, 1000).await;
    let secrets = [first.api_key.as_str(), &second, &third];
    assert_eq!(working(&server, &secrets).await, [true, true, true]);
    clock.advance(TimeDelta::seconds(90));
    assert_eq!(working(&server, &secrets).await, [false, true, true], "the first overlap is not prolonged");
    let fourth = new_secret(&admin, &first.id, 20).await;
    let secrets = [second.as_str(), &third, &fourth];
    clock.advance(TimeDelta::seconds(20));
    assert_eq!(working(&server, &secrets).await, [false, false, true], "but the second is shortened");
    let fifth = new_secret(&admin, &first.id, 0).await;
    assert_eq!(working(&server, &[&fourth, &fifth]).await, [false, true], "at once");
}

#[tokio::test]
async fn four_older_secrets_overlap_and_no_more() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    let mut newest = String::new();
    for _ in 0..4 {
        newest = new_secret(&admin, &key.id, 100).await;
    }
    let full = rotate(&admin, &key.id, json!({"overlapSeconds": 100})).await;
    full.refused(409, "too_many_secrets");
    assert_eq!(admin.get(&path(&key.id)).await.json()["rev"], 5);
    assert_eq!(working(&server, &[&key.api_key, &newest]).await, [true, true], "a refusal changes nothing");
    clock.advance(TimeDelta::seconds(100));
    let next = new_secret(&admin, &key.id, 100).await;
    for _ in 0..3 {
        new_secret(&admin, &key.id, 100).await;
    }
    let last = new_secret(&admin, &key.id, 0).await;
    assert_eq!(working(&server, &[&newest, &next, &last]).await, [false, false, true]);
}

#[tokio::test]
async fn nothing_need_be_said_for_an_overlap_of_an_hour() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    for body in [None, Some(json!({})), Some(json!({"overlapSeconds": null}))] {
        let request = admin.request("POST", &format!("{}/rotate", path(&key.id)));
        let answer = Answer::of(body.iter().fold(request, |request, body| request.json(body))).await;
        let until = text(clock.now() + TimeDelta::hours(1));
        assert_eq!(answer.json()["olderSecrets"][0]["until"], until, "{}", answer.text());
    }
    let longest = rotate(&admin, &key.id, json!({"overlapSeconds": 31_536_000})).await;
    assert_eq!(longest.json()["olderSecrets"][0]["until"], text(clock.now() + TimeDelta::days(365)));
}

#[tokio::test]
async fn a_rotation_that_cannot_be_is_refused() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    for bad in [
        json!({"overlapSeconds": -1}),
        json!({"overlapSeconds": 31_536_001}),
        json!({"overlapSeconds": 0.5}),
        json!({"overlapSeconds": "1h"}),
        json!({"overlap": 1}),
        json!({"streams": ["*"]}),
        json!([0]),
        json!({"apiKey": "canary"}),
        json!({"apiKey": OWN, "digest": format!("sha256:{}", "0".repeat(64))}),
        json!({"hint": "abcd"}),
    ] {
        let answer = rotate(&admin, &key.id, bad).await;
        answer.refused(400, "invalid_request");
        assert!(!answer.text().contains("canary") && !answer.text().contains(OWN));
    }
    let rotate_if = async |if_match: &str| {
        Answer::of(admin.request("POST", &format!("{}/rotate", path(&key.id))).header("if-match", if_match)).await
    };
    for stale in ["\"2\"", "\"0\"", "W/\"1\"", "1"] {
        rotate_if(stale).await.refused(412, "precondition_failed");
    }
    assert_eq!(admin.get(&path(&key.id)).await.json()["rev"], 1);
    assert_eq!(rotate_if("\"1\"").await.status, 200);
    rotate_if("\"1\"").await.refused(412, "precondition_failed");
    assert_eq!(rotate_if("*").await.status, 200);
    let wait = async |wait: &str| {
        let url = format!("{}/rotate?wait={wait}", path(&key.id));
        Answer::of(admin.request("POST", &url)).await.status.as_u16()
    };
    assert_eq!((wait("5s").await, wait("61s").await), (200, 400));
    rotate(&admin, "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10", json!({})).await.refused(404, "not_found");
    rotate(&admin, "nobody", json!({})).await.refused(400, "invalid_request");
    let nowhere = format!("/api/v1/tenants/nowhere/apikeys/{}/rotate", key.id);
    admin.post(&nowhere, json!({})).await.refused(404, "not_found");
    let plain = admin.request("POST", &format!("{}/rotate", path(&key.id))).header("content-type", "text/plain");
    Answer::of(plain.body("{}")).await.refused(415, "unsupported_media_type");
    admin.delete(&path(&key.id)).await;
    rotate(&admin, &key.id, json!({})).await.refused(409, "key_revoked");
}

#[tokio::test]
async fn an_overlap_is_ended_early_without_a_third_secret() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    let new = new_secret(&admin, &key.id, 3600).await;
    for bad in [json!([{}]), json!(["x"]), json!(null), json!({}), json!(""), json!([[]])] {
        admin.patch(&path(&key.id), json!({"olderSecrets": bad})).await.refused(400, "invalid_request");
    }
    assert_eq!(working(&server, &[&key.api_key, &new]).await, [true, true]);
    let ended = admin.patch(&path(&key.id), json!({"olderSecrets": []})).await.json();
    assert_eq!((&ended["olderSecrets"], &ended["rev"]), (&json!([]), &json!(3)));
    assert_eq!(working(&server, &[&key.api_key, &new]).await, [false, true]);
    assert_eq!(admin.patch(&path(&key.id), json!({"olderSecrets": []})).await.json()["rev"], 3, "nothing left to end");
    // Nothing is known of it any more, so it can be anybody's again.
    let again = json!({"keyName": "again", "keyType": "query", "apiKey": key.api_key});
    assert_eq!(admin.post(KEYS, again).await.status, 201);
}

#[tokio::test]
async fn what_happens_to_a_key_happens_to_all_its_secrets() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    let new = new_secret(&admin, &key.id, 3600).await;
    let secrets = [key.api_key.as_str(), &new];
    admin.patch(&path(&key.id), json!({"state": "disabled"})).await;
    assert_eq!(working(&server, &secrets).await, [false, false]);
    // A disabled key can be rotated; its old secret does not work when it is enabled again.
    let newest = new_secret(&admin, &key.id, 0).await;
    admin.patch(&path(&key.id), json!({"state": "active"})).await;
    assert_eq!(working(&server, &[&key.api_key, &new, &newest]).await, [false, false, true]);
    let next = new_secret(&admin, &key.id, 3600).await;
    let server = server.restart().await;
    assert_eq!(working(&server, &[&newest, &next]).await, [true, true], "an overlap outlives a restart");
    server.admin().delete(&path(&key.id)).await;
    assert_eq!(working(&server, &[&newest, &next]).await, [false, false]);
    let server = server.restart().await;
    assert_eq!(working(&server, &[&newest, &next]).await, [false, false]);
}

#[tokio::test]
async fn a_secret_can_be_brought_along_and_taken_back() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    let answer = rotate(&admin, &key.id, json!({"apiKey": OWN})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains(OWN) && answer.json().get("apiKey").is_none());
    assert_eq!((&answer.json()["ownSecret"], &answer.json()["apiKeyHint"]), (&json!(true), &json!("…f3Be")));
    assert_eq!(working(&server, &[&key.api_key, OWN]).await, [true, true]);
    let back = rotate(&admin, &key.id, json!({"apiKey": key.api_key})).await.json();
    assert_eq!(back["olderSecrets"].as_array().unwrap().len(), 1, "the one that came back is no older one");
    assert_eq!(working(&server, &[&key.api_key, OWN]).await, [true, true]);
    let other = admin.issue("default", "other", "query").await;
    for taken in [OWN, &key.api_key, &other.api_key] {
        let id = if taken == other.api_key { &key.id } else { &other.id };
        rotate(&admin, id, json!({"apiKey": taken})).await.refused(409, "duplicate_api_key");
    }
    new_secret(&admin, &key.id, 0).await;
    assert_eq!(admin.get(&path(&key.id)).await.json()["ownSecret"], false);
    assert_eq!(working(&server, &[&key.api_key, OWN]).await, [false, false]);
}

#[tokio::test]
async fn of_rotations_at_once_none_is_lost() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let all = (0..4).map(|_| {
        let (admin, id) = (server.admin(), key.id.clone());
        async move { new_secret(&admin, &id, 3600).await }
    });
    for secret in futures::future::join_all(all).await {
        assert!(works(&server, &secret).await);
    }
    assert!(works(&server, &key.api_key).await);
    assert_eq!(server.admin().get(&path(&key.id)).await.json()["rev"], 5);
}

/// Somebody who asks for hours of work with this secret.
async fn computing(scene: &Scene, secret: &str) -> tokio::task::JoinHandle<Answer> {
    let client = scene.server.with_key(secret);
    let ask = tokio::spawn(async move { client.query(COMPUTING).await });
    scene.until_computing().await;
    ask
}

#[tokio::test]
async fn a_query_ends_with_the_overlap_of_the_secret_that_began_it() {
    let scene = Scene::new().await;
    let (admin, reader) = (scene.server.admin(), scene.reader.clone());
    let new = new_secret(&admin, &reader.id, 1).await;
    let ask = computing(&scene, &reader.api_key).await;
    ask.await.unwrap().refused(401, "invalid_api_key");
    scene.until_idle().await;
    // One that began before the rotation ends too.
    let ask = computing(&scene, &new).await;
    let newest = new_secret(&admin, &reader.id, 1).await;
    ask.await.unwrap().refused(401, "invalid_api_key");
    scene.until_idle().await;
    assert!(works(&scene.server, &newest).await);
}

#[tokio::test]
async fn an_overlap_that_is_ended_or_shortened_takes_its_queries_with_it() {
    let scene = Scene::new().await;
    let (admin, reader) = (scene.server.admin(), scene.reader.clone());
    let ask = computing(&scene, &reader.api_key).await;
    let second = new_secret(&admin, &reader.id, 3600).await;
    let listed = admin.get("/api/v1/sessions").await.json()["items"][0].clone();
    assert!(listed["expiresAt"].is_string());
    assert_eq!(scene.server.open_sessions(), 1, "the old secret still works");
    let third = new_secret(&admin, &reader.id, 0).await;
    ask.await.unwrap().refused(401, "invalid_api_key");
    scene.until_idle().await;

    let ask = computing(&scene, &third).await;
    let fourth = new_secret(&admin, &reader.id, 3600).await;
    admin.patch(&path(&reader.id), json!({"olderSecrets": []})).await;
    ask.await.unwrap().refused(401, "invalid_api_key");
    scene.until_idle().await;

    let ask = computing(&scene, &fourth).await;
    new_secret(&admin, &reader.id, 3600).await;
    new_secret(&admin, &reader.id, 1).await;
    ask.await.unwrap().refused(401, "invalid_api_key");
    scene.until_idle().await;
    assert!(!works(&scene.server, &second).await);
}

#[tokio::test]
async fn a_query_of_the_newest_secret_goes_on_when_older_ones_end() {
    let scene = Scene::with(|setup| setup.config.session.ttl = Duration::from_secs(60)).await;
    let (admin, reader) = (scene.server.admin(), scene.reader.clone());
    let new = new_secret(&admin, &reader.id, 3600).await;
    let ask = computing(&scene, &new).await;
    admin.patch(&path(&reader.id), json!({"olderSecrets": []})).await;
    admin.patch(&path(&reader.id), json!({"expiresInSeconds": 3600})).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((scene.server.open_sessions(), ask.is_finished()), (1, false));
    // Its key now ends sooner than its deadline.
    admin.patch(&path(&reader.id), json!({"expiresInSeconds": 1})).await;
    ask.await.unwrap().refused(401, "invalid_api_key");
    scene.until_idle().await;
}

#[tokio::test]
async fn a_rotation_without_overlap_breaks_a_body_off() {
    let scene = Scene::new().await;
    let response = scene.streaming().await;
    let key = Issued { id: scene.reader.id.clone(), api_key: scene.reader.api_key.clone() };
    new_secret(&scene.server.admin(), &key.id, 0).await;
    must_break_off(response).await;
    scene.until_idle().await;
    assert!(!works(&scene.server, &key.api_key).await);
}
