//! Nodes that share one store: what one does, the others do too, and say so.

use std::sync::Arc;
use std::time::Duration;

use keyloft::key::{KeyType, PlainSecret};
use keyloft::{Bucket, Clock, ManualClock, SystemClock};
use serde_json::{Value, json};

use crate::support::server::Setup;
use crate::support::{Answer, Client, Fault, Faults, Faulty, TestServer};

/// Two servers over one directory that ask each other's news rarely, unless a test wants it otherwise.
async fn two(change: impl Fn(&mut Setup)) -> (TestServer, TestServer) {
    let a = TestServer::spawn_with(|setup| change(setup)).await;
    let directory = a.shared_directory();
    let b = TestServer::spawn_with(|setup| {
        change(setup);
        setup.directory = directory;
    })
    .await;
    (a, b)
}

fn quick(setup: &mut Setup) {
    setup.config.sync.poll_interval = Duration::from_millis(20);
}

fn slow(setup: &mut Setup) {
    setup.config.sync.poll_interval = Duration::from_secs(600);
}

fn key(id: &str) -> String {
    format!("/api/v1/tenants/default/apikeys/{id}")
}

async fn whoami(server: &TestServer, api_key: &str) -> u16 {
    server.with_key(api_key).get("/api/v1/whoami").await.status.as_u16()
}

async fn until_status(server: &TestServer, api_key: &str, status: u16) {
    for _ in 0..500 {
        if whoami(server, api_key).await == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("five seconds passed and still not {status}");
}

/// A server whose store fails on demand.
async fn faulty(change: impl FnOnce(&mut Setup)) -> (TestServer, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| {
        change(setup);
        setup.bucket = Some(bucket);
    })
    .await;
    (server, faults)
}

fn down(faults: &Faults, down: bool) {
    if down { faults.inject(Fault::ErrorBefore, |_| true) } else { faults.none() }
}

#[tokio::test]
async fn a_key_issued_on_one_node_works_at_once_on_another() {
    let (a, b) = two(slow).await;
    for round in 0..3 {
        let issued = a.admin().issue("default", &format!("k{round}"), "query").await;
        assert_eq!(whoami(&b, &issued.api_key).await, 200);
    }
}

#[tokio::test]
async fn a_revocation_reaches_every_node_within_a_poll() {
    let (a, b) = two(quick).await;
    let issued = a.admin().issue("default", "k", "query").await;
    assert_eq!(whoami(&b, &issued.api_key).await, 200);
    a.admin().delete(&key(&issued.id)).await;
    assert_eq!(whoami(&a, &issued.api_key).await, 401);
    until_status(&b, &issued.api_key, 401).await;
}

#[tokio::test]
async fn a_new_secret_works_on_every_node_at_once_and_the_old_one_stops_everywhere_by_the_clock() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let shared = clock.clone();
    let (a, b) = two(move |setup| {
        slow(setup);
        setup.clock = shared.clone();
    })
    .await;
    let issued = a.admin().issue("default", "k", "query").await;
    assert_eq!(whoami(&b, &issued.api_key).await, 200);
    let rotated = a.admin().post(&format!("{}/rotate", key(&issued.id)), json!({"overlapSeconds": 60})).await.json();
    let new = rotated["apiKey"].as_str().unwrap();
    assert_eq!((whoami(&b, new).await, whoami(&b, &issued.api_key).await), (200, 200));
    // Without any message between nodes: the end of the overlap is known.
    clock.advance(chrono::TimeDelta::seconds(59));
    assert_eq!((whoami(&a, &issued.api_key).await, whoami(&b, &issued.api_key).await), (200, 200));
    clock.advance(chrono::TimeDelta::seconds(1));
    assert_eq!((whoami(&a, &issued.api_key).await, whoami(&b, &issued.api_key).await), (401, 401));
    assert_eq!((whoami(&a, new).await, whoami(&b, new).await), (200, 200));
}

#[tokio::test]
async fn the_end_of_an_overlap_reaches_every_node_within_a_poll() {
    let (a, b) = two(quick).await;
    let issued = a.admin().issue("default", "k", "query").await;
    let rotate = async |overlap: u32| {
        let path = format!("{}/rotate", key(&issued.id));
        let rotated = a.admin().post(&path, json!({"overlapSeconds": overlap})).await.json();
        rotated["apiKey"].as_str().unwrap().to_owned()
    };
    let second = rotate(3600).await;
    assert_eq!((whoami(&b, &second).await, whoami(&b, &issued.api_key).await), (200, 200));
    a.admin().patch(&key(&issued.id), json!({"olderSecrets": []})).await;
    until_status(&b, &issued.api_key, 401).await;
    let third = rotate(0).await;
    until_status(&b, &second, 401).await;
    assert_eq!(whoami(&b, &third).await, 200);
}

