//! A stream is deleted: its events never come back, its name is free at once, and any node finishes what one began.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use keyloft::key::Actor;
use keyloft::{Clock, RequestContext, SystemClock};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Fleet, TestServer, TestStore};

const WEB: &str = "/api/v1/tenants/default/logstream/web";

/// Others take a node that has ended without notice for live for three minutes; this is what they see then.
fn forget_others(server: &TestServer) {
    let this = format!("{}.json", server.app.keystore.replica().node_id());
    for node in std::fs::read_dir(server.path(".settings/keyloft/nodes")).unwrap().flatten() {
        if node.file_name() != this.as_str() {
            std::fs::remove_file(node.path()).unwrap();
        }
    }
}

async fn numbers(reader: &Client) -> BTreeSet<u64> {
    let answer = reader.query("SELECT n FROM web").await;
    match answer.status.as_u16() {
        200 => answer.json().as_array().unwrap().iter().filter_map(|row| row["n"].as_u64()).collect(),
        _ => {
            assert!(answer.text().contains("web"), "{}", answer.text());
            BTreeSet::new()
        }
    }
}

#[tokio::test]
async fn the_events_of_a_deleted_stream_are_gone_and_its_name_is_free_for_other_types_at_once() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let sender = server.with_key(&admin.issue("default", "sender", "ingestion").await.api_key);
    let reader = server.with_key(&admin.issue("default", "reader", "query").await.api_key);
    admin.delete(WEB).await.refused(404, "not_found");
    admin.delete("/api/v1/tenants/nowhere/logstream/web").await.refused(404, "not_found");
    admin.patch(WEB, json!({"onInvalid": "quarantine"})).await;
    for n in 0..20 {
        assert_eq!(sender.ingest("web", json!({"n": n, "host": "a"}).to_string()).await.status, 200);
    }
    assert_eq!(sender.ingest("other", "{\"n\":1}").await.status, 200);
    assert_eq!(numbers(&reader).await.len(), 20);

    let answer = admin.delete(WEB).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(
        (&answer["deleted"], &answer["finished"], &answer["stream"]),
        (&json!(true), &json!(true), &json!("web"))
    );
    assert!(answer["receipt"]["changeSeq"].as_u64().is_some(), "{answer}");
    admin.get(WEB).await.refused(404, "not_found");
    admin.delete(WEB).await.refused(404, "not_found");
    assert_eq!(reader.get("/api/v1/logstream").await.json(), json!([{"name": "other"}]));
    reader.query("SELECT * FROM web").await.refused(400, "invalid_query");

    assert_eq!(sender.ingest("web", "{\"n\":\"a text\"}").await.status, 200);
    let rows = reader.query("SELECT n, count(*) AS c FROM web GROUP BY n").await;
    assert_eq!(rows.json(), json!([{"n": "a text", "c": 1}]), "{}", rows.text());
    let shown = admin.get(WEB).await.json();
    assert_eq!(shown["fields"], json!([{"name": "n", "type": "text"}]), "the fields of the old stream are gone");
    assert_eq!(shown["onInvalid"], "reject", "and so are its settings");
    let server = server.restart().await;
    assert_eq!(server.admin().get(WEB).await.json()["fields"], shown["fields"]);
    forget_others(&server);
    assert_eq!(server.admin().delete(WEB).await.status, 200, "a second time");
    assert_eq!(server.admin().get(WEB).await.status, 404);
}

