//! A server that holds the earthquakes, and somebody who reads them.

use std::time::Duration;

use super::server::Setup;
use super::{Client, Issued, TestServer, events};

/// More rows than any client reads: millions, streamed.
pub const STREAMING: &str = "SELECT a.event_id AS a, b.place AS b FROM quakes a, quakes b";
/// Minutes of work before the first row, in little memory: a join keeps one of its sides.
pub const COMPUTING: &str = "SELECT count(*) AS n FROM quakes a, quakes b, quakes c \
                             WHERE sin(a.magnitude * b.magnitude + tan(c.magnitude)) > 1";

pub struct Scene {
    pub server: TestServer,
    pub sender: Issued,
    pub reader: Issued,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let server = TestServer::spawn_with(change).await;
        let sender = server.admin().issue("default", "shipper", "ingestion").await;
        let reader = server.admin().issue("default", "dashboard", "query").await;
        let sent = server.with_key(&sender.api_key).ingest("quakes", events::EARTHQUAKES).await;
        assert_eq!(sent.status, 200, "{}", sent.text());
        Self { server, sender, reader }
    }

    pub fn reading(&self) -> Client {
        self.server.with_key(&self.reader.api_key)
    }

    pub fn sending(&self) -> Client {
        self.server.with_key(&self.sender.api_key)
    }

    /// Asks in the background.
    pub fn ask(&self, sql: &'static str) -> tokio::task::JoinHandle<super::Answer> {
        let reading = self.reading();
        tokio::spawn(async move { reading.query(sql).await })
    }

    /// Asks for more than can be sent, and reads the first bytes.
    pub async fn streaming(&self) -> reqwest::Response {
        let body = serde_json::json!({"query": STREAMING});
        let mut response = self.reading().request("POST", "/api/v1/query").json(&body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.chunk().await.unwrap().is_some_and(|chunk| chunk.starts_with(b"[")));
        assert_eq!(self.server.open_sessions(), 1);
        response
    }

    /// Waits until one query computes.
    pub async fn until_computing(&self) {
        self.server
            .until("a query computes", |server| server.open_sessions() == 1 && server.app.engine.live_tasks() > 0)
            .await;
        // Its session is open, and it counts as work, before its query is read.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// Waits until no session is open and no query works.
    pub async fn until_idle(&self) {
        self.server.until("no session is open", |server| server.open_sessions() == 0).await;
        self.server.until("no query works", |server| server.app.engine.live_tasks() == 0).await;
    }
}

/// A sender and a reader of the default tenant.
pub async fn people(server: &TestServer) -> (Client, Client) {
    let sender = server.admin().issue("default", "shipper", "ingestion").await;
    let reader = server.admin().issue("default", "dashboard", "query").await;
    (server.with_key(&sender.api_key), server.with_key(&reader.api_key))
}

/// Reads the rest of an answer, which must break off before its end.
pub async fn must_break_off(mut response: reqwest::Response) {
    loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the body was closed cleanly"),
            Err(error) => return assert!(error.is_body() || error.is_decode(), "{error:?}"),
        }
    }
}
