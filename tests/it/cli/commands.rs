//! The commands of operators, as they are typed.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::process::keyloft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::{Ended, TestServer, typed};

#[tokio::test]
async fn the_life_of_a_key_in_tables_for_people() {
    let server = TestServer::spawn().await;
    let created = typed(&server, "key create --name checkout --type query --streams web-*,audit").done();
    let api_key = created.split_whitespace().find(|word| word.starts_with("kl_qry_")).unwrap().to_owned();
    assert_eq!(created.matches(&api_key).count(), 1);
    assert_eq!(server.with_key(&api_key).get("/api/v1/whoami").await.status, 200);
    let list = typed(&server, "key list").done();
    let [heading, row] = list.lines().collect::<Vec<_>>()[..] else { panic!("{list}") };
    assert!(heading.starts_with("KEY ID") && heading.contains("STREAMS"), "{heading}");
    for cell in ["checkout", "query", "active", "web-*,audit", &api_key[52..]] {
        assert!(row.contains(cell), "{cell}: {row}");
    }
    let id = row.split_whitespace().next().unwrap();
    let shown = typed(&server, "key show checkout").done();
    assert_eq!(shown, typed(&server, &format!("key show {id}")).done());
    assert!(shown.lines().any(|line| line.starts_with("State") && line.ends_with("active")), "{shown}");
    let updated = typed(&server, "key update checkout --disable --streams *").done();
    assert!(updated.contains("disabled"), "{updated}");
    assert_eq!(server.with_key(&api_key).get("/api/v1/whoami").await.status, 401);
    typed(&server, "key update checkout --enable").done();
    assert_eq!(server.with_key(&api_key).get("/api/v1/whoami").await.status, 200);
    assert_eq!(typed(&server, "key revoke checkout").done(), format!("Key {id} is revoked.\n"));
    assert_eq!(server.with_key(&api_key).get("/api/v1/whoami").await.status, 401);
    assert_eq!(typed(&server, "key list").done().lines().count(), 1);
    assert!(typed(&server, "key list --state revoked").done().contains(id));
    typed(&server, "key show checkout").failed(3, "no live key named checkout");
    for secretless in [list, shown, updated] {
        assert!(!secretless.contains(&api_key) && !secretless.contains("sha256:"), "{secretless}");
    }
}

#[tokio::test]
async fn networks_and_limits_are_typed_and_taken_back() {
    let server = TestServer::spawn().await;
    let line =
        "key create --name k --type ingestion --allowed-cidrs 10.0.0.0/8,::1 --requests-per-minute 600:50 --json";
    let created = typed(&server, line).json();
    let key = server.with_key(created["apiKey"].as_str().unwrap());
    assert_eq!(created["allowedCidrs"], json!(["10.0.0.0/8", "::1/128"]));
    assert_eq!(created["limits"], json!({"requests": {"perMinute": 600, "burst": 50}}));
    key.get("/api/v1/whoami").await.refused(403, "network_not_allowed");
    let updated = typed(&server, "key update k --any-network --events-per-minute 7 --json").json();
    let limits = json!({"requests": {"perMinute": 600, "burst": 50}, "events": {"perMinute": 7, "burst": 7}});
    assert_eq!((&updated["allowedCidrs"], &updated["limits"]), (&json!([]), &limits));
    assert_eq!(key.get("/api/v1/whoami").await.header("ratelimit"), Some("\"key-requests\";r=49;t=1"));
    let shown = typed(&server, "key show k").done();
    assert!(shown.lines().any(|line| line.starts_with("Limits") && line.contains("600")), "{shown}");
    assert_eq!(typed(&server, "key update k --no-limits --json").json()["limits"], json!({}));
    let tenant = typed(&server, "tenant update default --bytes-per-minute 2048 --json").json();
    assert_eq!(tenant["limits"], json!({"bytes": {"perMinute": 2048, "burst": 2048}}));
    let tenant = typed(&server, "tenant update default --requests-per-minute 1 --json").json();
    assert_eq!(tenant["limits"]["bytes"], json!({"perMinute": 2048, "burst": 2048}));
    assert_eq!(key.get("/api/v1/whoami").await.status, 200);
    key.get("/api/v1/whoami").await.refused(429, "rate_limited");
    assert!(typed(&server, "tenant update default --no-limits").done().contains("Limits"));
    assert_eq!(key.get("/api/v1/whoami").await.header("ratelimit"), None);
}

