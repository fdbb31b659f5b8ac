//! Windows that nodes count together in a real Redis, over HTTP, and what they do without it.

use std::time::{Duration, Instant};

use keyloft::config::RedisUrl;
use keyloft::policy::entity::Entity;
use serde_json::{Value, json};

use super::SET;
use crate::support::pair::{quick, two};
use crate::support::redis::Redis;
use crate::support::{Client, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";
const DECIDE: &str = "/api/v1/decide";
/// A busy machine may be late: where Redis must answer, it gets this long.
const PATIENCE: Duration = Duration::from_secs(3);
const BLOCK: &str = "6b65796c-6f66-8000-8000-000000000303";
const MONITOR: &str = "6b65796c-6f66-8000-8000-000000000301";
const NETWORK: &str = "6b65796c-6f66-8000-8000-000000000202";

/// Two nodes that count together.
async fn nodes(redis: &Redis, patience: Duration) -> (TestServer, TestServer) {
    let url = redis.url();
    two(|setup| {
        quick(setup);
        setup.config.limits.redis = RedisUrl::parse(&url).ok();
        setup.config.limits.redis_timeout = patience;
    })
    .await
}

fn policy(name: &str, mitigation: &str, window: Value) -> Value {
    json!({"name": name, "mitigationId": mitigation, "entityDefinitionId": NETWORK, "window": window})
}

fn flood(threshold: u32) -> Value {
    json!({"policies": [policy("flood", BLOCK, json!({"seconds": 60, "threshold": threshold}))]})
}

/// Deploys a set of a tenant on all nodes.
async fn deploy(node: &TestServer, tenant: &str, set: Value) {
    let deployed = node.admin().put(&format!("/api/v1/tenants/{tenant}/policyset?wait=10s"), set).await;
    assert_eq!((deployed.status.as_u16(), &deployed.json()["receipt"]["behind"]), (200, &json!([])));
}

/// Clients of these nodes, with one key of a tenant that may ask.
async fn edges((a, b): &(TestServer, TestServer), tenant: &str) -> [Client; 2] {
    let body = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "shop"});
    let key = a.admin().post(&format!("/api/v1/tenants/{tenant}/apikeys?wait=10s"), body).await.json();
    [a, b].map(|node| node.with_key(key["apiKey"].as_str().unwrap()))
}

fn request(client: &str) -> Value {
    json!({"clientIp": client, "request": {"method": "POST", "host": "shop.example", "path": "/login"}})
}

