//! From a presented credential to a permit or a denial: no await, no store, one short read lock, at any number of keys.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use keyloft::access::{Action, Attempt, authenticate};
use keyloft::key::{ApiKey, KeyName, KeyType, NewKey, PlainSecret, Tenant, TenantId};
use keyloft::{Clock, KeyCache, SystemClock};

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];

/// A cache of `count` query keys, and the API keys of up to 4,096 of them.
fn filled(count: usize) -> (KeyCache, Vec<String>) {
    let cache = KeyCache::default();
    cache.put_tenant(Tenant::new(TenantId::default()));
    let mut secrets = Vec::new();
    for number in 0..count {
        let secret = PlainSecret::generate(KeyType::Query).unwrap();
        cache.put_key(Arc::new(key(number, &secret)));
        if number % (count / 4096 + 1) == 0 {
            secrets.push(secret.expose().to_owned());
        }
    }
    cache.set_hydrated();
    (cache, secrets)
}

fn key(number: usize, secret: &PlainSecret) -> ApiKey {
    let new = NewKey::new(KeyName::parse(&format!("key-{number}")).unwrap(), KeyType::Query);
    new.into_key(TenantId::default(), secret.digest(), secret.hint())
}

fn benchmark(criterion: &mut Criterion) {
    let now = SystemClock.now();
    let (query, ingest) = (Attempt::new(Action::Query, now), Attempt::new(Action::Ingest, now));
    let unknown = PlainSecret::generate(KeyType::Query).unwrap().expose().to_owned();
    let malformed = unknown.replace("kl_qry_", "kl_qry_x");
    for size in SIZES {
        let (cache, secrets) = filled(size);
        let mut group = criterion.benchmark_group("authenticate");
        let mut turn = secrets.iter().cycle();
        group.bench_function(BenchmarkId::new("hit", size), |bencher| {
            bencher.iter(|| authenticate(&cache, black_box(turn.next().unwrap()), &query).is_ok());
        });
        group.bench_function(BenchmarkId::new("unknown", size), |bencher| {
            bencher.iter(|| authenticate(&cache, black_box(&unknown), &query).is_ok());
        });
        group.bench_function(BenchmarkId::new("malformed", size), |bencher| {
            bencher.iter(|| authenticate(&cache, black_box(&malformed), &query).is_ok());
        });
        let mut turn = secrets.iter().cycle();
        group.bench_function(BenchmarkId::new("wrong_type", size), |bencher| {
            bencher.iter(|| authenticate(&cache, black_box(turn.next().unwrap()), &ingest).is_ok());
        });
        group.finish();
    }
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
