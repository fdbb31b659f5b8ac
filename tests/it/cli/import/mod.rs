//! Moving in from other systems: clients go on with the secrets they have.

mod ditto;
mod parseable;
mod vmauth;

use std::path::Path;

use serde_json::Value;

use crate::support::{Client, Ended, TestServer};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/import");

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
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
