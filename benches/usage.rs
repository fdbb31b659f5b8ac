//! What counting a request adds to it: one short lock and two lookups, for one busy key and for many.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use keyloft::config::UsageSettings;
use keyloft::key::{ApiKey, KeyName, KeyType, NewKey, PlainSecret, TenantId};
use keyloft::testing::{Meter, StoreClock, StreamCatalog, SystemWriter, Use};
use keyloft::{Bucket, Clock, Keystore, ManualClock, SystemClock};

fn key(number: usize, secret: &PlainSecret) -> ApiKey {
    let new = NewKey::new(KeyName::parse(&format!("key-{number}")).unwrap(), KeyType::Ingestion);
    new.into_key(TenantId::default(), secret.digest(), secret.hint())
}

fn benchmark(criterion: &mut Criterion) {
    let secret = PlainSecret::generate(KeyType::Ingestion).unwrap();
    let bucket = Bucket::in_memory();
    let keystore = Keystore::new(bucket.clone(), Arc::default(), Arc::new(SystemClock));
    let (catalog, clock) =
        (StreamCatalog::new(bucket.clone()), StoreClock::new(Arc::new(ManualClock::new(SystemClock.now()))));
    let streams = Arc::new(SystemWriter::new(bucket.clone(), Arc::new(catalog), Arc::new(clock)));
    let mut group = criterion.benchmark_group("count");
    for size in [1, 1_000, 100_000] {
        let meter = Meter::new(bucket.clone(), keystore.clone(), streams.clone(), UsageSettings::default());
        let keys: Vec<_> = (0..size).map(|number| key(number, &secret)).collect();
        let mut turn = keys.iter().cycle();
        group.bench_function(BenchmarkId::new("keys", size), |bencher| {
            bencher.iter(|| {
                let at = keystore.now();
                let address = Some([127, 0, 0, 1].into());
                let used =
                    Use { at, address, admitted: true, older: None, refused: None, events: 1000, bytes: 286_000 };
                meter.count(turn.next().unwrap(), &used);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