#[tokio::test]
async fn a_secret_that_is_brought_along_is_one_keys_on_every_node() {
    const OWN: &str = "8Jq2-vT9x_mW4c.Zr7Kd0pLs6YhNf3Be";
    let (a, b) = two(slow).await;
    let body = |name: &str| json!({"keyName": name, "keyType": "query", "apiKey": OWN});
    assert_eq!(a.admin().post("/api/v1/tenants/default/apikeys", body("one")).await.status, 201);
    let twice = b.admin().post("/api/v1/tenants/default/apikeys", body("two")).await;
    twice.refused(409, "duplicate_api_key");
    assert_eq!((whoami(&a, OWN).await, whoami(&b, OWN).await), (200, 200));
}

#[tokio::test]
async fn tenants_and_their_suspension_reach_every_node() {
    let (a, b) = two(quick).await;
    a.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    // The other node has not heard of the tenant yet, and issues all the same.
    let issued = b.admin().issue("acme", "k", "query").await;
    assert_eq!(whoami(&a, &issued.api_key).await, 200);
    let query = async |server: &TestServer| server.with_key(&issued.api_key).query("SELECT 1").await.status;
    a.admin().patch("/api/v1/tenants/acme", json!({"suspended": ["query"]})).await;
    for _ in 0..500 {
        if query(&b).await == 403 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((query(&a).await, query(&b).await), (403.try_into().unwrap(), 403.try_into().unwrap()));
}

#[tokio::test]
async fn a_tenant_that_was_just_created_is_known_to_every_route_of_another_node() {
    let (a, b) = two(slow).await;
    let create = async |id: &str| {
        let created = a.admin().post("/api/v1/tenants", json!({"tenantId": id})).await;
        assert_eq!(created.status, 201, "{}", created.text());
        format!("/api/v1/tenants/{id}")
    };
    let listed = create("listed").await;
    assert_eq!(b.admin().get(&format!("{listed}/apikeys")).await.json()["items"], json!([]));
    let filtered = create("filtered").await;
    let line = r#"{"op": "revoke", "filter": {"name": "web-*"}}"#;
    let bulk = b.admin().request("POST", &format!("{filtered}/apikeys/bulk")).body(line);
    assert!(Answer::of(bulk).await.text().contains("\"matched\":0"));
    let deleted = create("deleted").await;
    assert_eq!(b.admin().delete(&deleted).await.status, 200);
    b.admin().get("/api/v1/tenants/nobody/apikeys").await.refused(404, "not_found");
}

#[tokio::test]
async fn two_nodes_never_give_one_name_twice() {
    let (a, b) = two(slow).await;
    for round in 0..10 {
        let body = json!({"keyName": format!("race-{round}"), "keyType": "query"});
        let issue = |client: Client| {
            let body = body.clone();
            async move { client.post("/api/v1/tenants/default/apikeys", body).await.status.as_u16() }
        };
        let statuses = futures::future::join(issue(a.admin()), issue(b.admin())).await;
        // Both may lose, when each sees the other: then neither answer reports a key.
        assert!(matches!(statuses, (201, 409) | (409, 201) | (409, 409)), "{statuses:?}");
    }
    // A name that is given on one node is taken on the other, before it has asked for news.
    a.admin().issue("default", "taken", "query").await;
    let again =
        b.admin().post("/api/v1/tenants/default/apikeys", json!({"keyName": "taken", "keyType": "query"})).await;
    again.refused(409, "duplicate_key_name");
}

#[tokio::test]
async fn a_name_revoked_on_one_node_is_free_on_another_at_once() {
    let (a, b) = two(slow).await;
    let first = a.admin().issue("default", "k", "query").await;
    assert_eq!(whoami(&b, &first.api_key).await, 200);
    a.admin().delete(&key(&first.id)).await;
    let second = b.admin().issue("default", "k", "query").await;
    assert_eq!(whoami(&a, &second.api_key).await, 200);
}

#[tokio::test]
async fn a_receipt_names_the_nodes_that_have_not_applied_a_change_yet() {
    let (a, b) = two(slow).await;
    for server in [&a, &b] {
        server.app.keystore.poll().await.unwrap();
    }
    let other = b.app.keystore.replica().node_id().to_string();
    let issued = a.admin().issue("default", "k", "query").await;
    let answer = a.admin().delete(&format!("{}?wait=300ms", key(&issued.id))).await;
    assert_eq!(answer.status, 202);
    let receipt = &answer.json()["receipt"];
    assert_eq!((&receipt["appliedOn"], &receipt["liveNodes"]), (&json!(1), &json!(2)));
    assert_eq!(receipt["behind"], json!([other]));
    assert!(receipt["elapsedMillis"].as_u64().unwrap() >= 100);
    let later = format!("/api/v1/changes/{}", receipt["changeSeq"]);
    assert_eq!(a.admin().get(&later).await.json()["behind"], json!([other]));
    for server in [&a, &b] {
        server.app.keystore.poll().await.unwrap();
    }
    for server in [&a, &b] {
        let receipt = server.admin().get(&later).await.json();
        assert_eq!((&receipt["appliedOn"], &receipt["behind"]), (&json!(2), &json!([])));
    }
    a.admin().get("/api/v1/changes/999").await.refused(404, "not_found");
    a.admin().get("/api/v1/changes/0").await.refused(404, "not_found");
    a.admin().get("/api/v1/changes/x").await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_change_that_waits_is_answered_once_every_node_has_applied_it() {
    let (a, b) = two(quick).await;
    b.until("b is on the board", |b| b.app.keystore.replica().age().is_some()).await;
    let issued = a.admin().issue("default", "k", "query").await;
    let answer = a.admin().patch(&format!("{}?wait=5s", key(&issued.id)), json!({"state": "disabled"})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["receipt"]["behind"], json!([]));
    assert_eq!(whoami(&b, &issued.api_key).await, 401);
}

#[tokio::test]
async fn every_node_is_shown_with_what_it_has_applied() {
    let (a, b) = two(slow).await;
    for server in [&a, &b] {
        server.app.keystore.poll().await.unwrap();
    }
    a.admin().issue("default", "k", "query").await;
    let nodes = a.admin().get("/api/v1/nodes").await.json()["items"].take();
    let of = |server: &TestServer| -> Value {
        let id = json!(server.app.keystore.replica().node_id());
        nodes.as_array().unwrap().iter().find(|node| node["nodeId"] == id).unwrap().clone()
    };
    assert_eq!(nodes.as_array().unwrap().len(), 2);
    assert_eq!((&of(&a)["appliedSeq"], &of(&b)["appliedSeq"]), (&json!(1), &json!(0)));
    assert!(of(&b)["live"] == true && of(&b)["lagSeconds"].is_i64() && of(&b)["lastSeenAt"].is_string());
}

#[tokio::test]
async fn an_unknown_key_is_no_401_while_the_store_cannot_be_asked() {
    let (server, faults) = faulty(slow).await;
    let issued = server.admin().issue("default", "k", "query").await;
    let unknown = PlainSecret::generate(KeyType::Query).unwrap();
    assert_eq!(whoami(&server, unknown.expose()).await, 401);
    down(&faults, true);
    // For this long after a poll, a node that is alone knows that no other node has issued a key.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let other = PlainSecret::generate(KeyType::Query).unwrap();
    let answer = server.with_key(other.expose()).get("/api/v1/whoami").await;
    answer.refused(503, "store_unavailable");
    assert!(answer.header("retry-after").is_some());
    // Also one that was looked for before: it may have been issued since.
    assert_eq!(whoami(&server, unknown.expose()).await, 503);
    assert_eq!(whoami(&server, &issued.api_key).await, 200);
    assert_eq!(server.anonymous().get("/api/v1/readiness").await.status, 200);
    down(&faults, false);
    assert_eq!(whoami(&server, other.expose()).await, 401);
}

#[tokio::test]
async fn a_revocation_during_an_outage_holds_here_at_once_and_becomes_durable_later() {
    let (server, faults) = faulty(quick).await;
    let issued = server.admin().issue("default", "k", "query").await;
    down(&faults, true);
    let answer = server.admin().delete(&key(&issued.id)).await;
    answer.refused(503, "store_unavailable");
    assert_eq!(answer.json()["appliedLocally"], true);
    assert_eq!(whoami(&server, &issued.api_key).await, 401);
    down(&faults, false);
    server.until("the revocation is durable", |server| !server.app.keystore.has_pending_revocations()).await;
    assert_eq!(server.admin().get(&key(&issued.id)).await.json()["state"], "revoked");
    assert_eq!(server.admin().get(&key(&issued.id)).await.json()["rev"], 2);
    assert_eq!(whoami(&server, &issued.api_key).await, 401);
}

#[tokio::test]
async fn a_node_that_is_out_of_contact_for_too_long_refuses_with_503() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let (server, faults) = faulty(|setup| {
        slow(setup);
        setup.config.sync.max_stale = Some(Duration::from_secs(60));
        setup.clock = clock.clone();
    })
    .await;
    let issued = server.admin().issue("default", "k", "query").await;
    down(&faults, true);
    clock.advance(chrono::TimeDelta::seconds(60));
    assert_eq!(whoami(&server, &issued.api_key).await, 200);
    clock.advance(chrono::TimeDelta::seconds(1));
    server.with_key(&issued.api_key).get("/api/v1/whoami").await.refused(503, "store_unavailable");
    let readiness = server.anonymous().get("/api/v1/readiness").await;
    assert_eq!((readiness.status.as_u16(), &readiness.json()["stale"]), (200, &json!(true)));
    down(&faults, false);
    server.app.keystore.poll().await.unwrap();
    assert_eq!(whoami(&server, &issued.api_key).await, 200);
}

#[tokio::test]
async fn a_stream_made_on_one_node_can_be_queried_on_another() {
    let (a, b) = two(quick).await;
    let sender = a.admin().issue("default", "sender", "ingestion").await;
    let reader = a.admin().issue("default", "reader", "query").await;
    assert_eq!(a.with_key(&sender.api_key).ingest("web", r#"{"n": 1}"#).await.status, 200);
    let mut answer = b.with_key(&reader.api_key).query("SELECT n FROM web").await;
    for _ in 0..500 {
        if answer.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = b.with_key(&reader.api_key).query("SELECT n FROM web").await;
    }
    assert_eq!(answer.json(), json!([{"n": 1}]));
}

#[tokio::test]
async fn the_record_of_a_revoked_key_is_kept_for_as_long_as_it_should() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let server = TestServer::spawn_with(|setup| {
        slow(setup);
        setup.config.sync.revoked_retention = Some(Duration::from_secs(3600));
        setup.clock = clock.clone();
    })
    .await;
    let revoked = server.admin().issue("default", "revoked", "query").await;
    let live = server.admin().issue("default", "live", "query").await;
    server.admin().delete(&key(&revoked.id)).await;
    clock.advance(chrono::TimeDelta::minutes(59));
    assert_eq!(server.app.keystore.purge().await.unwrap(), 0);
    clock.advance(chrono::TimeDelta::minutes(1));
    assert_eq!(server.app.keystore.purge().await.unwrap(), 1);
    server.admin().get(&key(&revoked.id)).await.refused(404, "not_found");
    assert_eq!(whoami(&server, &live.api_key).await, 200);
    server.admin().issue("default", "revoked", "query").await;
}

#[tokio::test]
async fn a_number_of_the_log_that_was_removed_by_hand_is_not_given_again() {
    let (a, c) = two(slow).await;
    let issued = a.admin().issue("default", "k", "query").await;
    assert_eq!(whoami(&c, &issued.api_key).await, 200);
    for round in 0..3 {
        a.admin().issue("default", &format!("other-{round}"), "query").await;
    }
    a.app.keystore.poll().await.unwrap();
    std::fs::remove_file(a.path(".settings/keyloft/log/00000000000000000002.json")).unwrap();
    let answer = c.admin().delete(&key(&issued.id)).await;
    assert_eq!(answer.json()["receipt"]["changeSeq"], 5, "{}", answer.text());
    a.app.keystore.poll().await.unwrap();
    assert_eq!(whoami(&a, &issued.api_key).await, 401);
}

#[tokio::test]
async fn what_is_put_into_the_log_by_hand_deafens_nobody() {
    for stray in ["00000000000099999999", "18446744073709551615"] {
        let a = TestServer::spawn_with(slow).await;
        let issued = a.admin().issue("default", "k", "query").await;
        std::fs::write(a.path(&format!(".settings/keyloft/log/{stray}.json")), "x").unwrap();
        let directory = a.shared_directory();
        let b = TestServer::spawn_with(|setup| {
            slow(setup);
            setup.directory = directory;
        })
        .await;
        a.admin().delete(&key(&issued.id)).await;
        b.app.keystore.poll().await.unwrap();
        assert_eq!(whoami(&b, &issued.api_key).await, 401);
        let other = b.admin().issue("default", "other", "query").await;
        assert_eq!(whoami(&a, &other.api_key).await, 200);
    }
}

#[tokio::test]
async fn a_broken_entry_at_the_end_of_the_log_stops_no_change() {
    let (a, b) = two(slow).await;
    let issued = a.admin().issue("default", "k", "query").await;
    std::fs::write(a.path(".settings/keyloft/log/00000000000000000002.json"), "garbage").unwrap();
    assert_eq!(a.admin().delete(&key(&issued.id)).await.status, 200);
    b.app.keystore.poll().await.unwrap();
    assert_eq!(whoami(&b, &issued.api_key).await, 401);
}

#[tokio::test]
async fn a_receipt_claims_nothing_while_the_store_cannot_be_asked() {
    let (server, faults) = faulty(slow).await;
    let issued = server.admin().issue("default", "k", "query").await;
    let seq = server.admin().delete(&key(&issued.id)).await.json()["receipt"]["changeSeq"].clone();
    faults.inject(Fault::ErrorBefore, |call| call.is_about("nodes"));
    server.admin().get(&format!("/api/v1/changes/{seq}")).await.refused(503, "store_unavailable");
    let answer = server.admin().delete(&format!("{}?wait=100ms", key(&issued.id))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["receipt"]["liveNodes"]), (202, &Value::Null));
}
