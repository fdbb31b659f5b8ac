//! Machines: programs that administer with tokens of their own.

use std::sync::Arc;
use std::time::Duration;

use keyloft::{Clock, ManualClock, SystemClock};
use serde_json::{Value, json};

use super::roles::machine;
use crate::support::client::bearer;
use crate::support::pair::{quick, slow, two};
use crate::support::{Answer, Client, TestServer};

const MACHINES: &str = "/api/v1/tenants/default/service-operators";
const KEYS: &str = "/api/v1/tenants/default/apikeys";

async fn make(server: &TestServer, body: Value) -> (String, String) {
    let made = server.admin().post(MACHINES, body).await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, Some("no-store")), "{}", made.text());
    let made = made.json();
    (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
}

fn with(server: &TestServer, token: &str) -> Client {
    Client::admin(server.url(), token)
}

#[tokio::test]
async fn a_machine_issues_keys_in_its_tenant_under_its_own_name() {
    let server = TestServer::spawn().await;
    let (id, token) = make(&server, json!({"name": "ci", "role": "Admin"})).await;
    assert!(token.starts_with("kl_svc_") && token.len() == 56);
    let issued = with(&server, &token).post(KEYS, json!({"keyName": "k", "keyType": "query"})).await.json();
    assert_eq!((&issued["createdBy"], &issued["modifiedBy"]), (&json!(id), &json!(id)));
    assert_eq!(server.with_key(issued["apiKey"].as_str().unwrap()).get("/api/v1/whoami").await.status, 200);
    let shown = server.admin().get(&format!("{MACHINES}/{id}")).await.json();
    assert_eq!((&shown["role"], &shown["name"], &shown["tenant"]), (&json!("admin"), &json!("ci"), &json!("default")));
    assert_eq!(shown["tokenHint"], format!("…{}", &token[52..]));
    assert_eq!((&shown["expired"], shown.get("token")), (&json!(false), None));
    assert_eq!(server.admin().get(MACHINES).await.json()["items"], json!([shown]));
    // Neither of the two planes takes the token of the other.
    server.with_key(&token).get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    with(&server, issued["apiKey"].as_str().unwrap()).get(KEYS).await.refused(401, "invalid_admin_token");
}

#[tokio::test]
async fn a_new_token_works_beside_the_old_one_until_the_overlap_ends() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let time = clock.clone();
    let server = TestServer::spawn_with(|setup| setup.clock = time).await;
    let (id, old) = make(&server, json!({"name": "ci", "role": "viewer", "expiresInSeconds": 7200})).await;
    let rotate = |body| async { server.admin().post(&format!("{MACHINES}/{id}/rotate"), body).await };
    let rotated = rotate(json!({"overlapSeconds": 60})).await.json();
    let new = rotated["token"].as_str().unwrap();
    assert_eq!(rotated["olderTokens"][0]["tokenHint"], format!("…{}", &old[52..]));
    let status = |token: String| {
        let client = with(&server, &token);
        async move { client.get(KEYS).await.status.as_u16() }
    };
    assert_eq!((status(old.clone()).await, status(new.to_owned()).await), (200, 200));
    clock.advance(chrono::TimeDelta::seconds(60));
    assert_eq!((status(old.clone()).await, status(new.to_owned()).await), (401, 200));
    assert_eq!(rotate(json!({"overlapSeconds": 0})).await.status, 200);
    assert_eq!(status(new.to_owned()).await, 401);
    let last = rotate(json!({})).await.json()["token"].as_str().unwrap().to_owned();
    clock.advance(chrono::TimeDelta::seconds(7200));
    assert_eq!(status(last).await, 401, "an expired machine");
    let shown = server.admin().get(&format!("{MACHINES}/{id}")).await.json();
    assert_eq!((&shown["expired"], &shown["olderTokens"]), (&json!(true), &json!([])));
    let prolonged = server.admin().patch(&format!("{MACHINES}/{id}"), json!({"expiresInSeconds": 60})).await.json();
    assert_eq!(prolonged["expired"], false);
}

