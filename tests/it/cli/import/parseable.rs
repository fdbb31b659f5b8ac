//! Keys of Parseable.

use std::collections::BTreeMap;
use std::path::Path;

use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use super::{FIXTURES, assert_nowhere, carried, pairs, read, report, results};
use crate::support::key_files::{sync, unreadable};
use crate::support::process::keyloft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::{Client, Ended, TestServer, TestStore, typed};

const CHECKOUT: &str = "01JQGPQY77ZXYYK596NGYA1DQ9.json";
const DASHBOARDS: &str = "01JQ1K5GQAPENECFSECZP11HYG.json";

/// A bucket of Parseable: keys in files and in the metadata, another tenant, a stream.
fn bucket(root: &Path) {
    let copy = |from: &str, to: &str| {
        let to = root.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(format!("{FIXTURES}/parseable/{from}"), to).unwrap();
    };
    copy(CHECKOUT, &format!(".settings/apikeys/{CHECKOUT}"));
    copy(DASHBOARDS, &format!("acme/.settings/apikeys/{DASHBOARDS}"));
    copy("metadata.json", ".parseable/.parseable.json");
    std::fs::create_dir_all(root.join("web/.stream")).unwrap();
    std::fs::write(root.join("web/.stream/.stream.json"), "{}").unwrap();
}

/// The secrets of the fixtures, by key name.
fn parseable_secrets() -> BTreeMap<String, String> {
    let text =
        |key: &Value, fields: [&str; 2]| fields.iter().find_map(|field| key[*field].as_str()).unwrap().to_owned();
    let files = [CHECKOUT, DASHBOARDS].map(|file| read(format!("{FIXTURES}/parseable/{file}")));
    let metadata = read(format!("{FIXTURES}/parseable/metadata.json"));
    let users = metadata["users"].as_array().unwrap().iter().filter(|user| user["api_key"].is_string()).cloned();
    let keys = files.into_iter().chain(users);
    keys.map(|key| (text(&key, ["keyName", "key_name"]), text(&key, ["apiKey", "api_key"]))).collect()
}

