//! `keyloft store check`, as operators type it.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::TestStore;
use crate::support::process::{keyloft, run};

/// The exit code and what was said.
fn check(store: &TestStore, options: &[&str]) -> (i32, String, String) {
    let mut command = keyloft();
    command.args(["store", "check", "--store", &store.url()]).args(options);
    command.envs(store.variables().iter().cloned());
    let Output { status, stdout, stderr } = run(&mut command, "");
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
fn a_safe_store_is_a_table_and_exit_code_0() {
    for (store, mode) in [(TestStore::directory(), "local"), (TestStore::ceph(), "cas-unquoted")] {
        let (code, stdout, stderr) = check(&store, &[]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        let lines: Vec<&str> = stdout.lines().collect();
        assert!(lines[0].starts_with("PROPERTY") && lines[0].contains("RESULT"), "{stdout}");
        assert_eq!(lines.len(), 1 + 7 + 1 + 1, "{stdout}");
        assert!(lines[1..8].iter().all(|line| line.contains("  ok  ")), "{stdout}");
        assert_eq!(lines[9], format!("mode: {mode}"));
    }
}

#[test]
fn programs_get_json() {
    let store = TestStore::directory();
    let (code, stdout, _) = check(&store, &["--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["safe"], &report["mode"]), (0, &json!(true), &json!("local")));
    let first = &report["properties"][0];
    assert_eq!(
        (&first["property"], &first["result"], &first["needed"]),
        (&json!("create_once"), &json!("ok"), &json!(true))
    );
}

#[test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs moto: run scripts/test.sh")]
fn a_store_without_conditions_is_exit_code_1_and_its_table_says_why() {
    let store = TestStore::moto();
    let mut command = keyloft();
    command.args(["store", "check", "--store", &store.url()]).envs(store.variables().iter().cloned());
    let Output { status, stdout, stderr } = run(command.env("AWS_CONDITIONAL_PUT", "disabled"), "");
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stdout.contains("not there") && stdout.ends_with("mode: unsafe\n"), "{stdout}");
    assert!(stderr.contains("create_once"), "{stderr}");
}

#[test]
fn a_store_that_does_not_answer_is_exit_code_4_in_seconds() {
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [hung.local_addr().unwrap(), closed] {
        let start = Instant::now();
        let (code, stdout, stderr) = check(&TestStore::at(&format!("http://{address}"), "key", "secret"), &[]);
        assert_eq!((code, stdout.as_str()), (4, ""), "{stderr}");
        assert!(stderr.contains("the store"), "{stderr}");
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    }
}

#[test]
fn a_store_is_named_and_no_server_is_asked() {
    for line in ["store check", "store check --store ftp://x", "store check --store x --url http://127.0.0.1:1"] {
        let Output { status, .. } = run(keyloft().args(line.split(' ')), "");
        assert_eq!(status.code(), Some(2), "{line}");
    }
}
