//! What following costs.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Scene, is_entry};
use crate::faults::{Fault, Kind};
use crate::sync::SyncSettings;

#[tokio::test(start_paused = true)]
async fn without_a_policy_that_holds_nothing_is_asked_and_with_one_a_read_a_second() {
    const HOUR: Duration = Duration::from_secs(3600);
    let scene = Scene::new();
    let (idle, node) = (scene.idle().await, scene.node().await);
    let settings = SyncSettings::default();
    let count = |kind| node.faults.count(move |call| is_entry(call) && call.kind == kind);
    let loaded = count(Kind::List);
    let both = async { tokio::join!(idle.all.follow(&settings), node.all.follow(&settings)) };
    assert!(tokio::time::timeout(HOUR, both).await.is_err());
    assert_eq!(idle.faults.count(is_entry), 0);
    let (reads, lists) = (count(Kind::Read), count(Kind::List) - loaded);
    println!("an hour: {reads} reads, {lists} lists, {} writes", count(Kind::Create));
    assert!((3500..=3750).contains(&reads) && (5..=8).contains(&lists) && count(Kind::Create) == 0, "{reads}, {lists}");
}

#[tokio::test(start_paused = true)]
async fn a_node_writes_one_entry_a_second_at_most_and_shares_what_waited_once_the_store_is_back() {
    let scene = Scene::new();
    let node = scene.node().await;
    let settings = SyncSettings::default();
    let work = async {
        for number in 0..600 {
            node.cross(number * 10..(number + 1) * 10, 600);
            tokio::time::sleep(Duration::from_millis(10)).await;
            node.advance(TimeDelta::milliseconds(10));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        node.faults.inject(Fault::ErrorBefore, is_entry);
        node.cross(10_000..10_010, 600);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(node.all.levels().waiting, 10);
        node.faults.none();
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    tokio::select! {
        () = node.all.follow(&settings) => {}
        () = work => {}
    }
    let writes = node.faults.times(|call| is_entry(call) && call.kind == Kind::Create);
    assert!(writes.windows(2).all(|two| two[1] - two[0] >= Duration::from_secs(1)), "{writes:?}");
    assert_eq!((node.all.levels().waiting, node.all.levels().active), (0, 6010));
    let other = scene.node().await;
    assert_eq!(other.all.levels().active, 6010);
}
