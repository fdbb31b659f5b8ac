//! Files that change under a running server, and tenants whose files are not whole.

use std::sync::Arc;
use std::time::Duration;

use keyloft::key::KeyType;
use keyloft::{Clock, ManualClock, SystemClock};
use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::key_files::{ID, OTHER, key_file, minimal, secret, sync, unreadable, whoami, write};

fn path(id: &str) -> String {
    format!("/api/v1/tenants/default/apikeys/{id}")
}

fn read(server: &TestServer, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(server.path(file)).unwrap()).unwrap()
}

#[tokio::test]
async fn a_key_whose_file_was_broken_can_still_be_revoked() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    write(&server, &key_file(&key.id), "{");
    assert_eq!(server.admin().delete(&path(&key.id)).await.json()["state"], "revoked");
    assert_eq!(whoami(&server, &key.api_key).await, 401);
    let server = server.restart().await;
    assert_eq!(whoami(&server, &key.api_key).await, 401);
    assert_eq!(server.admin().get(&path(&key.id)).await.json()["state"], "revoked");
}

#[tokio::test]
async fn a_good_key_outlives_its_broken_file_until_the_restart() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let good = std::fs::read(server.path(&key_file(&key.id))).unwrap();
    write(&server, &key_file(&key.id), &good[..good.len() / 2]);
    for _ in 0..2 {
        assert_eq!(sync(&server).await["unreadable"], 1);
        assert_eq!(whoami(&server, &key.api_key).await, 200);
        assert_eq!(unreadable(&server).await[0].0, key_file(&key.id));
    }
    // What cannot be read is not written over.
    server.admin().patch(&path(&key.id), json!({"sourceId": "s"})).await.refused(500, "document_unreadable");
    assert_eq!(std::fs::read(server.path(&key_file(&key.id))).unwrap(), &good[..good.len() / 2]);
    let server = server.restart().await;
    assert_eq!(whoami(&server, &key.api_key).await, 401);
    assert_eq!(unreadable(&server).await.len(), 1);
    write(&server, &key_file(&key.id), &good);
    sync(&server).await;
    assert_eq!(whoami(&server, &key.api_key).await, 200);
    assert_eq!(unreadable(&server).await, []);
}

#[tokio::test]
async fn a_key_whose_file_is_removed_is_gone_after_a_sync() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let stays = server.admin().issue("default", "stays", "query").await;
    std::fs::remove_file(server.path(&key_file(&key.id))).unwrap();
    assert_eq!(whoami(&server, &key.api_key).await, 200, "not before the sync");
    let counts = sync(&server).await;
    assert_eq!((&counts["removed"], &counts["keys"]), (&json!(1), &json!(1)));
    assert_eq!(whoami(&server, &key.api_key).await, 401);
    assert_eq!(whoami(&server, &stays.api_key).await, 200);
    server.admin().get(&path(&key.id)).await.refused(404, "not_found");
}

#[tokio::test]
async fn the_name_of_a_removed_key_is_free_after_two_minutes() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let server = TestServer::spawn_with(|setup| setup.clock = clock.clone()).await;
    let key = server.admin().issue("default", "k", "query").await;
    std::fs::remove_file(server.path(&key_file(&key.id))).unwrap();
    sync(&server).await;
    // It might be about to be written, as far as anybody can see.
    let body = json!({"keyName": "k", "keyType": "query"});
    let answer = server.admin().post("/api/v1/tenants/default/apikeys", body).await;
    answer.refused(409, "duplicate_key_name");
    assert_eq!(answer.header("retry-after"), Some("120"));
    clock.advance(chrono::TimeDelta::seconds(121));
    server.admin().issue("default", "k", "query").await;
}

#[tokio::test]
async fn nothing_writes_a_removed_file_back() {
    let server = TestServer::spawn().await;
    for round in 0..2 {
        let key = server.admin().issue("default", &format!("k{round}"), "query").await;
        let file = server.path(&key_file(&key.id));
        std::fs::remove_file(&file).unwrap();
        let answer = match round {
            0 => server.admin().patch(&path(&key.id), json!({"sourceId": "s"})).await,
            _ => server.admin().delete(&path(&key.id)).await,
        };
        answer.refused(404, "not_found");
        assert!(!file.exists());
        assert_eq!(whoami(&server, &key.api_key).await, 401, "what is known to be gone is refused at once");
    }
}

#[tokio::test]
async fn a_file_that_is_renamed_is_the_same_secret_with_another_id() {
    let server = TestServer::spawn().await;
    let by_hand = secret();
    write(&server, &key_file(ID), minimal("k", &by_hand).to_string());
    sync(&server).await;
    std::fs::rename(server.path(&key_file(ID)), server.path(&key_file(OTHER))).unwrap();
    sync(&server).await;
    assert_eq!(server.with_key(by_hand.expose()).get("/api/v1/whoami").await.json()["keyId"], OTHER);
    assert_eq!(unreadable(&server).await, []);
}

