//! A client that sends requests.

use std::io::Write;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A client with at most one credential.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    credential: Option<(&'static str, String)>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: bytes::Bytes,
}

/// A key that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    pub id: String,
    pub api_key: String,
}

/// Connections to be set up further. Servers of tests speak plain HTTP, and reading the certificates of the machine
/// took most of the time of many tests.
pub fn connections() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().tls_built_in_root_certs(false)
}

/// A body that is sent with `content-encoding: gzip`.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The credential of an admin.
pub fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

impl Client {
    /// Over connections of its own.
    pub fn new(url: &str, credential: Option<(&'static str, String)>) -> Self {
        Self::over(connections().build().unwrap(), url, credential)
    }

    /// Over connections that others use too.
    pub fn over(http: reqwest::Client, url: &str, credential: Option<(&'static str, String)>) -> Self {
        Self { http, url: url.to_owned(), credential }
    }

    /// Without a credential.
    pub fn anonymous(url: &str) -> Self {
        Self::new(url, None)
    }

    /// With an admin token.
    pub fn admin(url: &str, token: &str) -> Self {
        Self::new(url, Some(bearer(token)))
    }

    /// With an API key.
    pub fn with_key(url: &str, api_key: &str) -> Self {
        Self::new(url, Some(("x-api-key", api_key.to_owned())))
    }

    /// A request to be added to.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.credential {
            Some((name, value)) => request.header(*name, value),
            None => request,
        }
    }

    /// The same, for another server.
    pub fn request_at(&self, url: &str, method: &str, path: &str) -> reqwest::RequestBuilder {
        Self { url: url.to_owned(), ..self.clone() }.request(method, path)
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request("POST", path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request("PUT", path).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request("PATCH", path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request("DELETE", path)).await
    }

    /// Waits, at most half a minute, until the server is ready.
    pub async fn until_ready(&self) {
        self.until(|_| true).await;
    }

    /// Waits, at most half a minute, until the server has also verified its keys: it knows which ones do not exist.
    pub async fn until_verified(&self) {
        self.until(|readiness| readiness["verified"] == true).await;
    }

    async fn until(&self, so: impl Fn(&Value) -> bool) {
        for _ in 0..3000 {
            let answer = Answer::try_of(self.request("GET", "/api/v1/readiness")).await;
            if answer.is_some_and(|answer| answer.status == 200 && so(&answer.json())) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} does not become ready", self.url);
    }

    /// The names of all live keys of the default tenant, in order (as an admin).
    pub async fn names(&self) -> Vec<String> {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/tenants/default/apikeys?limit=1000{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            let items = page["items"].as_array().unwrap();
            names.extend(items.iter().map(|item| item["keyName"].as_str().unwrap().to_owned()));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        names.sort();
        names
    }

    /// Issues a key (as an admin).
    pub async fn issue(&self, tenant: &str, name: &str, key_type: &str) -> Issued {
        self.issue_with(tenant, json!({"keyName": name, "keyType": key_type})).await
    }

    /// Issues a key with more to say about it (as an admin).
    pub async fn issue_with(&self, tenant: &str, body: Value) -> Issued {
        let answer = self.post(&format!("/api/v1/tenants/{tenant}/apikeys"), body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let view = answer.json();
        Issued { id: view["keyId"].as_str().unwrap().into(), api_key: view["apiKey"].as_str().unwrap().into() }
    }

    /// Sends events (with an ingestion key).
    pub async fn ingest(&self, stream: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request("POST", "/api/v1/ingest").header("x-p-stream", stream);
        Answer::of(request.header("content-type", "application/json").body(body)).await
    }

    /// Asks SQL (with a query key).
    pub async fn query(&self, sql: &str) -> Answer {
        self.post("/api/v1/query", json!({"query": sql})).await
    }
}

impl Answer {
    /// Sends a request and reads its answer to the end.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::read(request).await.unwrap()
    }

    /// The same; `None` when the server hangs up, or is not there.
    pub async fn try_of(request: reqwest::RequestBuilder) -> Option<Self> {
        Self::read(request).await.ok()
    }

    async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Self { status, headers, body: response.bytes().await? })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of a problem, with what every problem must be.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let body = self.json();
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["type"], format!("urn:keyloft:problem:{code}"));
        assert!(body["title"].is_string() && body["detail"].is_string());
        (self.status.as_u16(), code)
    }

    /// Asserts that this is a problem with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.problem(), (status, code.to_owned()), "{}", self.text());
    }
}
