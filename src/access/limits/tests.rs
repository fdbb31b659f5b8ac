//! The limiter under a manual clock.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::access::{Dimension, LimitId, LimitScope, Refusal};
use crate::cache::KeyCache;
use crate::clock::ManualClock;
use crate::key::{ApiKey, Digest, Hint, KeyName, KeyType, Limits, NewKey, Rate, Tenant, TenantId};

struct Bench {
    clock: Arc<ManualClock>,
    cache: Arc<KeyCache>,
    limiter: Limiter,
    tenant: Tenant,
}

impl Bench {
    fn new() -> Self {
        Self::with(None, Limits::default())
    }

    fn with(requests: Option<Rate>, limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::new(DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000)));
        let cache = Arc::<KeyCache>::default();
        let tenant = Tenant { limits, ..Tenant::new(TenantId::default()) };
        cache.put_tenant(tenant.clone());
        let limiter = Limiter::new(cache.clone(), clock.clone(), requests);
        Self { clock, cache, limiter, tenant }
    }

    fn key(&self, limits: Limits) -> ApiKey {
        let name = KeyName::parse(&format!("k{}", self.cache.key_count())).unwrap();
        let digest = Digest::of(name.as_str());
        let mut new = NewKey::new(name, KeyType::Ingestion);
        new.settings.limits = limits.into();
        let key = new.into_key(TenantId::default(), digest, Hint::parse("x7Qa").unwrap());
        self.cache.put_key(Arc::new(key.clone()));
        key
    }

    fn take(&self, key: &ApiKey, cost: Cost) -> Acquisition {
        let costs = self.limiter.costs(key, Some(&self.tenant.limits), cost);
        self.limiter.acquire(&costs).now_or_never().unwrap()
    }

    fn request(&self, key: &ApiKey) -> Result<(), Refusal> {
        self.take(key, Cost::REQUEST).refusal.map_or(Ok(()), Err)
    }

    /// How many requests of many pass at once.
    fn burst(&self, key: &ApiKey) -> usize {
        (0..10_000).take_while(|_| self.request(key).is_ok()).count()
    }

    fn wait(&self, millis: i64) {
        self.clock.advance(TimeDelta::milliseconds(millis));
    }
}

fn rate(per_minute: u64, burst: u64) -> Option<Rate> {
    Rate::new(per_minute, burst).ok()
}

fn requests(per_minute: u64, burst: u64) -> Limits {
    Limits { requests: rate(per_minute, burst), ..Limits::default() }
}

fn used_up(scope: LimitScope, dimension: Dimension, millis: u64) -> Option<Refusal> {
    Some(Refusal::Rate { limit: LimitId { scope, dimension }, wait: Duration::from_millis(millis) })
}

/// The same key with other limits.
fn with_limits(key: &ApiKey, limits: Limits) -> ApiKey {
    let mut key = key.clone();
    key.settings.limits = limits.into();
    key
}

#[test]
fn a_burst_passes_at_once_and_then_what_comes_back() {
    let bench = Bench::new();
    let key = bench.key(requests(60, 5));
    assert_eq!(bench.burst(&key), 5);
    let refused = bench.take(&key, Cost::REQUEST);
    assert_eq!(refused.refusal, used_up(LimitScope::Key, Dimension::Requests, 1000));
    let quota = *refused.quotas.iter().next().unwrap();
    assert_eq!((quota.remaining, quota.full_in), (0, Duration::from_secs(5)));
    bench.wait(999);
    assert!(bench.request(&key).is_err());
    bench.wait(1);
    assert!(bench.request(&key).is_ok() && bench.request(&key).is_err());
    bench.wait(3_600_000);
    assert_eq!(bench.burst(&key), 5);
}

#[test]
fn the_default_is_for_keys_that_have_no_such_limit() {
    let bench = Bench::with(rate(3, 3), Limits::default());
    let events = Limits { events: rate(10, 10), ..Limits::default() };
    for (key, burst) in [(Limits::default(), 3), (events, 3), (requests(7, 7), 7)] {
        assert_eq!(bench.burst(&bench.key(key)), burst);
    }
}