#[tokio::test]
async fn keys_of_parseable_work_here_with_the_secrets_that_clients_have() {
    let server = TestServer::spawn().await;
    let other = tempfile::tempdir().unwrap();
    bucket(other.path());
    let line = format!("import parseable --json --store {}", other.path().display());
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    server.admin().issue("default", "agents", "query").await;
    let expected = |fate: &str| {
        pairs(&[
            ("checkout", fate),
            ("agents (2)", fate),
            ("reports", fate),
            ("all", fate),
            ("guessable", "refused"),
            ("dashboards", fate),
        ])
    };
    let preview = report(&typed(&server, &format!("{line} --dry-run")), 3);
    assert_eq!(results(&preview), expected("would-import"));
    let secrets = parseable_secrets();
    assert_eq!(carried(&server, &secrets["checkout"]).await, [401; 4], "a dry run writes nothing");
    let first = report(&typed(&server, &line), 3);
    assert_eq!(results(&first), expected("imported"));
    for (name, secret) in secrets.iter().filter(|(name, _)| *name != "guessable") {
        assert_eq!(carried(&server, secret).await, [200; 4], "{name}");
        let me = server.with_key(secret).get("/api/v1/whoami").await.json();
        let is_query = matches!(name.as_str(), "reports" | "dashboards");
        assert_eq!(me["keyType"], if is_query { "query" } else { "ingestion" }, "{name}");
        assert_eq!(me["tenant"], if name == "dashboards" { "acme" } else { "default" });
    }
    let sender = server.with_key(&secrets["checkout"]);
    assert_eq!(sender.ingest("web", r#"{"a":1}"#).await.status, 200);
    let reader = server.with_key(&secrets["reports"]);
    assert_eq!(reader.query("SELECT a FROM web").await.text(), r#"[{"a":1}]"#);
    let key = server.admin().get("/api/v1/tenants/default/apikeys?name=checkout").await.json()["items"][0].take();
    assert_eq!((&key["ownSecret"], &key["metadata"]["parseable"]["createdBy"]), (&json!(true), &json!("admin")));
    let second = report(&typed(&server, &line), 3);
    let mut there = expected("already-there");
    assert_eq!(results(&second), there.clone());
    assert!(!first.to_string().contains(&secrets["checkout"]) && !second.to_string().contains("sha256:"));
    assert_nowhere(server.directory(), &secrets.values().map(String::as_str).collect::<Vec<_>>());
    // Nothing goes while one is refused; nothing went at all before that was asked for.
    let removing = typed(&server, &format!("{line} --delete-originals"));
    assert_eq!((removing.code, removing.stderr.contains("nothing was removed")), (3, true), "{}", removing.stderr);
    assert!(other.path().join(".settings/apikeys").join(CHECKOUT).exists());
    let metadata = other.path().join(".parseable/.parseable.json");
    let mut whole = read(&metadata);
    whole["users"].as_array_mut().unwrap().retain(|user| user["key_name"] != "guessable");
    std::fs::write(&metadata, whole.to_string()).unwrap();
    let removed = report(&typed(&server, &format!("{line} --delete-originals")), 0);
    there.retain(|(name, _)| name != "guessable");
    assert_eq!((results(&removed), &removed["originalsRemoved"]), (there, &json!(5)));
    assert!(!other.path().join(".settings/apikeys").join(CHECKOUT).exists());
    assert!(!other.path().join("acme/.settings/apikeys").join(DASHBOARDS).exists());
    let left = read(&metadata);
    whole["users"].as_array_mut().unwrap().retain(|user| user["api_key"].is_null());
    assert_eq!(left, whole, "its people, roles and settings stay");
    let nothing = typed(&server, &format!("import parseable --store {}", other.path().display())).done();
    assert!(nothing.contains("No keys were found."), "{nothing}");
}

#[tokio::test]
async fn keys_of_parseable_in_our_own_bucket_are_unreadable_until_their_originals_go() {
    let server = TestServer::spawn().await;
    std::fs::create_dir_all(server.path(".settings/apikeys")).unwrap();
    let object = format!(".settings/apikeys/{CHECKOUT}");
    std::fs::copy(format!("{FIXTURES}/parseable/{CHECKOUT}"), server.path(&object)).unwrap();
    let ours = server.admin().issue("default", "ours", "query").await;
    sync(&server).await;
    assert_eq!(unreadable(&server).await.len(), 1);
    let line = format!("import parseable --store {}", server.directory().display());
    let shown = typed(&server, &line).done();
    assert!(shown.contains("checkout") && shown.contains("1 imported."), "{shown}");
    sync(&server).await;
    assert_eq!(unreadable(&server).await[0].0, object, "what stands there in clear text goes on being reported");
    assert!(typed(&server, &format!("{line} --delete-originals")).done().contains("Originals removed: 1."));
    sync(&server).await;
    assert_eq!(unreadable(&server).await, []);
    for secret in [&parseable_secrets()["checkout"], &ours.api_key] {
        assert_eq!(server.with_key(secret).get("/api/v1/whoami").await.status, 200);
    }
}

#[tokio::test]
async fn the_original_of_a_key_that_is_not_let_in_here_stays() {
    for (state, fate, code) in [("disabled", "already-there", 0), ("revoked", "refused", 3)] {
        let server = TestServer::spawn().await;
        server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
        let other = tempfile::tempdir().unwrap();
        bucket(other.path());
        std::fs::remove_file(other.path().join(".parseable/.parseable.json")).unwrap();
        let line = format!("import parseable --json --store {}", other.path().display());
        let first = report(&typed(&server, &line), 0);
        let path = format!("/api/v1/tenants/default/apikeys/{}", first["items"][0]["keyId"].as_str().unwrap());
        match state {
            "revoked" => server.admin().delete(&path).await,
            _ => server.admin().patch(&path, json!({"state": state})).await,
        };
        let again = report(&typed(&server, &line), code);
        assert_eq!(
            (&again["items"][0]["result"], &again["items"][1]["result"]),
            (&json!(fate), &json!("already-there"))
        );
        let removed = report(&typed(&server, &format!("{line} --delete-originals")), 3);
        assert_eq!(removed["originalsRemoved"], 1, "{removed}");
        assert_eq!(removed["items"][0]["note"], format!("that key is {state}: the original stays"));
        assert!(other.path().join(".settings/apikeys").join(CHECKOUT).exists());
        assert!(!other.path().join("acme/.settings/apikeys").join(DASHBOARDS).exists());
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph and moto: run scripts/test.sh")]
async fn originals_in_a_real_s3_service_are_read_and_removed_there() {
    for store in [TestStore::ceph(), TestStore::moto()] {
        let server = TestServer::spawn().await;
        let bucket = store.open().object_store();
        let put = async |path: &str, body: Vec<u8>| bucket.put(&path.into(), body.into()).await.unwrap();
        let key = std::fs::read(format!("{FIXTURES}/parseable/{CHECKOUT}")).unwrap();
        put(&format!(".settings/apikeys/{CHECKOUT}"), key).await;
        let mut metadata = read(format!("{FIXTURES}/parseable/metadata.json"));
        metadata["users"].as_array_mut().unwrap().retain(|user| user["key_name"] != "guessable");
        put(".parseable/.parseable.json", metadata.to_string().into_bytes()).await;
        let import = |options: &[&str]| {
            let mut command = keyloft();
            command.envs(store.variables().iter().map(|(name, value)| (name, value)));
            command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN);
            Ended::of(command.args(["import", "parseable", "--store", &store.url()]).args(options), "")
        };
        assert!(import(&[]).done().contains("4 imported."));
        let removed = import(&["--delete-originals", "--json"]).json();
        assert_eq!(removed["originalsRemoved"], 4, "{removed}");
        assert!(import(&[]).done().contains("No keys were found."));
        let left = bucket.get(&".parseable/.parseable.json".into()).await.unwrap().bytes().await.unwrap();
        let left: Value = serde_json::from_slice(&left).unwrap();
        assert_eq!((left["users"].as_array().unwrap().len(), &left["roles"]), (2, &metadata["roles"]));
        for name in ["checkout", "agents", "reports", "all"] {
            assert_eq!(carried(&server, &parseable_secrets()[name]).await, [200; 4], "{name}");
        }
    }
}

#[tokio::test]
async fn what_parseable_does_not_say_can_be_said() {
    let server = TestServer::spawn().await;
    let other = tempfile::tempdir().unwrap();
    bucket(other.path());
    let line = format!("import parseable --json --store {} --as query", other.path().display());
    let rows = report(&typed(&server, &line), 3);
    let of = |name: &str| rows["items"].as_array().unwrap().iter().find(|row| row["keyName"] == name).unwrap().clone();
    assert_eq!((&of("checkout")["keyType"], &of("agents")["keyType"]), (&json!("query"), &json!("ingestion")));
    assert!(of("all")["note"].as_str().unwrap().contains("query only here"), "{rows}");
    let acme = of("dashboards");
    assert_eq!(acme["result"], "refused");
    assert!(acme["note"].as_str().unwrap().contains("not_found"), "the tenant has to be created first: {acme}");
    let only = report(&typed(&server, &format!("{line} --tenant acme")), 3);
    assert_eq!(results(&only), pairs(&[("dashboards", "refused")]));
    typed(&server, "import parseable --store /nowhere/at/all").failed(4, "no directory");
    typed(&server, &format!("{line} --dry-run --delete-originals")).failed(2, "cannot be used");
    typed(&server, "import parseable").failed(2, "--store");
}

#[tokio::test]
async fn keys_that_manage_parseable_become_machines_only_when_that_is_said() {
    let server = TestServer::spawn().await;
    let other = tempfile::tempdir().unwrap();
    bucket(other.path());
    let metadata = other.path().join(".parseable/.parseable.json");
    let mut whole = read(&metadata);
    whole["users"].as_array_mut().unwrap().retain(|user| user["key_name"] != "guessable");
    std::fs::write(&metadata, whole.to_string()).unwrap();
    let key = std::fs::read_to_string(format!("{FIXTURES}/parseable/{CHECKOUT}")).unwrap();
    let editor = key.replace("\"keyName\": \"checkout\"", "\"keyType\": \"editor\", \"keyName\": \"all\"");
    std::fs::write(other.path().join(".settings/apikeys").join(CHECKOUT), editor).unwrap();
    let line = format!("import parseable --json --tenant default --store {}", other.path().display());
    let machines = async || server.admin().get("/api/v1/tenants/default/service-operators").await.json();
    let preview = report(&typed(&server, &format!("{line} --admins-as machine --dry-run")), 0);
    let expected =
        |result: &str| pairs(&[("agents", result), ("reports", result), ("all", result), ("all (2)", result)]);
    assert_eq!(results(&preview), expected("would-import"));
    assert_eq!((&preview["machines"], machines().await["items"].as_array().unwrap().len()), (&Value::Null, 0));
    let first = report(&typed(&server, &format!("{line} --admins-as machine")), 0);
    assert_eq!(results(&first), expected("imported"));
    let made = first["machines"].as_array().unwrap();
    let described: Vec<_> = made.iter().map(|made| (&made["name"], &made["role"], &made["tenant"])).collect();
    let admin_of_default = |name| (name, json!("admin"), json!("default"));
    let wanted = [admin_of_default(json!("all")), admin_of_default(json!("all (2)"))];
    assert_eq!(described, wanted.iter().map(|(name, role, tenant)| (name, role, tenant)).collect::<Vec<_>>());
    for machine in made {
        let token = machine["token"].as_str().unwrap();
        let body = json!({"keyName": machine["name"], "keyType": "query"});
        let client = Client::admin(server.url(), token);
        assert_eq!(client.post("/api/v1/tenants/default/apikeys", body).await.status, 201);
        assert_eq!(client.get("/api/v1/nodes").await.status, 403, "an admin of one tenant, not of the platform");
    }
    for secret in [&parseable_secrets()["checkout"], &parseable_secrets()["all"]] {
        assert_eq!(carried(&server, secret).await, [401; 4], "the secret of a machine is not imported");
        assert!(!first.to_string().contains(secret));
    }
    let again = report(&typed(&server, &format!("{line} --admins-as machine")), 0);
    assert_eq!((results(&again), &again["machines"]), (expected("already-there"), &Value::Null));
    assert_eq!(machines().await["items"].as_array().unwrap().len(), 2);
    // Their programs need the new tokens before the old secrets may go.
    let removed = report(&typed(&server, &format!("{line} --admins-as machine --delete-originals")), 3);
    assert_eq!(removed["originalsRemoved"], 2);
    assert!(removed["items"][2]["note"].as_str().unwrap().ends_with(": the original stays"), "{removed}");
    assert!(other.path().join(".settings/apikeys").join(CHECKOUT).exists());
    whole["users"].as_array_mut().unwrap().retain(|user| user["api_key"].is_null() || user["key_name"] == "all");
    assert_eq!(read(&metadata), whole);
    typed(&server, &format!("{line} --admins-as owner")).failed(2, "machine");
}

#[tokio::test]
async fn tokens_of_new_machines_are_shown_to_people_once() {
    let server = TestServer::spawn().await;
    let other = tempfile::tempdir().unwrap();
    bucket(other.path());
    let line = format!("import parseable --admins-as machine --tenant default --store {}", other.path().display());
    let shown = typed(&server, &line);
    assert_eq!(shown.code, 3, "the guessable one is refused");
    assert_eq!(shown.stdout.matches("kl_svc_").count(), 1, "{}", shown.stdout);
    assert!(shown.stdout.contains("not shown again") && shown.stdout.contains("a new token, for 90 days"));
    let again = typed(&server, &line);
    assert!(!again.stdout.contains("kl_svc_") && again.stdout.contains("service rotate"), "{}", again.stdout);
    let missing = typed(&server, &line.replace("--tenant default", "--tenant acme"));
    assert!(missing.stdout.contains("No keys") || missing.code == 3, "{}{}", missing.stdout, missing.stderr);
}
