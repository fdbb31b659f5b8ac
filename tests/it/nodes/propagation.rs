//! Nodes that share one store: what one does, the others do too.

use std::sync::Arc;
use std::time::Duration;

use keyloft::{Clock, ManualClock, SystemClock};
use serde_json::json;

use crate::support::pair::{key, quick, slow, two, until_status, whoami};
use crate::support::{Answer, Client, TestServer};

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
