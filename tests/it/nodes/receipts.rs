//! Receipts and the list of nodes: which nodes have applied a change.

use serde_json::{Value, json};

use crate::support::pair::{faulty, key, quick, slow, two, whoami};
use crate::support::{Fault, TestServer};

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
async fn a_receipt_claims_nothing_while_the_store_cannot_be_asked() {
    let (server, faults) = faulty(slow).await;
    let issued = server.admin().issue("default", "k", "query").await;
    let seq = server.admin().delete(&key(&issued.id)).await.json()["receipt"]["changeSeq"].clone();
    faults.inject(Fault::ErrorBefore, |call| call.is_about("nodes"));
    server.admin().get(&format!("/api/v1/changes/{seq}")).await.refused(503, "store_unavailable");
    let answer = server.admin().delete(&format!("{}?wait=100ms", key(&issued.id))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["receipt"]["liveNodes"]), (202, &Value::Null));
}