#[test]
fn a_key_that_is_refused_takes_nothing_from_its_tenant() {
    let bench = Bench::with(None, requests(10, 10));
    let (greedy, modest) = (bench.key(requests(4, 4)), bench.key(Limits::default()));
    assert_eq!(bench.burst(&greedy), 4);
    for _ in 0..100 {
        assert!(matches!(bench.request(&greedy), Err(Refusal::Rate { limit, .. }) if limit.scope == LimitScope::Key));
    }
    assert_eq!(bench.burst(&modest), 6);
    assert_eq!(bench.take(&modest, Cost::REQUEST).refusal, used_up(LimitScope::Tenant, Dimension::Requests, 6000));
}

#[test]
fn what_a_tenant_refuses_takes_nothing_from_the_key() {
    let bench = Bench::with(None, requests(1, 1));
    let (first, second) = (bench.key(requests(5, 5)), bench.key(requests(5, 5)));
    assert!(bench.request(&first).is_ok());
    for _ in 0..100 {
        let decision = bench.take(&second, Cost::REQUEST);
        assert!(matches!(decision.refusal, Some(Refusal::Rate { limit, .. }) if limit.scope == LimitScope::Tenant));
        assert_eq!(decision.quotas.iter().next().unwrap().remaining, 5);
    }
}

#[test]
fn events_and_bytes_are_taken_together_or_not_at_all() {
    let bench = Bench::new();
    let limits = Limits { events: rate(100, 100), bytes: rate(10_240, 10_240), ..Limits::default() };
    let key = bench.key(limits);
    let cost = |events, bytes| Cost { requests: 0, events, bytes };
    assert_eq!(bench.take(&key, cost(50, 8 * 1024)).refusal, None);
    assert_eq!(bench.take(&key, cost(50, 3 * 1024)).refusal, used_up(LimitScope::Key, Dimension::Bytes, 6000));
    let left = bench.take(&key, cost(50, 1)).quotas;
    assert_eq!(left.iter().map(|quota| quota.remaining).collect::<Vec<_>>(), [0, 1024]);
    // The longest of all waits is reported.
    assert_eq!(bench.take(&key, cost(100, 2048)).refusal, used_up(LimitScope::Key, Dimension::Events, 60_000));
}

#[test]
fn what_never_passes_is_told_so_and_takes_nothing() {
    let bench = Bench::with(None, Limits { events: rate(500, 50), ..Limits::default() });
    let key = bench.key(Limits { events: rate(100, 100), bytes: rate(10, 10), ..Limits::default() });
    let cost = |events, bytes| Cost { requests: 0, events, bytes };
    let never =
        |scope, dimension, amount, most| Some(Refusal::Never { limit: LimitId { scope, dimension }, amount, most });
    assert_eq!(bench.take(&key, cost(101, 1)).refusal, never(LimitScope::Key, Dimension::Events, 101, 100));
    assert_eq!(bench.take(&key, cost(51, 1)).refusal, never(LimitScope::Tenant, Dimension::Events, 51, 50));
    assert_eq!(bench.take(&key, cost(1, 1025)).refusal, never(LimitScope::Key, Dimension::Bytes, 1025, 1024));
    assert_eq!(bench.limiter.subjects(), 0);
    assert_eq!(bench.take(&key, cost(50, 1)).refusal, None);
}

#[test]
fn a_changed_limit_holds_at_once_and_is_no_refill() {
    let bench = Bench::new();
    let key = bench.key(requests(10, 10));
    assert_eq!(bench.burst(&key), 10);
    let more = with_limits(&key, requests(60, 15));
    assert_eq!(bench.burst(&more), 5);
    let less = with_limits(&key, requests(1, 2));
    assert_eq!(bench.burst(&less), 0);
    bench.wait(60_000);
    assert_eq!(bench.burst(&less), 1);
    // Another field is no change of the limit.
    let other = ApiKey { rev: 9, expires_at: None, ..less };
    assert_eq!(bench.burst(&other), 0);
}

#[test]
fn a_limit_is_its_own_whatever_else_has_the_same_id() {
    let bench = Bench::new();
    let key = bench.key(requests(5, 5));
    let elsewhere = ApiKey { tenant: TenantId::parse("acme").unwrap(), ..key.clone() };
    assert_eq!((bench.burst(&key), bench.burst(&elsewhere)), (5, 5));
}

