//! A node is killed at each request to the store in turn, before it is carried out and after: no event is lost, and
//! none counts twice.

use object_store::memory::InMemory;

use super::*;
use crate::documents::RequestContext;
use crate::faults::Faults;
use crate::faulty::Faulty;
use crate::key::Actor;

/// A store with events, and how a node over it is killed.
struct Kills {
    before: InMemory,
    numbers: Vec<i64>,
}

impl Kills {
    /// Of one day: seven merged objects of one size and eight of ingest, so that these are taken, then all are merged.
    async fn new() -> Self {
        let memory = Arc::new(InMemory::new());
        let node = Node::over(Bucket::new(memory.clone()), Duration::ZERO);
        for n in 0..64 {
            if n % 8 == 0 {
                node.compact("27").await;
            }
            node.store_number("27T10:00:00", n).await;
        }
        assert_eq!(node.objects().await, 7 + 8);
        Self { before: memory.fork(), numbers: (0..64).collect() }
    }

    /// Lets `work` be done by a node that is killed at each of its requests in turn, and shows `check` what it leaves.
    /// Says how often it was killed.
    async fn each(&self, work: impl AsyncFn(&Node), check: impl AsyncFn(Arc<InMemory>)) -> u64 {
        let mut kills = 0;
        for is_done in [false, true] {
            for number in 1.. {
                let (memory, faults) = (Arc::new(self.before.fork()), Arc::new(Faults::default()));
                let node =
                    Node::over(Bucket::new(Arc::new(Faulty::new(memory.clone(), faults.clone()))), Duration::ZERO);
                node.catalog.sync().await.unwrap();
                match is_done {
                    false => faults.crash_at(number),
                    true => faults.crash_after(number),
                }
                work(&node).await;
                let is_killed = faults.calls() >= number;
                drop(node);
                check(memory).await;
                if !is_killed {
                    break;
                }
                kills += 1;
            }
        }
        kills
    }
}

/// A node that starts over what the killed one left.
async fn next(memory: Arc<InMemory>) -> Node {
    let node = Node::over(Bucket::new(memory), Duration::ZERO);
    node.catalog.sync().await.unwrap();
    node
}

#[tokio::test]
async fn a_node_that_is_killed_at_any_request_of_a_merge_loses_no_event_and_doubles_none() {
    let kills = Kills::new().await;
    let merges = async |node: &Node| {
        let id = node.folder().day(at("27T00:00:00").date_naive());
        for _ in 0..3 {
            if node.compactor.compact(&id).await.is_err() {
                return;
            }
        }
    };
    let killed = kills.each(merges, async |memory| {
        let node = next(memory).await;
        assert_eq!(node.sorted_numbers().await, kills.numbers, "right after");
        merges(&node).await;
        assert_eq!(node.sorted_numbers().await, kills.numbers, "the next node goes on");
        node.clock.advance(TimeDelta::days(3650));
        node.compact("27").await;
        let listing = node.folder().list(at("27T00:00:00").date_naive()).await.unwrap();
        assert_eq!(
            (listing.fresh.len(), listing.merged.len(), node.sorted_numbers().await),
            (0, 1, kills.numbers.clone())
        );
    });
    let killed = killed.await;
    assert!(killed > 2 * 40, "killed {killed} times");
}

#[tokio::test]
async fn a_node_that_is_killed_at_any_request_of_a_deletion_leaves_all_events_or_none_and_keeps_new_ones() {
    let kills = Kills::new().await;
    let (tenant, stream) = web();
    let acknowledged = parking_lot::Mutex::new(false);
    let deletes = async |node: &Node| {
        let context = RequestContext::new(Actor::System, node.clock.now());
        let deleted = node.compactor.delete_stream(&context, &tenant, &stream, Duration::ZERO).await;
        *acknowledged.lock() = deleted.is_ok();
    };
    let killed = kills.each(deletes, async |memory| {
        let node = next(memory).await;
        let is_recorded = node.catalog.known(&tenant, &stream).unwrap().deletions() == 1;
        assert!(is_recorded || !*acknowledged.lock());
        if *acknowledged.lock() {
            assert_eq!(node.sorted_numbers().await, Vec::<i64>::new(), "it is acknowledged");
        }
        node.store_number("27T11:00:00", 1000).await;
        node.clock.advance(TimeDelta::minutes(1));
        node.compactor.continue_deletions().await;
        let numbers = node.sorted_numbers().await;
        match is_recorded {
            // The day was still to be emptied when the event came, or not any more.
            true => assert!(numbers.is_empty() || numbers == [1000], "{numbers:?}"),
            false => assert_eq!(numbers, [kills.numbers.as_slice(), &[1000]].concat()),
        }
        node.store_number("27T11:00:00", 1001).await;
        node.compactor.continue_deletions().await;
        assert_eq!(node.sorted_numbers().await.last(), Some(&1001));
    });
    assert!(killed.await > 2 * 8);
}