#[tokio::test]
async fn four_older_tokens_may_overlap_and_no_more() {
    let server = TestServer::spawn().await;
    let (id, _) = make(&server, json!({"name": "ci", "role": "viewer"})).await;
    let path = format!("{MACHINES}/{id}/rotate");
    for _ in 0..4 {
        assert_eq!(server.admin().post(&path, json!({})).await.status, 200);
    }
    server.admin().post(&path, json!({})).await.refused(409, "too_many_secrets");
    assert_eq!(server.admin().post(&path, json!({"overlapSeconds": 0})).await.status, 200);
}

#[tokio::test]
async fn a_machine_is_refused_from_other_networks_and_its_role_and_networks_can_be_changed() {
    let server = TestServer::spawn().await;
    let (id, token) = make(&server, json!({"name": "ci", "role": "admin", "allowedCidrs": ["192.0.2.0/24"]})).await;
    let client = with(&server, &token);
    client.get(KEYS).await.refused(403, "network_not_allowed");
    let path = format!("{MACHINES}/{id}");
    let patch = json!({"allowedCidrs": ["127.0.0.0/8"], "role": "viewer", "name": "deploy"});
    let changed = server.admin().patch(&path, patch).await.json();
    assert_eq!((&changed["name"], &changed["role"]), (&json!("deploy"), &json!("viewer")));
    assert_eq!(client.get(KEYS).await.status, 200);
    client.post(KEYS, json!({"keyName": "k", "keyType": "query"})).await.refused(403, "role_not_allowed");
}

