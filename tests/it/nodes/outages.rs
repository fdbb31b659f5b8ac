//! What nodes do while the store cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use keyloft::key::{KeyType, PlainSecret};
use keyloft::{Clock, ManualClock, SystemClock};
use serde_json::json;

use super::pair::{down, faulty, key, quick, slow, whoami};

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