#[tokio::test]
async fn a_copy_of_a_key_whose_own_file_is_broken_is_reported_like_any_twin() {
    let server = TestServer::spawn().await;
    let shared = secret();
    write(&server, &key_file(ID), minimal("k", &shared).to_string());
    sync(&server).await;
    write(&server, &key_file(ID), "{");
    write(&server, &key_file(OTHER), minimal("copy", &shared).to_string());
    assert_eq!(sync(&server).await["unreadable"], 2);
    assert_eq!(whoami(&server, shared.expose()).await, 401);
    assert_eq!(
        unreadable(&server).await.iter().map(|(object, _)| object.clone()).collect::<Vec<_>>(),
        [key_file(ID), key_file(OTHER)]
    );
}

#[tokio::test]
async fn a_revocation_holds_even_when_the_file_lost_its_revision() {
    let server = TestServer::spawn().await;
    let by_hand = secret();
    let document = minimal("k", &by_hand);
    write(&server, &key_file(ID), document.to_string());
    sync(&server).await;
    for round in 0..3 {
        server.admin().patch(&path(ID), json!({"sourceId": format!("s{round}")})).await;
    }
    write(&server, &key_file(ID), document.to_string());
    let revoked = server.admin().delete(&path(ID)).await;
    assert_eq!((&revoked.json()["state"], &revoked.json()["rev"]), (&json!("revoked"), &json!(5)));
    assert_eq!(whoami(&server, by_hand.expose()).await, 401);
    // The same when the file itself says that the key is revoked.
    let mut document = read(&server, &key_file(ID));
    document["rev"] = json!(1);
    write(&server, &key_file(ID), document.to_string());
    assert_eq!(server.admin().delete(&path(ID)).await.json()["state"], "revoked");
    assert_eq!(server.admin().get(&path(ID)).await.json()["state"], "revoked");
}

#[tokio::test]
async fn a_file_that_is_edited_by_hand_counts_whatever_its_revision_says() {
    let server = TestServer::spawn().await;
    let by_hand = secret();
    let document = minimal("k", &by_hand);
    write(&server, &key_file(ID), document.to_string());
    sync(&server).await;
    let patched = server.admin().patch(&path(ID), json!({"sourceId": "s"})).await;
    assert_eq!(patched.json()["rev"], 2);
    // The deployment tool writes its own file again, without a revision: back to 1.
    let mut revoked = document;
    revoked["state"] = json!("revoked");
    write(&server, &key_file(ID), revoked.to_string());
    sync(&server).await;
    assert_eq!(whoami(&server, by_hand.expose()).await, 401);
    assert_eq!(server.admin().get(&path(ID)).await.json()["state"], "revoked");
}

#[tokio::test]
async fn fields_that_nobody_knows_survive_every_change() {
    let server = TestServer::spawn().await;
    let by_hand = secret();
    let mut document = minimal("k", &by_hand);
    document["x-team"] = json!({"pager": ["a", 1, null], "ü": 1.5});
    document["laterVersion"] = json!("kept");
    write(&server, &key_file(ID), document.to_string());
    sync(&server).await;
    server.admin().patch(&path(ID), json!({"sourceId": "s", "streams": ["web"]})).await;
    server.admin().patch(&path(ID), json!({"state": "disabled"})).await;
    server.admin().delete(&path(ID)).await;
    let stored = read(&server, &key_file(ID));
    for field in ["x-team", "laterVersion", "digest", "keyName", "keyType", "version"] {
        assert_eq!(stored[field], document[field], "{field}");
    }
    assert_eq!((&stored["state"], &stored["rev"], &stored["keyId"]), (&json!("revoked"), &json!(4), &json!(ID)));
    let text = std::fs::read_to_string(server.path(&key_file(ID))).unwrap();
    assert!(text.trim_start_matches(['{', '\n', ' ']).starts_with("\"version\""), "version first: {text}");
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let mut tenant = read(&server, "acme/.settings/tenant.json");
    tenant["contract"] = json!("gold");
    write(&server, "acme/.settings/tenant.json", tenant.to_string());
    server.admin().patch("/api/v1/tenants/acme", json!({"suspended": ["query"]})).await;
    assert_eq!(read(&server, "acme/.settings/tenant.json")["contract"], "gold");
}

#[tokio::test]
async fn a_folder_without_a_tenant_record_is_no_tenant() {
    let server = TestServer::spawn().await;
    let by_hand = secret();
    write(&server, &format!("ghost/{}", key_file(ID)), minimal("k", &by_hand).to_string());
    let check = async |server: &TestServer| {
        assert_eq!(whoami(server, by_hand.expose()).await, 401);
        let reason = "its tenant was never created".to_owned();
        assert_eq!(unreadable(server).await, [(format!("ghost/{}", key_file(ID)), reason)]);
        server.admin().get("/api/v1/tenants/ghost").await.refused(404, "not_found");
    };
    sync(&server).await;
    check(&server).await;
    let server = server.restart().await;
    check(&server).await;
    assert_eq!(server.admin().post("/api/v1/tenants", json!({"tenantId": "ghost"})).await.status, 201);
    sync(&server).await;
    assert_eq!(whoami(&server, by_hand.expose()).await, 200);
    assert_eq!(unreadable(&server).await, []);
}

