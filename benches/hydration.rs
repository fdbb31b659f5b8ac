//! How long a node takes until it is ready: fills a fresh folder of a store, then starts without a snapshot, writes
//! one, and starts from it; and how long it takes then to verify its keys against the store. The node has one thread,
//! and others that work for it, as in `keyloft serve`.
//!
//! usage: hydration STORE KEYS…   STORE is what `--store` takes; S3 settings come from `AWS_*`
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use keyloft::key::{Actor, ApiKey, Digest, Hint, KeyId, KeyName, KeyType, Label, NewKey, TenantId};
use keyloft::store::StoreUrl;
use keyloft::testing::KeyDocument;
use keyloft::testing::layout::{self, ObjectName};
use keyloft::{Bucket, Clock, Keystore, SystemClock};

/// How many documents are written at once.
const WRITES: usize = 64;

fn main() {
    let mut arguments = std::env::args().skip(1);
    // `cargo test` and clippy run benches with other arguments: without a store there is nothing to measure.
    let Some(url) = arguments.next().filter(|argument| argument.contains("://")) else { return };
    let counts: Vec<usize> = arguments.filter_map(|argument| argument.parse().ok()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!(
        "{:<6} {:>9} {:>9} {:>12} {:>11} {:>9} {:>13} {:>9} {:>10}",
        "store", "keys", "fill_s", "ready_bare_s", "snapshot_s", "KiB", "ready_snap_s", "verify_s", "bytes/key"
    );
    for count in counts {
        runtime.block_on(measure(&url, count));
    }
}

async fn measure(url: &str, count: usize) {
    let url: StoreUrl = format!("{}/hydration-{}", url.trim_end_matches('/'), KeyId::random()).parse().unwrap();
    let bucket = url.open().unwrap().with_single_writer(true);
    let start = Instant::now();
    fill(&url, &bucket, count).await;
    let filled = start.elapsed();

    let (first, without, bytes) = start_node(&bucket, count).await;
    assert!(first.cache().is_verified(), "there was no snapshot");
    let start = Instant::now();
    let written = first.replica().compact().await.unwrap();
    let wrote = start.elapsed();
    drop(first);
    let kind = if bucket.is_directory() { "local" } else { "s3" };
    print!("{kind:<6} {count:>9} {:>9.1} {:>12.2} ", filled.as_secs_f64(), without.as_secs_f64());
    if !written {
        println!("{:>11} {:>9} {:>13} {:>9} {bytes:>10}", "needs none", "-", "-", "-");
        return;
    }
    let parts = bucket.walk(&layout::snapshots()).try_concat().await.unwrap();
    let size: u64 = parts.iter().map(|listed| listed.size_bytes).sum();
    let (second, with, _) = start_node(&bucket, count).await;
    assert!(!second.cache().is_verified(), "the snapshot was enough");
    let start = Instant::now();
    let counts = second.sync().await.unwrap();
    let verified = start.elapsed();
    assert_eq!((counts.keys, counts.changed, counts.removed), (count, 0, 0), "the snapshot is right");
    let seconds = [wrote, with, verified].map(|taken| taken.as_secs_f64());
    println!("{:>11.2} {:>9} {:>13.2} {:>9.2} {bytes:>10}", seconds[0], size / 1024, seconds[1], seconds[2]);
}

/// A node, how long it took until it was ready, and what a key takes in memory.
async fn start_node(bucket: &Bucket, count: usize) -> (Keystore, std::time::Duration, usize) {
    let before = resident_bytes();
    let start = Instant::now();
    let keystore = Keystore::new(bucket.clone(), Arc::default(), Arc::new(SystemClock));
    let counts = keystore.load().await.unwrap();
    assert_eq!((counts.keys, keystore.cache().key_count()), (count, count), "every key is there");
    let taken = start.elapsed();
    (keystore, taken, resident_bytes().saturating_sub(before) / count.max(1))
}

/// Writes the keys as fast as the store takes them: only reading is measured.
async fn fill(url: &StoreUrl, bucket: &Bucket, count: usize) {
    let now = Some(SystemClock.now());
    let mut writes = stream::iter(0..count)
        .map(|number| async move {
            let key = key(number, now);
            let name = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id };
            let body = KeyDocument::new(&key).to_bytes();
            match url {
                StoreUrl::Directory(root) => {
                    let file = name.path().to_path(root);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, body).unwrap(); // Not durably.
                }
                // Without a condition: some stores know none.
                _ => bucket.put(&name, body).await.unwrap(),
            }
        })
        .buffer_unordered(WRITES);
    while writes.next().await.is_some() {}
}

/// A key as a real one is: with a name, a source, dates and an author.
fn key(number: usize, now: Option<chrono::DateTime<chrono::Utc>>) -> ApiKey {
    let name = KeyName::parse(&format!("shipper-of-host-{number}")).unwrap();
    let mut new = NewKey::new(name, KeyType::ALL[number % 2]);
    new.settings.source_id = Label::parse(&format!("host-{number}")).ok();
    let digest = Digest::of(format!("secret {number}"));
    let key = new.into_key(TenantId::default(), digest, Hint::parse("x7Qa").unwrap());
    ApiKey {
        created_by: Some(Actor::AdminToken),
        created_at: now,
        modified_at: now,
        modified_by: Some(Actor::AdminToken),
        ..key
    }
}

/// The resident set of this process, as Linux counts it.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
