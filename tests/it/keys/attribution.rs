//! Every change says who made it and by which request: in the document, in the change log, and in answers. The change
//! log says what was done, to what people call how, and from which address.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyloft::{Clock, ManualClock, SystemClock};
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";

/// Sends a request with an id of its own.
async fn send(server: &TestServer, id: &str, method: &str, path: &str, body: Value) -> Answer {
    Answer::of(server.admin().request(method, path).header("x-request-id", id).json(&body)).await
}

fn read(server: &TestServer, object: &str) -> Value {
    serde_json::from_slice(&std::fs::read(server.path(object)).unwrap()).unwrap()
}

fn document(server: &TestServer, id: &str) -> (Value, Value) {
    let document = read(server, &format!(".settings/apikeys/{id}.json"));
    (document["modifiedBy"].clone(), document["requestId"].clone())
}

/// Who is named for each request in the change log, and how often.
fn logged(server: &TestServer) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(server.path(".settings/keyloft/log")).unwrap() {
        let entry: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        for change in entry["changes"].as_array().unwrap() {
            let word = |field: &str| change[field].as_str().unwrap_or("-").to_owned();
            let client = if word("modifiedBy") == "admin" { "127.0.0.1" } else { "-" };
            assert_eq!(word("client"), client, "{change}");
            *found.entry((word("modifiedBy"), word("requestId"))).or_insert(0) += 1;
        }
    }
    found
}

/// What the change log says was done, in its order: the request, the action and the name.
fn actions(server: &TestServer) -> Vec<(String, String, String)> {
    let folder = server.path(".settings/keyloft/log");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let entry: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        for change in entry["changes"].as_array().unwrap() {
            let word = |field: &str| change[field].as_str().unwrap_or("-").to_owned();
            found.push((word("requestId"), word("action"), word("name")));
        }
    }
    found
}

fn named<const N: usize>(expected: [(&str, &str, &str); N]) -> Vec<(String, String, String)> {
    expected.map(|(request, action, name)| (request.to_owned(), action.to_owned(), name.to_owned())).to_vec()
}

#[tokio::test]
async fn each_change_of_a_key_says_who_made_it_and_by_which_request() {
    let server = TestServer::spawn().await;
    let issued = send(&server, "r-issue", "POST", KEYS, json!({"keyName": "k", "keyType": "query"})).await.json();
    let id = issued["keyId"].as_str().unwrap();
    let path = format!("{KEYS}/{id}");
    assert_eq!((&issued["createdBy"], &issued["modifiedBy"]), (&json!("admin"), &json!("admin")));
    assert_eq!(document(&server, id), (json!("admin"), json!("r-issue")));
    send(&server, "r-update", "PATCH", &path, json!({"sourceId": "x"})).await;
    assert_eq!(document(&server, id), (json!("admin"), json!("r-update")));
    send(&server, "r-same", "PATCH", &path, json!({"sourceId": "x"})).await;
    assert_eq!(document(&server, id), (json!("admin"), json!("r-update")), "nothing was changed");
    send(&server, "r-rotate", "POST", &format!("{path}/rotate"), json!({})).await;
    assert_eq!(document(&server, id), (json!("admin"), json!("r-rotate")));
    let lines = format!("{{\"op\":\"update\",\"keyId\":\"{id}\",\"sourceId\":\"y\"}}\n");
    let bulk = server.admin().request("POST", &format!("{KEYS}/bulk")).header("x-request-id", "r-bulk").body(lines);
    Answer::of(bulk).await;
    assert_eq!(document(&server, id), (json!("admin"), json!("r-bulk")));
    let declared = json!({"keys": [{"keyName": "k", "keyType": "query", "sourceId": "z"}]});
    send(&server, "r-apply", "POST", &format!("{KEYS}/apply"), declared).await;
    assert_eq!(document(&server, id), (json!("admin"), json!("r-apply")));
    send(&server, "r-revoke", "DELETE", &path, json!(null)).await;
    assert_eq!(document(&server, id), (json!("admin"), json!("r-revoke")));
    let requests = ["r-issue", "r-update", "r-same", "r-rotate", "r-bulk", "r-apply", "r-revoke"];
    let expected = requests.map(|id| (("admin".to_owned(), id.to_owned()), 1));
    assert_eq!(logged(&server), expected.into());
    let expected = [
        ("r-issue", "key.issue", "k"),
        ("r-update", "key.update", "k"),
        ("r-same", "-", "k"),
        ("r-rotate", "key.rotate", "k"),
        ("r-bulk", "key.update", "k"),
        ("r-apply", "key.update", "k"),
        ("r-revoke", "key.revoke", "k"),
    ];
    assert_eq!(actions(&server), named(expected));
    let own = json!({"keyName": "own", "keyType": "query", "apiKey": "8Jq2-vT9x_mW4c.Zr7Kd0pLs6YhNf3Be"});
    send(&server, "r-import", "POST", KEYS, own).await;
    assert_eq!(actions(&server).last(), named([("r-import", "key.import", "own")]).last());
}

