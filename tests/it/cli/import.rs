//! Moving in from other systems: clients go on with the secrets they have.

use std::collections::BTreeMap;
use std::path::Path;

use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use crate::support::key_files::{sync, unreadable};
use crate::support::process::keyloft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::{Client, Ended, TestServer, TestStore, typed};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/import");
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

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
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

/// What the report says of each source: its result, in the order of the rows.
fn results(report: &Value) -> Vec<(String, String)> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or("-").to_owned();
    report["items"].as_array().unwrap().iter().map(|row| (text(row, "keyName"), text(row, "result"))).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, result)| ((*name).to_owned(), (*result).to_owned())).collect()
}

/// The report of a command that ended with this code.
#[track_caller]
fn report(ended: &Ended, code: i32) -> Value {
    assert_eq!(ended.code, code, "{}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr))
}

/// The statuses of whoami with a secret in each of the four carriers.
async fn carried(server: &TestServer, secret: &str) -> [u16; 4] {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("anybody:{secret}"));
    let carriers = [
        ("x-api-key", secret.to_owned()),
        ("authorization", format!("Bearer {secret}")),
        ("authorization", format!("ApiKey {secret}")),
        ("authorization", format!("Basic {basic}")),
    ];
    let mut statuses = [0; 4];
    for (status, carrier) in statuses.iter_mut().zip(carriers) {
        *status = Client::new(server.url(), Some(carrier)).get("/api/v1/whoami").await.status.as_u16();
    }
    statuses
}

/// Nothing that a folder holds contains one of these.
fn assert_nowhere(folder: &Path, secrets: &[&str]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(&path, secrets);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "a secret stands in {}", path.display());
        }
    }
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

/// The secrets of the identities of the fixtures: of the first, and of the till.
fn ditto_secrets() -> [String; 2] {
    let text = std::fs::read_to_string(format!("{FIXTURES}/ditto/secrets.txt")).unwrap();
    text.lines().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}

#[tokio::test]
async fn identities_of_an_edge_server_work_here_with_their_secrets() {
    let server = TestServer::spawn().await;
    let file = format!("{FIXTURES}/ditto/resources.yaml");
    let before = std::fs::read(&file).unwrap();
    let [dashboards, till] = ditto_secrets();
    let import = |options: &[&str], secrets: &str| {
        let mut command = keyloft();
        command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN);
        Ended::of(command.args(["import", "ditto", &file, "--json"]).args(options), secrets)
    };
    let refused = [("-", "refused"); 4];
    let expected = |fate: &str| pairs(&[&[("dashboards", fate), ("till", fate)], &refused[..]].concat());
    let both = format!("{dashboards}\ntill {till}\n");
    let options = ["--keys-stdin", "--ingestion-identities", "till"];
    let preview = report(&import(&[&options[..], &["--dry-run"]].concat(), &both), 3);
    assert_eq!(results(&preview), expected("would-import"));
    for secret in [&dashboards, &till] {
        assert_eq!(carried(&server, secret).await, [401; 4]);
    }
    let first = import(&options, &both);
    assert_eq!(results(&report(&first, 3)), expected("imported"));
    for (secret, key_type) in [(&dashboards, "query"), (&till, "ingestion")] {
        assert_eq!(carried(&server, secret).await, [200; 4]);
        let client = Client::new(server.url(), Some(("authorization", format!("Bearer {secret}"))));
        assert_eq!(client.get("/api/v1/whoami").await.json()["keyType"], key_type);
        assert!(!first.stdout.contains(secret) && !first.stderr.contains(secret));
    }
    for (named, why) in [
        ("open_http", "serve --auth off"),
        ("costly", "not computed"),
        ("nobody", "lets it in"),
        ("reader", "cannot express the permissions of read_only"),
    ] {
        let rows = report(&first, 3);
        let row = rows["items"].as_array().unwrap().iter().find(|row| row["source"] == named).unwrap().clone();
        assert!(row["note"].as_str().unwrap().contains(why), "{row}");
    }
    let key = server.admin().get("/api/v1/tenants/default/apikeys?name=dashboards").await.json()["items"][0].take();
    assert_eq!(key["metadata"]["ditto"], json!({"identity": "dashboards", "id": "service-account-1"}));
    assert_eq!(results(&report(&import(&options, &both), 3)), expected("already-there"));
    assert_nowhere(server.directory(), &[&dashboards, &till]);
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn an_identity_whose_secret_was_not_given_is_named() {
    let server = TestServer::spawn().await;
    let file = format!("{FIXTURES}/ditto/auth.yaml");
    let [kiosk, till] = ditto_secrets();
    let import = |options: &[&str], secrets: &str| {
        let mut command = keyloft();
        command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN);
        Ended::of(command.args(["import", "ditto", &file]).args(options), secrets)
    };
    let rows = report(&import(&["--json", "--keys-stdin"], &format!("{kiosk}\nhunter2-{till}\n")), 3);
    let notes: Vec<_> = rows["items"].as_array().unwrap().iter().map(|row| (&row["source"], &row["note"])).collect();
    let expected = [
        ("kiosk", "full there, query only here"),
        ("till", "its secret is not on standard input"),
        ("standard input line 2", "it belongs to no hash of the file"),
    ]
    .map(|(source, note)| (json!(source), json!(note)));
    assert_eq!(notes, expected.iter().map(|(source, note)| (source, note)).collect::<Vec<_>>());
    assert!(!rows.to_string().contains(&till));
    let without = import(&[], &kiosk);
    assert!(without.stdout.contains("--keys-stdin") && without.code == 3, "{}{}", without.stdout, without.stderr);
    import(&["--keys-stdin", "--ingestion-identities", "kisok"], "").failed(2, "names no identity");
    import(&["--keys-stdin", "--as", "query", "--ingestion-identities", "till"], "").failed(2, "cannot be used");
    typed(&server, "import ditto - --keys-stdin").failed(2, "standard input");
    typed(&server, "import ditto /nowhere.yaml --keys-stdin").failed(2, "cannot open");
}