#[tokio::test]
async fn a_tenant_that_is_removed_by_hand_is_gone_after_a_sync() {
    let server = TestServer::spawn().await;
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let key = server.admin().issue("acme", "k", "query").await;
    let stays = server.admin().issue("default", "k", "query").await;
    std::fs::remove_dir_all(server.path("acme")).unwrap();
    sync(&server).await;
    assert_eq!(whoami(&server, &key.api_key).await, 401);
    assert_eq!(whoami(&server, &stays.api_key).await, 200);
    server.admin().get("/api/v1/tenants/acme").await.refused(404, "not_found");
    assert!(!server.path("acme").exists());
}

#[tokio::test]
async fn a_broken_tenant_record_fails_closed_and_takes_nothing_from_memory() {
    let server = TestServer::spawn().await;
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let key = server.admin().issue("acme", "k", "query").await;
    let file = "acme/.settings/tenant.json";
    let good = std::fs::read(server.path(file)).unwrap();
    for broken in ["{", "[]", "{\"version\":2}", "{\"version\":1,\"suspended\":[\"everything\"]}"] {
        write(&server, file, broken);
        sync(&server).await;
        assert_eq!(server.with_key(&key.api_key).query("SELECT 1 AS one").await.status, 200, "{broken}");
        assert_eq!(unreadable(&server).await[0].0, file);
        let answer = server.admin().patch("/api/v1/tenants/acme", json!({"suspended": []})).await;
        answer.refused(500, "document_unreadable");
    }
    let server = server.restart().await;
    let answer = server.with_key(&key.api_key).query("SELECT 1 AS one").await;
    assert!(answer.status == 401 || answer.status == 403, "it may be suspended: {}", answer.text());
    assert_eq!(unreadable(&server).await.len(), 1);
    assert_eq!(server.anonymous().get("/api/v1/readiness").await.status, 200);
    write(&server, file, good);
    sync(&server).await;
    assert_eq!(server.with_key(&key.api_key).query("SELECT 1 AS one").await.status, 200);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let mut server = TestServer::spawn().await;
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme", "name": "Acme"})).await;
    let mut keys = Vec::new();
    for tenant in ["default", "acme"] {
        let sender = server.admin().issue(tenant, "sender", KeyType::Ingestion.as_str()).await;
        let reader = server.admin().issue(tenant, "reader", KeyType::Query.as_str()).await;
        keys.push((tenant, sender, reader));
    }
    let listed = |server: &TestServer| {
        let admin = server.admin();
        async move {
            let mut all = vec![admin.get("/api/v1/tenants").await.json()];
            for tenant in ["default", "acme"] {
                let mut page = admin.get(&format!("/api/v1/tenants/{tenant}/apikeys")).await.json();
                for item in page["items"].as_array_mut().unwrap() {
                    item.as_object_mut().unwrap().retain(|field, _| field != "usage" && field != "lastUsedAt");
                }
                all.push(page);
            }
            all
        }
    };
    let before = listed(&server).await;
    for round in 1..=3 {
        for (tenant, sender, reader) in &keys {
            let event = json!({"round": round, "tenant": tenant}).to_string();
            assert_eq!(server.with_key(&sender.api_key).ingest("web", event).await.status, 200);
            let rows = server.with_key(&reader.api_key).query("SELECT count(*) AS n FROM web").await;
            assert_eq!(rows.json(), json!([{"n": round}]));
        }
        server = server.restart().await;
        assert_eq!(listed(&server).await, before);
    }
    for (tenant, sender, reader) in &keys {
        let sql = "SELECT tenant, p_key_id, count(*) AS n FROM web GROUP BY tenant, p_key_id";
        let rows = server.with_key(&reader.api_key).query(sql).await;
        assert_eq!(rows.json(), json!([{"tenant": tenant, "p_key_id": sender.id, "n": 3}]));
    }
}

#[tokio::test]
async fn what_a_killed_process_left_of_a_file_is_removed_while_the_node_runs() {
    let server = TestServer::spawn_with(|setup| setup.config.sync.reconcile_interval = Duration::from_millis(50)).await;
    let key = server.admin().issue("default", "k", "query").await;
    let [old, young] = ["#7000001", "#7000002"].map(|end| server.path(&format!("{}{end}", key_file(&key.id))));
    std::fs::write(&young, "{").unwrap();
    let left = std::fs::File::create(&old).unwrap();
    let now = std::time::SystemTime::from(SystemClock.now());
    left.set_modified(now - Duration::from_secs(601)).unwrap();
    server.until("the old one is gone", |_| !old.exists()).await;
    assert!(young.exists(), "somebody may still be writing it");
    assert_eq!(whoami(&server, &key.api_key).await, 200);
}
