//! How much a key and a tenant may be used.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use keyloft::ManualClock;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Issued, TestServer};

const TENANT: &str = "/api/v1/tenants/default";

/// A server with a manual clock.
struct Scene {
    server: TestServer,
    clock: Arc<ManualClock>,
}

impl Scene {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000)));
        let shown = clock.clone();
        Self { server: TestServer::spawn_with(|setup| setup.clock = shown).await, clock }
    }

    async fn issue(&self, name: &str, key_type: &str, limits: Value) -> Issued {
        let body = json!({"keyName": name, "keyType": key_type, "limits": limits});
        self.server.admin().issue_with("default", body).await
    }

    async fn sender(&self, name: &str, limits: Value) -> Client {
        self.server.with_key(&self.issue(name, "ingestion", limits).await.api_key)
    }

    async fn limit_tenant(&self, limits: Value) {
        let changed = self.server.admin().patch(TENANT, json!({"limits": limits})).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
    }

    fn wait(&self, millis: i64) {
        self.clock.advance(TimeDelta::milliseconds(millis));
    }
}

async fn whoami(client: &Client) -> Answer {
    client.get("/api/v1/whoami").await
}

/// Its policy, its state, and after how long to come back.
fn fields(answer: &Answer) -> [Option<&str>; 3] {
    ["ratelimit-policy", "ratelimit", "retry-after"].map(|name| answer.header(name))
}

fn events(count: usize) -> String {
    (0..count).map(|number| format!("{{\"n\":{number}}}\n")).collect()
}

#[tokio::test]
async fn every_answer_says_what_is_left_and_one_too_many_is_429() {
    let scene = Scene::new().await;
    let client = scene.sender("k", json!({"requests": {"perMinute": 60, "burst": 3}})).await;
    let policy = Some("\"key-requests\";q=60;w=60");
    for (left, full) in [(2, 1), (1, 2), (0, 3)] {
        let answer = whoami(&client).await;
        assert_eq!(answer.status, 200);
        assert_eq!(fields(&answer), [policy, Some(&*format!("\"key-requests\";r={left};t={full}")), None]);
    }
    let answer = whoami(&client).await;
    answer.refused(429, "rate_limited");
    assert_eq!(fields(&answer), [policy, Some("\"key-requests\";r=0;t=3"), Some("1")]);
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("The key's limit of requests"));
    scene.wait(1000);
    // What a handler refuses says so too, and counts.
    let answer = client.ingest("web", "nonsense").await;
    answer.refused(400, "invalid_request");
    assert_eq!(fields(&answer), [policy, Some("\"key-requests\";r=0;t=3"), None]);
    whoami(&client).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn keys_without_limits_hear_nothing_of_them() {
    let scene = Scene::new().await;
    let client = scene.sender("k", json!({})).await;
    for answer in [whoami(&client).await, client.ingest("web", "{\"a\":1}").await] {
        assert_eq!((answer.status.as_u16(), fields(&answer)), (200, [None, None, None]));
    }
    assert_eq!(scene.server.app.limiter.subjects(), 0);
}

#[tokio::test]
async fn whoever_waits_as_long_as_it_is_told_is_admitted() {
    let scene = Scene::new().await;
    let client = scene.sender("k", json!({"requests": {"perMinute": 7, "burst": 1}})).await;
    for _ in 0..5 {
        assert_eq!(whoami(&client).await.status, 200);
        let answer = whoami(&client).await;
        answer.refused(429, "rate_limited");
        scene.wait(answer.header("retry-after").unwrap().parse::<i64>().unwrap() * 1000);
    }
}

