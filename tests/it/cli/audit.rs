//! `keyloft audit verify`: whether the change log is what was written, as its reader learns it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::process::keyloft;
use crate::support::{Ended, TestServer, typed};

fn verify(store: &Path, options: &[&str]) -> Ended {
    Ended::of(keyloft().args(["audit", "verify", "--store"]).arg(store).args(options), "")
}

fn entry(server: &TestServer, seq: u64) -> PathBuf {
    server.path(&format!(".settings/keyloft/log/{seq:020}.json"))
}

/// A server whose change log has eight entries.
async fn with_log() -> TestServer {
    let server = TestServer::spawn().await;
    for name in ["a", "b", "c", "d"] {
        typed(&server, &format!("key create --name {name} --type query")).done();
        typed(&server, &format!("key revoke {name}")).done();
    }
    server
}

#[tokio::test]
async fn a_change_log_that_nobody_touched_holds_also_when_it_was_kept_and_trimmed() {
    let server = with_log().await;
    let told = verify(server.directory(), &[]).done();
    for line in ["entries    8, from 1 to 8", "unchained  1", "strays     0", "head       sha256:", "holds      yes"] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let before = verify(server.directory(), &["--json"]).json();
    assert_eq!(server.app.keystore.replica().keep_history().await.unwrap(), 8);
    for seq in 1..=6 {
        std::fs::remove_file(entry(&server, seq)).unwrap();
    }
    assert_eq!(verify(server.directory(), &["--json"]).json(), before);
    let history = server.path(".settings/keyloft/audit");
    std::fs::rename(&history, server.path("aside")).unwrap();
    assert!(verify(server.directory(), &[]).done().contains("2, from 7 to 8, what came before was removed"));
    std::fs::rename(server.path("aside"), history).unwrap();
    typed(&server, "key create --name e --type query").done();
    let after = verify(server.directory(), &["--json"]).json();
    assert_eq!((&after["holds"], &after["entries"], &after["first"]), (&json!(true), &json!(9), &json!(1)));
    assert_ne!(after["head"], before["head"]);
}

#[tokio::test]
async fn one_byte_of_an_old_entry_is_found_and_the_entry_named() {
    let server = with_log().await;
    let text = std::fs::read_to_string(entry(&server, 3)).unwrap();
    std::fs::write(entry(&server, 3), text.replace("\"admin\"", "\"bdmin\"")).unwrap();
    let ended = verify(server.directory(), &[]);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("3      it is not what the next one names"), "{}", ended.stdout);
    assert!(ended.stderr.contains("see entry 3"), "{}", ended.stderr);
    std::fs::write(entry(&server, 3), text).unwrap();
    std::fs::remove_file(entry(&server, 5)).unwrap();
    let ended = verify(server.directory(), &["--json"]);
    let findings = &serde_json::from_str::<serde_json::Value>(&ended.stdout).unwrap()["findings"];
    assert_eq!((ended.code, findings), (1, &json!([{"seq": 5, "reason": "it is missing"}])));
}

#[test]
fn a_store_is_named_and_no_server_is_asked() {
    for line in ["audit verify", "audit verify --store ftp://x", "audit verify --store x --url http://127.0.0.1:1"] {
        Ended::of(keyloft().args(line.split(' ')), "").failed(2, "");
    }
    verify(Path::new("/nonexistent"), &[]).failed(4, "there is no directory");
    verify(tempfile::tempdir().unwrap().path(), &[]).failed(1, "there is no entry");
}
