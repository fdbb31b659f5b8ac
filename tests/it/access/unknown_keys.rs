//! Unknown keys: answered from memory where that is safe, looked for where another node may have issued them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyloft::key::{KeyType, PlainSecret};
use reqwest::StatusCode;

use crate::support::server::Setup;
use crate::support::{Client, TestServer};

fn unknown() -> PlainSecret {
    PlainSecret::generate(KeyType::Query).unwrap()
}

/// Servers over one directory that believe a proxy at this address about their clients.
async fn servers(count: usize) -> Vec<TestServer> {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut servers = Vec::new();
    for _ in 0..count {
        let directory = directory.clone();
        let change = |setup: &mut Setup| {
            setup.directory = directory;
            setup.config.sync.poll_interval = Duration::from_millis(200);
            setup.config.http.trusted_proxies = "127.0.0.1/32".parse().unwrap();
        };
        servers.push(TestServer::spawn_with(change).await);
    }
    servers
}

async fn whoami(client: &Client, api_key: &str, address: &str) -> StatusCode {
    let request = client.request("GET", "/api/v1/whoami").header("x-api-key", api_key);
    request.header("x-forwarded-for", address).send().await.unwrap().status()
}

async fn counted(server: &TestServer, outcome: &str) -> u64 {
    let metrics = server.anonymous().get("/metrics").await;
    let name = format!("keyloft_unknown_key_lookups_total{{outcome=\"{outcome}\"}} ");
    metrics.text().lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

#[tokio::test]
async fn a_node_that_is_alone_does_not_look() {
    let server = &servers(1).await[0];
    server
        .until("it knows that it is alone", |server| {
            use keyloft::keystore::Lookup;
            server.app.keystore.decide_lookup(&unknown().digest(), None) == Lookup::Alone
        })
        .await;
    let start = Instant::now();
    let (before, client) = (counted(server, "looked").await, server.anonymous());
    for _ in 0..100 {
        assert_eq!(whoami(&client, unknown().expose(), "192.0.2.1").await, 401);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "each look takes a tenth of a second: {:?}", start.elapsed());
    assert_eq!(counted(server, "looked").await, before);
    assert!(counted(server, "alone").await >= 100);
}

#[tokio::test]
async fn a_flood_is_answered_from_memory_and_a_new_key_works_at_once_for_everybody_else() {
    let servers = servers(2).await;
    let [a, b] = &servers[..] else { panic!("two servers") };
    a.admin().issue("default", "first", "query").await;
    let flood = tokio::spawn({
        let flooding = b.anonymous();
        async move {
            let mut answered = 0_u32;
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) {
                let mut requests = Vec::new();
                for _ in 0..64 {
                    let request = flooding.request("GET", "/api/v1/whoami").header("x-api-key", unknown().expose());
                    requests.push(request.header("x-forwarded-for", "203.0.113.9").send());
                }
                answered += u32::try_from(futures::future::join_all(requests).await.len()).unwrap();
            }
            answered
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let client = b.anonymous();
    for round in 0..8 {
        let issued = a.admin().issue("default", &format!("key-{round}"), "query").await;
        assert_eq!(whoami(&client, &issued.api_key, "198.51.100.7").await, 200, "round {round}");
    }
    let answered = flood.await.unwrap();
    assert!(answered > 1_000, "only {answered} were answered: each waited for a look");
    assert!(counted(b, "over_budget").await > u64::from(answered) / 2);
}
