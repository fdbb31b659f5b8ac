//! Key files as people and tools leave them: written by hand, broken, foreign. None of them stops a start.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::key_files::{ID, OTHER, key_file, minimal, secret, sync, unreadable, whoami, write};
use crate::support::{TestServer, typed};

#[tokio::test]
async fn four_fields_written_by_hand_are_a_key() {
    let server = TestServer::spawn().await;
    let by_hand = secret();
    write(&server, &key_file(ID), minimal("by hand", &by_hand).to_string());
    assert_eq!(whoami(&server, by_hand.expose()).await, 401, "not before a sync");
    let counts = sync(&server).await;
    assert_eq!((&counts["keys"], &counts["changed"], &counts["unreadable"]), (&json!(1), &json!(1), &json!(0)));
    let check = async |server: &TestServer| {
        assert_eq!(server.with_key(by_hand.expose()).query("SELECT 1 AS one").await.json(), json!([{"one": 1}]));
        let view = server.admin().get(&format!("/api/v1/tenants/default/apikeys/{ID}")).await.json();
        assert_eq!((&view["keyName"], &view["state"], &view["rev"]), (&json!("by hand"), &json!("active"), &json!(1)));
        assert_eq!((&view["streams"], &view["createdAt"]), (&json!(["*"]), &Value::Null));
        assert_eq!(view["apiKeyHint"], "kl_qry_…");
    };
    check(&server).await;
    assert_eq!(sync(&server).await["changed"], 0);
    let server = server.restart().await;
    check(&server).await;
    let twin = json!({"keyName": "by hand", "keyType": "query"});
    server.admin().post("/api/v1/tenants/default/apikeys", twin).await.refused(409, "duplicate_key_name");
}

#[tokio::test]
async fn a_document_made_offline_carries_all_that_a_key_can_be() {
    let server = TestServer::spawn().await;
    let line = "key generate --name ci --type ingestion --streams web-* --source-id ci --trust-level low \
                --expires-at 2999-01-01T00:00:00Z --metadata {\"a\":1} --json";
    let generated = typed(&server, line).json();
    let (api_key, mut document) = (generated["apiKey"].as_str().unwrap(), generated["document"].clone());
    assert!(!document.to_string().contains(&api_key[7..]));
    document["allowedCidrs"] = json!(["127.0.0.0/8", "::1/128"]);
    document["limits"] = json!({"requests": {"perMinute": 600, "burst": 600}, "bytes": {"perMinute": 1048576}});
    write(&server, generated["object"].as_str().unwrap(), document.to_string());
    sync(&server).await;
    assert_eq!(unreadable(&server).await, []);
    assert_eq!(server.with_key(api_key).ingest("web-1", "{}").await.status, 200);
    let id = document["keyId"].as_str().unwrap();
    let view = server.admin().get(&format!("/api/v1/tenants/default/apikeys/{id}")).await.json();
    for field in [
        "keyName",
        "keyType",
        "streams",
        "sourceId",
        "trustLevel",
        "expiresAt",
        "allowedCidrs",
        "metadata",
        "createdBy",
    ] {
        assert_eq!(view[field], document[field], "{field}");
    }
    assert_eq!(view["limits"]["bytes"], json!({"perMinute": 1048576, "burst": 1048576}));
    assert_eq!((&view["ownSecret"], &view["createdBy"]), (&json!(false), &json!("keyloft key generate")));
    // A file that declares the key as it is has nothing to change.
    let digest = &document["digest"];
    let declared = json!({"keyName": "ci", "keyType": "ingestion", "digest": digest, "streams": ["web-*"],
        "sourceId": "ci", "trustLevel": "low", "allowedCidrs": view["allowedCidrs"], "limits": view["limits"],
        "metadata": {"a": 1}});
    let answer = server.admin().post("/api/v1/tenants/default/apikeys/apply", json!({"keys": [declared]})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["plan"]), (200, &json!([])));
}

