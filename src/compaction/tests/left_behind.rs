//! What a node that has ended leaves to be removed, others remove. Time is that of tokio, which passes when all wait.
//! Nothing is merged while a node follows: that takes a thread, for which this time does not wait.

use super::*;
use crate::documents::RequestContext;
use crate::key::{Actor, RetentionDays};

/// How long what is replaced stays: the time to live of a session by default, and a minute.
const KEEP: Duration = Duration::from_secs(360);

impl Node {
    /// A node that others know of, and that knows of itself what others would.
    async fn live(bucket: &Bucket) -> Self {
        let node = Self::over(bucket.clone(), KEEP);
        node.catalog.sync().await.unwrap();
        node.compactor.keystore.sync().await.unwrap();
        node.compactor.keystore.replica().publish().await.unwrap();
        node
    }

    /// Two nodes, of which the second comes after so many for the stream.
    async fn two(rank: u32) -> (Self, Self) {
        loop {
            let bucket = Bucket::in_memory();
            let (one, two) = (Self::live(&bucket).await, Self::live(&bucket).await);
            let (tenant, stream) = web();
            assert!(two.compactor.know_nodes(Duration::ZERO).await);
            if two.compactor.rank(&tenant, &stream) == rank {
                return (one, two);
            }
        }
    }

    async fn follow(&self, minutes: u64) {
        let _ = tokio::time::timeout(Duration::from_secs(60 * minutes), self.compactor.follow()).await;
    }

    /// The same while another node lives, and does nothing.
    async fn follow_beside(&self, other: &Self, minutes: u64) {
        let lives = async {
            loop {
                for node in [self, other] {
                    node.clock.advance(TimeDelta::minutes(1));
                    node.compactor.keystore.replica().publish().await.unwrap();
                }
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        };
        tokio::select! {
            () = self.follow(minutes) => {}
            () = lives => {}
        }
    }

    async fn hears(&self) {
        let (tenant, stream) = web();
        self.compactor.keystore.poll().await.unwrap();
        self.catalog.announced(&tenant, &stream);
        self.catalog.reload(&tenant, &stream).await.unwrap();
    }

    /// Deletes the stream, of which `other` hears, and then ends.
    async fn deletes_and_ends(self, other: Option<&Self>) {
        let (tenant, stream) = web();
        let context = RequestContext::new(Actor::System, self.clock.now());
        self.compactor.delete_stream(&context, &tenant, &stream, Duration::ZERO).await.unwrap();
        if let Some(other) = other {
            other.hears().await;
            self.clock.advance(TimeDelta::minutes(1));
            self.compactor.continue_deletions().await;
            other.hears().await;
        }
        assert!(!self.catalog.known(&tenant, &stream).unwrap().is_being_deleted());
    }

    /// How many objects of events are in the store, whether they count or not.
    async fn objects_there(&self) -> usize {
        let (mut there, folder) = (0, self.folder());
        for date in folder.days().await.unwrap() {
            let listing = folder.list(date).await.unwrap();
            there += listing.fresh.len() + listing.merged.len();
        }
        there
    }
}

#[tokio::test(start_paused = true)]
async fn the_objects_of_a_stream_that_was_deleted_by_a_node_that_has_ended_since_are_removed_in_time() {
    for rank in [0, 1] {
        let (node, other) = Node::two(rank).await;
        for time in ["20T10:00:00", "26T10:00:00", "27T10:00:00"] {
            node.store_number(time, 1).await;
        }
        other.hears().await;
        other.follow_beside(&node, 75).await; // It has looked at each day, and has found nothing to do.
        node.deletes_and_ends(Some(&other)).await;
        other.follow(4).await;
        assert_eq!(other.objects_there().await, 3, "queries may read them");
        other.follow(8).await;
        assert_eq!(other.objects_there().await, 0, "twice six minutes have passed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_after_a_deletion_removes_the_objects() {
    let bucket = Bucket::in_memory();
    let node = Node::live(&bucket).await;
    node.store_number("20T10:00:00", 1).await;
    node.store_number("27T10:00:00", 1).await;
    node.deletes_and_ends(None).await;
    let later = Node::live(&bucket).await;
    later.follow(12).await;
    assert_eq!(later.objects_there().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_node_hears_that_another_has_ended_and_does_what_that_one_would() {
    let (first, idle) = Node::two(1).await;
    for node in [&first, &idle] {
        let days = RetentionDays::try_from(2).unwrap();
        node.catalog.retain(node.clock.clone(), move |_, _| Some(days));
    }
    idle.store_number("27T10:00:00", 1).await;
    idle.follow_beside(&first, 75).await;
    first.catalog.sync().await.unwrap();
    first.store_number("24T10:00:00", 2).await;
    first.compactor.keystore.replica().withdraw().await.unwrap();
    idle.follow(90).await;
    assert_eq!(idle.objects_there().await, 1, "that of a day out of retention is gone");
}

#[tokio::test(start_paused = true)]
async fn what_a_node_has_merged_that_has_ended_since_is_removed() {
    let (other, first) = Node::two(0).await;
    other.store_number("27T10:00:00", 0).await;
    first.hears().await;
    first.follow_beside(&other, 75).await; // It has looked at the day, and has found nothing to do.
    for n in 1..10 {
        other.store_number("27T10:00:00", n).await;
    }
    let id = other.folder().day(at("27T00:00:00").date_naive());
    assert!(!other.compactor.compact(&id).await.unwrap());
    assert_eq!(other.objects_there().await, 11);
    drop(other);
    first.follow(90).await;
    assert_eq!((first.objects_there().await, first.sorted_numbers().await), (1, (0..10).collect()));
}

#[tokio::test]
async fn a_sweep_asks_for_the_streams_of_this_node_only() {
    let node = Node::new();
    node.store_number("25T10:00:00", 1).await;
    node.compactor.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(node.compactor.days.lock().await.len(), 1, "it is alone");
    node.compactor.days.lock().await.clear();
    // Of many other nodes, some come first for each stream.
    for _ in 0..30 {
        let node_id = NodeId::random();
        let body = format!(
            r#"{{"version":1,"nodeId":"{node_id}","appliedSeq":0,"at":"2026-11-27T12:00:00Z","readsManifests":true}}"#
        );
        node.bucket.put(&ObjectName::Node { node_id }, body.into()).await.unwrap();
    }
    *node.compactor.nodes.lock() = Default::default();
    node.compactor.sweep(Duration::ZERO).await.unwrap();
    let (tenant, stream) = (node.folder().tenant().clone(), node.folder().stream().clone());
    let is_first = node.compactor.rank(&tenant, &stream) == 0;
    assert_eq!(node.compactor.days.lock().await.len(), usize::from(is_first));
}

#[tokio::test]
async fn a_visit_whose_time_is_over_ends_after_a_step_and_goes_on_next_time() {
    let node = Node::new();
    for n in 0..10 {
        node.store_number("26T10:00:00", n).await;
    }
    let mut day = node.compactor.day(&node.folder().day(at("26T00:00:00").date_naive()));
    let rest = day.visit(node.compactor.tools(), node.clock.now(), Some(Instant::now())).await.unwrap();
    assert!(matches!(rest, Rest::Now) && node.objects().await == 1, "{rest:?}");
    let rest = day.visit(node.compactor.tools(), node.clock.now(), Some(Instant::now())).await.unwrap();
    assert!(matches!(rest, Rest::Removal(_)), "{rest:?}");
}
