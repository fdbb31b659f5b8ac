//! Machines at inconvenient moments: on two nodes at once, while the store fails, and while they are at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyloft::Bucket;
use keyloft::key::PlainSecret;
use object_store::memory::InMemory;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::roles::machine;
use crate::support::pair::{faulty, slow, two};
use crate::support::{Answer, Client, Fault, Faults, Faulty, Kind, Process, TestServer};

const MACHINES: &str = "/api/v1/tenants/default/service-operators";
const KEYS: &str = "/api/v1/tenants/default/apikeys";
const ME: &str = "/api/v1/auth/me";

/// An admin token may be any text.
#[tokio::test]
async fn an_admin_token_that_looks_like_that_of_a_machine_is_the_admin_token() {
    let token = PlainSecret::generate_machine().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let process = Process::serve_with(&folder.path().join("store"), &[], &[("KEYLOFT_ADMIN_TOKEN", token.expose())]);
    let admin = process.admin(token.expose());
    let me = admin.get(ME).await.json();
    assert_eq!((&me["actor"], &me["platformRole"]), (&json!("admin"), &json!("platform_admin")));
    let made = admin.post(MACHINES, json!({"name": "ci", "role": "viewer"})).await.json();
    let machine = Client::admin(process.url(), made["token"].as_str().unwrap());
    assert_eq!(machine.get(ME).await.json()["actor"], made["id"]);
    let other = PlainSecret::generate_machine().unwrap();
    Client::admin(process.url(), other.expose()).get(ME).await.refused(401, "invalid_admin_token");
    process.with_key(token.expose()).get("/api/v1/whoami").await.refused(401, "invalid_api_key");
}

/// Names are for people. To make them unique over all nodes, each machine would need a claim on its name.
#[tokio::test]
async fn two_machines_that_are_made_on_two_nodes_at_once_may_have_one_name_and_are_told_apart_by_their_ids() {
    let (a, b) = two(slow).await;
    let make = |server: &TestServer| {
        let admin = server.admin();
        async move { admin.post(MACHINES, json!({"name": "ci", "role": "viewer"})).await }
    };
    let (one, other) = tokio::join!(make(&a), make(&b));
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (201, 201));
    let (one, other) = (one.json(), other.json());
    for server in [&a, &b] {
        server.admin().post("/api/v1/sync", json!({})).await;
        assert_eq!(server.admin().get(MACHINES).await.json()["items"].as_array().unwrap().len(), 2);
        // A node that knows of them gives the name no third time.
        make(server).await.refused(409, "duplicate_key_name");
    }
    let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
    assert_eq!(b.admin().delete(&format!("{MACHINES}/{}", id(&one))).await.status, 200);
    let status = async |made: &Value| Client::admin(b.url(), made["token"].as_str().unwrap()).get(ME).await.status;
    assert_eq!((status(&one).await.as_u16(), status(&other).await.as_u16()), (401, 200));
    // The one that is left can be renamed.
    let renamed = b.admin().patch(&format!("{MACHINES}/{}", id(&other)), json!({"name": "deploy"})).await;
    assert_eq!(renamed.json()["name"], "deploy");
}

/// As for keys: what the store took cannot be shown again.
#[tokio::test]
async fn a_machine_whose_creation_is_answered_with_503_is_listed_removed_and_made_again() {
    let (server, faults) = faulty(|_| {}).await;
    let (admin, body) = (server.admin(), json!({"name": "ci", "role": "viewer"}));
    faults.inject(Fault::ErrorBefore, |call| call.is_write() && call.is_about("/log/"));
    let answer = admin.post(MACHINES, body.clone()).await;
    answer.refused(503, "store_unavailable");
    assert!(!answer.text().contains("kl_svc_"), "{}", answer.text());
    faults.none();
    let listed = admin.get(MACHINES).await.json();
    assert_eq!((&listed["items"][0]["name"], listed["items"].as_array().unwrap().len()), (&json!("ci"), 1));
    admin.post(MACHINES, body.clone()).await.refused(409, "duplicate_key_name");
    let id = listed["items"][0]["id"].as_str().unwrap();
    // Its token is made again, or it is.
    let rotated = admin.post(&format!("{MACHINES}/{id}/rotate"), json!({"overlapSeconds": 0})).await.json();
    let client = Client::admin(server.url(), rotated["token"].as_str().unwrap());
    assert_eq!(client.get(ME).await.json()["actor"], id);
    assert_eq!(admin.delete(&format!("{MACHINES}/{id}")).await.status, 200);
    client.get(ME).await.refused(401, "invalid_admin_token");
    assert_eq!(admin.post(MACHINES, body).await.status, 201);
}

/// The right was there when the work was accepted.
#[tokio::test]
async fn bulk_work_goes_on_to_its_last_line_when_its_machine_is_removed() {
    const LINES: usize = 1_100; // More than are begun together.
    let (is_closed, permits) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
    let gate = is_closed.clone();
    let is_key = |call: &crate::support::Call| call.kind == Kind::Create && call.is_about(".settings/apikeys/");
    let faults = Arc::new(Faults::gated(move |call| gate.load(Ordering::SeqCst) && is_key(call), permits.clone()));
    let bucket = Bucket::new(Arc::new(Faulty::new(Arc::new(InMemory::new()), faults.clone())));
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await;
    let (id, client) = machine(&server, "default", "admin").await;
    let line = |number| format!("{{\"op\":\"issue\",\"keyName\":\"k{number}\",\"keyType\":\"query\"}}\n");
    let lines: String = (0..LINES).map(line).collect();
    let work = tokio::spawn(Answer::of(client.request("POST", &format!("{KEYS}/bulk")).body(lines)));
    server.until("a line is at work", |_| faults.count(is_key) > 0).await;
    assert_eq!(server.admin().delete(&format!("{MACHINES}/{id}")).await.status, 200);
    client.get(KEYS).await.refused(401, "invalid_admin_token");
    is_closed.store(false, Ordering::SeqCst);
    permits.add_permits(LINES);
    let answer = work.await.unwrap();
    let last: Value = serde_json::from_str(answer.text().lines().last().unwrap()).unwrap();
    assert_eq!((&last["summary"]["issued"], &last["summary"]["lines"]), (&json!(LINES), &json!(LINES)), "{last}");
    let name = format!("{KEYS}?name=k{}", LINES - 1);
    assert_eq!(server.admin().get(&name).await.json()["items"][0]["createdBy"], id);
    client.post(KEYS, json!({"keyName": "more", "keyType": "query"})).await.refused(401, "invalid_admin_token");
}