#[tokio::test]
async fn keys_and_tenants_in_json_for_programs() {
    let server = TestServer::spawn().await;
    let tenant = typed(&server, "tenant create acme --name Acme --json").json();
    assert_eq!((&tenant["tenantId"], &tenant["name"]), (&json!("acme"), &json!("Acme")));
    let line =
        "key create --tenant acme --name ci --type ingestion --source-id ci --expires-at 2999-01-01T00:00:00Z --json";
    let created = typed(&server, line).json();
    let key = server.with_key(created["apiKey"].as_str().unwrap());
    assert_eq!(key.ingest("web", "{}").await.status, 200);
    let listed = typed(&server, "--tenant acme --json key list --type ingestion --limit 5").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!((&listed["items"][0]["keyId"], &listed["nextCursor"]), (&created["keyId"], &Value::Null));
    assert_eq!(typed(&server, "key list --tenant acme --type query --json").json()["items"], json!([]));
    let shown = typed(&server, "key show ci --tenant acme --json").json();
    assert_eq!((&shown["sourceId"], shown.get("apiKey")), (&json!("ci"), None));
    let updated = typed(&server, "key update ci --tenant acme --no-expiry --metadata {\"a\":1} --json").json();
    assert_eq!((&updated["expiresAt"], &updated["metadata"]), (&Value::Null, &json!({"a": 1})));
    let suspended = typed(&server, "tenant suspend acme --only ingestion --json").json();
    assert_eq!(suspended["suspended"], json!(["ingestion"]));
    key.ingest("web", "{}").await.refused(403, "tenant_suspended");
    assert_eq!(typed(&server, "tenant resume acme --json").json()["suspended"], json!([]));
    assert_eq!(key.ingest("web", "{}").await.status, 200);
    let tenants = typed(&server, "tenant list --json").json();
    let ids: Vec<_> = tenants["items"].as_array().unwrap().iter().map(|tenant| &tenant["tenantId"]).collect();
    assert_eq!(ids, [&json!("acme"), &json!("default")]);
    assert!(typed(&server, "tenant list").done().lines().any(|line| line.starts_with("acme")));
    assert!(typed(&server, "tenant delete acme").done().starts_with("Tenant acme is deleted"));
    assert_eq!(key.ingest("web", "{}").await.status, 401);
    assert_eq!(typed(&server, "key revoke ci --tenant acme").code, 3);
}

#[tokio::test]
async fn a_key_is_rotated_and_its_overlap_ended() {
    let server = TestServer::spawn().await;
    let key_in = |text: &str| text.split_whitespace().find(|word| word.starts_with("kl_qry_")).unwrap().to_owned();
    let old = key_in(&typed(&server, "key create --name checkout --type query").done());
    let rotated = typed(&server, "key rotate checkout --overlap 7d").done();
    let new = key_in(&rotated);
    assert!(rotated.contains(&format!("…{}", &old[52..])) && !rotated.contains(&old), "{rotated}");
    for works in [&old, &new] {
        assert_eq!(server.with_key(works).get("/api/v1/whoami").await.status, 200);
    }
    let shown = typed(&server, "key show checkout").done();
    assert!(shown.lines().any(|line| line.starts_with("Older secrets") && line.contains(&old[52..])), "{shown}");
    typed(&server, "key update checkout --end-overlap").done();
    assert_eq!(server.with_key(&old).get("/api/v1/whoami").await.status, 401);
    let waited = typed(&server, "key rotate checkout --overlap 0s --wait 5s").done();
    assert!(waited.ends_with("Applied on every live node (1).\n"), "{waited}");
    assert_eq!(server.with_key(&new).get("/api/v1/whoami").await.status, 401);
    let json = typed(&server, "key rotate checkout --json").json();
    assert!(json["apiKey"].is_string() && json["olderSecrets"].as_array().unwrap().len() == 1, "{json}");
    typed(&server, "key rotate nobody").failed(3, "no live key named nobody");
    typed(&server, "key rotate checkout --overlap 366d").failed(3, "overlapSeconds");
    typed(&server, "key rotate checkout --overlap soon").failed(2, "duration");
}

