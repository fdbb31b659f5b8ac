//! `keyloft key bulk` and `keyloft key revoke --…`, as they are typed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{TestServer, typed, typed_with};

fn write(path: &Path, lines: &[Value]) {
    std::fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

fn issue(name: &str) -> Value {
    json!({"op": "issue", "keyName": name, "keyType": "query"})
}

/// The API keys that are kept in a file, with their names.
fn kept(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    let word = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    text.lines().map(line).map(|line| (word(&line, "keyName"), word(&line, "apiKey"))).collect()
}

#[tokio::test]
async fn api_keys_are_made_here_kept_for_nobody_else_and_found_again() {
    let server = TestServer::spawn().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.ndjson");
    let secrets = folder.path().join("keys.ndjson.secrets");
    write(&file, &[issue("a"), issue("b")]);
    let line = format!("key bulk {}", file.display());
    let dry = typed(&server, &format!("{line} --dry-run"));
    assert_eq!((dry.code, secrets.exists()), (0, false), "{}", dry.stderr);
    assert!(dry.stdout.starts_with("A dry run, nothing is changed: issued 2,"), "{}", dry.stdout);
    assert!(server.admin().names().await.is_empty());
    let first = typed(&server, &line);
    assert_eq!(
        (first.code, first.stdout.trim_end()),
        (0, "issued 2, updated 0, revoked 0, unchanged 0, refused 0, failed 0")
    );
    assert!(first.stderr.contains("2 new API keys are kept in"), "{}", first.stderr);
    assert_eq!(secrets.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let keys = kept(&secrets);
    assert_eq!(keys.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    for (_, api_key) in &keys {
        assert_eq!(server.with_key(api_key).get("/api/v1/whoami").await.status, 200);
        assert!(!first.stdout.contains(api_key) && !first.stderr.contains(api_key));
    }
    // A longer file later: those that are there stay as they are.
    write(&file, &[issue("a"), issue("b"), issue("c"), json!({"op": "revoke", "filter": {"name": "b"}})]);
    let later = typed(&server, &line);
    assert_eq!(
        (later.code, later.stdout.trim_end()),
        (0, "issued 1, updated 0, revoked 1, unchanged 2, refused 0, failed 0")
    );
    assert_eq!(kept(&secrets)[..2], keys);
    assert_eq!(server.admin().names().await, ["a", "c"]);
    assert!(later.stderr.contains("1 new API keys are kept in") && later.stderr.contains("where 2 stood already"));
    let page = server.admin().get("/api/v1/tenants/default/apikeys?name=c").await.json();
    assert_eq!(page["items"][0]["ownSecret"], false);
    // The API key of what was revoked is of no use any more.
    write(&file, &[issue("a"), issue("b")]);
    let revoked = typed(&server, &line);
    assert!(revoked.stderr.contains("all 2 API keys stood in"), "{}", revoked.stderr);
    assert!(revoked.code == 3 && revoked.stderr.contains("with another --out, fresh ones"), "{}", revoked.stderr);
    let null = json!({"op": "issue", "keyName": "n", "keyType": "query", "apiKey": null, "digest": null, "hint": null});
    write(&file, &[null]);
    assert_eq!(typed(&server, &line).code, 0);
    assert_eq!(kept(&secrets).last().unwrap().0, "n");
}

#[tokio::test]
async fn refusals_are_shown_and_end_with_3() {
    let server = TestServer::spawn().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.ndjson");
    server.admin().issue("default", "taken", "query").await;
    write(&file, &[issue("taken"), json!({"op": "revoke", "filter": {}}), json!({"op": "what"}), issue("good")]);
    let ended = typed(&server, &format!("key bulk {}", file.display()));
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    for word in ["taken", "duplicate_key_name", "invalid_request", "filter selects too much", "issued 1,", "refused 3,"]
    {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
    assert!(ended.stderr.contains("3 lines were refused"), "{}", ended.stderr);
    let json = typed(&server, &format!("key bulk {} --json", file.display()));
    assert_eq!(json.code, 3);
    let lines: Vec<Value> = json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), &lines[3]["change"], &lines[4]["summary"]["refused"]),
        (5, &json!("unchanged"), &json!(3))
    );
}

#[tokio::test]
async fn a_file_may_come_in_on_standard_input_if_it_is_said_where_api_keys_go() {
    let server = TestServer::spawn().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let lost = typed_with(&server, "key bulk -", &format!("{}\n", issue("a")));
    assert_eq!(lost.code, 2, "{}", lost.stderr);
    assert!(lost.stderr.contains("--out"), "{}", lost.stderr);
    let ended = typed_with(&server, &format!("key bulk - --out {} --wait 5s", out.display()), &issue("a").to_string());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("Applied on every live node (1)."), "{}", ended.stdout);
    assert_eq!(kept(&out).len(), 1);
    let revoke = json!({"op": "revoke", "filter": {"name": "a"}}).to_string();
    assert_eq!(typed_with(&server, "key bulk -", &revoke).code, 0);
    assert!(server.admin().names().await.is_empty());
    assert_eq!(typed(&server, "key bulk nowhere.ndjson").code, 2);
    assert_eq!(typed_with(&server, "key bulk - --tenant nobody", &revoke).code, 3);
}

#[tokio::test]
async fn keys_are_revoked_by_a_filter_once_that_is_confirmed() {
    let server = TestServer::spawn().await;
    for name in ["ci-1", "ci-2", "web"] {
        server.admin().issue_with("default", json!({"keyName": name, "keyType": "query", "sourceId": "s"})).await;
    }
    let dry = typed(&server, "key revoke --name-pattern ci-* --source-id s --dry-run");
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(dry.stdout.contains("revoked 2,"), "{}", dry.stdout);
    let unsure = typed_with(&server, "key revoke --name-pattern ci-*", "y\n");
    assert_eq!(unsure.code, 2);
    assert!(unsure.stderr.contains("2 keys would be revoked: say --yes"), "{}", unsure.stderr);
    assert_eq!(server.admin().names().await, ["ci-1", "ci-2", "web"]);
    let done = typed(&server, "key revoke --name-pattern ci-* --yes");
    assert_eq!((done.code, server.admin().names().await), (0, vec!["web".to_owned()]), "{}", done.stderr);
    let none = typed(&server, "key revoke --created-by somebody");
    assert_eq!((none.code, none.stdout.as_str()), (0, "No key is meant.\n"));
    for usage in ["key revoke", "key revoke --yes", "key revoke web --source-id s", "key revoke --unused-since soon"] {
        assert_eq!(typed(&server, usage).code, 2, "{usage}");
    }
    // One key by its name, as ever.
    assert_eq!(typed(&server, "key revoke web").code, 0);
}

#[tokio::test]
async fn a_file_that_begins_with_a_byte_order_mark_is_read_from_its_first_line() {
    let server = TestServer::spawn().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.ndjson");
    std::fs::write(&file, format!("\u{feff}{}\r\n{}\r\n", issue("a"), issue("b"))).unwrap();
    let done = typed(&server, &format!("key bulk {}", file.display()));
    assert_eq!(done.code, 0, "{}", done.stderr);
    // The API key of the first line was made here, too, and not by the server.
    let kept: Vec<String> =
        kept(&folder.path().join("keys.ndjson.secrets")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(kept, ["a", "b"]);
}