async fn ask(edge: &Client) -> Value {
    let answer = edge.post(DECIDE, request("203.0.113.7")).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

async fn asks(edge: &Client, times: usize) -> Vec<String> {
    let mut actions = Vec::new();
    for _ in 0..times {
        let answer = ask(edge).await;
        assert_eq!(answer["degraded"], false, "{answer}");
        actions.push(answer["action"].as_str().unwrap().to_owned());
    }
    actions
}

/// A number of the metrics.
async fn metric(node: &TestServer, name: &str) -> u64 {
    let text = node.anonymous().get("/metrics").await.text().to_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"));
    line.trim().parse().unwrap()
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn two_nodes_share_a_window_and_its_threshold_holds_for_both_together() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, PATIENCE).await;
    let [one, other] = edges(&nodes, "default").await;
    deploy(&nodes.0, "default", flood(20)).await;
    assert_eq!(asks(&one, 10).await, ["allow"; 10]);
    assert_eq!(asks(&other, 9).await, ["allow"; 9]);
    let crossing = ask(&other).await;
    assert_eq!((&crossing["action"], &crossing["reason"]), (&json!("block"), &json!("window")));
    assert_eq!(crossing["window"], json!({"count": 20, "threshold": 20, "seconds": 60}));
    assert!(crossing["retryAfterSeconds"].as_u64().is_some_and(|wait| (1..=60).contains(&wait)), "{crossing}");
    assert_eq!(ask(&one).await["window"]["count"], 21);
    // Both nodes explain it by the counts of both, and count nothing meanwhile.
    for node in [&nodes.0, &nodes.1] {
        let event = json!({"event": request("203.0.113.7")});
        let said = node.admin().post(&format!("{SET}/explain"), event).await.json();
        assert_eq!(
            (&said["policies"][0]["window"]["counted"]["count"], &said["degraded"]),
            (&json!(22), &json!(false))
        );
    }
    assert_eq!(metric(&nodes.0, "keyloft_policy_fallbacks_total").await, 0);
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_raised_threshold_holds_at_once_and_a_policy_that_only_watches_sees_what_another_blocks() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, PATIENCE).await;
    let edges = edges(&nodes, "default").await;
    let both = |threshold: u32| {
        let watch = policy("watch", MONITOR, json!({"seconds": 60, "threshold": 2}));
        json!({"policies": [policy("flood", BLOCK, json!({"seconds": 60, "threshold": threshold})), watch]})
    };
    deploy(&nodes.0, "default", both(4)).await;
    let mut actions = Vec::new();
    for _ in 0..3 {
        for edge in &edges {
            actions.extend(asks(edge, 1).await);
        }
    }
    assert_eq!(actions, ["allow", "allow", "allow", "block", "block", "block"]);
    let mut seen = 0;
    for node in [&nodes.0, &nodes.1] {
        seen += metric(node, "keyloft_policy_matches_total{outcome=\"observe\"}").await;
    }
    assert_eq!(seen, 5, "from the second request on, blocked or not");
    deploy(&nodes.1, "default", both(9)).await;
    for edge in &edges {
        let allowed = ask(edge).await;
        assert_eq!((&allowed["action"], &allowed["policy"]["name"]), (&json!("allow"), &json!("watch")));
    }
    // The ninth of all: the counts went on.
    assert_eq!(ask(&edges[0]).await["window"], json!({"count": 9, "threshold": 9, "seconds": 60}));
}

