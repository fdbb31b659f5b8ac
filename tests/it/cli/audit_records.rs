//! `keyloft audit list`, `tail` and `export`: what happened, as an operator reads it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::process::keyloft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::{TestServer, typed};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn records_are_listed_and_exported_for_a_tenant_and_for_the_platform() {
    let server = TestServer::spawn().await;
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme", "name": "A\u{202e}B"})).await;
    for name in ["a", "b", "c"] {
        typed(&server, &format!("key create --name {name} --type query --tenant acme")).done();
    }
    typed(&server, "key revoke a --tenant acme").done();
    typed(&server, "key create --name d --type query").done();
    let told = typed(&server, "audit list --tenant acme").done();
    let rows: Vec<&str> = told.lines().collect();
    assert!(rows[0].starts_with("AT") && rows[0].ends_with("ID"), "{told}");
    assert_eq!(rows.len(), 6, "{told}");
    for word in ["admin_token", "key.revoke", "key a", "127.0.0.1", "done", "5-0"] {
        assert!(rows[1].contains(word), "{word}: {told}");
    }
    assert!(rows[5].contains("tenant A\\u{202e}B"), "{told}");
    let page = typed(&server, "audit list --tenant acme --action key.issue --limit 2 --json").json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["items"][0]["target"]["name"]), (2, &json!("c")));
    let all = lines(&typed(&server, "audit export --platform").done());
    assert_eq!((all.len(), &all[0]["target"]["name"]), (6, &json!("d")));
    assert_eq!(lines(&typed(&server, "audit export --platform --target a --from 1h").done()).len(), 2);
    assert_eq!(typed(&server, "audit export --from 2020-01-01 --to 2020-01-02").done(), "");
    typed(&server, "audit list --action key.forget").failed(3, "action is an action");
    typed(&server, "audit list --tenant nobody").failed(3, "no such tenant");
}

/// Ends a command that would go on for ever.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_begins_with_what_is_there_and_goes_on_with_what_comes() {
    let server = TestServer::spawn().await;
    for name in ["a", "b", "c"] {
        server.admin().issue("default", name, "query").await;
    }
    let mut command = keyloft();
    command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN);
    command.args(["audit", "tail", "--lines", "2", "--json"]).stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut told = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let name = |line: Option<std::io::Result<String>>| {
        serde_json::from_str::<Value>(&line.unwrap().unwrap()).unwrap()["target"]["name"].clone()
    };
    let mut next = || name(told.next());
    assert_eq!([next(), next()], [json!("b"), json!("c")]);
    for name in ["d", "e"] {
        server.admin().issue("default", name, "query").await;
    }
    assert_eq!([next(), next()], [json!("d"), json!("e")]);
}
