//! What an admission costs, without HTTP: in memory, and through the Redis at `KEYLOFT_TEST_REDIS`, of one key whose
//! tenant has a limit too; and what the windows of a decision cost there: three, of one of a thousand clients. Run by
//! `scripts/bench-redis.sh`; without its word it does nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyloft::access::Limiter;
use keyloft::key::{ApiKey, Digest, Hint, KeyName, KeyType, Limits, NewKey, Rate, Tenant, TenantId};
use keyloft::policy::Value;
use keyloft::policy::entity::Pseudonyms;
use keyloft::policy::set::EntityDefinitionId;
use keyloft::policy::window::WindowKey;
use keyloft::testing::{Ask, Cost, SharedRedis, SharedWindows, What};
use keyloft::{KeyCache, SystemClock};

const ADMISSIONS: usize = 20_000;
/// How long an answer of Redis is waited for by default; here it is waited for longer, to see how long it takes.
const PATIENCE: Duration = Duration::from_millis(50);

fn main() {
    // `cargo test` and clippy run benches with other arguments.
    if !std::env::args().any(|argument| argument == "admissions") {
        return;
    }
    let url = std::env::var("KEYLOFT_TEST_REDIS").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!(
        "{:>12}  {:>8}  {:>12}  {:>10}  {:>10}  {:>10}  {:>9}",
        "where", "at once", "a second", "p50 µs", "p99 µs", "over 50 ms", "fallbacks"
    );
    for at_once in [1, 8, 32] {
        let limiter = || Limiter::new(Arc::<KeyCache>::default(), Arc::new(SystemClock), None);
        runtime.block_on(measure("memory", limiter(), at_once));
        runtime.block_on(measure("Redis", limiter().with_redis(&url, None, Duration::from_secs(2)).unwrap(), at_once));
        let redis = SharedRedis::new(&url, None, Duration::from_secs(2)).unwrap();
        runtime.block_on(measure_windows(SharedWindows::new(Arc::new(redis)), at_once));
    }
}

async fn measure(place: &str, limiter: Limiter, at_once: usize) {
    let limits = Limits { requests: Rate::per_minute(4_000_000_000).ok(), ..Limits::default() };
    let tenant = Arc::new(Tenant { limits, ..Tenant::new(TenantId::default()) });
    let mut new = NewKey::new(KeyName::parse("k").unwrap(), KeyType::Query);
    new.settings.limits = limits.into();
    let key = Arc::new(new.into_key(tenant.id.clone(), Digest::of("k"), Hint::parse("x7Qa").unwrap()));
    let limiter = Arc::new(limiter);
    take(&limiter, &key, &tenant, 1).await; // Connects, which may take too long.
    tokio::time::sleep(Duration::from_secs(2)).await;
    take(&limiter, &key, &tenant, 200).await; // Warms up.
    let (start, alone) = (Instant::now(), limiter.fallbacks());
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (limiter, key, tenant) = (limiter.clone(), key.clone(), tenant.clone());
            tokio::spawn(async move { take(&limiter, &key, &tenant, ADMISSIONS / at_once).await })
        })
        .collect();
    let mut times = Vec::with_capacity(ADMISSIONS);
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    print(place, at_once, start.elapsed(), times, limiter.fallbacks() - alone);
}

fn print(place: &str, at_once: usize, took: Duration, mut times: Vec<Duration>, fallbacks: u64) {
    let rate = times.len() * 1000 / usize::try_from(took.as_millis()).unwrap().max(1);
    times.sort_unstable();
    let micros = |share: usize| format!("{:.1}", times[times.len() * share / 100].as_secs_f64() * 1e6);
    let late = times.iter().filter(|time| **time > PATIENCE).count();
    let (half, most) = (micros(50), micros(99));
    println!("{place:>12}  {at_once:>8}  {rate:>12}  {half:>10}  {most:>10}  {late:>10}  {fallbacks:>9}");
}

async fn measure_windows(windows: SharedWindows, at_once: usize) {
    let windows = Arc::new(windows);
    count(&windows, 0, 200).await; // Connects, and warms up.
    let (start, alone) = (Instant::now(), windows.fallbacks());
    let tasks: Vec<_> = (0..at_once)
        .map(|task| {
            let windows = windows.clone();
            tokio::spawn(async move { count(&windows, task, ADMISSIONS / at_once).await })
        })
        .collect();
    let mut times = Vec::with_capacity(ADMISSIONS);
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    print("windows", at_once, start.elapsed(), times, windows.fallbacks() - alone);
}

async fn count(windows: &SharedWindows, task: usize, count: usize) -> Vec<Duration> {
    let (pseudonyms, tenant) = (Pseudonyms::new(b"secret", "default"), TenantId::default());
    let mut times = Vec::with_capacity(count);
    for number in 0..i64::try_from(count).unwrap() {
        let client = Value::Int((number + i64::try_from(task).unwrap() * 37) % 1000);
        let entity = pseudonyms.entity(EntityDefinitionId::default(), [&client]);
        let ask = |seconds| {
            let window = WindowKey::new(seconds, ["bench"]);
            Ask { entity, window, at_ms: 1_795_935_600_000 + number, what: What::Event }
        };
        let asks = [60, 300, 3600].map(ask).to_vec();
        let start = Instant::now();
        windows.ask(&tenant, &[asks]).await;
        times.push(start.elapsed());
    }
    times
}

async fn take(limiter: &Limiter, key: &ApiKey, tenant: &Tenant, count: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let acquired = limiter.acquire(&limiter.costs(key, Some(&tenant.limits), Cost::REQUEST)).await;
        times.push(start.elapsed());
        assert_eq!(acquired.refusal, None);
    }
    times
}
