//! Identities of an edge server of Ditto.

use serde_json::json;

use super::{FIXTURES, assert_nowhere, carried, pairs, report, results};
use crate::support::process::keyloft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::{Client, Ended, TestServer, typed};

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