#[tokio::test]
async fn a_machine_that_is_removed_is_refused_here_at_once_and_elsewhere_within_a_poll() {
    let (a, b) = two(quick).await;
    let (id, client) = machine(&a, "default", "viewer").await;
    let token = client.clone();
    let elsewhere = |status: u16| {
        let (b, token) = (&b, token.clone());
        async move {
            for _ in 0..500 {
                let answer = Answer::of(token.request_at(b.url(), "GET", KEYS)).await;
                if answer.status == status {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("five seconds passed and still not {status}");
        }
    };
    assert_eq!(client.get(KEYS).await.status, 200);
    elsewhere(200).await;
    let removed = a.admin().delete(&format!("{MACHINES}/{id}")).await.json();
    assert_eq!((&removed["removed"], &removed["id"]), (&json!(true), &json!(id)));
    client.get(KEYS).await.refused(401, "invalid_admin_token");
    elsewhere(401).await;
    a.admin().delete(&format!("{MACHINES}/{id}")).await.refused(404, "not_found");
    assert!(!a.path(&format!(".settings/service_operators/{id}.json")).exists());
}

/// A load balancer may send the first request with a token to another node.
#[tokio::test]
async fn a_token_works_on_another_node_at_once() {
    let (a, b) = two(slow).await;
    for server in [&a, &b] {
        server.app.keystore.poll().await.unwrap();
    }
    let (_, client) = machine(&a, "default", "viewer").await;
    assert_eq!(Answer::of(client.request_at(b.url(), "GET", KEYS)).await.status, 200);
}

#[tokio::test]
async fn a_token_is_in_no_file_and_what_is_wrong_with_one_stays_unsaid() {
    let server = TestServer::spawn().await;
    let (id, token) = make(&server, json!({"name": "ci", "role": "viewer"})).await;
    let document = std::fs::read_to_string(server.path(&format!(".settings/service_operators/{id}.json"))).unwrap();
    assert!(document.contains("sha256:") && !document.contains(&token[7..]), "{document}");
    let mut wrong = token.clone().into_bytes();
    wrong[20] = if wrong[20] == b'a' { b'b' } else { b'a' };
    let wrong = String::from_utf8(wrong).unwrap();
    let mut answers = Vec::new();
    for token in [&wrong, "kl_svc_short", "kl_adm_0123456789abcdef0123456789abcdef", "x"] {
        let answer = Answer::of(Client::new(server.url(), Some(bearer(token))).request("GET", KEYS)).await;
        answer.refused(401, "invalid_admin_token");
        answers.push(answer.body);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn what_a_machine_may_not_be_is_refused() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for body in [
        json!({"name": "a", "role": "owner"}),
        json!({"name": "a", "role": "platform_admin"}),
        json!({"name": "a", "role": "viewer", "expiresInSeconds": 0}),
        json!({"name": "a", "role": "viewer", "expiresInSeconds": 400 * 86_400 + 1}),
        json!({"name": "a", "role": "viewer", "allowedCidrs": ["10.0.0.1/8"]}),
        json!({"name": "", "role": "viewer"}),
        json!({"name": "a"}),
        json!({"name": "a", "role": "viewer", "token": "kl_svc_x"}),
    ] {
        admin.post(MACHINES, body).await.refused(400, "invalid_request");
    }
    admin
        .post("/api/v1/service-operators", json!({"name": "a", "role": "viewer"}))
        .await
        .refused(400, "invalid_request");
    let nobody = "/api/v1/tenants/nobody/service-operators";
    admin.post(nobody, json!({"name": "a", "role": "viewer"})).await.refused(404, "not_found");
    admin.get(nobody).await.refused(404, "not_found");
    let (id, _) = make(&server, json!({"name": "a", "role": "viewer"})).await;
    admin.post(MACHINES, json!({"name": "a", "role": "viewer"})).await.refused(409, "duplicate_key_name");
    admin
        .post(&format!("{MACHINES}/{id}/rotate"), json!({"overlapSeconds": u32::MAX}))
        .await
        .refused(400, "invalid_request");
    admin.get(&format!("/api/v1/service-operators/{id}")).await.refused(404, "not_found");
    admin.get(&format!("{MACHINES}/x")).await.refused(400, "invalid_request");
}

/// A file that is broken by hand takes nothing away before a restart, and grants nothing after one.
#[tokio::test]
async fn a_broken_document_is_reported_and_grants_nothing_after_a_restart() {
    let server = TestServer::spawn().await;
    let (id, token) = make(&server, json!({"name": "ci", "role": "viewer"})).await;
    let path = format!(".settings/service_operators/{id}.json");
    let whole = std::fs::read_to_string(server.path(&path)).unwrap();
    std::fs::write(server.path(&path), whole.replace("viewer", "platform_admin")).unwrap();
    assert_eq!(server.admin().post("/api/v1/sync", json!({})).await.status, 200);
    let unreadable = server.admin().get("/api/v1/unreadable").await.json();
    assert_eq!(
        unreadable["items"],
        json!([{"tenant": "default", "object": path, "reason": "the field role is not valid"}])
    );
    assert_eq!(with(&server, &token).get(KEYS).await.status, 200);
    let server = server.restart().await;
    with(&server, &token).get(KEYS).await.refused(401, "invalid_admin_token");
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json(), unreadable);
    // The admin can remove it without reading it.
    assert_eq!(server.admin().delete(&format!("{MACHINES}/{id}")).await.status, 200);
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json()["items"], json!([]));
}

#[tokio::test]
async fn the_machines_of_a_deleted_tenant_are_nobody() {
    let server = TestServer::spawn().await;
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let (id, client) = machine(&server, "acme", "admin").await;
    assert_eq!(client.get("/api/v1/tenants").await.status, 200);
    assert!(server.admin().delete("/api/v1/tenants/acme").await.status.is_success());
    client.get("/api/v1/tenants").await.refused(401, "invalid_admin_token");
    // Their routes answer as those of keys there do.
    let (machines, one) = ("/api/v1/tenants/acme/service-operators", format!("/{id}"));
    for (method, path, body) in [
        ("GET", String::new(), None),
        ("POST", String::new(), Some(json!({"name": "n", "role": "viewer"}))),
        ("GET", one.clone(), None),
        ("PATCH", one.clone(), Some(json!({"name": "n"}))),
        ("POST", format!("{one}/rotate"), Some(json!({}))),
        ("DELETE", one.clone(), None),
    ] {
        let request = server.admin().request(method, &format!("{machines}{path}"));
        let request = body.iter().fold(request, |request, body| request.json(body));
        Answer::of(request).await.refused(410, "tenant_deleted");
    }
    assert!(server.path(&format!("acme/.settings/service_operators/{id}.json")).exists());
}

/// As a revocation of a key: this node acts at once, and the store follows as soon as it answers.
#[tokio::test]
async fn a_removal_that_the_store_cannot_take_holds_here_and_is_repeated() {
    let server = TestServer::spawn().await;
    let (id, token) = make(&server, json!({"name": "ci", "role": "viewer"})).await;
    let (path, client) = (format!("{MACHINES}/{id}"), with(&server, &token));
    let aside = server.directory().with_extension("aside");
    std::fs::rename(server.directory(), &aside).unwrap();
    let removed = server.admin().delete(&path).await;
    removed.refused(503, "store_unavailable");
    assert_eq!(removed.json()["appliedLocally"], true);
    client.get(KEYS).await.refused(401, "invalid_admin_token");
    std::fs::rename(&aside, server.directory()).unwrap();
    client.get(KEYS).await.refused(401, "invalid_admin_token");
    let document = server.path(&format!(".settings/service_operators/{id}.json"));
    server.until("the machine is removed", |_| !document.exists()).await;
    client.get(KEYS).await.refused(401, "invalid_admin_token");
    server.until("it is forgotten", |server| server.app.keystore.replica().unreadable().is_empty()).await;
    server.admin().get(&path).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_change_applies_only_to_the_revision_that_it_names() {
    let server = TestServer::spawn().await;
    let (id, _) = make(&server, json!({"name": "ci", "role": "viewer"})).await;
    let path = format!("{MACHINES}/{id}");
    let send = |method: &str, path: &str, tag: &str, body: Value| {
        let request = server.admin().request(method, path).header("if-match", tag).json(&body);
        async { Answer::of(request).await }
    };
    assert_eq!(server.admin().get(&path).await.header("etag"), Some("\"1\""));
    send("PATCH", &path, "\"2\"", json!({"name": "a"})).await.refused(412, "precondition_failed");
    let changed = send("PATCH", &path, "\"1\"", json!({"name": "a"})).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, Some("\"2\"")));
    send("POST", &format!("{path}/rotate"), "\"1\"", json!({})).await.refused(412, "precondition_failed");
    assert_eq!(send("POST", &format!("{path}/rotate"), "*", json!({})).await.header("etag"), Some("\"3\""));
    send("DELETE", &path, "\"1\"", json!({})).await.refused(412, "precondition_failed");
    assert_eq!(send("DELETE", &path, "\"3\"", json!({})).await.status, 200);
}