#[tokio::test]
async fn a_secret_is_imported_from_standard_input() {
    const OWN: &str = "8Jq2-vT9x_mW4c.Zr7Kd0pLs6YhNf3Be";
    const NEXT: &str = "c0ffee12-9b7d-4e31-8a56-2f0d9b8e7c64";
    let server = TestServer::spawn().await;
    let piped = |line: &str, input: &str| {
        let mut command = keyloft();
        command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN);
        Ended::of(command.args(line.split(' ')), input)
    };
    let create = "key create --name agents --type query --api-key-stdin";
    let created = piped(create, &format!("{OWN}\n")).done();
    assert!(created.contains("…f3Be") && !created.contains(OWN), "{created}");
    assert_eq!(server.with_key(OWN).get("/api/v1/whoami").await.status, 200);
    for (input, reason) in [("", "400"), ("hunter2", "400"), ("hunter2\nhunter2\n", "400")] {
        let ended = piped("key create --name other --type query --api-key-stdin", input);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
        ended.failed(3, reason);
    }
    piped("key create --name other --type query --api-key-stdin", OWN).failed(3, "duplicate_api_key");
    let rotated = piped("key rotate agents --overlap 0s --api-key-stdin --json", NEXT).json();
    assert_eq!((&rotated["ownSecret"], rotated.get("apiKey")), (&json!(true), None));
    assert_eq!(server.with_key(OWN).get("/api/v1/whoami").await.status, 401);
    assert_eq!(server.with_key(NEXT).get("/api/v1/whoami").await.status, 200);
}

#[tokio::test]
async fn keys_and_tenants_are_told_how_long_they_last() {
    let server = TestServer::spawn().await;
    let acme = typed(&server, "tenant create acme --default-key-lifetime 30d --max-key-lifetime 90d --json").json();
    assert_eq!(
        (&acme["defaultKeyLifetimeSeconds"], &acme["maxKeyLifetimeSeconds"]),
        (&json!(2_592_000), &json!(7_776_000))
    );
    let end = |line: &str| typed(&server, &format!("{line} --tenant acme --json")).json()["expiresAt"].clone();
    assert!(end("key create --name a --type query").is_string());
    typed(&server, "key create --name b --type query --no-expiry --tenant acme").failed(3, "7776000 seconds");
    typed(&server, "key create --name b --type query --expires-in 91d --tenant acme").failed(3, "7776000 seconds");
    typed(&server, "tenant update acme --no-default-key-lifetime --no-max-key-lifetime --name Acme").done();
    assert_eq!(end("key create --name b --type query"), Value::Null);
    assert!(end("key update b --expires-in 1h").is_string());
    let page = typed(&server, "key list --tenant acme --expires-before 2999-01-01T00:00:00Z --json").json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let none = typed(&server, "key list --tenant acme --expires-before 2001-01-01T00:00:00Z --json").json();
    assert_eq!(none["items"], json!([]));
    typed(&server, "tenant update acme --default-key-lifetime 2d --max-key-lifetime 1d").failed(3, "invalid_request");
    typed(&server, "tenant update acme").failed(2, "required");
    assert!(typed(&server, "tenant show acme").done().lines().any(|line| line.starts_with("At most (s)")));
}

#[tokio::test]
async fn refusals_are_3_and_usage_is_2() {
    let server = TestServer::spawn().await;
    typed(&server, "key create --name a --type query").done();
    typed(&server, "key create --name a --type query").failed(3, "duplicate_key_name");
    typed(&server, "tenant create default").failed(3, "duplicate_tenant");
    typed(&server, "tenant delete default").failed(3, "tenant_protected");
    typed(&server, "tenant show nobody").failed(3, "not_found");
    typed(&server, "key list --tenant nobody").failed(3, "not_found");
    typed(&server, "key show 5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10").failed(3, "not_found");
    for usage in [
        "key create --name a",
        "key list --limit 0",
        "key frob",
        "tenant create ../x",
        "key update a",
        "--url nowhere key list",
    ] {
        typed(&server, usage).failed(2, "");
    }
    let wrong = |token: &str| {
        Ended::of(keyloft().args(["key", "list", "--url", server.url()]).env("KEYLOFT_ADMIN_TOKEN", token), "")
    };
    wrong("kl_adm_somebody_elses_token_0123456789").failed(3, "invalid_admin_token");
    wrong("hunter2").failed(2, "32");
    Ended::of(keyloft().args(["key", "list", "--url", server.url()]), "").failed(2, "no admin token");
}

#[tokio::test]
async fn a_server_that_is_not_there_or_not_ready_is_4() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = keyloft();
    command.env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN).args(["key", "list", "--url", &format!("http://{closed}")]);
    Ended::of(&mut command, "").failed(4, "cannot reach");
    let server = TestServer::spawn_with(|setup| setup.hydrate = false).await;
    typed(&server, "key list").failed(4, "not_ready");
}