#[tokio::test]
async fn each_change_of_a_tenant_says_so_too_and_a_deletion_for_all_its_keys() {
    let server = TestServer::spawn().await;
    let tenant = |server: &TestServer| {
        let document = read(server, "acme/.settings/tenant.json");
        (document["modifiedBy"].clone(), document["requestId"].clone())
    };
    send(&server, "r-create", "POST", "/api/v1/tenants", json!({"tenantId": "acme"})).await;
    assert_eq!(tenant(&server), (json!("admin"), json!("r-create")));
    let issued = server.admin().issue("acme", "k", "query").await;
    let updated = send(&server, "r-update", "PATCH", "/api/v1/tenants/acme", json!({"name": "Acme"})).await.json();
    assert_eq!((&updated["modifiedBy"], updated["modifiedAt"].is_string()), (&json!("admin"), true));
    assert_eq!(tenant(&server), (json!("admin"), json!("r-update")));
    send(&server, "r-delete", "DELETE", "/api/v1/tenants/acme", json!(null)).await;
    assert_eq!(tenant(&server), (json!("admin"), json!("r-delete")));
    let key = read(&server, &format!("acme/.settings/apikeys/{}.json", issued.id));
    assert_eq!((&key["state"], &key["requestId"]), (&json!("revoked"), &json!("r-delete")));
    assert!(logged(&server)[&("admin".to_owned(), "r-delete".to_owned())] >= 2, "the tenant and its key");
    let done: Vec<_> = actions(&server).into_iter().filter(|(request, ..)| request.starts_with("r-")).collect();
    let expected = [
        ("r-create", "tenant.create", "-"),
        ("r-update", "tenant.update", "Acme"),
        ("r-delete", "tenant.delete", "Acme"),
        ("r-delete", "key.revoke", "k"),
    ];
    assert_eq!(done, named(expected));
}

#[tokio::test]
async fn maintenance_is_the_systems_and_a_file_by_hand_is_nobodys() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let server = TestServer::spawn_with(|setup| {
        setup.config.sync.revoked_retention = Some(Duration::from_secs(3600));
        setup.config.sync.poll_interval = Duration::from_secs(600);
        setup.clock = clock.clone();
    })
    .await;
    let issued = server.admin().issue("default", "k", "query").await;
    server.admin().delete(&format!("{KEYS}/{}", issued.id)).await;
    clock.advance(chrono::TimeDelta::hours(1));
    assert_eq!(server.app.keystore.purge().await.unwrap(), 1);
    assert_eq!(logged(&server)[&("system".to_owned(), "-".to_owned())], 1);
    assert_eq!(actions(&server).last(), named([("-", "key.purge", "k")]).last());
    let id = "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10";
    let file = json!({"version": 1, "keyName": "hand", "keyType": "query", "digest": format!("sha256:{:064}", 1)});
    std::fs::write(server.path(&format!(".settings/apikeys/{id}.json")), file.to_string()).unwrap();
    server.app.sync().await.unwrap();
    let view = server.admin().get(&format!("{KEYS}/{id}")).await.json();
    assert_eq!((&view["createdBy"], &view["modifiedBy"]), (&json!(null), &json!(null)));
    assert_eq!(actions(&server).last(), named([("-", "document.by_hand", "hand")]).last());
    server.admin().patch(&format!("{KEYS}/{id}"), json!({"sourceId": "x"})).await;
    let view = server.admin().get(&format!("{KEYS}/{id}")).await.json();
    assert_eq!((&view["createdBy"], &view["modifiedBy"]), (&json!(null), &json!("admin")));
}

#[tokio::test]
async fn what_is_done_to_machines_members_and_streams_is_in_the_log_too() {
    let server = TestServer::spawn().await;
    let (machines, members) = ("/api/v1/tenants/default/service-operators", "/api/v1/tenants/default/memberships");
    let made = send(&server, "m-create", "POST", machines, json!({"name": "ci", "role": "viewer"})).await.json();
    let machine = format!("{machines}/{}", made["id"].as_str().unwrap());
    send(&server, "m-update", "PATCH", &machine, json!({"name": "cd"})).await;
    send(&server, "m-rotate", "POST", &format!("{machine}/rotate"), json!({})).await;
    send(&server, "m-revoke", "DELETE", &machine, json!(null)).await;
    let id = format!("op-{:032x}", 7);
    send(&server, "p-set", "POST", members, json!({"userId": id, "role": "viewer"})).await;
    send(&server, "p-invite", "POST", members, json!({"email": "a@example.com", "role": "viewer"})).await;
    send(&server, "p-remove", "DELETE", &format!("{members}/{id}"), json!(null)).await;
    let done: Vec<_> = actions(&server).into_iter().filter(|(request, ..)| request != "-").collect();
    let expected = [
        ("m-create", "machine.create", "ci"),
        ("m-update", "machine.update", "cd"),
        ("m-rotate", "machine.rotate", "cd"),
        ("m-revoke", "machine.revoke", "cd"),
        ("p-set", "member.set", "-"),
        ("p-invite", "member.invite", "-"),
        ("p-remove", "member.remove", "-"),
    ];
    assert_eq!(done, named(expected));

    let made = server.admin().post(machines, json!({"name": "ci", "role": "admin"})).await.json();
    let machine = Client::admin(server.url(), made["token"].as_str().unwrap());
    machine.post(KEYS, json!({"keyName": "k", "keyType": "query"})).await;
    let seq = server.app.keystore.replica().applied_seq();
    let last = read(&server, &format!(".settings/keyloft/log/{seq:020}.json"))["changes"][0].take();
    assert_eq!((&last["modifiedBy"], &last["role"]), (&made["id"], &json!("admin")));

    let key = server.admin().issue("default", "writer", "ingestion").await;
    assert_eq!(server.with_key(&key.api_key).ingest("web", "{\"a\":1}").await.status, 200);
    let stream = "/api/v1/tenants/default/logstream/web";
    send(&server, "s-update", "PATCH", stream, json!({"retentionDays": 7})).await;
    send(&server, "s-delete", "DELETE", stream, json!(null)).await;
    let done: Vec<_> = actions(&server).into_iter().filter(|(request, ..)| request.starts_with("s-")).collect();
    assert_eq!(done, named([("s-update", "stream.update", "-"), ("s-delete", "stream.delete", "-")]));
}