/// Files that are no machine are not passed over without a word.
#[tokio::test]
async fn files_beside_machines_are_reported_and_those_of_the_platform_have_no_tenant() {
    let server = TestServer::spawn().await;
    let folders = [".settings/keyloft/service_operators", ".settings/service_operators"];
    for folder in folders {
        std::fs::create_dir_all(server.path(folder)).unwrap();
        std::fs::write(server.path(&format!("{folder}/ci.json")), "{}").unwrap();
    }
    let synced = server.admin().post("/api/v1/sync", json!({})).await.json();
    assert_eq!((&synced["unreadable"], &synced["others"]), (&json!(2), &json!(0)));
    let reason = "its name is not <id>.json";
    let items = server.admin().get("/api/v1/unreadable").await.json()["items"].take();
    let item = |tenant: Value, folder: &str| json!({"tenant": tenant, "object": format!("{folder}/ci.json"), "reason": reason});
    assert_eq!(items, json!([item(Value::Null, folders[0]), item(json!("default"), folders[1])]));
}

#[tokio::test]
async fn of_machines_that_are_made_at_once_one_gets_the_name() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let make = (0..8).map(|_| admin.post(MACHINES, json!({"name": "ci", "role": "viewer"})));
    let made = futures::future::join_all(make).await;
    assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 1);
    made.iter().filter(|answer| answer.status != 201).for_each(|answer| answer.refused(409, "duplicate_key_name"));
}

