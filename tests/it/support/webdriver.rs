//! `WebDriver` (<https://www.w3.org/TR/webdriver2/>), as far as tests need it: HTTP with JSON, which the tests have.
//!
//! Of the libraries, `thirtyfour` turns on `preserve_order` of `serde_json`: the server would write its documents in
//! another order in tests than elsewhere. `fantoccini` brings some forty crates.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use super::client::connections;
use super::stores::started;

/// The key of an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const TIMEOUT: Duration = Duration::from_secs(90);

/// A session: one browser. It ends when dropped.
pub struct Session {
    http: reqwest::Client,
    url: Url,
}

impl Session {
    pub async fn start(capabilities: &Value) -> Self {
        let http = connections().timeout(TIMEOUT).build().unwrap();
        let driver: Url = started("KEYLOFT_TEST_BROWSER").parse().unwrap();
        let mut session = Self { http, url: driver.join("session").unwrap() };
        let wanted = json!({"capabilities": {"alwaysMatch": capabilities}});
        let made = session.ask(Method::POST, "", Some(wanted)).await.unwrap();
        session.url = driver.join(&format!("session/{}/", made["sessionId"].as_str().unwrap())).unwrap();
        session
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await.unwrap()
    }

    /// The same, where the answer is a text.
    pub async fn text(&self, path: &str) -> String {
        self.get(path).await.as_str().unwrap().to_owned()
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.try_post(path, body).await.unwrap()
    }

    /// The same; what the driver says when it fails.
    pub async fn try_post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let mut request = self.http.request(method, self.url.join(path).unwrap());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let is_good = answer.status().is_success();
        let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        if is_good { Ok(value) } else { Err(format!("{path}: {}: {}", value["error"], value["message"])) }
    }
}

impl Drop for Session {
    /// The runtime of the test may be gone.
    fn drop(&mut self) {
        let address = (self.url.host_str().unwrap(), self.url.port().unwrap());
        let Ok(mut driver) = TcpStream::connect(address) else { return };
        let path = self.url.path().trim_end_matches('/');
        let _ = driver.set_read_timeout(Some(TIMEOUT));
        let _ = write!(driver, "DELETE {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", address.0);
        // It answers when the browser has ended, and may keep the connection.
        let _ = driver.read(&mut [0; 64]);
    }
}

/// An element of a page.
pub struct Element<'a> {
    session: &'a Session,
    id: String,
}

impl<'a> Element<'a> {
    /// The element that an answer is.
    pub fn of(session: &'a Session, answer: &Value) -> Option<Self> {
        answer[ELEMENT].as_str().map(|id| Self { session, id: id.to_owned() })
    }

    fn at(&self, path: &str) -> String {
        format!("element/{}/{path}", self.id)
    }

    pub async fn click(&self) {
        self.session.post(&self.at("click"), json!({})).await;
    }

    /// Empties a field.
    pub async fn clear(&self) {
        self.session.post(&self.at("clear"), json!({})).await;
    }

    /// Types into it.
    pub async fn enter(&self, text: &str) {
        self.session.post(&self.at("value"), json!({"text": text})).await;
    }

    /// What can be read in it.
    pub async fn text(&self) -> String {
        self.session.text(&self.at("text")).await
    }

    /// The same; `None` when it is gone.
    pub async fn try_text(&self) -> Option<String> {
        let answer = self.session.ask(Method::GET, &self.at("text"), None).await.ok()?;
        answer.as_str().map(str::to_owned)
    }

    /// An attribute as it stands in the page.
    pub async fn attribute(&self, name: &str) -> Option<String> {
        self.session.get(&self.at(&format!("attribute/{name}"))).await.as_str().map(str::to_owned)
    }
}
