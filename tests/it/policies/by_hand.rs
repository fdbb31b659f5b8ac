//! Versions that were written, broken or removed by hand.

use keyloft::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::{SET, blocking};
use crate::audit::changes;
use crate::support::{Answer, TestServer};

fn file(server: &TestServer, number: u64) -> std::path::PathBuf {
    server.path(&format!(".settings/policies/{number:020}.json"))
}

async fn sync(server: &TestServer) {
    assert_eq!(Answer::of(server.admin().request("POST", "/api/v1/sync")).await.status, 200);
}

async fn unreadable(server: &TestServer) -> Vec<String> {
    let list = server.admin().get("/api/v1/unreadable").await.json();
    list["items"].as_array().unwrap().iter().map(|item| item["object"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_broken_version_leaves_the_last_good_one_in_force_and_the_next_one_comes_after_it() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.put(SET, blocking("/a")).await;
    let mut stored: Value = serde_json::from_slice(&std::fs::read(file(&server, 1)).unwrap()).unwrap();
    stored["policySetVersion"] = json!(2);
    stored["surprise"] = json!(true);
    std::fs::write(file(&server, 2), stored.to_string()).unwrap();
    std::fs::write(file(&server, 3), "{").unwrap();
    std::fs::write(server.path(".settings/policies/notes.txt"), "x").unwrap();
    sync(&server).await;
    let shown = admin.get(SET).await.json();
    assert_eq!((&shown["policySetVersion"], &shown["policies"][0]["name"]), (&json!(1), &json!("paths")));
    let names = unreadable(&server).await;
    for name in ["00000000000000000002.json", "00000000000000000003.json", "notes.txt"] {
        assert!(names.iter().any(|object| object.ends_with(name)), "{name}: {names:?}");
    }
    let list = admin.get(&format!("{SET}/versions")).await.json();
    assert_eq!((&list["items"][0]["readable"], &list["items"][2]["inForce"]), (&json!(false), &json!(true)));
    // A start finds the same.
    let server = server.restart().await;
    let admin = server.admin();
    sync(&server).await;
    assert_eq!(admin.get(SET).await.json()["policySetVersion"], 1);
    assert_eq!(admin.put(SET, blocking("/b")).await.json()["policySetVersion"], 4);
    assert!(unreadable(&server).await.iter().all(|object| !object.ends_with("2.json")), "a good one follows it");
}

#[tokio::test]
async fn a_version_that_is_written_or_removed_by_hand_counts_after_a_full_look() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.put(SET, blocking("/a")).await;
    let mut stored: Value = serde_json::from_slice(&std::fs::read(file(&server, 1)).unwrap()).unwrap();
    stored["policySetVersion"] = json!(2);
    stored["mode"] = json!("monitor");
    stored.as_object_mut().unwrap().remove("writeId");
    std::fs::write(file(&server, 2), stored.to_string()).unwrap();
    sync(&server).await;
    assert_eq!(admin.get(SET).await.json()["mode"], "monitor");
    let change = changes(&server).pop().unwrap();
    assert_eq!((&change["action"], &change["after"]["mode"]), (&json!("document.by_hand"), &json!("monitor")));
    std::fs::remove_file(file(&server, 2)).unwrap();
    sync(&server).await;
    assert_eq!((&admin.get(SET).await.json()["policySetVersion"]), &json!(1));
}

#[tokio::test]
async fn a_version_whose_node_ended_before_it_logged_it_is_that_of_its_author() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.put(SET, blocking("/a")).await;
    let mut stored: Value = serde_json::from_slice(&std::fs::read(file(&server, 1)).unwrap()).unwrap();
    stored["policySetVersion"] = json!(2);
    stored["writeId"] = json!("6f1e2d3c-0000-4000-8000-0123456789ab");
    stored["requestId"] = json!("r-lost");
    stored["mode"] = json!("off");
    std::fs::write(file(&server, 2), stored.to_string()).unwrap();
    sync(&server).await;
    let change = changes(&server).pop().unwrap();
    assert_eq!((&change["action"], &change["requestId"]), (&json!("policyset.deploy"), &json!("r-lost")));
    assert!(change["changedAt"].is_string());
}

