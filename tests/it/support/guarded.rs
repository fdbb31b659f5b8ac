//! An application that enforces decisions: `examples/decide_middleware.rs`, which `cargo test` builds beside the tests.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::{Client, TestServer};

/// A running one. Killed when dropped.
pub struct Guarded {
    child: Child,
    url: String,
}

impl Guarded {
    /// Starts one on a free port, with a key of its own for the default tenant of a server.
    pub async fn before(server: &TestServer) -> Self {
        let body = json!({"keyName": format!("guard-{}", server.url().rsplit(':').next().unwrap()),
            "keyType": "ingestion", "sourceId": "shop"});
        let key = server.admin().issue_with("default", body).await;
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = Command::new(program())
            .env("KEYLOFT_URL", server.url())
            .env("KEYLOFT_API_KEY", key.api_key)
            .env("LISTEN", &address)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let guarded = Self { child, url: format!("http://{address}") };
        for _ in 0..1000 {
            if TcpStream::connect(&address).is_ok() {
                return guarded;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the example does not start");
    }

    /// The address of something on it.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The same under a name, which every browser of the tests takes for this machine.
    pub fn named(&self, name: &str, path: &str) -> String {
        self.at(path).replace("127.0.0.1", name)
    }

    /// Somebody who uses it.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(&self.url)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example, as new as its source: `cargo test --test it` alone does not build it.
fn program() -> std::path::PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_keyloft")).with_file_name("examples").join("decide_middleware");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/decide_middleware.rs");
    let written = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified());
    let is_new = written(&program).is_ok_and(|built| built >= written(&source).unwrap());
    assert!(is_new, "{} is not built: cargo build --example decide_middleware", program.display());
    program
}