#[test]
fn keys_without_limits_make_no_state_and_what_came_back_leaves_none() {
    let bench = Bench::new();
    let free = bench.key(Limits::default());
    for _ in 0..1000 {
        assert!(bench.request(&free).is_ok());
    }
    assert_eq!(bench.limiter.subjects(), 0);
    let keys: Vec<_> = (0..500).map(|_| bench.key(requests(60, 60))).collect();
    for key in &keys {
        assert!(bench.request(key).is_ok());
    }
    assert_eq!(bench.limiter.subjects(), 500);
    bench.limiter.sweep();
    assert_eq!(bench.limiter.subjects(), 500);
    bench.wait(500);
    assert!(bench.request(&keys[7]).is_ok());
    bench.wait(500);
    bench.limiter.sweep();
    assert_eq!(bench.limiter.subjects(), 1);
    // Full again or not, a key that is gone is forgotten.
    bench.cache.remove_key(&keys[7].tenant, keys[7].key_id);
    bench.limiter.sweep();
    assert_eq!(bench.limiter.subjects(), 0);
}

#[test]
fn a_hundred_thousand_idle_keys_leave_nothing_behind() {
    let bench = Bench::new();
    let key = bench.key(requests(6000, 10));
    for _ in 0..100_000 {
        let another = ApiKey { key_id: crate::key::KeyId::random(), ..key.clone() };
        assert!(bench.request(&another).is_ok());
    }
    assert_eq!(bench.limiter.subjects(), 100_000);
    bench.wait(10);
    bench.limiter.sweep();
    assert_eq!(bench.limiter.subjects(), 0);
}

#[test]
fn a_busy_key_takes_nothing_from_another() {
    let bench = Bench::new();
    let (busy, other) = (bench.key(requests(100, 100)), bench.key(requests(5000, 5000)));
    let passed = std::thread::scope(|scope| {
        let hammers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| (0..20_000).filter(|_| bench.request(&busy).is_ok()).count())).collect();
        let others: Vec<_> =
            (0..2).map(|_| scope.spawn(|| (0..2500).filter(|_| bench.request(&other).is_ok()).count())).collect();
        let sum = |threads: Vec<std::thread::ScopedJoinHandle<'_, usize>>| {
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        };
        (sum(hammers), sum(others))
    });
    assert_eq!(passed, (100, 5000));
}

#[test]
fn the_largest_and_the_slowest_limit_are_counted_without_overflow() {
    let bench = Bench::new();
    for (per_minute, burst) in [(Rate::MAX, Rate::MAX), (1, Rate::MAX), (Rate::MAX, 1), (1, 1)] {
        for dimension in [Dimension::Requests, Dimension::Events, Dimension::Bytes] {
            let limit = rate(per_minute, burst);
            let limits = match dimension {
                Dimension::Requests => Limits { requests: limit, ..Limits::default() },
                Dimension::Events => Limits { events: limit, ..Limits::default() },
                Dimension::Bytes => Limits { bytes: limit, ..Limits::default() },
            };
            let key = bench.key(limits);
            let taken = bench.take(&key, Cost { requests: 1, events: 1, bytes: 1 });
            assert_eq!(taken.refusal, None);
            assert!(taken.quotas.iter().all(|quota| quota.remaining <= burst));
        }
    }
    bench.wait(50 * 365 * 24 * 3600 * 1000);
    let all = Some(Rate::per_minute(Rate::MAX).unwrap());
    let key = bench.key(Limits { requests: all, events: all, bytes: all });
    assert_eq!(bench.take(&key, Cost { requests: 1, events: 100_000, bytes: 1 << 30 }).refusal, None);
}

/// What passed, and when, in milliseconds.
type Passed = Vec<(u64, u64)>;

