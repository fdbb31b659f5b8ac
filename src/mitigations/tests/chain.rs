//! Several nodes and one chain.

use bytes::Bytes;
use chrono::TimeDelta;

use super::{Scene, entity, hold, is_entry, key, tenant};
use crate::faults::{Fault, Kind};
use crate::mitigations::chain;

#[tokio::test]
async fn who_is_held_by_one_node_is_held_by_all_and_by_those_that_start_later() {
    let scene = Scene::new();
    let (a, b) = (scene.node().await, scene.node().await);
    a.cross(0..2500, 600);
    assert_eq!((a.held(1), b.held(1)), (Some(600), None));
    a.share_all().await;
    assert_eq!(a.faults.count(|call| is_entry(call) && call.kind == Kind::Create), 3, "1000 rows each");
    b.all.catch_up().await.unwrap();
    assert_eq!((b.held(0), b.held(2499), b.held(2500)), (Some(600), Some(600), None));
    let late = scene.node().await;
    assert_eq!((late.held(2499), late.all.levels().active), (Some(600), 2500));
    late.advance(TimeDelta::seconds(600));
    assert_eq!((late.held(1), late.all.levels().active), (None, 0));
}

#[tokio::test]
async fn nodes_that_write_at_once_lose_nothing() {
    let scene = Scene::new();
    let nodes = [scene.node().await, scene.node().await, scene.node().await];
    for (place, node) in (0u64..).zip(&nodes) {
        node.cross(place * 1500..(place + 1) * 1500, 600);
    }
    futures::future::join_all(nodes.iter().map(super::Node::share_all)).await;
    for node in &nodes {
        node.all.catch_up().await.unwrap();
        assert_eq!(node.all.levels().active, 4500);
    }
    let listing = chain::list(&nodes[0].bucket, 0, true).await.unwrap();
    assert_eq!(listing.numbers.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn an_entry_that_was_written_without_an_answer_is_recognised_and_told_once() {
    for fault in [Fault::ErrorAfter, Fault::ErrorBefore] {
        let scene = Scene::new();
        let (a, b) = (scene.node().await, scene.node().await);
        a.cross(0..5, 600);
        // The answer is lost, and so is the read that would tell what became of it.
        a.faults.inject(fault, is_entry);
        assert!(a.all.share().await.is_err());
        assert_eq!((a.held(1), a.all.levels().waiting), (Some(600), 5), "this node holds on");
        a.faults.none();
        a.share_all().await;
        let written = chain::list(&a.bucket, 0, true).await.unwrap().numbers.len();
        assert_eq!((written, a.all.levels().waiting), (1, 0), "{fault:?}");
        b.all.catch_up().await.unwrap();
        assert_eq!(b.held(4), Some(600));
    }
}

#[tokio::test]
async fn a_release_wins_over_what_was_made_before_it_on_any_node_and_a_later_crossing_holds_anew() {
    let scene = Scene::new();
    let (a, b) = (scene.node().await, scene.node().await);
    a.cross(1..3, 600);
    a.share_all().await;
    b.cross(1..2, 900); // It has not read that, nor shared its own.
    a.release(1).await;
    assert_eq!((a.held(1), a.held(2)), (None, Some(600)));
    b.share_all().await;
    assert_eq!((b.held(1), b.held(2)), (None, Some(600)), "who writes has read all before");
    let late = scene.node().await;
    assert_eq!((late.held(1), late.held(2)), (None, Some(600)));
    b.cross(1..2, 300);
    b.share_all().await;
    a.all.catch_up().await.unwrap();
    assert_eq!((a.held(1), scene.node().await.held(1)), (Some(300), Some(300)));
}

#[tokio::test]
async fn what_is_broken_or_foreign_is_passed_over_and_reported_and_numbers_may_be_missing() {
    let scene = Scene::new();
    let (a, b) = (scene.node().await, scene.node().await);
    a.cross(0..1, 600);
    a.share_all().await;
    for (seq, body) in [(2, "{"), (99, "{}")] {
        assert!(a.bucket.create(&chain::name(seq), Bytes::from_static(body.as_bytes())).await.is_ok());
    }
    b.all.catch_up().await.unwrap();
    a.cross(1..2, 600);
    a.share_all().await;
    b.all.catch_up().await.unwrap();
    let late = scene.node().await;
    for node in [&a, &b, &late] {
        assert_eq!((node.held(0), node.held(1)), (Some(600), Some(600)));
        let names: Vec<String> = node.all.unreadable().into_keys().map(|(_, object)| object).collect();
        assert!(names.iter().any(|name| name.ends_with("02.json")), "{names:?}");
    }
    assert_eq!(late.all.unreadable().len(), 2, "the stray one too");
    // Somebody removes what is broken.
    a.bucket.remove(&chain::name(2)).await.unwrap();
    a.bucket.remove(&chain::name(99)).await.unwrap();
    a.all.tidy().await.unwrap();
    assert!(a.all.unreadable().is_empty());
    let last = scene.node().await;
    assert_eq!((last.held(0), last.held(1)), (Some(600), Some(600)), "behind a gap");
    last.cross(2..3, 600);
    last.share_all().await;
    a.all.catch_up().await.unwrap();
    assert_eq!(a.held(2), Some(600));
}

#[tokio::test]
async fn an_entry_far_ahead_parts_no_nodes() {
    let scene = Scene::new();
    let a = scene.node().await;
    a.cross(0..3, 600);
    a.share_all().await;
    let by_hand = a.bucket.read(&chain::name(1)).await.unwrap().unwrap().body;
    let by_hand = String::from_utf8(by_hand.to_vec()).unwrap().replace("\"seq\":1,", "\"seq\":900000,");
    assert!(by_hand.contains("900000"));
    a.bucket.put(&chain::name(900_000), Bytes::from(by_hand)).await.unwrap();
    let late = scene.node().await;
    late.cross(5..6, 600);
    late.share_all().await;
    a.all.catch_up().await.unwrap();
    assert_eq!((a.held(5), late.held(1)), (Some(600), Some(600)));
    let unreadable = late.all.unreadable();
    assert!(unreadable.iter().any(|(_, reason)| reason.contains("far behind")), "{unreadable:?}");
}

#[tokio::test]
async fn entries_go_once_all_of_them_is_over_and_the_last_one_stays() {
    let scene = Scene::new();
    let (a, b) = (scene.node().await, scene.node().await);
    for (number, seconds) in [(0, 600), (1, 8000), (2, 600), (3, 600)] {
        a.cross(number..number + 1, seconds);
        a.share_all().await;
    }
    assert_eq!(a.all.tidy().await.unwrap(), 0, "they are young");
    a.advance(TimeDelta::seconds(3700));
    b.all.keep_time();
    assert_eq!(a.all.tidy().await.unwrap(), 1, "behind one that is in use, all stay");
    assert_eq!(b.all.tidy().await.unwrap(), 0, "any node does it, and again is no harm");
    assert_eq!(scene.node().await.held(1), Some(4300));
    a.release(1).await;
    assert_eq!(a.all.tidy().await.unwrap(), 3, "who was released needs no entry");
    let left = chain::list(&a.bucket, 0, true).await.unwrap().numbers;
    assert_eq!(left.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [5]);
    assert_eq!(scene.node().await.held(1), None);
    // Numbers go on behind it.
    let late = scene.node().await;
    late.cross(9..10, 600);
    late.share_all().await;
    a.all.catch_up().await.unwrap();
    assert_eq!(a.held(9), Some(600));
}

#[tokio::test]
async fn many_old_entries_that_are_in_use_become_few() {
    let scene = Scene::new();
    let node = scene.node().await;
    for number in 0..300 {
        node.cross(number..number + 1, 100_000);
        node.share_all().await;
    }
    node.advance(TimeDelta::seconds(3700));
    assert_eq!(node.all.tidy().await.unwrap(), 0);
    node.share_all().await;
    assert_eq!(node.all.tidy().await.unwrap(), 299, "the last one stays");
    let late = scene.node().await;
    assert_eq!((late.all.levels().active, late.held(7)), (300, Some(96_300)));
    assert_eq!(late.faults.count(|call| is_entry(call) && call.kind == Kind::Read), 2);
}

#[tokio::test]
async fn a_node_that_was_away_for_long_keeps_to_itself_what_it_could_not_tell() {
    let scene = Scene::new();
    let (a, b) = (scene.node().await, scene.node().await);
    a.cross(0..1, 600);
    a.share_all().await;
    b.all.catch_up().await.unwrap();
    b.faults.inject(Fault::ErrorBefore, |_| true);
    b.cross(1..2, 20_000);
    assert!(b.all.share().await.is_err());
    // Meanwhile it is released, which is forgotten with its entry.
    a.release(1).await;
    for _ in 0..2 {
        a.advance(TimeDelta::seconds(3700));
        a.cross(2..3, 600);
        a.share_all().await;
        a.all.tidy().await.unwrap();
    }
    b.faults.none();
    b.all.keep_time();
    b.all.catch_up().await.unwrap();
    b.share_all().await;
    assert_eq!((b.all.levels().waiting, b.all.levels().dropped), (0, 1));
    assert_eq!(b.held(2), Some(600), "it knows what the others do");
    a.all.catch_up().await.unwrap();
    assert_eq!(a.held(1), None, "it has not shared whom they have released");
    b.release(1).await;
    assert_eq!(b.held(1), None);
}

#[tokio::test]
async fn a_policy_in_another_mode_or_without_a_duration_holds_nobody() {
    let scene = Scene::new();
    let node = scene.node().await;
    node.cross(1..2, 600);
    assert_eq!((node.held(1), node.all.list(&tenant(), None, 10).len()), (Some(600), 1));
    for mode in ["challenge", "monitor"] {
        node.deploy(mode.into(), 600).await;
        assert_eq!((node.held(1), node.all.holding(&tenant(), entity(1)).len()), (None, 0), "{mode}");
    }
    assert!(!node.all.is_needed());
    node.deploy("block".into(), 600).await;
    assert_eq!((node.held(1), node.all.is_needed()), (Some(600), true));
}

#[tokio::test]
async fn a_clock_that_was_set_back_lets_everybody_go_rather_than_hold_for_years() {
    let scene = Scene::new();
    let node = scene.node().await;
    node.advance(TimeDelta::days(4000));
    node.cross(1..2, 600);
    node.advance(TimeDelta::days(-4000));
    assert_eq!(node.held(1), None);
    let memory = hold(node.now_ms(), node.now_ms() + 1000);
    node.all.change(|all| all.read(&tenant(), key(1), memory, 7, node.now_ms()));
    assert_eq!(node.held(1), Some(1), "a right one takes its place");
}
