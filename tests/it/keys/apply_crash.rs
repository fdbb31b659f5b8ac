//! Whatever ends in the middle of an apply, the same file again brings about the same end.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keyloft::Bucket;
use serde_json::{Value, json};

use super::apply::{ROUTE, digest, keys, secrets};
use crate::support::process::keyloft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::{Ended, Fault, Faults, Faulty, Process, TestServer};

/// Two hundred keys, and where their secrets go.
fn many() -> String {
    let keys = (0..200).map(|number| format!("  - {{name: k{number}, type: query, sourceId: many}}\n"));
    format!("version: 1\nkeys:\n{}", keys.collect::<String>())
}

fn applying(url: &str, token: &str, file: &Path, kept: &Path) -> Command {
    let mut command = keyloft();
    command.env("KEYLOFT_URL", url).env("KEYLOFT_ADMIN_TOKEN", token).arg("apply").arg("-f").arg(file);
    command.arg("--secrets").arg(kept).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Waits until a store holds some keys, but not all of them.
fn until_begun(store: &Path) {
    for _ in 0..6000 {
        let count = std::fs::read_dir(store.join(".settings/apikeys")).map_or(0, Iterator::count);
        if count >= 20 {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("nothing was issued");
}

#[tokio::test]
async fn killed_in_the_middle_and_run_again_it_ends_in_the_same_state() {
    let directory = tempfile::tempdir().unwrap();
    let (store, file, kept) =
        (directory.path().join("store"), directory.path().join("k.yaml"), directory.path().join("k.tsv"));
    std::fs::write(&file, many()).unwrap();
    let variables = [("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN)];
    // The server is killed.
    let server = Process::serve_with(&store, &[], &variables);
    let mut client = applying(server.url(), ADMIN_TOKEN, &file, &kept).spawn().unwrap();
    until_begun(&store);
    server.signal("KILL");
    assert_ne!(client.wait().unwrap().code(), Some(0));
    drop(server);
    let server = Process::serve_with(&store, &[], &variables);
    // The client is killed.
    let mut client = applying(server.url(), ADMIN_TOKEN, &file, &kept).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    client.kill().unwrap();
    client.wait().unwrap();
    // Steps that the server was still taking for it may be in the way of the first try.
    let mut code = None;
    for _ in 0..20 {
        code = applying(server.url(), ADMIN_TOKEN, &file, &kept).status().unwrap().code();
        if code == Some(0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(code, Some(0));
    let admin = server.admin(ADMIN_TOKEN);
    let held = keys(&admin).await;
    let fresh = secrets(&std::fs::read_to_string(&kept).unwrap());
    assert_eq!((held.len(), fresh.len()), (200, 200));
    for (name, api_key) in &fresh {
        let me = server.with_key(api_key).get("/api/v1/whoami").await;
        assert_eq!((me.status.as_u16(), &me.json()["keyName"]), (200, &json!(name)), "no secret was lost");
    }
    let again = Ended::of(
        &mut {
            let mut command = keyloft();
            command
                .env("KEYLOFT_URL", server.url())
                .env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN)
                .args(["apply", "--prune", "-f"])
                .arg(&file);
            command
        },
        "",
    );
    assert_eq!(again.done(), "Nothing to change.\n");
}

#[tokio::test]
async fn once_the_store_is_away_no_step_begins_and_the_same_again_does_the_rest() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await;
    let admin = server.admin();
    let key = |number: usize| json!({"keyName": format!("k{number}"), "keyType": "query", "digest": digest()});
    let body = json!({"keys": (0..60).map(key).collect::<Vec<_>>()});
    let count = |answer: &Value, ok: bool| {
        answer["results"].as_array().unwrap().iter().filter(|result| result["ok"] == ok).count()
    };
    faults.set(|call| (call.number > 100).then_some(Fault::ErrorBefore));
    let answer = admin.post(ROUTE, body.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let first = answer.json();
    let (done, left) = (count(&first, true), count(&first, false));
    assert!(done < 60 && done + left == 60, "{first}");
    assert!(first.to_string().contains("not tried"), "{first}");
    admin.post(ROUTE, body.clone()).await.refused(503, "store_unavailable");
    faults.none();
    // Names that were claimed for keys that never came are no hindrance.
    let second = admin.post(ROUTE, body.clone()).await.json();
    assert_eq!(count(&second, false), 0, "{second}");
    assert_eq!(admin.post(ROUTE, body).await.json()["plan"], json!([]));
    assert_eq!(keys(&admin).await.len(), 60);
}

#[tokio::test]
async fn an_apply_that_is_cut_off_at_any_call_to_the_store_is_finished_by_the_same_again() {
    let (old, new) = (digest(), digest());
    let key = |name: &str, digest: &str| json!({"keyName": name, "keyType": "query", "digest": digest});
    let mut disabled = key("disabled", &digest());
    disabled["state"] = json!("disabled");
    let mut changed = key("changed", &new);
    changed["sourceId"] = json!("s");
    let body = json!({"keys": [key("issued", &digest()), disabled, changed], "prune": true});
    let (mut number, mut is_done) = (0, false);
    while !is_done {
        number += 1;
        for is_carried_out in [false, true] {
            let faults = Arc::new(Faults::default());
            let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
            let server = TestServer::spawn_with(|setup| {
                setup.config.sync.poll_interval = Duration::from_secs(600);
                setup.bucket = Some(bucket);
            })
            .await;
            let admin = server.admin();
            let before = json!({"keys": [key("changed", &old), key("pruned", &digest())]});
            assert_eq!(admin.post(ROUTE, before).await.status, 200);
            if is_carried_out {
                faults.crash_after(number)
            } else {
                faults.crash_at(number)
            }
            let first = admin.post(ROUTE, body.clone()).await;
            is_done = faults.calls() < number;
            faults.none();
            let again = admin.post(ROUTE, body.clone()).await;
            let results = again.json()["results"].as_array().unwrap().clone();
            let at = format!("at call {number}: {} and then {}", first.text(), again.text());
            assert!(again.status == 200 && results.iter().all(|result| result["ok"] == true), "{at}");
            assert_eq!(admin.post(ROUTE, body.clone()).await.json()["plan"], json!([]), "{at}");
            let held = keys(&admin).await;
            let state = |name: &str| held[name]["state"].as_str().unwrap().to_owned();
            assert_eq!(
                [state("changed"), state("disabled"), state("issued")],
                ["active", "disabled", "active"],
                "{at}"
            );
            assert_eq!((held.len(), &held["changed"]["sourceId"]), (3, &json!("s")), "{at}");
        }
    }
    assert!(number > 10, "{number} calls are too few to say anything");
}
