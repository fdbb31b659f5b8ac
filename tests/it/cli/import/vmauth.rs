//! Users of vmauth.

use serde_json::json;

use super::{FIXTURES, assert_nowhere, carried, pairs, report, results};
use crate::support::{TestServer, typed};

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
