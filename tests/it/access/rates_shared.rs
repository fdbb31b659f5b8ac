//! Limits that many nodes count together in a real Redis, and what they do without it. Here time is real: every
//! admission is recorded, and judged afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyloft::access::Limiter;
use keyloft::access::{LimitScope, Refusal};
use keyloft::config::RedisUrl;
use keyloft::key::{ApiKey, Digest, Hint, KeyName, KeyType, Limits, NewKey, Rate, Tenant, TenantId};
use keyloft::testing::{Cost, Gcra, Price};
use keyloft::{KeyCache, SystemClock};
use proptest::prelude::*;
use serde_json::json;

use crate::support::process::{keyloft, run};
use crate::support::redis::{Redis, shared_redis};
use crate::support::{Answer, Client, Process, TestServer};

/// A busy machine may be late: where Redis must decide, it gets this long.
const PATIENCE: Duration = Duration::from_secs(3);

fn node(url: &str, patience: Duration) -> Arc<Limiter> {
    let limiter = Limiter::new(Arc::<KeyCache>::default(), Arc::new(SystemClock), None);
    Arc::new(limiter.with_redis(url, None, patience).unwrap())
}

fn tenant(limits: Limits) -> Tenant {
    // Of no other test: they share one Redis.
    let id = format!("t-{}", keyloft::key::KeyId::random());
    Tenant { limits, ..Tenant::new(TenantId::parse(&id).unwrap()) }
}

fn key(tenant: &Tenant, limits: Limits) -> ApiKey {
    let mut new = NewKey::new(KeyName::parse("k").unwrap(), KeyType::Ingestion);
    new.settings.limits = limits.into();
    new.into_key(tenant.id.clone(), Digest::of("k"), Hint::parse("x7Qa").unwrap())
}

fn requests(per_minute: u64, burst: u64) -> Limits {
    Limits { requests: Rate::new(per_minute, burst).ok(), ..Limits::default() }
}

async fn take(node: &Limiter, tenant: &Tenant, key: &ApiKey, cost: Cost) -> Option<Refusal> {
    node.acquire(&node.costs(key, Some(&tenant.limits), cost)).await.refusal
}

