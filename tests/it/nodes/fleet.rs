//! Three real nodes on a real object store under load, while nodes are killed and the store is paused and killed. Needs
//! the stores of `scripts/with-stores.sh`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::client::connections;
use crate::support::process::keyloft;
use crate::support::{Ended, Fleet, Gateway, Ledger, TestStore};

const POLL: Duration = Duration::from_secs(1); // the default

/// How long admins issue, and how long they then only revoke: a node that meets no new key and writes nothing hears of
/// a revocation by its own poll only.
const ISSUING: Duration = Duration::from_millis(1000);
const REVOKING: Duration = Duration::from_millis(3500);

/// How many admins there are.
const ADMINS: usize = 2;

/// Background work that runs until it is stopped.
pub struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// On every node one client that presents keys, whatever became of them; and admins who issue, then revoke,
    /// all on one node at a time. Some keys are there from the beginning.
    pub async fn start(fleet: &Arc<Fleet>, ledger: &Arc<Ledger>) -> Self {
        for number in 0..60 {
            let key = fleet.issue(number % fleet.len(), &format!("early-{number}")).await;
            ledger.issued(key.expect("all is well"));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for place in 0..fleet.len() {
            tasks.spawn(present(fleet.clone(), ledger.clone(), stop.clone(), place));
        }
        let start = Instant::now();
        for admin in 0..ADMINS {
            tasks.spawn(administer(fleet.clone(), ledger.clone(), stop.clone(), start, admin));
        }
        Self { tasks, stop }
    }

    /// Stops it, and fails if anything in it has.
    pub async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

async fn present(fleet: Arc<Fleet>, ledger: Arc<Ledger>, stop: Arc<AtomicBool>, place: usize) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // A stride without a common divisor comes by all of them in an order of its own.
        let any = ledger.pick(number * 7919 + place);
        let key = if number % 2 == 0 { any } else { ledger.pick_lately_revoked(number / 2).or(any) };
        if let Some(key) = key {
            fleet.present(place, &key, &ledger).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn administer(fleet: Arc<Fleet>, ledger: Arc<Ledger>, stop: Arc<AtomicBool>, start: Instant, admin: usize) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let turn = start.elapsed().as_millis();
        let (round, within) = (turn / (ISSUING + REVOKING).as_millis(), turn % (ISSUING + REVOKING).as_millis());
        number += 1;
        if within < ISSUING.as_millis() {
            let place = (number + admin) % fleet.len();
            if let Some(key) = fleet.issue(place, &format!("key-{admin}-{number}")).await {
                ledger.issued(key.clone());
                fleet.present((place + 1) % fleet.len(), &key, &ledger).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        } else {
            let place = usize::try_from(round).unwrap() % fleet.len();
            if let Some(key) = ledger.pick_good(number * 7919) {
                fleet.revoke(place, &key.id, &ledger).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Takes the time of round trips to the store, so that a slow machine is not taken for a slow node.
async fn pulse(url: String, ledger: Arc<Ledger>) {
    let http = connections().timeout(Duration::from_secs(5)).build().unwrap();
    loop {
        let began = Instant::now();
        let _ = http.get(&url).send().await;
        ledger.round_trip(began);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn no_good_key_is_refused_and_no_revoked_one_admitted_while_nodes_and_the_store_fail() {
    let mut gateway = tokio::task::spawn_blocking(Gateway::start).await.unwrap();
    let store = gateway.store();
    let fleet = Fleet::start(3, &store.url(), store.variables(), &[]).await;
    let ledger = Arc::new(Ledger::new(POLL));
    let pulse = tokio::spawn(pulse(gateway.url(), ledger.clone()));
    let load = Load::start(&fleet, &ledger).await;
    seconds(2.0).await;

    for place in 0..3 {
        fleet.kill(place);
        seconds(0.2).await;
        fleet.start_node(place).await;
        seconds(1.0).await;
        ledger.outage_begins();
        match place {
            // Shorter and longer than the clients of the store wait, and refused connections.
            0 => {
                gateway.pause();
                seconds(1.0).await;
                gateway.resume();
            }
            1 => {
                gateway.kill();
                seconds(1.0).await;
                gateway = tokio::task::spawn_blocking(move || {
                    gateway.restart();
                    gateway
                })
                .await
                .unwrap();
            }
            _ => {
                gateway.pause();
                fleet.kill(0);
                fleet.start_node(0).await; // It greets, and admits no key yet.
                seconds(4.5).await;
                gateway.resume();
            }
        }
        ledger.outage_is_over();
        seconds(3.0).await;
    }

    load.end().await;
    pulse.abort();
    fleet.until_ready().await;
    fleet.assert_nothing_lost(&ledger).await;
    ledger.assert_right();
    receipts_name_only_the_dead(&fleet, &ledger).await;
    let mut verify = keyloft();
    verify.args(["audit", "verify", "--json", "--store", &store.url()]).envs(store.variables().iter().cloned());
    let audit = Ended::of(&mut verify, "").json();
    assert!(audit["holds"] == true && audit["entries"].as_u64() > Some(100), "{audit}");
}

/// A killed node counts as live until it has been silent for three heartbeats, and is named; no other node is.
async fn receipts_name_only_the_dead(fleet: &Fleet, ledger: &Ledger) {
    let key = ledger.pick_good(0).unwrap();
    let path = format!("/api/v1/tenants/default/apikeys/{}?wait=5s", key.id);
    let (status, body) = fleet.admin(1, "DELETE", &path, None).await.unwrap();
    let behind: BTreeSet<String> = serde_json::from_value(body["receipt"]["behind"].clone()).unwrap();
    assert_eq!(status, if behind.is_empty() { 200 } else { 202 }, "{body}");
    assert!(behind.is_subset(&fleet.dead()), "{behind:?} are behind, dead are {:?}", fleet.dead());
    assert_eq!(body["receipt"]["appliedOn"].as_u64(), Some(fleet.len() as u64), "{body}");
    for place in 0..fleet.len() {
        assert_eq!(fleet.whoami(place, &key).await, Some(401), "node {place} is not behind, and admits");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn a_receipt_names_a_process_that_stands_still_until_it_goes_on() {
    let store = TestStore::ceph();
    let fleet = Fleet::start(3, &store.url(), store.variables(), &[]).await;
    let ledger = Ledger::new(POLL);
    let change = async |wait: &str| {
        let key = fleet.issue(0, "k").await.unwrap();
        ledger.issued(key.clone());
        let path = format!("/api/v1/tenants/default/apikeys/{}?wait={wait}", key.id);
        let (status, body) = fleet.admin(0, "DELETE", &path, None).await.unwrap();
        (status, body["receipt"].clone(), key)
    };
    fleet
        .until("all are on the board", async || {
            let nodes = fleet.admin(0, "GET", "/api/v1/nodes", None).await;
            nodes.is_some_and(|(_, nodes)| nodes["items"].as_array().is_some_and(|items| items.len() == 3))
        })
        .await;
    let (status, receipt, _) = change("20s").await;
    assert_eq!((status, &receipt["liveNodes"], &receipt["behind"]), (200, &json!(3), &json!([])));

    let still = fleet.node_id(2).expect("its log names it");
    fleet.signal(2, "STOP");
    let (status, receipt, key) = change("5s").await;
    assert_eq!((status, &receipt["appliedOn"], &receipt["behind"]), (202, &json!(2), &json!([still])), "{receipt}");
    assert_eq!(fleet.whoami(1, &key).await, Some(401));

    fleet.signal(2, "CONT");
    let later = format!("/api/v1/changes/{}", receipt["changeSeq"]);
    fleet
        .until("it has caught up", async || {
            let receipt = fleet.admin(1, "GET", &later, None).await;
            receipt.is_some_and(|(status, receipt)| status == 200 && receipt["behind"] == json!([]))
        })
        .await;
    assert_eq!(fleet.whoami(2, &key).await, Some(401));
    let (status, receipt, _) = change("20s").await;
    assert_eq!((status, &receipt["appliedOn"], &receipt["behind"]), (200, &json!(3), &json!([])));
}