/// The body of a request may take its time: the right is looked at again when it is there.
#[tokio::test]
async fn a_machine_that_is_removed_while_its_request_is_sent_changes_nothing() {
    let server = TestServer::spawn().await;
    let (id, token) = make(&server, json!({"name": "ci", "role": "admin"})).await;
    let (send, parts) = tokio::sync::mpsc::channel::<Result<&'static str, std::io::Error>>(4);
    let body = futures::stream::unfold(parts, async |mut parts| Some((parts.recv().await?, parts)));
    let request = with(&server, &token).request("POST", KEYS).header("content-type", "application/json");
    let answer = tokio::spawn(Answer::of(request.body(reqwest::Body::wrap_stream(body))));
    send.send(Ok("{\"keyName\": \"late\", ")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.admin().delete(&format!("{MACHINES}/{id}")).await.status, 200);
    send.send(Ok("\"keyType\": \"query\"}")).await.unwrap();
    drop(send);
    answer.await.unwrap().refused(401, "invalid_admin_token");
    assert_eq!(server.admin().get(KEYS).await.json()["items"], json!([]));
}

/// A copy of a document would be a machine of another tenant, or of the platform.
#[tokio::test]
async fn a_copied_document_is_refused_with_its_original_and_both_are_reported() {
    let server = TestServer::spawn().await;
    let (id, token) = make(&server, json!({"name": "ci", "role": "viewer"})).await;
    let file = |id: &str| server.path(&format!(".settings/service_operators/{id}.json"));
    let copy = "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10";
    std::fs::copy(file(&id), file(copy)).unwrap();
    server.admin().post("/api/v1/sync", json!({})).await;
    with(&server, &token).get(KEYS).await.refused(401, "invalid_admin_token");
    let unreadable = server.admin().get("/api/v1/unreadable").await.json()["items"].take();
    let reasons: Vec<_> = unreadable.as_array().unwrap().iter().map(|item| item["reason"].clone()).collect();
    assert_eq!(reasons, ["its digest is also that of another machine"; 2]);
    assert_eq!(server.admin().delete(&format!("{MACHINES}/{copy}")).await.status, 200);
    assert_eq!(with(&server, &token).get(KEYS).await.status, 200);
}

/// As for keys: a node that cannot learn of removals is trusted for so long and no longer.
#[tokio::test]
async fn a_node_out_of_contact_for_too_long_refuses_machines() {
    let server = TestServer::spawn_with(|setup| {
        setup.config.sync.poll_interval = Duration::from_millis(20);
        setup.config.sync.max_stale = Some(Duration::from_secs(2));
    })
    .await;
    let (_, token) = make(&server, json!({"name": "ci", "role": "viewer"})).await;
    assert_eq!(with(&server, &token).get(KEYS).await.status, 200);
    let aside = server.directory().with_extension("aside");
    std::fs::rename(server.directory(), &aside).unwrap();
    let client = with(&server, &token);
    server.until("the view is stale", |server| !server.app.keystore.cache().is_good_at(SystemClock.now())).await;
    client.get(KEYS).await.refused(503, "store_unavailable");
    assert_eq!(server.admin().get(KEYS).await.status, 200, "the admin token is no document");
    std::fs::rename(&aside, server.directory()).unwrap();
}