#[tokio::test]
async fn a_broken_secret_is_listed_and_nothing_is_decided_by_another_one() {
    let server = TestServer::spawn().await;
    server.admin().put(SET, blocking("/a")).await;
    std::fs::write(server.path(".settings/keyloft/policy-secret.json"), "junk").unwrap();
    let server = server.restart().await;
    let key = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "s"});
    let key = server.admin().post("/api/v1/tenants/default/apikeys", key).await.json();
    let edge = server.with_key(key["apiKey"].as_str().unwrap());
    edge.post("/api/v1/decide", json!({"request": {"path": "/a"}})).await.refused(503, "not_ready");
    for _ in 0..500 {
        if unreadable(&server).await.iter().any(|object| object.ends_with("policy-secret.json")) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the secret is not listed");
}

#[tokio::test]
async fn a_number_by_hand_that_leaves_no_room_is_no_version() {
    let server = TestServer::spawn().await;
    server.admin().put(SET, blocking("/a")).await;
    let mut stored: Value = serde_json::from_slice(&std::fs::read(file(&server, 1)).unwrap()).unwrap();
    stored["policySetVersion"] = json!(u64::MAX);
    std::fs::write(file(&server, u64::MAX), stored.to_string()).unwrap();
    sync(&server).await;
    assert_eq!(server.admin().get(SET).await.json()["policySetVersion"], 1);
    assert_eq!(server.admin().put(SET, blocking("/b")).await.json()["policySetVersion"], 2);
    assert!(unreadable(&server).await.iter().any(|object| object.ends_with("18446744073709551615.json")));
}

#[tokio::test]
async fn a_version_that_a_node_has_started_with_and_nobody_has_logged_is_entered_once() {
    let server = TestServer::spawn().await;
    server.admin().put(SET, blocking("/a")).await;
    let mut stored: Value = serde_json::from_slice(&std::fs::read(file(&server, 1)).unwrap()).unwrap();
    let made = SystemClock.now() - chrono::TimeDelta::minutes(10);
    for number in [2, 3] {
        stored["policySetVersion"] = json!(number);
        stored["createdAt"] = json!(made);
        stored["writeId"] = json!(format!("6f1e2d3c-0000-4000-8000-00000000000{number}"));
        stored["requestId"] = json!(format!("r-lost-{number}"));
        stored["mode"] = json!(if number == 2 { "monitor" } else { "off" });
        std::fs::write(file(&server, number), stored.to_string()).unwrap();
    }
    let server = server.restart().await;
    assert_eq!(server.admin().get(SET).await.json()["policySetVersion"], 3);
    for _ in 0..3 {
        sync(&server).await;
    }
    let told: Vec<_> = changes(&server)
        .into_iter()
        .filter(|change| change["kind"] == "policy_set")
        .map(|change| (change["action"].clone(), change["name"].clone(), change["requestId"].clone()))
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for (at, number) in [(1, 2), (2, 3)] {
        let expected = (json!("policyset.deploy"), json!(number.to_string()), json!(format!("r-lost-{number}")));
        assert_eq!(told[at], expected);
    }
}

#[tokio::test]
async fn a_deployment_is_on_record_once_however_often_nodes_look() {
    let (a, b) = crate::support::pair::two(crate::support::pair::quick).await;
    for path in ["/a", "/b", "/c"] {
        a.admin().put(&format!("{SET}?wait=5s"), blocking(path)).await;
        sync(&b).await;
        sync(&a).await;
        sync(&b).await;
    }
    let told = changes(&a).into_iter().filter(|change| change["kind"] == "policy_set").count();
    assert_eq!(told, 3);
}
