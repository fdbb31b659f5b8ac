//! Challenges: solving them, and what attackers try.

mod bounds;
mod browsers;
mod forged;
mod solved;
pub mod solver;
mod uses;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use keyloft::ManualClock;
use serde_json::{Value, json};

use super::SET;
use crate::support::server::Setup;
use crate::support::{Answer, Client, TestServer};
use solver::solve;

const PATH: &str = "/.keyloft/challenge";
const DECIDE: &str = "/api/v1/decide";
const ASK: &str = "00000000-0000-4000-8000-000000000001";
const BLOCK: &str = "6b65796c-6f66-8000-8000-000000000303";
/// One program with one session.
const VISITOR: &str = "00000000-0000-4000-8000-000000000002";
/// The starter `network`.
const NETWORK: &str = "6b65796c-6f66-8000-8000-000000000202";

/// A protected shop.
struct Site {
    server: TestServer,
    clock: Arc<ManualClock>,
    edge: Client,
}

/// A set that asks everybody for little work, about visitors.
fn asking() -> Value {
    asking_with(json!({"level": "low"}))
}

fn asking_with(challenge: Value) -> Value {
    json!({
        "mitigations": [{"mitigationId": ASK, "name": "ask", "mode": "challenge", "challenge": challenge}],
        "entities": [{"entityDefinitionId": VISITOR, "name": "visitor",
            "keyFields": ["client_ip", "client_network", "country", "asn", "request_cookie_session"], "onMissing": "group"}],
        "policies": [{"name": "all", "mitigationId": ASK, "entityDefinitionId": VISITOR}],
    })
}

/// A client with a key of its own tenant that may ask.
async fn edge(server: &TestServer, tenant: &str) -> Client {
    let body = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "shop"});
    let key = server.admin().issue_with(tenant, body).await;
    server.with_key(&key.api_key)
}

impl Site {
    async fn new(set: Value) -> Self {
        Self::with(set, |_| {}).await
    }

    async fn with(set: Value, change: impl FnOnce(&mut Setup)) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-29T07:00:00Z".parse().unwrap()));
        let of_server = clock.clone();
        let server = TestServer::spawn_with(|setup| {
            setup.clock = of_server;
            change(setup);
        })
        .await;
        let edge = edge(&server, "default").await;
        let site = Self { server, clock, edge };
        site.deploy(set).await;
        site
    }

    async fn deploy(&self, set: Value) {
        let deployed = self.server.admin().put(SET, set).await;
        assert_eq!(deployed.status, 200, "{}", deployed.text());
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    async fn decide(&self, event: Value) -> Value {
        let answer = self.edge.post(DECIDE, event).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// What a visitor is asked to solve.
    async fn challenge(&self, event: Value) -> Value {
        let answer = self.decide(event).await;
        assert_eq!(answer["action"], "challenge", "{answer}");
        signed(&answer["challenge"])
    }

    /// What is decided about a visitor who shows something.
    async fn action(&self, mut event: Value, clearance: &str) -> String {
        event["clearance"] = json!(clearance);
        self.decide(event).await["action"].as_str().unwrap().to_owned()
    }

    async fn redeem(&self, challenge: &Value, solution: Value) -> Answer {
        redeem(&self.server, challenge, solution).await
    }

    /// The clearance for a challenge, solved.
    async fn clearance(&self, challenge: &Value) -> String {
        let answer = self.redeem(challenge, solve(challenge)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["clearance"].as_str().unwrap().to_owned()
    }

    /// Sends a form as a browser does.
    async fn form(&self, field: &str, value: &str) -> Answer {
        let client = Client::over(no_redirects(), self.server.url(), None);
        Answer::of(client.request("POST", PATH).header("accept", "text/html").form(&[(field, value)])).await
    }

    async fn page(&self, challenge: &Value) -> Answer {
        let request = self.server.anonymous().request("GET", &at(challenge));
        Answer::of(request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")).await
    }

    /// How often something became of a challenge.
    async fn counted(&self, outcome: &str) -> u64 {
        let metrics = self.server.anonymous().get("/metrics").await;
        let sample = format!("keyloft_challenges_total{{outcome=\"{outcome}\"}} ");
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(&sample));
        line.unwrap_or_else(|| panic!("no {sample}")).parse::<f64>().unwrap() as u64
    }
}

fn no_redirects() -> reqwest::Client {
    crate::support::client::connections().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn redeem(server: &TestServer, challenge: &Value, solution: Value) -> Answer {
    server.anonymous().post(PATH, json!({"challenge": challenge, "solution": solution})).await
}

/// The part of an answer that is sent back.
fn signed(offer: &Value) -> Value {
    json!({"parameters": offer["parameters"], "signature": offer["signature"]})
}

/// The address of a challenge.
fn at(challenge: &Value) -> String {
    format!("{PATH}?challenge={}", URL_SAFE_NO_PAD.encode(challenge.to_string()))
}

/// A visitor: a program and a session at an address.
fn visitor(address: &str, agent: &str, session: &str) -> Value {
    json!({
        "clientIp": address,
        "request": {"method": "GET", "host": "shop.example", "path": "/cart",
            "headers": {"user-agent": agent}, "cookies": {"session": session}},
        "returnPath": "/cart?a=1&b=2",
    })
}

fn ada() -> Value {
    visitor("203.0.113.7", "Mozilla/5.0", "ada")
}