/// Connected, so that the first request is not counted alone.
async fn warm(node: &Limiter) {
    let tenant = tenant(Limits::default());
    let key = key(&tenant, requests(1_000_000, 1_000_000));
    for _ in 0..100 {
        let before = node.fallbacks();
        take(node, &tenant, &key, Cost::REQUEST).await;
        if node.fallbacks() == before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Redis never answered");
}

/// Asks as fast as it can for a while, and records when something was admitted: between which two instants.
async fn hammer(
    node: Arc<Limiter>,
    tenant: Tenant,
    key: ApiKey,
    cost: Cost,
    until: Instant,
) -> Vec<(Instant, Instant)> {
    let mut admitted = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        if take(&node, &tenant, &key, cost).await.is_none() {
            admitted.push((asked, Instant::now()));
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    admitted
}

/// In no window passes more than the burst, and the rate for each minute of it. What was admitted between two instants
/// is taken to have been where it does least harm, which is all that can be known of it.
#[track_caller]
fn assert_bounded(mut admitted: Vec<(Instant, Instant)>, rate: Rate, amount: u64) {
    admitted.sort_by_key(|(asked, _)| *asked);
    for (first, (start, _)) in admitted.iter().enumerate() {
        let mut answered: Vec<_> = admitted[first..].iter().map(|(_, answered)| *answered).collect();
        answered.sort();
        for (count, end) in answered.iter().enumerate() {
            let passed = amount * (count as u64 + 1);
            let nanos = (*end - *start).as_nanos();
            let most = u128::from(rate.burst.get()) + u128::from(rate.per_minute.get()) * nanos / 60_000_000_000;
            assert!(u128::from(passed) <= most + 1, "{passed} in {nanos} ns, at most {most}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn three_nodes_together_never_pass_more_than_the_limit_and_the_burst() {
    let url = shared_redis();
    let nodes = [(); 3].map(|()| node(&url, PATIENCE));
    for node in &nodes {
        warm(node).await;
    }
    let alone = || nodes.iter().map(|node| node.fallbacks()).sum::<u64>();
    let before = alone();
    for (per_minute, burst, cost) in
        [(6000, 20, Cost::REQUEST), (600, 1, Cost::REQUEST), (120_000, 500, Cost { requests: 0, events: 7, bytes: 0 })]
    {
        let rate = Rate::new(per_minute, burst).unwrap();
        let limits = Limits { requests: Some(rate), events: Some(rate), bytes: None };
        let tenant = tenant(Limits::default());
        let key = key(&tenant, limits);
        let until = Instant::now() + Duration::from_millis(1500);
        let ask = |node: &Arc<Limiter>| tokio::spawn(hammer(node.clone(), tenant.clone(), key.clone(), cost, until));
        let asking: Vec<_> = nodes.iter().flat_map(|node| [ask(node), ask(node)]).collect();
        let mut admitted = Vec::new();
        for one in asking {
            admitted.extend(one.await.unwrap());
        }
        let amount = cost.requests + cost.events;
        let passed = admitted.len() as u64 * amount;
        // And hardly less: a second of the rate at least.
        assert!(passed >= per_minute / 60, "{passed}");
        assert_bounded(admitted, rate, amount);
    }
    assert_eq!(alone(), before, "Redis decided over all of it");
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn the_script_takes_everything_or_nothing_and_carries_what_is_used() {
    let node = node(&shared_redis(), PATIENCE);
    warm(&node).await;
    let tenant = tenant(requests(60, 4));
    let (mut first, second) = (key(&tenant, requests(60, 2)), key(&tenant, Limits::default()));
    let alone = node.fallbacks();
    for _ in 0..2 {
        assert_eq!(take(&node, &tenant, &first, Cost::REQUEST).await, None);
    }
    for _ in 0..10 {
        let refused = take(&node, &tenant, &first, Cost::REQUEST).await;
        assert!(matches!(refused, Some(Refusal::Rate { limit, wait })
            if limit.scope == LimitScope::Key && wait <= Duration::from_secs(1)));
    }
    // More may be used at once from now on, of which two are used already.
    first.settings.limits = requests(60, 3).into();
    assert_eq!(take(&node, &tenant, &first, Cost::REQUEST).await, None);
    assert!(take(&node, &tenant, &first, Cost::REQUEST).await.is_some());
    let decision = node.acquire(&node.costs(&second, Some(&tenant.limits), Cost::REQUEST)).await;
    assert_eq!((decision.refusal, decision.quotas.iter().next().unwrap().remaining), (None, 0));
    let refused = take(&node, &tenant, &second, Cost::REQUEST).await;
    assert!(matches!(refused, Some(Refusal::Rate { limit, .. }) if limit.scope == LimitScope::Tenant));
    assert_eq!(node.fallbacks(), alone);
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn what_is_used_elsewhere_is_not_given_again_when_redis_goes() {
    let redis = Redis::start().await;
    let (one, other) = (node(&redis.url(), PATIENCE), node(&redis.url(), PATIENCE));
    warm(&one).await;
    warm(&other).await;
    let tenant = tenant(Limits::default());
    let key = key(&tenant, requests(1, 10));
    for _ in 0..9 {
        assert_eq!(take(&one, &tenant, &key, Cost::REQUEST).await, None);
    }
    assert_eq!(take(&other, &tenant, &key, Cost::REQUEST).await, None);
    redis.pause();
    // The other node has heard of all ten, the first one of nine.
    assert!(take(&other, &tenant, &key, Cost::REQUEST).await.is_some());
    assert_eq!(take(&one, &tenant, &key, Cost::REQUEST).await, None);
    assert!(take(&one, &tenant, &key, Cost::REQUEST).await.is_some());
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn without_redis_each_node_counts_alone_and_soon_nobody_waits() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), Duration::from_millis(50));
    warm(&node).await;
    let tenant = tenant(Limits::default());
    let key = key(&tenant, requests(1, 50));
    let burst = async |most: usize| {
        let mut passed = 0;
        for _ in 0..most {
            passed += usize::from(take(&node, &tenant, &key, Cost::REQUEST).await.is_none());
        }
        passed
    };
    assert_eq!(burst(20).await, 20);
    // Paused: one request a second waits, the others do not, and together they get what is left.
    redis.pause();
    let (start, before) = (Instant::now(), node.fallbacks());
    assert_eq!(burst(100).await, 30);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(node.fallbacks(), before + 100);
    redis.go_on();
    until_counted_together(&node, &tenant, &key).await;
    // Killed: as well.
    let again = redis.kill();
    let before = node.fallbacks();
    let start = Instant::now();
    assert_eq!(burst(100).await, 0, "what is used up stays used up");
    assert!(start.elapsed() < Duration::from_secs(2) && node.fallbacks() == before + 100);
    let _redis = again.await;
    until_counted_together(&node, &tenant, &key).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_connection_that_ended_is_made_anew_within_the_request() {
    let redis = Redis::start().await;
    let nodes = [node(&redis.url(), PATIENCE), node(&redis.url(), PATIENCE)];
    let tenant = tenant(Limits::default());
    let key = key(&tenant, requests(1, 2));
    for node in &nodes {
        warm(node).await;
    }
    let alone = nodes.each_ref().map(|node| node.fallbacks());
    redis.hang_up();
    for node in &nodes {
        assert_eq!(take(node, &tenant, &key, Cost::REQUEST).await, None);
    }
    redis.hang_up();
    for node in &nodes {
        assert!(take(node, &tenant, &key, Cost::REQUEST).await.is_some(), "two were admitted already");
    }
    let _redis = redis.kill().await;
    for node in &nodes {
        assert_eq!(take(node, &tenant, &key, Cost::REQUEST).await, None, "it has forgotten everything");
    }
    assert!(take(&nodes[0], &tenant, &key, Cost::REQUEST).await.is_some());
    assert_eq!(nodes.each_ref().map(|node| node.fallbacks()), alone, "Redis decided over all of it");
}

async fn until_counted_together(node: &Limiter, tenant: &Tenant, key: &ApiKey) {
    for _ in 0..100 {
        let before = node.fallbacks();
        take(node, tenant, key, Cost::REQUEST).await;
        if node.fallbacks() == before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("Redis is back, and no node asks it");
}

async fn server(redis: &Redis, shared: Option<&TestServer>) -> TestServer {
    let (url, directory) = (redis.url(), shared.map(TestServer::shared_directory));
    TestServer::spawn_with(|setup| {
        setup.config.limits.redis = RedisUrl::parse(&url).ok();
        setup.config.limits.redis_timeout = PATIENCE;
        if let Some(directory) = directory {
            setup.directory = directory;
        }
    })
    .await
}

async fn statuses(client: &Client, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        let answer = client.get("/api/v1/whoami").await;
        assert!(answer.header("ratelimit").is_some());
        statuses.push(answer.status.as_u16());
    }
    statuses
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn two_servers_share_one_limit_and_an_outage_of_redis_is_nobodys_error() {
    let redis = Redis::start().await;
    let first = server(&redis, None).await;
    let second = server(&redis, Some(&first)).await;
    let body = json!({"keyName": "k", "keyType": "query", "limits": {"requests": {"perMinute": 1, "burst": 6}}});
    let key = first.admin().issue_with("default", body).await;
    let clients = [first.with_key(&key.api_key), second.with_key(&key.api_key)];
    assert_eq!(statuses(&clients[0], 4).await, [200; 4]);
    assert_eq!(statuses(&clients[1], 3).await, [200, 200, 429]);
    assert_eq!(statuses(&clients[0], 1).await, [429]);
    let text = first.anonymous().get("/metrics").await.text().to_owned();
    assert!(text.contains("keyloft_limits_fallbacks_total 0\n"), "{text}");
    redis.pause();
    for client in &clients {
        assert_eq!(statuses(client, 20).await, [429; 20]);
    }
    let text = second.anonymous().get("/metrics").await.text().to_owned();
    assert!(text.contains("keyloft_limits_fallbacks_total 20\n"), "{text}");
    let reader = first.admin().issue_with("default", json!({"keyName": "free", "keyType": "query"})).await;
    assert_eq!(first.with_key(&reader.api_key).get("/api/v1/whoami").await.status, 200);
    // A key without limits has nothing to ask Redis for.
    assert_eq!(first.app.limiter.fallbacks(), 20);
}

#[test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
fn the_binary_reads_its_redis_and_its_proxies_and_quotes_no_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("redis.url");
    std::fs::write(&file, format!("{}\n", shared_redis())).unwrap();
    let store = directory.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let variables = [("KEYLOFT_LIMITS_REDIS_FILE", file.to_str().unwrap())];
    let options = ["--trusted-proxies", "127.0.0.1,10.0.0.0/8", "--limits-redis-timeout", "3s"];
    let server = Process::serve_with(&store, &options, &variables);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let admin = server.admin(server.admin_token().unwrap());
        let limits = json!({"requests": {"perMinute": 1, "burst": 2}});
        let body = json!({"keyName": "k", "keyType": "query", "allowedCidrs": ["192.0.2.0/24"], "limits": limits});
        let key = server.with_key(&admin.issue_with("default", body).await.api_key);
        let from = async |list: &str| {
            let request = key.request("GET", "/api/v1/whoami").header("x-forwarded-for", list);
            Answer::of(request).await.status.as_u16()
        };
        assert_eq!(from("192.0.2.1, 10.1.1.1").await, 200);
        assert_eq!(from("192.0.2.1, 203.0.113.1").await, 403);
        assert_eq!([from("192.0.2.1").await, from("192.0.2.1").await], [200, 429]);
    });
    for bad in ["hunter2", "rediss://:hunter2@127.0.0.1:1#insecure"] {
        let output = run(keyloft().args(["serve", "--store", "x"]).env("KEYLOFT_LIMITS_REDIS", bad), "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("KEYLOFT_LIMITS_REDIS") && !said.contains("hunter2"), "{said}");
    }
}

/// A request as the script sees it: for each of two limits its price and rate, and the seconds that have passed.
type Asked = ([(u64, u64, u64); 2], u64);

/// At least a minute each, so that nothing expires in Redis while the test runs.
fn asked() -> impl Strategy<Value = Asked> {
    let limit = || (1u64..4, 1u64..20, prop_oneof![Just(60u64), Just(600), Just(7)]);
    ((limit(), limit()), 0u64..400).prop_map(|((one, other), passed)| {
        let priced = |(cost, capacity, rate)| (cost * 60_000_000 + 7, capacity * 60_000_000 + 3, rate);
        ([priced(one), priced(other)], passed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_script_computes_what_the_algorithm_does(requests in proptest::collection::vec(asked(), 1..40)) {
        const SCRIPT: &str = include_str!("../../../src/access/limits/gcra.lua");
        let clock = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]\n";
        prop_assert!(SCRIPT.contains(clock), "the script reads the time in another way now");
        let script = redis::Script::new(&SCRIPT.replace(clock, "local now = tonumber(ARGV[#ARGV])\n"));
        let mut redis = redis::Client::open(shared_redis()).unwrap().get_connection().unwrap();
        let names = [(); 2].map(|()| format!("keyloft:test:{}", keyloft::key::KeyId::random()));
        let mut used = [(Gcra::default(), 60); 2];
        let mut now = 1_800_000_000_000_000;
        for (limits, passed) in requests {
            now += passed * 1_000_000;
            let mut call = script.prepare_invoke();
            let (mut refused, mut wait, mut until_full, mut taken) = (0, 0, Vec::new(), used);
            for (at, (cost, capacity, rate)) in limits.into_iter().enumerate() {
                call.key(&names[at]).arg(cost).arg(capacity).arg(rate);
                let before = used[at].0.converted(now, used[at].1, rate, capacity);
                match before.acquire(Price { cost, capacity }, now) {
                    Ok(after) => taken[at] = (after, rate),
                    Err(longer) => {
                        refused = if refused == 0 { at as u64 + 1 } else { refused };
                        wait = longer.max(wait);
                    }
                }
                until_full.push(before.until_full(now));
            }
            if refused == 0 {
                used = taken;
                until_full = used.iter().map(|(used, _)| used.until_full(now)).collect();
            }
            let answer: Vec<u64> = call.arg(now).invoke(&mut redis).unwrap();
            let expected: Vec<u64> = [refused, wait].into_iter().chain(until_full).collect();
            prop_assert_eq!(answer, expected);
        }
    }
}