/// Everything that is no usable key document: its name, its bytes, and a word of the reason.
fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let with = |field: &str, value: Value| {
        let mut document = minimal("canary", &secret());
        document[field] = value;
        document.to_string().into_bytes()
    };
    let mut without = minimal("canary", &secret());
    without.as_object_mut().unwrap().remove("keyType");
    vec![
        ("00000000-0000-4000-8000-000000000000.json", b"{\"canary\": ".to_vec(), "end of file"),
        ("00000000-0000-4000-8000-000000000001.json", b"{\"canary\" oops}".to_vec(), "syntax"),
        ("00000000-0000-4000-8000-000000000002.json", Vec::new(), "end of file"),
        ("00000000-0000-4000-8000-000000000003.json", b"\xff\xfecanary".to_vec(), "not a key document"),
        ("00000000-0000-4000-8000-000000000004.json", b"[\"canary\"]".to_vec(), "not a key document"),
        ("00000000-0000-4000-8000-000000000005.json", without.to_string().into(), "data"),
        ("00000000-0000-4000-8000-000000000006.json", with("keyId", json!(OTHER)), "keyId differs"),
        ("00000000-0000-4000-8000-000000000007.json", with("version", json!(2)), "version 2"),
        ("00000000-0000-4000-8000-000000000008.json", with("digest", json!("canary")), "digest"),
        ("00000000-0000-4000-8000-000000000009.json", with("keyType", json!("canary")), "data"),
        ("00000000-0000-4000-8000-00000000000a.json", with("state", json!("canary")), "data"),
        ("00000000-0000-4000-8000-00000000000b.json", with("streams", json!(["../canary"])), "data"),
        ("00000000-0000-4000-8000-00000000000c.json", with("keyName", json!("a\ncanary")), "data"),
        ("00000000-0000-4000-8000-00000000000d.json", vec![b' '; 1024 * 1024 + 1], "larger than"),
        ("00000000-0000-4000-8000-00000000000e.json", format!("{}x", minimal("canary", &secret())).into(), "syntax"),
        ("notes.txt", b"canary".to_vec(), "its name is not"),
        (
            "AAAAAAAA-0000-4000-8000-00000000000E.json",
            minimal("canary", &secret()).to_string().into(),
            "its name is not",
        ),
        ("00000000-0000-4000-8000-00000000000f", minimal("canary", &secret()).to_string().into(), "its name is not"),
        (
            "01JQZV5K9M3X7T2B8C4D6E0F1G.json",
            json!({"keyId": "01JQZV5K9M3X7T2B8C4D6E0F1G", "apiKey": "canary", "keyName": "n", "keyType": "ingestion"})
                .to_string()
                .into(),
            "legacy",
        ),
    ]
}

#[tokio::test]
async fn what_cannot_be_used_is_listed_by_name_and_reason_and_stops_nobody() {
    let server = TestServer::spawn().await;
    let good = server.admin().issue("default", "good", "query").await;
    let bad = bad_files();
    for (name, body, _) in &bad {
        write(&server, &format!(".settings/apikeys/{name}"), body);
    }
    let check = async |server: &TestServer| {
        assert_eq!(whoami(server, &good.api_key).await, 200);
        assert_eq!(whoami(server, "canary").await, 401);
        let answer = server.admin().get("/api/v1/unreadable").await;
        assert!(!answer.text().contains("canary") && !answer.text().contains("sha256"), "{}", answer.text());
        let listed = unreadable(server).await;
        for (name, _, reason) in &bad {
            let found = listed.iter().find(|(object, _)| *object == format!(".settings/apikeys/{name}"));
            assert!(found.is_some_and(|(_, said)| said.contains(reason)), "{name}: {found:?} says no {reason}");
        }
        assert_eq!(listed.len(), bad.len());
        let metrics = server.anonymous().get("/metrics").await;
        let line = format!("keyloft_unreadable_documents {}", bad.len());
        assert!(metrics.text().lines().any(|said| said == line), "{}", metrics.text());
        assert_eq!(server.anonymous().get("/api/v1/readiness").await.status, 200);
    };
    assert_eq!(sync(&server).await["unreadable"], bad.len());
    check(&server).await;
    let server = server.restart().await;
    check(&server).await;
    for (name, ..) in &bad {
        std::fs::remove_file(server.path(&format!(".settings/apikeys/{name}"))).unwrap();
    }
    assert_eq!(sync(&server).await["unreadable"], 0);
    assert_eq!(unreadable(&server).await, []);
    assert_eq!(whoami(&server, &good.api_key).await, 200);
}

#[tokio::test]
async fn documents_that_share_a_digest_are_both_refused() {
    let server = TestServer::spawn().await;
    let (shared, good) = (secret(), secret());
    write(&server, &key_file(ID), minimal("one", &shared).to_string());
    write(&server, &key_file("7b2e4a1a-5d66-4da1-8a2a-9c4c6d8e0f32"), minimal("good", &good).to_string());
    sync(&server).await;
    assert_eq!(whoami(&server, shared.expose()).await, 200);
    write(&server, &key_file(OTHER), minimal("two", &shared).to_string());
    let check = async |server: &TestServer| {
        assert_eq!(whoami(server, shared.expose()).await, 401);
        assert_eq!(whoami(server, good.expose()).await, 200);
        let reason = "its digest is also that of another key".to_owned();
        assert_eq!(unreadable(server).await, [(key_file(ID), reason.clone()), (key_file(OTHER), reason)]);
    };
    sync(&server).await;
    check(&server).await;
    let server = server.restart().await;
    check(&server).await;
    std::fs::remove_file(server.path(&key_file(ID))).unwrap();
    sync(&server).await;
    assert_eq!(whoami(&server, shared.expose()).await, 200, "one of them is a key again");
    assert_eq!(unreadable(&server).await, []);
}

