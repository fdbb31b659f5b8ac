//! A real identity provider: the one that `scripts/with-stores.sh` started, or one of a test's own; and a browser that
//! signs somebody in there.

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use url::Url;

use super::process::send_signal;
use super::stores::started;

/// What proves to it who its clients are. Their ids are `keyloft-rs256`, `-ps256`, `-es256` and `-eddsa`.
pub const CLIENT_SECRET: &str = "hunter2:with%special+characters";

/// The issuer of the provider that no test stops.
pub fn shared_issuer() -> String {
    started("KEYLOFT_TEST_OIDC")
}

/// A provider of a test's own. Killed when dropped.
pub struct OwnProvider {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl OwnProvider {
    /// Starts one whose clients prove who they are in this way.
    pub async fn start(auth: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(port, auth, &folder);
        let provider = Self { child, port, folder };
        provider.until_answers().await;
        provider
    }

    fn spawn(port: u16, auth: &str, folder: &tempfile::TempDir) -> Child {
        Command::new(started("KEYLOFT_TEST_OIDC_NODE"))
            .arg(started("KEYLOFT_TEST_OIDC_PROGRAM"))
            .env("PORT", port.to_string())
            .env("AUTH", auth)
            .env("ACCOUNTS", folder.path().join("accounts.json"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn until_answers(&self) {
        for _ in 0..3000 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the provider does not start");
    }

    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it says this about people, by name.
    pub fn says(&self, accounts: &serde_json::Value) {
        std::fs::write(self.folder.path().join("accounts.json"), accounts.to_string()).unwrap();
    }

    /// It accepts connections and answers nothing.
    pub fn pause(&self) {
        send_signal(self.child.id(), "STOP");
    }

    /// Ends it, and starts another one with other keys in its place.
    pub async fn restart(&mut self, auth: &str) {
        self.kill();
        self.child = Self::spawn(self.port, auth, &self.folder);
        self.until_answers().await;
    }

    /// Ends it: nobody listens any more.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for OwnProvider {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A browser: it keeps cookies, follows redirects, and stops where one leads away from the provider.
pub struct Browser {
    client: reqwest::Client,
    cookies: HashMap<String, String>,
}

impl Default for Browser {
    fn default() -> Self {
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { client, cookies: HashMap::new() }
    }
}

impl Browser {
    /// Signs in by that name, consents, and returns the address that the provider sends the browser back to.
    pub async fn sign_in(&mut self, begin: &Url, name: &str) -> Url {
        let mut at = self.follow(begin.clone()).await;
        for form in [vec![("prompt", "login"), ("login", name), ("password", "x")], vec![("prompt", "consent")]] {
            if !at.path().starts_with("/interaction/") {
                break;
            }
            let next = self.visit(self.client.post(at.clone()).form(&form)).await.expect("the form is taken");
            at = self.follow(at.join(&next).unwrap()).await;
        }
        at
    }

    /// Goes there and says no.
    pub async fn refuse(&mut self, begin: &Url) -> Url {
        let at = self.follow(begin.clone()).await;
        self.follow(at.join(&format!("{}/abort", at.path())).unwrap()).await
    }

    /// Follows redirects within the provider; returns the page, or the first address elsewhere.
    async fn follow(&mut self, mut at: Url) -> Url {
        let origin = at.origin();
        while at.origin() == origin {
            match self.visit(self.client.get(at.clone())).await {
                Some(next) => at = at.join(&next).unwrap(),
                None => return at,
            }
        }
        at
    }

    /// Where an answer redirects to.
    async fn visit(&mut self, request: reqwest::RequestBuilder) -> Option<String> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => _ = self.cookies.remove(name),
                value => _ = self.cookies.insert(name.to_owned(), value.to_owned()),
            }
        }
        let status = answer.status();
        assert!(status.is_success() || status.is_redirection(), "{status}: {}", answer.text().await.unwrap());
        answer.headers().get(LOCATION).map(|next| next.to_str().unwrap().to_owned())
    }
}