#[tokio::test]
async fn all_routes_of_a_key_count() {
    let scene = Scene::new().await;
    let limits = json!({"requests": {"perMinute": 6, "burst": 3}});
    let reader = scene.server.with_key(&scene.issue("q", "query", limits).await.api_key);
    assert_eq!(reader.query("SELECT 1 AS one").await.status, 200);
    assert_eq!(reader.get("/api/v1/logstream").await.status, 200);
    assert_eq!(whoami(&reader).await.status, 200);
    let answer = reader.query("SELECT 1 AS one").await;
    answer.refused(429, "rate_limited");
    assert_eq!(fields(&answer)[2], Some("10"));
    assert_eq!(scene.server.open_sessions(), 0);
    // A request that gets no permit takes nothing.
    scene.wait(10_000);
    let wrong = reader.request("GET", "/api/v1/whoami").header("x-tenant-id", "acme");
    Answer::of(wrong).await.refused(403, "tenant_mismatch");
    reader.ingest("web", "{}").await.refused(403, "wrong_key_type");
    assert_eq!(whoami(&reader).await.status, 200);
}

#[tokio::test]
async fn a_tenant_has_one_limit_over_all_its_keys() {
    let scene = Scene::new().await;
    scene.limit_tenant(json!({"requests": {"perMinute": 60, "burst": 4}})).await;
    let first = scene.sender("first", json!({})).await;
    let second = scene.sender("second", json!({"requests": {"perMinute": 60, "burst": 2}})).await;
    for _ in 0..2 {
        assert_eq!(whoami(&second).await.status, 200);
    }
    let answer = whoami(&second).await;
    answer.refused(429, "rate_limited");
    assert_eq!(fields(&answer)[0], Some("\"key-requests\";q=60;w=60, \"tenant-requests\";q=60;w=60"));
    assert_eq!(fields(&answer)[1], Some("\"key-requests\";r=0;t=2, \"tenant-requests\";r=2;t=2"));
    for _ in 0..2 {
        assert_eq!(whoami(&first).await.status, 200);
    }
    let answer = whoami(&first).await;
    answer.refused(429, "rate_limited");
    assert_eq!(fields(&answer)[1], Some("\"tenant-requests\";r=0;t=4"));
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("The tenant's limit"));
    // Other tenants are not touched.
    scene.server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let other = scene.server.admin().issue("acme", "k", "ingestion").await;
    assert_eq!(whoami(&scene.server.with_key(&other.api_key)).await.status, 200);
}