/// The users of the fixture whose secrets are good enough: name and secret.
fn vmauth_secrets() -> Vec<(String, String)> {
    use base64::Engine as _;
    let text = std::fs::read_to_string(format!("{FIXTURES}/vmauth.yml")).unwrap();
    let mut found = Vec::new();
    let mut name = String::new();
    for (number, line) in text.lines().enumerate() {
        let Some((field, value)) = line.trim_start_matches(['-', ' ']).split_once(": ") else { continue };
        let value = value.trim_matches('"');
        match field {
            "name" | "username" => name = value.to_owned(),
            "bearer_token" | "password" | "auth_token" => {
                let secret = match value.split_once(' ') {
                    Some(("Bearer", token)) => token.to_owned(),
                    Some(("Basic", pair)) => {
                        let pair = base64::engine::general_purpose::STANDARD.decode(pair).unwrap();
                        String::from_utf8(pair).unwrap().split_once(':').unwrap().1.to_owned()
                    }
                    _ => value.to_owned(),
                };
                if line.starts_with('-') {
                    name = format!("vmauth line {}", number + 1);
                }
                found.push((name.clone(), secret));
            }
            _ => {}
        }
    }
    found.retain(|(_, secret)| secret.len() >= 32 && !secret.contains(' '));
    found
}

