//! What a bucket says when its store goes wrong: never a success that is none, never a conflict with oneself.

use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;
use keyloft::testing::Written;
use keyloft::testing::layout::{self, ObjectName};
use keyloft::{Bucket, ErrorKind};
use object_store::memory::InMemory;

use crate::support::{Fault, Faults, Faulty, Kind, Odds, TestStore, Victim};

fn entry(seq: u64) -> ObjectName {
    ObjectName::LogEntry { seq }
}

/// A store as one node sees it, and as it is.
fn faulty() -> (Bucket, Arc<Faults>, Bucket) {
    let (memory, faults) = (Arc::new(InMemory::new()), Arc::new(Faults::default()));
    (Bucket::new(Arc::new(Faulty::new(memory.clone(), faults.clone()))), faults, Bucket::new(memory))
}

async fn text(bucket: &Bucket, seq: u64) -> Option<String> {
    let stored = bucket.read(&entry(seq)).await.unwrap()?;
    Some(String::from_utf8(stored.body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_write_whose_answer_got_lost_is_our_own_success() {
    let (bucket, faults, truth) = faulty();
    faults.inject(Fault::ErrorAfter, |call| call.is_write());
    assert_eq!(bucket.create(&entry(1), "a".into()).await.unwrap(), Written::Done);
    let version = bucket.read(&entry(1)).await.unwrap().unwrap().version;
    assert_eq!(bucket.replace(&entry(1), "b".into(), &version).await.unwrap(), Written::Done);
    assert_eq!(text(&truth, 1).await.unwrap(), "b");
}

#[tokio::test]
async fn a_write_that_was_not_done_is_never_a_success_nor_a_conflict() {
    let (bucket, faults, truth) = faulty();
    faults.inject(Fault::ErrorBefore, |call| call.is_write());
    assert_eq!(bucket.create(&entry(1), "a".into()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(text(&truth, 1).await, None);
}

#[tokio::test]
async fn a_crash_at_any_operation_leaves_the_old_or_the_new() {
    for crash in [Faults::crash_at, Faults::crash_after] {
        for number in 1..=4 {
            let (bucket, faults, truth) = faulty();
            assert_eq!(truth.create(&entry(1), "old".into()).await.unwrap(), Written::Done);
            crash(&faults, number);
            let written = async {
                let version = bucket.read(&entry(1)).await?.unwrap().version;
                bucket.replace(&entry(1), "new".into(), &version).await
            };
            let written = written.await;
            let found = text(&truth, 1).await.unwrap();
            assert!(found == "new" || found == "old" && written.is_err(), "{written:?} {found}");
        }
    }
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_in_five_seconds() {
    let hangs = async |fault, done: bool| {
        let (bucket, faults, truth) = faulty();
        faults.inject(fault, |_| true);
        let start = Instant::now();
        assert_eq!(bucket.create(&entry(1), "a".into()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!((4.5..6.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
        assert_eq!(text(&truth, 1).await.is_some(), done);
    };
    futures::join!(hangs(Fault::Hang, false), hangs(Fault::HangAfter, true));
}

#[tokio::test]
async fn lists_can_be_stale_and_truncated() {
    let (bucket, faults, truth) = faulty();
    let listed = async || bucket.list(&layout::log()).await.unwrap().len();
    for seq in 1..=4 {
        assert_eq!(truth.create(&entry(seq), "x".into()).await.unwrap(), Written::Done);
    }
    assert_eq!(listed().await, 4);
    assert_eq!(truth.create(&entry(5), "x".into()).await.unwrap(), Written::Done);
    faults.inject(Fault::Stale, |call| call.kind == Kind::List);
    assert_eq!(listed().await, 4);
    faults.inject(Fault::Truncated, |call| call.kind == Kind::List);
    assert_eq!(listed().await, 2);
    faults.none();
    assert_eq!(listed().await, 5);
    assert_eq!(faults.calls(), 1);
}

#[tokio::test]
async fn a_seed_can_be_replayed() {
    let odds = Odds { error_before: 100, error_after: 100, conflict: 100, ..Odds::default() };
    let history = async |seed| {
        let (bucket, faults, truth) = faulty();
        faults.seeded(seed, odds);
        let mut history = Vec::new();
        for seq in 1..=50 {
            let outcome = bucket.create(&entry(seq), "a".into()).await.map_err(|error| error.kind());
            let there = text(&truth, seq).await.is_some();
            assert!(there || outcome.is_err(), "an acknowledged write is lost");
            assert_ne!(outcome, Ok(Written::Conflict), "there is no other writer");
            history.push((outcome, there));
        }
        history
    };
    assert_eq!(history(1).await, history(1).await);
    assert_ne!(history(1).await, history(2).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn a_gateway_that_is_paused_is_reported_in_seconds_and_used_again_when_it_goes_on() {
    let victim = Victim::get().await;
    let store = TestStore::ceph();
    let name = entry(1);
    let (bucket, other) = (store.through(&victim).open(), store.open());
    assert_eq!(bucket.create(&entry(1), "a".into()).await.unwrap(), Written::Done);
    victim.pause();
    let start = Instant::now();
    let answers = join_all((0..4).map(|_| bucket.read(&name))).await;
    let seconds = start.elapsed().as_secs_f64();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap_err().kind() == ErrorKind::Unavailable));
    assert!((2.0..6.0).contains(&seconds), "{seconds}");
    assert_eq!(text(&other, 1).await.unwrap(), "a");
    victim.go_on();
    assert_eq!(text(&bucket, 1).await.unwrap(), "a");
}
