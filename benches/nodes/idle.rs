//! What a node costs that nobody uses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counting::{Counting, Kind};
use super::fleet::{Node, Store};
use super::statistics::table;

/// How long a node may take until only its periods are left: what a start asks for is not what is measured.
const SETTLING: Duration = Duration::from_secs(30);
/// A full reconcile in quick succession, so that there are many in some minutes.
const LOOK_SECONDS: f64 = 10.0;
/// The default period between them.
const DEFAULT_LOOK_SECONDS: f64 = 600.0;
const HOURS_OF_A_MONTH: f64 = 24.0 * 30.0;
/// List prices of S3 (us-east-1): dollars per 1,000 requests.
const PRICES: [(Kind, f64); 4] = [(Kind::Get, 0.0004), (Kind::Put, 0.005), (Kind::List, 0.005), (Kind::Delete, 0.0)];

/// Two idle processes on one store of `keys` keys for some minutes, each counted by itself. One never reconciles fully:
/// what it asks for are its polls, its heartbeats and whatever else has a period of its own, at the defaults and in
/// real time. The other looks every 10 s; what it asks for besides is the price of a look, of which an hour has six.
/// (That it sees another node on the board makes its looks a little dearer than those of a node alone.)
pub async fn run(minutes: u64, keys: u64) {
    let store = Store::ceph();
    fill(&store, keys).await;
    let Store::S3 { endpoint, .. } = &store else { unreachable!("ceph is an S3 service") };
    let (calm, curious) = (Counting::before(endpoint).await, Counting::before(endpoint).await);
    let _calm = Node::start(&store.through(&calm.url()), &["--sync-reconcile-interval", "1d"]).await;
    let _curious = Node::start(&store.through(&curious.url()), &["--sync-reconcile-interval", "10s"]).await;
    tokio::time::sleep(SETTLING).await;
    let start = Instant::now();
    let _of_the_start = (calm.take(), curious.take());
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    let (calm, curious, seconds) = (calm.take(), curious.take(), start.elapsed().as_secs_f64());

    println!(
        "one idle process with {keys} keys on Ceph, {minutes} minutes counted at the store; a full reconcile every"
    );
    println!(
        "{LOOK_SECONDS} s beside none, counted for one every {DEFAULT_LOOK_SECONDS} s; list prices, a month of 30 days"
    );
    let (mut rows, mut requests, mut dollars) = (Vec::new(), 0.0, 0.0);
    for (kind, price) in PRICES {
        let of = |counts: &std::collections::BTreeMap<Kind, u64>| {
            #[allow(clippy::cast_precision_loss)]
            let count = counts.get(&kind).copied().unwrap_or_default() as f64;
            count
        };
        let periods = of(&calm) / seconds * 3600.0;
        let per_look = (of(&curious) - of(&calm)).max(0.0) / (seconds / LOOK_SECONDS);
        let hourly = periods + per_look * (3600.0 / DEFAULT_LOOK_SECONDS);
        let monthly = hourly * HOURS_OF_A_MONTH;
        (requests, dollars) = (requests + hourly, dollars + monthly / 1000.0 * price);
        let counted = [of(&calm), of(&curious)].map(|count| count.to_string());
        let worked_out = [format!("{periods:.1}"), format!("{per_look:.1}"), format!("{hourly:.1}")];
        let month = [format!("{monthly:.0}"), format!("{:.3}", monthly / 1000.0 * price)];
        rows.push([&[format!("{kind:?}").to_uppercase()][..], &counted, &worked_out, &month].concat());
    }
    let month = [format!("{requests:.1}"), format!("{:.0}", requests * HOURS_OF_A_MONTH), format!("{dollars:.3}")];
    rows.push([&["all"; 1].map(str::to_owned)[..], &[(); 4].map(|()| String::new()), &month].concat());
    let head = ["kind", "counted", "with_looks", "periods/h", "per_look", "per_hour", "per_month", "dollars"];
    table(&head, &rows);
}

/// Issues the keys, eight at a time, by a process that is gone afterwards.
async fn fill(store: &Store, keys: u64) {
    let node = Arc::new(Node::start(store, &[]).await);
    let writers = (0..8).map(|writer| {
        let node = node.clone();
        tokio::spawn(async move {
            for number in (writer..keys).step_by(8) {
                node.issue(&format!("key-{number}")).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}
