//! Keys as files: what a file declares comes true, once.

use std::collections::BTreeMap;

use keyloft::key::{Digest, KeyType, PlainSecret};
use serde_json::{Value, json};

use crate::support::key_files::whoami;
use crate::support::process::keyloft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::{Answer, Client, Ended, TestServer, typed};

const FILE: &str = "\
version: 1
permissionSets:
  writers: {streams: [web-*], limits: {requests: {perMinute: 600}}}
keys:
  - {name: checkout, type: ingestion, permissionSet: writers, sourceId: shop}
  - {name: search, type: ingestion, permissionSet: writers, allowedCidrs: [127.0.0.0/8]}
  - name: dashboards
    type: query
    expiresAt: 2999-01-01T00:00:00Z
    metadata: {team: ops}
";

/// Writes a file beside the store and types a command on it.
fn apply(server: &TestServer, text: &str, options: &str) -> Ended {
    let file = server.directory().with_extension("yaml");
    std::fs::write(&file, text).unwrap();
    let ended = typed(server, format!("apply -f {} {options}", file.display()).trim_end());
    std::fs::remove_file(file).unwrap();
    ended
}

/// What is printed of fresh keys: a name, a tab and an API key.
pub fn secrets(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|line| line.split_once('\t')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

pub async fn keys(client: &Client) -> BTreeMap<String, Value> {
    let page = client.get("/api/v1/tenants/default/apikeys?limit=1000").await.json();
    let items = page["items"].as_array().unwrap().iter();
    items.map(|key| (key["keyName"].as_str().unwrap().to_owned(), key.clone())).collect()
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_once() {
    let server = TestServer::spawn().await;
    let ended = typed(&server, "apply -f nofile.yaml");
    assert_eq!((ended.code, ended.stderr.matches("nofile.yaml").count()), (2, 1), "{ended:?}");
}

#[tokio::test]
async fn the_same_file_twice_changes_nothing_the_second_time() {
    let server = TestServer::spawn().await;
    let shown = apply(&server, FILE, "--dry-run").done();
    assert!(shown.contains("+ issue   checkout") && shown.contains("3 to issue."), "{shown}");
    assert!(keys(&server.admin()).await.is_empty(), "a dry run writes nothing");
    let first = apply(&server, FILE, "").done();
    assert!(first.contains("3 of 3 done."), "{first}");
    let fresh = secrets(&first);
    assert_eq!(fresh.len(), 3, "{first}");
    for (name, api_key) in &fresh {
        let me = server.with_key(api_key).get("/api/v1/whoami").await;
        assert_eq!((me.status.as_u16(), &me.json()["keyName"]), (200, &json!(name)));
    }
    let held = keys(&server.admin()).await;
    let checkout = &held["checkout"];
    assert_eq!((&checkout["streams"], &checkout["sourceId"]), (&json!(["web-*"]), &json!("shop")));
    assert_eq!(checkout["limits"], json!({"requests": {"perMinute": 600, "burst": 600}}));
    assert_eq!(held["search"]["allowedCidrs"], json!(["127.0.0.0/8"]));
    let dashboards = &held["dashboards"];
    assert_eq!(
        (&dashboards["expiresAt"], &dashboards["metadata"]),
        (&json!("2999-01-01T00:00:00.000Z"), &json!({"team": "ops"}))
    );
    assert_eq!((&dashboards["ownSecret"], &dashboards["createdBy"]), (&json!(false), &json!("admin")));
    for options in ["", "--prune", "--dry-run", "--yes"] {
        assert_eq!(apply(&server, FILE, options).done(), "Nothing to change.\n");
    }
    assert_eq!(keys(&server.admin()).await, held);
}

#[tokio::test]
async fn what_differs_is_shown_and_changed_and_the_rest_is_left_alone() {
    let server = TestServer::spawn().await;
    let fresh = secrets(&apply(&server, FILE, "").done());
    let other = server.admin().issue("default", "by-hand", "query").await;
    let changed =
        FILE.replace("[web-*]", "[web-*, audit]").replace(", sourceId: shop", "").replace("team: ops", "team: sre");
    let without = changed
        .replace("  - {name: search, type: ingestion, permissionSet: writers, allowedCidrs: [127.0.0.0/8]}\n", "");
    let shown = apply(&server, &without, "").done();
    for line in [
        "~ update  checkout",
        "    streams: web-* -> web-*,audit",
        "    sourceId: shop -> none",
        "    metadata: {\"team\":\"ops\"} -> {\"team\":\"sre\"}",
        "2 to update.",
        "2 of 2 done.",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let held = keys(&server.admin()).await;
    assert_eq!(held.len(), 4, "nothing is revoked without --prune");
    assert_eq!(held["search"]["streams"], json!(["web-*"]));
    let pruned = apply(&server, &without, "--prune --yes").done();
    assert!(pruned.contains("- revoke  by-hand") && pruned.contains("2 to revoke."), "{pruned}");
    assert_eq!(whoami(&server, &other.api_key).await, 401);
    assert_eq!(whoami(&server, &fresh["search"]).await, 401);
    assert_eq!(whoami(&server, &fresh["checkout"]).await, 200, "a changed key keeps its secret");
    assert_eq!(apply(&server, &without, "--prune").done(), "Nothing to change.\n");
}

#[tokio::test]
async fn state_and_expiry_stay_unless_the_file_speaks_of_them() {
    let server = TestServer::spawn().await;
    let silent = "version: 1\nkeys:\n  - {name: a, type: query}\n";
    let api_key = secrets(&apply(&server, silent, "").done())["a"].clone();
    typed(&server, "key update a --disable --expires-at 2998-01-01T00:00:00Z").done();
    assert_eq!(apply(&server, silent, "").done(), "Nothing to change.\n", "what an admin disabled stays so");
    let said = silent.replace("query}", "query, state: active, expiresAt: null}");
    let shown = apply(&server, &said, "").done();
    assert!(shown.contains("state: disabled -> active") && shown.contains("-> none"), "{shown}");
    assert_eq!(whoami(&server, &api_key).await, 200);
    apply(&server, &silent.replace("query}", "query, state: disabled}"), "").done();
    assert_eq!(whoami(&server, &api_key).await, 401);
    let born_disabled = "version: 1\nkeys:\n  - {name: b, type: query, state: disabled}\n";
    let api_key = secrets(&apply(&server, born_disabled, "").done())["b"].clone();
    assert_eq!(whoami(&server, &api_key).await, 401);
    assert_eq!(apply(&server, born_disabled, "").done(), "Nothing to change.\n");
}

#[tokio::test]
async fn a_declared_digest_is_the_secret_and_another_one_rotates_it() {
    let server = TestServer::spawn().await;
    let [one, two, three] = [(); 3].map(|()| PlainSecret::generate(KeyType::Query).unwrap());
    let file = |secret: &PlainSecret, overlap: u32| {
        let (digest, hint) = (secret.digest().to_document(), secret.hint());
        let hint = hint.as_str();
        format!(
            "version: 1\nkeys:\n  - {{name: ci, type: query, digest: '{digest}', hint: '{hint}', \
             overlapSeconds: {overlap}}}\n"
        )
    };
    let issued = apply(&server, &file(&one, 0), "").done();
    assert!(secrets(&issued).is_empty() && issued.contains("1 of 1 done."), "{issued}");
    let id = keys(&server.admin()).await["ci"]["keyId"].clone();
    assert_eq!(whoami(&server, one.expose()).await, 200);
    assert_eq!(apply(&server, &file(&one, 3600), "").done(), "Nothing to change.\n");
    let rotated = apply(&server, &file(&two, 3600), "").done();
    assert!(rotated.contains("↻ rotate  ci"), "{rotated}");
    assert_eq!((whoami(&server, one.expose()).await, whoami(&server, two.expose()).await), (200, 200));
    apply(&server, &file(&three, 0), "").done();
    let status = async |secret: &PlainSecret| whoami(&server, secret.expose()).await;
    assert_eq!((status(&one).await, status(&two).await, status(&three).await), (401, 401, 200));
    let held = keys(&server.admin()).await;
    assert_eq!((&held["ci"]["keyId"], held.len()), (&id, 1));
    assert_eq!(apply(&server, &file(&three, 0), "--prune").done(), "Nothing to change.\n");
    let four = PlainSecret::generate(KeyType::Query).unwrap();
    apply(&server, &file(&four, 7).replace(", overlapSeconds: 7", ""), "").done();
    assert_eq!((status(&three).await, status(&four).await), (200, 200), "an hour, unless something else is said");
}

#[tokio::test]
async fn a_bad_file_names_its_line_and_changes_nothing() {
    let server = TestServer::spawn().await;
    apply(&server, FILE, "").done();
    let before = keys(&server.admin()).await;
    let again = "  - {name: checkout, type: ingestion}\n";
    for (from, to, line, reason) in [
        ("version: 1", "version: 7", 1, "version 1"),
        ("web-*", "Web", 3, "a stream pattern"),
        ("sourceId", "source", 5, "unknown field source"),
        ("type: query", "type: both", 8, "type takes ingestion or query"),
        ("2999-01-01T00:00:00Z", "soon", 9, "an instant"),
        ("    metadata: {team: ops}\n", again, 10, "declared on line 5 already"),
        ("permissionSet: writers, sourceId", "permissionSet: readers, sourceId", 5, "no permission set named readers"),
        ("127.0.0.0/8", "127.0.0.1/8", 6, "allowedCidrs"),
        ("keys:", "keys: [", 5, ""),
    ] {
        for options in ["--prune --yes", "--dry-run"] {
            let ended = apply(&server, &FILE.replacen(from, to, 1), options);
            assert!(ended.stderr.contains(&format!("line {line}: ")), "{to}: {}", ended.stderr);
            ended.failed(2, reason);
        }
    }
    apply(&server, "version: 1\nkeys: []\n", "--prune").failed(2, "declares no key");
    let other_type = apply(&server, &FILE.replace("type: query", "type: ingestion"), "--prune");
    assert!(other_type.stderr.contains(".yaml: line 7: dashboards is of type query"), "{}", other_type.stderr);
    other_type.failed(3, "duplicate_key_name");
    let lasting = |seconds: Option<u32>| json!({"maxKeyLifetimeSeconds": seconds});
    server.admin().patch("/api/v1/tenants/default", lasting(Some(60))).await;
    let late = "  - {name: late, type: query, expiresAt: 2999-01-01T00:00:00Z}\n";
    for late in [late, &late.replace("2999-01-01T00:00:00Z", "null")] {
        let text = format!("version: 1\nkeys:\n  - {{name: new, type: query}}\n{late}");
        for options in ["--dry-run", "--yes"] {
            let refused = apply(&server, &text, options);
            assert!(refused.stdout.is_empty() && refused.stderr.contains("line 4: late: "), "{}", refused.stderr);
            refused.failed(3, "last at most 60 seconds");
        }
    }
    server.admin().patch("/api/v1/tenants/default", lasting(None)).await;
    apply(&server, &format!("tenant: acme\n{FILE}"), "--tenant default").failed(2, "the file is for tenant acme");
    apply(&server, &format!("tenant: acme\n{FILE}"), "").failed(3, "not_found");
    typed(&server, "apply -f /nowhere/keys.yaml").failed(2, "cannot open");
    assert_eq!(keys(&server.admin()).await, before);
}

#[tokio::test]
async fn json_for_programs_and_a_file_for_secrets() {
    let server = TestServer::spawn().await;
    let preview = apply(&server, FILE, "--dry-run --json").json();
    assert_eq!(preview["plan"].as_array().unwrap().len(), 3);
    assert_eq!((&preview["results"], &preview["receipt"]), (&json!([]), &Value::Null));
    apply(&server, FILE, "--json").failed(2, "--secrets");
    let kept = server.directory().with_extension("tsv");
    let applied = apply(&server, FILE, &format!("--json --secrets {}", kept.display())).json();
    assert!(applied["results"].as_array().unwrap().iter().all(|result| result["ok"] == true), "{applied}");
    assert!(applied["receipt"]["changeSeq"].as_u64().unwrap() >= 1);
    let fresh = secrets(&std::fs::read_to_string(&kept).unwrap());
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(fresh.len(), 3);
    for api_key in fresh.values() {
        assert!(!applied.to_string().contains(api_key));
        assert_eq!(whoami(&server, api_key).await, 200);
    }
    assert!(!applied.to_string().contains("sha256:"));
}

pub const ROUTE: &str = "/api/v1/tenants/default/apikeys/apply";

pub fn digest() -> String {
    PlainSecret::generate(KeyType::Query).unwrap().digest().to_document()
}

#[tokio::test]
async fn over_http_a_declaration_that_cannot_be_is_refused_before_its_first_step() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let (shared, held) = (digest(), digest());
    let key = |name: &str, digest: &str| json!({"keyName": name, "keyType": "query", "digest": digest});
    let good = key("held", &held);
    assert_eq!(admin.post(ROUTE, json!({"keys": [good]})).await.status, 200);
    let fine = key("fine", &digest());
    for (body, status, code) in [
        (json!({}), 400, "invalid_request"),
        (json!([]), 400, "invalid_request"),
        (json!({"keys": [], "prune": true}), 400, "invalid_request"),
        (json!({"keys": [fine], "prune": true, "moveIn": true}), 400, "invalid_request"),
        (json!({"keys": [fine, fine]}), 400, "invalid_request"),
        (json!({"keys": [fine, key("a", &shared), key("b", &shared)]}), 400, "invalid_request"),
        (json!({"keys": [fine, {"keyName": "a", "keyType": "query"}]}), 400, "invalid_request"),
        (json!({"keys": [fine, {"keyName": "a", "keyType": "query", "apiKey": "x"}]}), 400, "invalid_request"),
        (json!({"keys": [fine, {"keyName": "a", "keyType": "query", "digest": "md5:0"}]}), 400, "invalid_request"),
        (json!({"keys": [fine, {"keyName": "a", "keyType": "query", "state": "revoked"}]}), 400, "invalid_request"),
        (
            json!({"keys": [fine, {"keyName": "held", "keyType": "ingestion", "digest": held}]}),
            409,
            "duplicate_key_name",
        ),
        (json!({"keys": [fine, key("thief", &held)]}), 409, "duplicate_api_key"),
        (json!({"keys": [fine], "planTag": "another"}), 412, "precondition_failed"),
        (json!({"keys": [{"keyName": "a", "keyType": "query"}], "moveIn": true}), 400, "invalid_request"),
    ] {
        admin.post(ROUTE, body.clone()).await.refused(status, code);
    }
    let token = Digest::of(ADMIN_TOKEN).to_document();
    let fresh = json!({"keyName": "a", "keyType": "query", "issueWith": {"digest": token, "hint": ""}});
    for body in [json!({"keys": [fine, key("a", &token)]}), json!({"keys": [fine, fresh]})] {
        let answer = admin.post(ROUTE, body).await;
        assert!(answer.text().contains("The admin token cannot be an API key."), "{}", answer.text());
        answer.refused(400, "invalid_request");
    }
    admin.post("/api/v1/tenants/nobody/apikeys/apply", json!({"keys": []})).await.refused(404, "not_found");
    admin
        .post("/api/v1/tenants/default/apikeys/apply?dryrun=true", json!({"keys": []}))
        .await
        .refused(400, "invalid_request");
    let large =
        admin.request("POST", ROUTE).header("content-type", "application/json").body(vec![b' '; 17 * 1024 * 1024]);
    Answer::of(large).await.refused(413, "payload_too_large");
    let roomy = format!("{}{}", " ".repeat(1024 * 1024), json!({"keys": [good]}));
    let roomy = admin.request("POST", ROUTE).header("content-type", "application/json").body(roomy);
    assert_eq!(Answer::of(roomy).await.json()["plan"], json!([]));
    assert_eq!(keys(&admin).await.len(), 1, "nothing was done of what was refused");
}

#[tokio::test]
async fn a_plan_is_carried_out_as_it_was_agreed_to_or_not_at_all() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let body = json!({"keys": [{"keyName": "a", "keyType": "query", "digest": digest(), "streams": ["web"]}]});
    let preview = admin.post(&format!("{ROUTE}?dryRun=true"), body.clone()).await.json();
    assert_eq!(preview["plan"][0]["action"], "issue");
    let mut agreed = body.clone();
    agreed["planTag"] = preview["planTag"].clone();
    admin.issue("default", "a", "query").await;
    admin.post(ROUTE, agreed.clone()).await.refused(412, "precondition_failed");
    let preview = admin.post(&format!("{ROUTE}?dryRun=true"), body).await.json();
    let change = &preview["plan"][0];
    assert_eq!(
        (&change["action"], &change["changes"]["streams"]),
        (&json!("rotate"), &json!({"from": ["*"], "to": ["web"]}))
    );
    agreed["planTag"] = preview["planTag"].clone();
    let done = admin.post(&format!("{ROUTE}?wait=5s"), agreed).await;
    assert_eq!((done.status.as_u16(), &done.json()["results"][0]["ok"]), (200, &json!(true)));
    assert_eq!(done.json()["receipt"]["behind"], json!([]));
}

#[tokio::test]
async fn two_who_apply_the_same_at_once_end_with_one_key_for_each_name() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = |number: usize| json!({"keyName": format!("k{number}"), "keyType": "query", "digest": digest()});
    let body = json!({"keys": (0..30).map(key).collect::<Vec<_>>()});
    let (one, other) = tokio::join!(admin.post(ROUTE, body.clone()), admin.post(ROUTE, body.clone()));
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200));
    assert_eq!(admin.post(ROUTE, body).await.json()["plan"], json!([]));
    assert_eq!(keys(&admin).await.len(), 30);
    let page = admin.get("/api/v1/tenants/default/apikeys?limit=1000").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn a_file_may_come_from_standard_input() {
    let server = TestServer::spawn().await;
    let mut command = keyloft();
    command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN).args(["apply", "-f", "-"]);
    assert!(Ended::of(&mut command, FILE).done().contains("3 of 3 done."));
    Ended::of(&mut command, "version: 1\nkeys: {}\n").failed(2, "-: line 2: ");
    Ended::of(&mut command, &" ".repeat(17 * 1024 * 1024)).failed(2, "larger than");
}