#[tokio::test]
async fn an_event_of_another_type_is_put_off_until_every_node_has_heard_of_the_deletion() {
    let server = TestServer::spawn().await;
    let sender = server.admin().issue("default", "sender", "ingestion").await.api_key;
    assert_eq!(server.with_key(&sender).ingest("web", "{\"n\":1}").await.status, 200);
    let server = server.restart().await; // The node before counts as live.
    let (admin, sender) = (server.admin(), server.with_key(&sender));
    assert_eq!(admin.delete(&format!("{WEB}?wait=0s")).await.status, 202);
    let other_type = || sender.request("POST", "/api/v1/logstream/web").json(&json!({"n": "a text"}));
    for request in [other_type(), other_type().header("X-Keyloft-On-Invalid", "quarantine")] {
        let put_off = Answer::of(request).await;
        put_off.refused(503, "store_unavailable");
        assert_eq!(put_off.header("retry-after"), Some("5"));
        assert!(put_off.text().contains("before this stream was deleted"), "{}", put_off.text());
    }
    assert_eq!(sender.ingest("web", "{\"n\":2}").await.status, 200, "of the same type");
    forget_others(&server);
    assert_eq!(admin.delete(WEB).await.status, 200);
    assert_eq!(Answer::of(other_type()).await.status, 200);
}

/// Clients that send numbers, each once.
struct Load {
    fleet: Arc<Fleet>,
    writer: String,
    next: AtomicU32,
    stored: Mutex<BTreeSet<u64>>,
    /// Sent after the stream was deleted.
    later: Mutex<BTreeSet<u64>>,
    deleted: AtomicBool,
    stop: AtomicBool,
}

impl Load {
    async fn send(self: Arc<Self>, place: usize) {
        let client = Client::with_key(&self.fleet.url(place), &self.writer);
        while !self.stop.load(Ordering::SeqCst) {
            let n = u64::from(self.next.fetch_add(1, Ordering::SeqCst));
            let is_later = self.deleted.load(Ordering::SeqCst);
            let request = client.request("POST", "/api/v1/logstream/web").timeout(Duration::from_secs(20));
            let answer = Answer::try_of(request.json(&json!({"n": n}))).await;
            if answer.is_some_and(|answer| answer.status == 200) {
                self.stored.lock().insert(n);
                if is_later {
                    self.later.lock().insert(n);
                }
            }
            // Each request leaves an object behind, and the queries that follow read them all.
            tokio::time::sleep(Duration::from_millis(if is_later { 200 } else { 5 })).await;
        }
    }
}

async fn issue(fleet: &Fleet, name: &str, key_type: &str) -> String {
    let body = json!({"keyName": name, "keyType": key_type});
    let (status, answer) = fleet.admin(0, "POST", "/api/v1/tenants/default/apikeys", Some(body)).await.unwrap();
    assert_eq!(status, 201, "{answer}");
    answer["apiKey"].as_str().unwrap().to_owned()
}