#[tokio::test]
async fn users_of_vmauth_work_here_with_their_tokens_and_passwords() {
    let server = TestServer::spawn().await;
    let file = format!("{FIXTURES}/vmauth.yml");
    let before = std::fs::read(&file).unwrap();
    let line = format!("import vmauth {file} --json --ingestion-users agent-*,header");
    let expected = |fate: &str| {
        pairs(&[
            ("dashboards", fate),
            ("vmauth line 12", fate),
            ("agent-web", fate),
            ("agent-db", fate),
            ("agent-db (2)", fate),
            ("short", "refused"),
            ("header", fate),
            ("basic-header", fate),
            ("-", "refused"),
            ("-", "refused"),
            ("-", "refused"),
            ("-", "refused"),
        ])
    };
    assert_eq!(results(&report(&typed(&server, &format!("{line} --dry-run")), 3)), expected("would-import"));
    let secrets = vmauth_secrets();
    assert_eq!(secrets.len(), 7);
    for (name, secret) in &secrets {
        assert_eq!(carried(&server, secret).await, [401; 4], "{name}");
    }
    let first = typed(&server, &line);
    assert_eq!(results(&report(&first, 3)), expected("imported"));
    for (name, secret) in &secrets {
        assert_eq!(carried(&server, secret).await, [200; 4], "{name}");
        let sends = name.starts_with("agent-") || name == "header";
        let me = server.with_key(secret).get("/api/v1/whoami").await.json();
        assert_eq!(me["keyType"], if sends { "ingestion" } else { "query" }, "{name}");
        assert!(!first.stdout.contains(secret) && !first.stderr.contains(secret));
    }
    assert!(first.stdout.contains("ip_filters stay behind"), "{}", first.stdout);
    assert_eq!(results(&report(&typed(&server, &line), 3))[0], ("dashboards".to_owned(), "already-there".to_owned()));
    let names = server.admin().get("/api/v1/tenants/default/apikeys").await.json();
    assert_eq!(names["items"].as_array().unwrap().len(), 7, "a second time adds nothing");
    assert_nowhere(server.directory(), &secrets.iter().map(|(_, secret)| secret.as_str()).collect::<Vec<_>>());
    typed(&server, &format!("import vmauth {file} --delete-originals")).failed(2, "unexpected argument");
    typed(&server, &format!("import vmauth {file} --ingestion-users agnet-*")).failed(2, "names no user");
    typed(&server, &format!("import vmauth {file} --ingestion-users a --as query")).failed(2, "cannot be used");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn one_secret_of_two_users_is_one_key_unless_they_are_of_two_types() {
    let server = TestServer::spawn().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("auth.yml");
    let secret = "Zk3v-9QpX_71LmRw.T0sYbC8aHdJ5uEg";
    let user = |name: &str| format!("- username: {name}\n  password: {secret}\n  url_prefix: http://127.0.0.1\n");
    std::fs::write(&file, format!("users:\n{}{}{}", user("a"), user("b"), user("agent"))).unwrap();
    let line = format!("import vmauth {} --json --ingestion-users agent", file.display());
    let rows = report(&typed(&server, &line), 3);
    assert_eq!(results(&rows), pairs(&[("a", "imported"), ("b", "already-there"), ("agent", "refused")]));
    assert!(!rows.to_string().contains(secret));
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let elsewhere = report(&typed(&server, &format!("import vmauth {} --json --tenant acme", file.display())), 3);
    assert_eq!(results(&elsewhere)[0], ("a".to_owned(), "refused".to_owned()));
    assert!(elsewhere["items"][0]["note"].as_str().unwrap().contains("tenant default"), "{elsewhere}");
    let other = report(&typed(&server, &format!("import vmauth {} --json --as ingestion", file.display())), 3);
    assert_eq!(results(&other)[0], ("a".to_owned(), "refused".to_owned()));
    assert_eq!(other["items"][0]["note"], "that key is for query");
    let id = rows["items"][0]["keyId"].as_str().unwrap();
    server.admin().delete(&format!("/api/v1/tenants/default/apikeys/{id}")).await;
    let revoked = report(&typed(&server, &line), 3);
    assert_eq!(
        (&revoked["items"][0]["result"], &revoked["items"][0]["note"]),
        (&json!("refused"), &json!("that key is revoked"))
    );
    std::fs::write(&file, format!("users:\n- username: {secret}\n  password: [{secret}]\n")).unwrap();
    let broken = typed(&server, &format!("import vmauth {}", file.display()));
    assert!(broken.stderr.contains("line 3") && !broken.stderr.contains(secret), "{}", broken.stderr);
    broken.failed(2, "not what was expected");
}