/// Asks as often as it takes until nodes count together again.
async fn until_counted_together(edge: &Client) {
    for _ in 0..100 {
        if ask(edge).await["degraded"] == false {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("Redis is back, and no node asks it");
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn an_outage_of_redis_is_nobodys_error_and_each_node_goes_on_from_what_it_has_counted() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, Duration::from_millis(500)).await;
    let edges = edges(&nodes, "default").await;
    deploy(&nodes.0, "default", flood(30)).await;
    for edge in &edges {
        until_counted_together(edge).await;
        assert_eq!(asks(edge, 9).await, ["allow"; 9]);
    }
    redis.pause();
    // One request a second waits, and the others do not. At worst each node passes the whole threshold.
    for (edge, node) in edges.iter().zip([&nodes.0, &nodes.1]) {
        let (start, before) = (Instant::now(), metric(node, "keyloft_policy_fallbacks_total").await);
        let mut actions = Vec::new();
        for _ in 0..60 {
            let answer = ask(edge).await;
            assert_eq!(answer["degraded"], true, "{answer}");
            actions.push(answer["action"] == "block");
        }
        let blocked = actions.iter().filter(|is_blocked| **is_blocked).count();
        assert!((41..=52).contains(&blocked) && actions[59], "of its own it had ten and more: {blocked}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert_eq!(metric(node, "keyloft_policy_fallbacks_total").await, before + 60);
        // A batch waits once, not for each of its events.
        let start = Instant::now();
        let batch = json!({"events": vec![request("203.0.113.9"); 1000]});
        let answer = edge.post(DECIDE, batch).await.json();
        assert_eq!(answer["decisions"][999]["degraded"], true);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    redis.go_on();
    for edge in &edges {
        until_counted_together(edge).await;
    }
    // Killed, and back without anything: a node has not forgotten what it has seen itself.
    let again = redis.kill();
    assert_eq!(ask(&edges[0]).await["degraded"], true);
    let _redis = again.await;
    for edge in &edges {
        until_counted_together(edge).await;
        assert_eq!(asks(edge, 1).await, ["block"]);
    }
    // And both count together from there.
    let new = |edge: &Client| {
        let edge = edge.clone();
        async move { edge.post(DECIDE, request("203.0.113.8")).await.json()["action"].clone() }
    };
    let mut actions = Vec::new();
    for _ in 0..15 {
        for edge in &edges {
            actions.push(new(edge).await);
        }
    }
    assert!(actions[..29].iter().all(|action| action == "allow") && actions[29] == "block", "{actions:?}");
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_connection_that_ended_is_made_anew_within_the_request_and_an_event_counts_once() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, PATIENCE).await;
    let edges = edges(&nodes, "default").await;
    deploy(&nodes.0, "default", flood(1)).await;
    for count in [1, 3, 5] {
        for (edge, count) in edges.iter().zip(count..) {
            let answer = ask(edge).await;
            assert_eq!((&answer["window"]["count"], &answer["degraded"]), (&json!(count), &json!(false)));
        }
        redis.hang_up();
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn what_asks_no_window_never_waits_for_redis() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, PATIENCE).await;
    let [edge, _] = edges(&nodes, "default").await;
    deploy(&nodes.0, "default", super::blocking("/login")).await;
    redis.pause();
    let start = Instant::now();
    for _ in 0..20 {
        let answer = ask(&edge).await;
        assert_eq!((&answer["action"], &answer["degraded"]), (&json!("block"), &json!(false)));
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(metric(&nodes.0, "keyloft_policy_fallbacks_total").await, 0);
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_batch_is_counted_event_by_event_on_top_of_what_other_nodes_have_counted() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, PATIENCE).await;
    let [one, other] = edges(&nodes, "default").await;
    deploy(&nodes.0, "default", flood(50)).await;
    assert_eq!(asks(&one, 5).await, ["allow"; 5]);
    // More events than are asked about at once; of two clients.
    let events: Vec<Value> = (0..700).map(|n| request(["203.0.113.7", "203.0.113.8"][n % 2])).collect();
    let answer = other.post(DECIDE, json!({ "events": events })).await.json();
    let first = |client: usize| {
        let decisions = answer["decisions"].as_array().unwrap().iter().skip(client).step_by(2);
        decisions.take_while(|decision| decision["action"] == "allow").count()
    };
    assert_eq!((first(0), first(1)), (44, 49));
    let last = &answer["decisions"][699];
    // Above 64, and within less than a sixteenth of the window, counts are exact, too.
    assert_eq!((&last["window"]["count"], &last["degraded"]), (&json!(350), &json!(false)));
    assert_eq!(
        other.post(&format!("{DECIDE}?observe=true"), json!({"events": []})).await.json(),
        json!({"observed": 0})
    );
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn ingested_events_of_two_nodes_are_counted_together_and_with_decisions() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, PATIENCE).await;
    let edges = edges(&nodes, "default").await;
    let mut set = flood(600);
    set["traffic"] = json!({"streams": ["web-*"], "format": "ecs"});
    deploy(&nodes.0, "default", set).await;
    let event = json!({"source": {"ip": "203.0.113.7"}, "url": {"path": "/"}}).to_string();
    for edge in &edges {
        // More than are judged at once.
        let answer = edge.ingest("web-1", vec![event.as_str(); 290].join("\n")).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["accepted"]), (200, &json!(290)));
    }
    assert_eq!(asks(&edges[0], 19).await, ["allow"; 19]);
    assert_eq!(ask(&edges[1]).await["window"]["count"], 600);
    let answer = edges[0].ingest("web-1", [event.as_str(); 3].join("\n")).await;
    assert_eq!(answer.status, 200);
    let reader = json!({"keyName": "r", "keyType": "query", "streams": ["keyloft_decisions"]});
    let reader = nodes.0.admin().post(KEYS, reader).await.json();
    let sql = "SELECT window_count FROM keyloft_decisions WHERE door = 'ingest' ORDER BY window_count";
    let rows = nodes.0.with_key(reader["apiKey"].as_str().unwrap()).query(sql).await.json();
    assert_eq!(rows, json!([{"window_count": 601}, {"window_count": 602}, {"window_count": 603}]));
    redis.pause();
    let answer = edges[1].ingest("web-1", vec![event.as_str(); 500].join("\n")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(metric(&nodes.1, "keyloft_policy_fallbacks_total").await, 500);
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn tenants_that_share_a_redis_share_no_counts() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, PATIENCE).await;
    nodes.0.admin().post("/api/v1/tenants?wait=10s", json!({"tenantId": "acme"})).await;
    let tenants = [edges(&nodes, "default").await, edges(&nodes, "acme").await];
    for tenant in ["default", "acme"] {
        deploy(&nodes.0, tenant, flood(4)).await;
    }
    for [one, other] in &tenants {
        assert_eq!(asks(one, 2).await, ["allow"; 2]);
        assert_eq!(asks(other, 2).await, ["allow", "block"]);
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn an_entity_that_is_released_is_forgotten_by_every_node_and_by_redis() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, Duration::from_millis(500)).await;
    let edges = edges(&nodes, "default").await;
    deploy(&nodes.0, "default", flood(3)).await;
    until_counted_together(&edges[0]).await;
    until_counted_together(&edges[1]).await;
    let blocked = ask(&edges[0]).await;
    assert_eq!(blocked["action"], "block");
    let entity: Entity = blocked["entity"].as_str().unwrap().parse().unwrap();
    let path = format!("/api/v1/tenants/default/mitigations/active/{entity}?wait=5s");
    let released = nodes.0.admin().delete(&path).await.json();
    assert_eq!((&released["degraded"], &released["receipt"]["behind"]), (&json!(false), &json!([])));
    assert_eq!(asks(&edges[0], 1).await, ["allow"]);
    assert_eq!(asks(&edges[1], 2).await, ["allow", "block"]);
    redis.pause();
    let released = nodes.0.admin().delete(&path).await.json();
    assert_eq!(released["degraded"], json!(true), "it does not claim what it could not do");
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn redis_holds_no_value_of_a_request_and_forgets_in_time() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis, PATIENCE).await;
    let edges = edges(&nodes, "default").await;
    let own = "00000000-0000-4000-8000-000000005000";
    let entity = json!({"entityDefinitionId": own, "name": "own",
        "keyFields": ["client_ip", "user_agent", "request_cookie_session", "payload_user"]});
    let policies: Vec<Value> = [
        json!({"seconds": 60, "threshold": 2}),
        json!({"seconds": 3600, "threshold": 2, "distinct": "request_query_token"}),
        json!({"seconds": 60, "threshold": 2, "count": "request_header_authorization != 'hunter2-x'"}),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, window)| {
        let mut policy = policy(&format!("p{at}"), BLOCK, window);
        policy["entityDefinitionId"] = json!(own);
        policy
    })
    .collect();
    let mut set = json!({"entities": [entity], "policies": policies});
    set["traffic"] = json!({"streams": ["web-*"], "format": "keyloft"});
    deploy(&nodes.0, "default", set).await;
    let event = json!({
        "clientIp": "203.0.113.77",
        "request": {"method": "POST", "path": "/hunter2-path", "query": "token=hunter2-query", "headers":
            {"authorization": "Bearer hunter2-token", "user-agent": "hunter2-agent"},
            "cookies": {"session": "hunter2-cookie"}},
        "payload": {"user": "hunter2-payload"},
    });
    for edge in &edges {
        assert_eq!(edge.post(DECIDE, event.clone()).await.json()["degraded"], false);
        assert_eq!(edge.ingest("web-1", event.to_string()).await.status, 200);
    }
    let mut redis = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("keyloft:window:{default}:e_"), "{key}");
        let value: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut redis).unwrap();
        let all = [key.as_bytes(), &value].concat();
        for secret in [&b"hunter2"[..], b"203.0.113", &[203, 0, 113, 77]] {
            assert!(!all.windows(secret.len()).any(|part| part == secret), "{secret:?} in {key}");
        }
        let left_ms: i64 = redis::cmd("PTTL").arg(&key).query(&mut redis).unwrap();
        assert!((1..=3_900_000).contains(&left_ms), "{left_ms}");
    }
}
