//! The events of a deleted tenant are erased when that is asked for, by any node, and nothing of its streams is left.

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use crate::support::{Client, Fleet, TestServer, TestStore};

const ACME: &str = "/api/v1/tenants/acme";

/// Every file of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] }).collect()
}

/// A tenant with events in several streams and a stream setting.
async fn fill(admin: &Client, with_key: impl Fn(&str) -> Client) -> Client {
    assert_eq!(admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
    let sender = with_key(&admin.issue("acme", "sender", "ingestion").await.api_key);
    for n in 0..30 {
        let stream = ["web", "api", "audit"][n % 3];
        assert_eq!(sender.ingest(stream, json!({"n": n}).to_string()).await.status, 200);
    }
    sender
}

#[tokio::test]
async fn the_events_of_a_deleted_tenant_stay_until_they_are_to_be_erased() {
    let server = TestServer::spawn_with(|setup| {
        setup.config.sync.poll_interval = std::time::Duration::from_millis(50);
    })
    .await;
    let admin = server.admin();
    let sender = fill(&admin, |key| server.with_key(key)).await;
    let other = server.with_key(&admin.issue("default", "sender", "ingestion").await.api_key);
    assert_eq!(other.ingest("web", "{\"n\":1}").await.status, 200);
    let streams = server.path("acme/streams");
    assert!(files(&streams).len() >= 33, "events and schemas");
    admin.delete(&format!("{ACME}?events=maybe")).await.refused(400, "invalid_request");

    let deleted = admin.delete(ACME).await;
    assert_eq!((deleted.status.as_u16(), &deleted.json()["erasing"]), (200, &json!(false)));
    assert!(files(&streams).len() >= 33, "they stay");
    admin.get(ACME).await.refused(410, "tenant_deleted");

    // A node was killed while it wrote.
    let stored =
        files(&streams.join("web")).into_iter().find(|file| file.extension().is_some_and(|end| end == "parquet"));
    std::fs::write(stored.unwrap().with_extension("parquet#4525000061"), "events").unwrap();
    let erased = admin.delete(&format!("{ACME}?events=delete")).await;
    assert_eq!((erased.status.as_u16(), &erased.json()["erasing"]), (202, &json!(true)), "{}", erased.text());
    let mut shown = Value::Null;
    for _ in 0..200 {
        shown = admin.get(ACME).await.json();
        if shown["erasure"]["finishedAt"].is_string() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let erasure = &shown["erasure"];
    assert!(erasure["finishedAt"].is_string() && erasure["objectsRemoved"].as_u64().unwrap() >= 33, "{shown}");
    assert_eq!((&shown["deleted"], &erasure["by"]), (&json!(true), &json!("admin")));
    assert_eq!(std::fs::read_dir(&streams).unwrap().count(), 0, "neither files nor folders");
    assert!(server.path("acme/.settings/tenant.json").exists(), "the tombstone stays");
    sender.ingest("web", "{\"n\":1}").await.refused(401, "invalid_api_key");
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.refused(410, "tenant_deleted");
    assert!(!files(&server.path("streams/web")).is_empty(), "another tenant's");
    admin.delete("/api/v1/tenants/default?events=delete").await.refused(409, "tenant_protected");

    // A node that was stopped has written late: a node that starts later removes it.
    std::fs::create_dir_all(streams.join("web")).unwrap();
    std::fs::write(streams.join("web/date=2026-11-27-late.parquet"), "late").unwrap();
    let server = server.restart().await;
    assert_eq!(server.admin().post("/api/v1/sync", json!({})).await.status, 200);
    for _ in 0..600 {
        if files(&streams).is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("half a minute passed, and a late object is there: {:?}", files(&streams));
}

/// The names of all objects below a folder.
async fn objects(store: &TestStore, folder: &str) -> Vec<ObjectPath> {
    let found = store.open().object_store();
    found.list(Some(&folder.into())).map_ok(|object| object.location).try_collect().await.unwrap()
}

async fn another_node_erases(store: &TestStore) {
    let fleet = Fleet::start(2, &store.url(), store.variables(), &[]).await;
    let url = fleet.url(0);
    fill(&fleet.client(0), |key| Client::with_key(&url, key)).await;
    assert!(objects(store, "acme/streams").await.len() >= 33, "events and schemas");
    // The other node is stopped, so that the erasure cannot end before its node is killed.
    fleet.signal(1, "STOP");
    let (status, answer) = fleet.admin(0, "DELETE", &format!("{ACME}?events=delete"), None).await.unwrap();
    assert_eq!(status, 202, "{answer}");
    let (status, shown) = fleet.admin(0, "GET", ACME, None).await.unwrap();
    assert_eq!((status, &shown["erasure"]["finishedAt"]), (200, &Value::Null), "{shown}");
    fleet.kill(0);
    fleet.signal(1, "CONT");
    fleet.kill(1);
    fleet.start_node(1).await;
    let finished = async || {
        // Others take nodes that were killed for live for three minutes; this is what they see then.
        for id in fleet.dead() {
            let node = format!(".settings/keyloft/nodes/{id}.json");
            let _ = store.open().object_store().delete(&node.as_str().into()).await;
        }
        matches!(fleet.admin(1, "GET", ACME, None).await,
            Some((200, shown)) if shown["erasure"]["finishedAt"].is_string())
    };
    fleet.until("another node has erased all", finished).await;
    assert_eq!(objects(store, "acme/streams").await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_erases_what_one_that_was_killed_has_left_in_a_directory() {
    another_node_erases(&TestStore::directory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_erases_what_one_that_was_killed_has_left_in_ceph() {
    another_node_erases(&TestStore::ceph()).await;
}
