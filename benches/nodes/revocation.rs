//! From an acknowledged revocation to the refusal on every other node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::fleet::{Key, Node, Store};
use super::statistics::{millis, quantile, table};

/// How many revocations are under way at once.
const LANES: u64 = 4;
/// How often a node is asked whether it refuses the key.
const ASKED: Duration = Duration::from_millis(5);
/// A node that still admits a key after this has missed the revocation.
const MISSED: Duration = Duration::from_secs(10);

/// Three processes on Ceph with the default poll. All keys are issued and known everywhere before; all are revoked on
/// the first node, so that the others, which write nothing and meet no new key, hear of it by their own poll only.
pub async fn run(revokes: u64) {
    let store = Store::ceph();
    let nodes = [Node::start(&store, &[]).await, Node::start(&store, &[]).await, Node::start(&store, &[]).await];
    let nodes = Arc::new(nodes);
    let mut keys = Vec::new();
    for number in 0..revokes {
        keys.push(nodes[0].issue(&format!("key-{number}")).await);
    }
    for (node, key) in nodes.iter().flat_map(|node| keys.iter().map(move |key| (node, key))) {
        assert_eq!(node.present(key).await, 200);
    }
    let (keys, next) = (Arc::new(keys), Arc::new(AtomicU64::new(0)));
    let lanes = (0..LANES).map(|_| tokio::spawn(lane(nodes.clone(), keys.clone(), next.clone())));
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for lane in lanes.collect::<Vec<_>>() {
        let (more_acknowledged, more_refused) = lane.await.unwrap();
        acknowledged.extend(more_acknowledged);
        refused.extend(more_refused);
    }
    let missed = refused.iter().filter(|time| time.is_none()).count();
    let mut refused: Vec<Duration> = refused.into_iter().flatten().collect();
    println!("{revokes} revocations on one of 3 processes on Ceph, poll 1s; milliseconds");
    let row = |what: &str, times: &mut [Duration], missed: String| {
        let cells = [0.5, 0.99, 1.0].map(|share| millis(quantile(times, share)));
        [vec![what.to_owned(), times.len().to_string()], cells.to_vec(), vec![missed]].concat()
    };
    let rows = [
        row("request to acknowledgement", &mut acknowledged, "-".to_owned()),
        row("acknowledgement to refusal on another node", &mut refused, missed.to_string()),
    ];
    table(&["from", "count", "p50", "p99", "max", "missed"], &rows);
}

/// Revokes one key after the other until there are none: what each acknowledgement took, and each refusal elsewhere.
async fn lane(
    nodes: Arc<[Node; 3]>,
    keys: Arc<Vec<Key>>,
    next: Arc<AtomicU64>,
) -> (Vec<Duration>, Vec<Option<Duration>>) {
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(key) = usize::try_from(number).ok().and_then(|number| keys.get(number)) else {
            return (acknowledged, refused);
        };
        // The polls have just been, where the key before was refused: begin at any time between two of them.
        tokio::time::sleep(Duration::from_millis(number * 379 % 1000)).await;
        let asked = Instant::now();
        let (status, body) = nodes[0].admin("DELETE", &format!("/{}", key.id), None).await;
        assert_eq!(status, 200, "{body}");
        acknowledged.push(asked.elapsed());
        let since = Instant::now();
        let (one, other) = tokio::join!(refusal(&nodes[1], key, since), refusal(&nodes[2], key, since));
        refused.extend([one, other]);
    }
}

async fn refusal(node: &Node, key: &Key, since: Instant) -> Option<Duration> {
    while since.elapsed() < MISSED {
        if node.present(key).await == 401 {
            return Some(since.elapsed());
        }
        tokio::time::sleep(ASKED).await;
    }
    None
}