#[tokio::test]
async fn the_admin_token_may_stand_in_a_file_and_never_in_an_argument() {
    let server = TestServer::spawn().await;
    let file = server.path("token");
    std::fs::write(&file, format!("{ADMIN_TOKEN}\n")).unwrap();
    let mut command = keyloft();
    command.env("KEYLOFT_ADMIN_TOKEN_FILE", &file).args(["tenant", "list", "--url", server.url()]);
    assert!(Ended::of(&mut command, "").done().contains("default"));
    for line in ["key list --admin-token x", "key list --token x", "key validate --api-key x", "serve --admin-token x"]
    {
        typed(&server, line).failed(2, "unexpected argument");
    }
}

#[tokio::test]
async fn a_key_generated_offline_works_once_its_document_is_in_the_store() {
    let server = TestServer::spawn().await;
    let line = ["key", "generate", "--name", "ci", "--type", "ingestion", "--streams", "web-*", "--json"];
    let generated = Ended::of(keyloft().args(line), "").json();
    let api_key = generated["apiKey"].as_str().unwrap();
    assert!(!generated["document"].to_string().contains(api_key));
    let object = server.path(generated["object"].as_str().unwrap());
    std::fs::create_dir_all(object.parent().unwrap()).unwrap();
    std::fs::write(&object, generated["document"].to_string()).unwrap();
    let sender = server.with_key(api_key);
    assert_eq!(sender.ingest("web-1", "{}").await.status, 401, "not before the node has read it");
    let synced = server.admin().post("/api/v1/sync", json!({})).await;
    assert_eq!((synced.status.as_u16(), &synced.json()["keys"]), (200, &json!(1)));
    assert_eq!(sender.ingest("web-1", "{}").await.status, 200);
    sender.ingest("other", "{}").await.refused(403, "stream_not_allowed");
    let people = Ended::of(keyloft().args(["key", "generate", "--name", "b", "--type", "query"]), "").done();
    assert!(people.starts_with("API key  kl_qry_") && people.contains("\"digest\": \"sha256:"), "{people}");
}

#[test]
fn a_key_on_standard_input_is_told_from_others_and_from_nonsense() {
    let generate =
        || Ended::of(keyloft().args(["key", "generate", "--name", "a", "--type", "query", "--json"]), "").json();
    let (one, other) = (generate(), generate());
    let digest = one["document"]["digest"].as_str().unwrap();
    let validate = |input: &str| Ended::of(keyloft().args(["key", "validate", "--digest", digest]), input);
    let text = |generated: &Value| generated["apiKey"].as_str().unwrap().to_owned();
    validate(&text(&one)).done();
    validate(&format!("{}\r\n", text(&one))).done();
    validate(&text(&other)).failed(3, "does not belong");
    // Without its first character it could be an imported secret.
    validate(&text(&one)[1..]).failed(3, "does not belong");
    for nonsense in ["", "hunter2", &text(&one)[..55], &format!("{} ", text(&one))] {
        let ended = validate(nonsense);
        assert!(nonsense.is_empty() || !ended.stderr.contains(nonsense), "{}", ended.stderr);
        ended.failed(2, "no API key");
    }
    let bad = Ended::of(keyloft().args(["key", "validate", "--digest", "md5:0"]), &text(&one));
    bad.failed(2, "digest");
}

#[test]
fn a_key_is_told_to_belong_to_the_hash_that_another_system_has_of_it() {
    let validate =
        |expected: &[&str], input: &str| Ended::of(keyloft().args(["key", "validate"]).args(expected), input);
    // RFC 7914, section 12, as a PHC string.
    let phc = "$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevu\
               UqD7m2DYMvfoswGQA";
    // What Ditto Edge Server prints is the base64 of one; this one was made with Python's hashlib.
    let ditto = "c2NyeXB0JGxuPTEwLHI9OCxwPTEkTURFeU16UTFOamM0T1dGaVkyUmxaZyRvbE0rSk96aHlLVjJOK2ZsMGpnQjNza0MyNjFrSHR\
                 UUTZHM1lwL0hWd1N3";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hash");
    std::fs::write(&file, format!("{ditto}\n")).unwrap();
    assert!(validate(&["--scrypt", phc], "password\n").done().contains("belongs to this hash"));
    assert_eq!(
        validate(&["--scrypt", ditto, "--json"], "dGVzdC1hcGkta2V5LTEyMzQ1Njc4OTA=").json(),
        json!({"valid": true})
    );
    validate(&["--scrypt-file", file.to_str().unwrap()], "dGVzdC1hcGkta2V5LTEyMzQ1Njc4OTA=").done();
    validate(&["--scrypt", ditto], "hunter2").failed(3, "does not belong to this hash");
    validate(&["--scrypt", ditto], "").failed(2, "no API key");
    validate(&["--scrypt", "$scrypt$ln=25,r=8,p=1$TmFDbA$TmFDbA"], "x").failed(2, "");
    validate(&["--scrypt", "hunter2"], "x").failed(2, "must be");
    validate(&["--scrypt-file", "/nowhere"], "x").failed(2, "/nowhere");
    validate(&[], "x").failed(2, "required");
    validate(&["--scrypt", ditto, "--digest", &format!("sha256:{}", "0".repeat(64))], "x").failed(2, "cannot be used");
}