/// In no window are more admitted than the burst, and the rate for each minute of it.
fn assert_bounded(passed: &Passed, rate: Rate, unit: u64) -> Result<(), TestCaseError> {
    for (first, (start, _)) in passed.iter().enumerate() {
        let mut sum = 0;
        for (end, amount) in &passed[first..] {
            sum += amount * unit;
            let most = rate.burst.get().max(unit) + rate.per_minute.get() * (end - start) / 60_000;
            prop_assert!(sum <= most, "{sum} from {start} to {end} ms, at most {most}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_window_ever_passes_more_than_the_limit_and_the_burst(
        per_minute in 1u64..5000,
        burst in 1u64..200,
        arrivals in proptest::collection::vec((0i64..2000, 1u64..20), 1..200),
    ) {
        for dimension in [Dimension::Requests, Dimension::Events, Dimension::Bytes] {
            let bench = Bench::new();
            let unit = dimension.cell();
            let rate = Rate::new(per_minute * unit - unit / 2, burst * unit).unwrap();
            let limits = match dimension {
                Dimension::Requests => Limits { requests: Some(rate), ..Limits::default() },
                Dimension::Events => Limits { events: Some(rate), ..Limits::default() },
                Dimension::Bytes => Limits { bytes: Some(rate), ..Limits::default() },
            };
            let key = bench.key(limits);
            let (mut now, mut passed) = (0, Passed::new());
            for (pause, amount) in &arrivals {
                bench.wait(*pause);
                now += pause.unsigned_abs();
                let cost = match dimension {
                    Dimension::Requests => Cost::REQUEST,
                    Dimension::Events => Cost { requests: 0, events: *amount, bytes: 0 },
                    Dimension::Bytes => Cost { requests: 0, events: 0, bytes: amount * unit },
                };
                let amount = if dimension == Dimension::Requests { 1 } else { *amount };
                match bench.take(&key, cost).refusal {
                    None => passed.push((now, amount)),
                    Some(Refusal::Never { .. }) => prop_assert!(amount > burst),
                    // A request that waits as long as stated is admitted.
                    Some(Refusal::Rate { wait, .. }) => {
                        let millis = wait.as_nanos().div_ceil(1_000_000);
                        bench.wait(i64::try_from(millis).unwrap());
                        now += u64::try_from(millis).unwrap();
                        prop_assert_eq!(bench.take(&key, cost).refusal, None);
                        passed.push((now, amount));
                    }
                }
            }
            assert_bounded(&passed, rate, unit)?;
        }
    }

    /// None of several limits is ever exceeded, and a request that one of them refuses takes nothing from the others.
    #[test]
    fn of_two_keys_and_their_tenant_none_ever_passes_more_than_its_own(
        arrivals in proptest::collection::vec((0i64..1500, 0usize..2, 1u64..12, 1u64..6), 1..150),
    ) {
        let limit = |events, kib: u64| {
            Limits { requests: None, events: rate(events, 20), bytes: rate(kib * 1024, 8192) }
        };
        let whole = limit(700, 170);
        let bench = Bench::with(None, whole);
        let limits = [limit(600, 120), limit(300, 240)];
        let keys = limits.map(|limits| bench.key(limits));
        let mut passed = <[[Passed; 2]; 3]>::default();
        let mut now = 0;
        for (pause, which, events, kib) in arrivals {
            bench.wait(pause);
            now += pause.unsigned_abs();
            let cost = Cost { requests: 0, events, bytes: kib * 1024 };
            let too_much = bench.take(&keys[which], Cost { events: 21, ..cost }).refusal;
            let is_never = matches!(too_much, Some(Refusal::Never { .. }));
            prop_assert!(is_never);
            let decision = bench.take(&keys[which], cost);
            if decision.refusal.is_none() {
                for of in [which, 2] {
                    passed[of][0].push((now, events));
                    passed[of][1].push((now, kib));
                }
            } else {
                // Asked again at once, everything is as it was.
                prop_assert_eq!(bench.take(&keys[which], cost), decision);
            }
        }
        for (passed, limits) in passed.iter().zip([limits[0], limits[1], whole]) {
            assert_bounded(&passed[0], limits.events.unwrap(), 1)?;
            assert_bounded(&passed[1], limits.bytes.unwrap(), 1024)?;
        }
    }

    /// A lower burst forgives what was used above it; nothing else is given back by going to another rate and back.
    #[test]
    fn no_change_to_and_fro_is_a_refill(changes in proptest::collection::vec(0usize..3, 1..50)) {
        let bench = Bench::new();
        let key = bench.key(requests(60, 20));
        let rates = [requests(60, 100), requests(600, 100), requests(7, 100)];
        prop_assert_eq!(bench.burst(&key), 20);
        let mut passed = 20;
        for change in changes {
            let changed = with_limits(&key, rates[change]);
            passed += bench.burst(&changed);
            prop_assert!(passed <= 100, "{passed}");
        }
        prop_assert_eq!(bench.burst(&key), 0);
    }
}