#[tokio::test]
async fn a_digest_is_shared_across_tenants_too() {
    let server = TestServer::spawn().await;
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let shared = secret();
    write(&server, &key_file(ID), minimal("one", &shared).to_string());
    write(&server, &format!("acme/{}", key_file(ID)), minimal("one", &shared).to_string());
    assert_eq!(sync(&server).await["unreadable"], 2);
    assert_eq!(whoami(&server, shared.expose()).await, 401);
}

#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let server = TestServer::spawn().await;
    let outside = tempfile::tempdir().unwrap();
    let (linked, beyond) = (secret(), secret());
    let target = outside.path().join("key.json");
    std::fs::write(&target, minimal("linked", &linked).to_string()).unwrap();
    std::fs::create_dir_all(server.path(".settings/apikeys")).unwrap();
    symlink(&target, server.path(&key_file(ID))).unwrap();
    // A whole tenant behind a link.
    let tenant = outside.path().join("acme");
    std::fs::create_dir_all(tenant.join(".settings/apikeys")).unwrap();
    std::fs::write(tenant.join(".settings/tenant.json"), json!({"version": 1}).to_string()).unwrap();
    std::fs::write(tenant.join(key_file(ID)), minimal("beyond", &beyond).to_string()).unwrap();
    symlink(&tenant, server.path("acme")).unwrap();
    let check = async |server: &TestServer| {
        for api_key in [linked.expose(), beyond.expose()] {
            assert_eq!(whoami(server, api_key).await, 401);
        }
        let listed = unreadable(server).await;
        assert!(listed.iter().any(|(object, said)| *object == key_file(ID) && said.contains("symbolic")), "{listed:?}");
        server.admin().get("/api/v1/tenants/acme").await.refused(404, "not_found");
    };
    sync(&server).await;
    check(&server).await;
    let server = server.restart().await;
    check(&server).await;
    assert!(target.exists());
}

#[tokio::test]
async fn a_pipe_in_place_of_a_key_is_reported_and_waited_for_by_nobody() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let file = server.path(&key_file(&key.id));
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    sync(&server).await;
    let listed = unreadable(&server).await;
    assert!(listed.iter().any(|(object, said)| *object == key_file(&key.id) && said.contains("neither")), "{listed:?}");
    assert_eq!(whoami(&server, &key.api_key).await, 200, "as with any file that cannot be read");
    let path = format!("/api/v1/tenants/default/apikeys/{}", key.id);
    server.admin().delete(&path).await;
    assert_eq!(whoami(&server, &key.api_key).await, 401);
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn everything_in_the_store_is_for_its_owner_only() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    for tenant in ["default", "acme"] {
        let key = admin.issue(tenant, "k", "ingestion").await;
        assert_eq!(server.with_key(&key.api_key).ingest("web", "{\"a\":1}").await.status, 200);
        admin.patch(&format!("/api/v1/tenants/{tenant}/apikeys/{}", key.id), json!({"sourceId": "s"})).await;
    }
    admin.patch("/api/v1/tenants/acme", json!({"suspended": ["query"]})).await;
    let mut seen = 0;
    let mut folders = vec![server.directory().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), expected, "{}", path.display());
            seen += 1;
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(seen >= 16, "only {seen} files and folders");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_stream_whose_schema_is_broken_is_listed_and_one_whose_schema_is_gone_comes_back_with_its_next_event() {
    let server = TestServer::spawn().await;
    let sender = server.admin().issue("default", "s", "ingestion").await;
    let reader = server.admin().issue("default", "r", "query").await;
    let (sending, reading) = (server.with_key(&sender.api_key), server.with_key(&reader.api_key));
    assert_eq!(sending.ingest("web", r#"{"a":1}"#).await.status, 200);
    let schema = server.path("streams/web/schema.json");
    let good = std::fs::read(&schema).unwrap();
    std::fs::write(&schema, "{").unwrap();
    server.admin().post("/api/v1/sync", serde_json::json!({})).await;
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json()["items"][0]["object"], "streams/web/schema.json");
    assert_eq!(reading.query("SELECT a FROM web").await.text(), r#"[{"a":1}]"#);
    std::fs::write(&schema, good).unwrap();
    std::fs::remove_file(&schema).unwrap();
    server.admin().post("/api/v1/sync", serde_json::json!({})).await;
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json()["items"][0]["object"], "streams/web/schema.json");
    assert_eq!(reading.query("SELECT a FROM web").await.text(), r#"[{"a":1}]"#, "memory keeps it");
    assert_eq!(sending.ingest("web", r#"{"a":"text"}"#).await.status, 400, "the type stays");
    assert_eq!(sending.ingest("web", r#"{"a":2}"#).await.status, 200);
    let server = server.restart().await;
    let answer = server.with_key(&reader.api_key).query("SELECT sum(a) AS s FROM web").await;
    assert_eq!(answer.text(), r#"[{"s":3}]"#);
}
