//! Nodes of a benchmark, and an admin of theirs.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use keyloft::key::KeyId;
use serde_json::{Value, json};

const ADMIN_TOKEN: &str = "kl_adm_bench_0123456789abcdef0123456789";
/// A node that is asked whether it is ready says each time that it is not.
const LOG: &str = "warn,keyloft::http::middleware=off";
const KEYS: &str = "/api/v1/tenants/default/apikeys";

/// Where nodes keep everything.
#[derive(Clone)]
pub enum Store {
    Directory(PathBuf),
    /// A service at this address, and a prefix in its bucket.
    S3 {
        endpoint: String,
        prefix: String,
    },
}

impl Store {
    /// A fresh place on the service that `scripts/with-stores.sh` has started.
    pub fn ceph() -> Self {
        let endpoint = started("KEYLOFT_TEST_CEPH");
        Self::S3 { endpoint, prefix: KeyId::random().to_string() }
    }

    /// The same place seen through another address.
    pub fn through(&self, address: &str) -> Self {
        match self {
            Self::S3 { prefix, .. } => Self::S3 { endpoint: address.to_owned(), prefix: prefix.clone() },
            Self::Directory(_) => panic!("a directory has no address"),
        }
    }

    /// What it is, for a table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::S3 { .. } => "ceph",
        }
    }
}

fn started(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run this by its script"))
}

/// A running `keyloft serve`, and an admin's client of it. Ended in order when dropped.
pub struct Node {
    child: Child,
    /// Kept open: a server that cannot finish its greeting does not start.
    _stdout: BufReader<ChildStdout>,
    url: String,
    http: reqwest::Client,
}

/// A key that was issued.
pub struct Key {
    pub id: String,
    pub api_key: String,
}

impl Node {
    /// Starts a node and waits until it is ready.
    pub async fn start(store: &Store, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyloft"));
        // Variables that the environment sets for other stores and servers.
        let foreign = std::env::vars().filter(|(name, _)| name.starts_with("KEYLOFT_") || name.starts_with("AWS_"));
        foreign.for_each(|(name, _)| _ = command.env_remove(name));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-filter", LOG]).args(options);
        command.env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN).arg("--store");
        match store {
            Store::Directory(path) => _ = command.arg(path),
            Store::S3 { endpoint, prefix } => {
                command.arg(format!("s3://keyloft/{prefix}"));
                command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_REGION", "us-east-1");
                command.env("AWS_ACCESS_KEY_ID", started("KEYLOFT_TEST_ACCESS_KEY"));
                command.env("AWS_SECRET_ACCESS_KEY", started("KEYLOFT_TEST_SECRET_KEY"));
            }
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("--type query\n") && stdout.read_line(&mut greeting).unwrap() > 0 {}
        let url = greeting.split_whitespace().find(|word| word.starts_with("http://")).expect("an address").to_owned();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let node = Self { child, _stdout: stdout, url, http };
        while node.http.get(format!("{}/api/v1/readiness", node.url)).send().await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        node
    }

    /// An admin's request: the status, and what was answered.
    pub async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{KEYS}{path}", self.url));
        let request = request.bearer_auth(ADMIN_TOKEN);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Issues a key.
    pub async fn issue(&self, name: &str) -> Key {
        let (status, view) = self.admin("POST", "", Some(json!({"keyName": name, "keyType": "query"}))).await;
        assert_eq!(status, 201, "{view}");
        let text = |field: &str| view[field].as_str().unwrap().to_owned();
        Key { id: text("keyId"), api_key: text("apiKey") }
    }

    /// The status that a key gets.
    pub async fn present(&self, key: &Key) -> u16 {
        let request = self.http.get(format!("{}/api/v1/whoami", self.url)).header("x-api-key", &key.api_key);
        request.send().await.unwrap().status().as_u16()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // In order, so that it takes itself off the board: the next nodes on the store shall not read of it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