async fn deleted_events_never_come_back(store: &TestStore) {
    let options = ["--compaction-interval", "300ms", "--ingest-window", "1ms"];
    let fleet = Fleet::start(2, &store.url(), store.variables(), &options).await;
    let (writer, reader) = (issue(&fleet, "writer", "ingestion").await, issue(&fleet, "reader", "query").await);
    let (stored, later) = Default::default();
    let (next, deleted, stop) = (AtomicU32::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let load = Arc::new(Load { fleet: fleet.clone(), writer, next, stored, later, deleted, stop });
    let clients: Vec<_> = [0, 1, 1, 1].into_iter().map(|place| tokio::spawn(load.clone().send(place))).collect();
    fleet.until("events are stored", async || load.stored.lock().len() > 60).await;
    // Stopped while it writes; it goes on when the stream is deleted.
    fleet.signal(1, "STOP");
    let before = load.stored.lock().clone();
    let (status, answer) = fleet.admin(0, "DELETE", &format!("{WEB}?wait=1s"), None).await.unwrap();
    assert_eq!(status, 202, "a node has not heard: {answer}");
    load.deleted.store(true, Ordering::SeqCst);
    fleet.signal(1, "CONT");
    let readers = [0, 1].map(|place| Client::with_key(&fleet.url(place), &reader));
    for _ in 0..10 {
        for reader in &readers {
            let found = numbers(reader).await;
            let back: Vec<_> = found.intersection(&before).take(5).collect();
            assert!(back.is_empty(), "events that were deleted are back: {back:?}");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    fleet.until("the deletion is finished", async || {
        matches!(fleet.admin(0, "GET", WEB, None).await, Some((200, shown)) if shown.get("deletion").is_none())
    }).await;
    load.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let later = load.later.lock().clone();
    assert!(later.len() > 20, "{}", later.len());
    for reader in &readers {
        let found = numbers(reader).await;
        assert!(found.is_disjoint(&before), "events that were deleted are back");
        let lost: Vec<_> = later.difference(&found).take(5).collect();
        assert!(lost.is_empty(), "events of the new stream are lost: {lost:?} of {}", later.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_events_never_come_back_though_a_stopped_node_writes_late_in_a_directory() {
    deleted_events_never_come_back(&TestStore::directory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_events_never_come_back_though_a_stopped_node_writes_late_in_ceph() {
    deleted_events_never_come_back(&TestStore::ceph()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_node_is_killed_is_finished_by_another() {
    let store = TestStore::directory();
    let fleet = Fleet::start(2, &store.url(), store.variables(), &["--compaction-interval", "300ms"]).await;
    let (writer, reader) = (issue(&fleet, "writer", "ingestion").await, issue(&fleet, "reader", "query").await);
    let send = async |place: usize, body: Value| {
        let client = Client::with_key(&fleet.url(place), &writer);
        client.ingest("web", body.to_string()).await.status.as_u16()
    };
    assert_eq!(send(0, json!({"n": 1})).await, 200);
    fleet
        .until("both nodes know the stream", async || matches!(fleet.admin(1, "GET", WEB, None).await, Some((200, _))))
        .await;
    fleet.signal(1, "STOP");
    let deletion = tokio::spawn({
        let fleet = fleet.clone();
        async move { fleet.admin(0, "DELETE", &format!("{WEB}?wait=60s"), None).await }
    });
    fleet.until("the deletion has begun", async || {
        matches!(fleet.admin(0, "GET", WEB, None).await, Some((200, shown)) if shown.get("deletion").is_some())
    }).await;
    let dead = fleet.node_id(0).unwrap();
    fleet.kill(0);
    assert!(deletion.await.unwrap().is_none(), "the node died before it answered");
    fleet.signal(1, "CONT");
    // Others take it for live for three minutes; this is what they see then.
    let path = store.url();
    let path = Path::new(path.trim_start_matches("file://"));
    std::fs::remove_file(path.join(format!(".settings/keyloft/nodes/{dead}.json"))).unwrap();
    fleet
        .until("another node has finished it", async || {
            matches!(fleet.admin(1, "GET", WEB, None).await, Some((404, _)))
        })
        .await;
    assert_eq!(numbers(&Client::with_key(&fleet.url(1), &reader)).await, BTreeSet::new());
    assert_eq!(send(1, json!({"n": "a text"})).await, 200);
}

/// A deletion of which only the record was written, and a start after that.
#[tokio::test]
async fn a_node_that_starts_finishes_what_only_a_record_is_left_of() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let sender = server.with_key(&admin.issue("default", "sender", "ingestion").await.api_key);
    let reader = admin.issue("default", "reader", "query").await.api_key;
    assert_eq!(sender.ingest("web", "{\"n\":1}").await.status, 200);
    let (tenant, stream) = (keyloft::key::TenantId::default(), keyloft::key::StreamName::parse("web").unwrap());
    let long_ago = SystemClock.now() - chrono::TimeDelta::minutes(5);
    let context = RequestContext::new(Actor::System, long_ago);
    let day = std::fs::read_dir(server.path("streams/web")).unwrap().flatten();
    let day = day
        .map(|entry| entry.file_name().into_string().unwrap())
        .find_map(|name| name.strip_prefix("date=").and_then(|date| date.parse::<chrono::NaiveDate>().ok()));
    server.app.catalog.begin_deletion(&context, &tenant, &stream, &[day.unwrap()]).await.unwrap().unwrap();
    let server = server.restart().await;
    forget_others(&server);
    server.until("it is finished", |server| server.app.catalog.get(&tenant, &stream).is_none()).await;
    assert_eq!(numbers(&server.with_key(&reader)).await, BTreeSet::new());
}