#[test]
fn the_help_of_every_command_teaches_by_example() {
    let key = ["create", "list", "show", "update", "rotate", "revoke", "bulk", "generate", "validate"];
    let tenant = ["create", "list", "show", "update", "suspend", "resume", "delete"];
    let mut lines = vec![vec![], vec!["serve"], vec!["key"], vec!["tenant"], vec!["store"], vec!["store", "check"]];
    lines.extend([vec!["apply"], vec!["import"], vec!["import", "parseable"], vec!["import", "vmauth"]]);
    lines.extend(key.map(|command| vec!["key", command]));
    lines.extend(tenant.map(|command| vec!["tenant", command]));
    for line in lines {
        let help = Ended::of(keyloft().args(&line).arg("--help"), "").done();
        assert!(help.contains("Usage: keyloft"), "{help}");
        let example = format!("\n  {}", [&["keyloft"], line.as_slice()].concat().join(" "));
        assert!(help.contains(&example), "no example in the help of {line:?}:\n{help}");
    }
}

/// The same with standard output closed, or thrown away.
fn unseen(server: &TestServer, line: &str, redirection: &str) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}"), env!("CARGO_BIN_EXE_keyloft")]);
    command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN);
    Ended::of(command.args(line.split(' ')), "")
}

#[tokio::test]
async fn what_nobody_would_see_is_not_issued() {
    let server = TestServer::spawn().await;
    let before = typed(&server, "key create --name kept --type query --json").json();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.yaml");
    std::fs::write(&file, "version: 1\nkeys:\n- {name: lost, type: query}\n").unwrap();
    let apply = format!("apply -f {} --yes", file.display());
    for redirection in [">&-", ">/dev/null"] {
        for line in [
            "key create --name lost --type query",
            "key create --name lost --type query --json",
            "key rotate kept",
            "key generate --name lost --type query",
            &apply,
        ] {
            unseen(&server, line, redirection).failed(1, "standard output is closed");
        }
        let kept = format!("{apply} --dry-run");
        assert_eq!(unseen(&server, &kept, redirection).code, 0, "what issues nothing needs no output");
    }
    let keys = typed(&server, "key list --json").json();
    assert_eq!(keys["items"].as_array().unwrap().len(), 1, "{keys}");
    assert_eq!(server.with_key(before["apiKey"].as_str().unwrap()).get("/api/v1/whoami").await.status, 200);
    let secrets = folder.path().join("secrets");
    assert_eq!(unseen(&server, &format!("{apply} --secrets {}", secrets.display()), ">&-").code, 0);
    assert!(std::fs::read_to_string(secrets).unwrap().starts_with("lost\tkl_qry_"));
}

#[tokio::test]
async fn dates_and_distances_find_keys_that_expire() {
    let server = TestServer::spawn().await;
    typed(&server, "key create --name soon --type query --expires-in 30d").done();
    typed(&server, "key create --name late --type query --expires-at 2999-01-01").done();
    let names = |bound: &str| {
        let found = typed(&server, &format!("key list --expires-before {bound} --json")).json();
        found["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["keyName"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((names("20d"), names("90d")), (vec![], vec!["soon".to_owned()]));
    assert_eq!(names("2999-01-02").len(), 2);
    let late = typed(&server, "key show late --json").json();
    assert_eq!(late["expiresAt"], "2999-01-01T00:00:00.000Z");
    typed(&server, "key create --name x --type query --expires-at 90d").failed(2, "--expires-in");
    typed(&server, "key create --name x --type query --expires-in 1M").failed(2, "365d");
}

#[test]
fn the_version_says_how_it_was_built() {
    let said = Ended::of(keyloft().arg("--version"), "").done();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_keyloft"));
    let folder = binary.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert_eq!(said, format!("keyloft {} ({folder})\n", env!("CARGO_PKG_VERSION")));
}