#[tokio::test]
async fn a_refused_batch_stores_nothing() {
    let scene = Scene::new().await;
    let limits = json!({"events": {"perMinute": 60, "burst": 10}, "bytes": {"perMinute": 61440, "burst": 4096}});
    let sender = scene.sender("k", limits).await;
    let answer = sender.ingest("web", events(8)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let policy = "\"key-events\";q=60;qu=\"events\";w=60, \"key-bytes\";q=61440;qu=\"content-bytes\";w=60";
    assert_eq!(fields(&answer), [Some(policy), Some("\"key-events\";r=2;t=8, \"key-bytes\";r=3072;t=1"), None]);
    let answer = sender.ingest("other", events(3)).await;
    answer.refused(429, "rate_limited");
    assert_eq!(fields(&answer)[2], Some("1"));
    // Too many bytes, few events.
    let wide = json!({"text": "x".repeat(3500)}).to_string();
    sender.ingest("other", wide.clone()).await.refused(429, "rate_limited");
    scene.server.app.ingest.drain().await;
    assert!(!scene.server.path("streams/other").exists());
    // Compressed bodies count as they were sent.
    let scene = Scene::new().await;
    let sender = scene.sender("k", json!({"bytes": {"perMinute": 1024, "burst": 1024}})).await;
    let zstd = zstd::encode_all(wide.as_bytes(), 3).unwrap();
    let request = sender.request("POST", "/api/v1/logstream/web").header("content-encoding", "zstd");
    assert_eq!(Answer::of(request.header("content-type", "application/json").body(zstd)).await.status, 200);
}

#[tokio::test]
async fn a_batch_that_can_never_pass_is_413_and_says_so() {
    let scene = Scene::new().await;
    scene.limit_tenant(json!({"bytes": {"perMinute": 1_000_000, "burst": 2048}})).await;
    let sender = scene.sender("k", json!({"events": {"perMinute": 600, "burst": 10}})).await;
    let answer = sender.ingest("web", events(11)).await;
    answer.refused(413, "payload_too_large");
    assert!(answer.json()["detail"].as_str().unwrap().contains("11 events"), "{}", answer.text());
    assert_eq!(fields(&answer)[2], None);
    let answer = sender.ingest("web", json!({"text": "x".repeat(3000)}).to_string()).await;
    answer.refused(413, "payload_too_large");
    assert!(answer.json()["detail"].as_str().unwrap().contains("the tenant's limit"), "{}", answer.text());
    assert!(!scene.server.path("streams/web").exists());
    assert_eq!(sender.ingest("web", events(10)).await.status, 200);
}

#[tokio::test]
async fn changed_limits_hold_from_the_next_request_on_and_other_changes_refill_nothing() {
    let scene = Scene::new().await;
    let admin = scene.server.admin();
    let key = scene.issue("k", "ingestion", json!({"requests": {"perMinute": 60, "burst": 2}})).await;
    let (client, path) = (scene.server.with_key(&key.api_key), format!("{TENANT}/apikeys/{}", key.id));
    for status in [200, 200, 429] {
        assert_eq!(whoami(&client).await.status, status);
    }
    assert_eq!(admin.patch(&path, json!({"sourceId": "web", "metadata": {"a": 1}})).await.status, 200);
    whoami(&client).await.refused(429, "rate_limited");
    admin.patch(&path, json!({"limits": {"requests": {"perMinute": 60, "burst": 3}}})).await;
    for status in [200, 429] {
        assert_eq!(whoami(&client).await.status, status);
    }
    admin.patch(&path, json!({"limits": null})).await;
    assert_eq!((whoami(&client).await.status.as_u16(), fields(&whoami(&client).await)), (200, [None; 3]));
    for bad in [
        json!({"requests": {"perMinute": 0}}),
        json!({"requests": 5}),
        json!({"queries": {"perMinute": 5}}),
        json!({"events": {"perMinute": 5, "burst": 0}}),
    ] {
        admin.patch(&path, json!({"limits": bad})).await.refused(400, "invalid_request");
        admin.patch(TENANT, json!({"limits": bad})).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn the_server_has_a_default_for_keys_that_say_nothing() {
    let server = TestServer::spawn_with(|setup| setup.config.limits.requests = "2".parse().ok()).await;
    let quiet = server.admin().issue("default", "quiet", "query").await;
    let loud = json!({"keyName": "loud", "keyType": "query", "limits": {"requests": {"perMinute": 5}}});
    let loud = server.admin().issue_with("default", loud).await;
    for (key, most) in [(&quiet, 2), (&loud, 5)] {
        let client = server.with_key(&key.api_key);
        for _ in 0..most {
            assert_eq!(whoami(&client).await.status, 200);
        }
        whoami(&client).await.refused(429, "rate_limited");
    }
}

#[tokio::test]
async fn strangers_leave_no_state_and_idle_keys_lose_theirs() {
    let scene = Scene::new().await;
    scene.limit_tenant(json!({"requests": {"perMinute": 600}})).await;
    let limiter = &scene.server.app.limiter;
    for number in 0..20 {
        let secret = keyloft::key::PlainSecret::generate(keyloft::key::KeyType::Query).unwrap();
        let client = scene.server.with_key(secret.expose());
        let spoofed = client.request("GET", "/api/v1/whoami").header("x-forwarded-for", format!("192.0.2.{}", number));
        Answer::of(spoofed).await.refused(401, "invalid_api_key");
    }
    assert_eq!(limiter.subjects(), 0);
    let client = scene.sender("k", json!({"requests": {"perMinute": 60}})).await;
    assert_eq!(whoami(&client).await.status, 200);
    assert_eq!(limiter.subjects(), 2);
    scene.wait(2000);
    limiter.sweep();
    assert_eq!(limiter.subjects(), 0);
    let metrics = scene.server.anonymous().get("/metrics").await;
    assert!(metrics.text().contains("keyloft_limited_subjects 0\n"), "{}", metrics.text());
    assert!(metrics.text().contains("keyloft_limits_fallbacks_total 0\n"));
}
