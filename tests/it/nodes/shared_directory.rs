//! Two real processes on one local directory, and one of them is killed in the middle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fleet::Load;
use crate::support::{Fleet, Ledger};

const POLL: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_directory_lose_nothing_and_give_no_name_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let fleet = Fleet::start(2, store.to_str().unwrap(), &[], &["--sync-poll-interval", "200ms"]).await;
    let ledger = Arc::new(Ledger::new(POLL));
    let load = Load::start(&fleet, &ledger).await;
    let given = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let race = tokio::spawn(race(fleet.clone(), ledger.clone(), given.clone()));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        fleet.kill(0);
        tokio::time::sleep(Duration::from_millis(300)).await;
        fleet.start_node(0).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    race.abort();
    load.end().await;
    fleet.until_ready().await;
    fleet.assert_nothing_lost(&ledger).await;
    ledger.assert_right();
    let given = given.lock().unwrap();
    assert!(given.len() > 10, "only {} races had a winner", given.len());
    assert!(given.values().all(|winners| *winners == 1), "a name was given twice: {given:?}");
}

/// Both processes are asked for one name at once, again and again. The keys are not revoked: each name stays taken.
async fn race(fleet: Arc<Fleet>, ledger: Arc<Ledger>, given: Arc<Mutex<BTreeMap<String, usize>>>) {
    for round in 0.. {
        let name = format!("race-{round}");
        let issue = |place| fleet.issue(place, &name);
        let (a, b) = tokio::join!(issue(0), issue(1));
        let winners: Vec<_> = a.into_iter().chain(b).collect();
        if !winners.is_empty() {
            given.lock().unwrap().insert(name, winners.len());
        }
        winners.into_iter().for_each(|key| ledger.issued(key));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
