//! Changes per second by several admins at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyloft::key::KeyId;
use serde_json::json;

use super::fleet::{Node, Store};
use super::statistics::{millis, quantile, table};

const NODES: usize = 3;

#[derive(Clone, Copy)]
enum Change {
    Issue,
    Update,
}

/// Three processes on one directory, then on Ceph; each number of writers for some seconds, spread over the nodes. An
/// update changes the writer's own key.
pub async fn run(seconds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = Vec::new();
    for store in [Store::Directory(folder.path().join("store")), Store::ceph()] {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(Node::start(&store, &[]).await);
        }
        let nodes = Arc::new(nodes);
        for (change, name) in [(Change::Issue, "issue"), (Change::Update, "PATCH")] {
            for writers in [1, 3, 8] {
                let (mut times, failed, took) = load(&nodes, change, writers, Duration::from_secs(seconds)).await;
                #[allow(clippy::cast_precision_loss)]
                let rate = times.len() as f64 / took.as_secs_f64();
                let cells = [0.5, 0.99].map(|share| millis(quantile(&mut times, share)));
                let head = [store.name(), name].map(str::to_owned);
                let count = [writers.to_string(), format!("{rate:.1}")];
                rows.push([&head[..], &count[..], &cells[..], &[failed.to_string()][..]].concat());
            }
        }
    }
    println!("changes over {NODES} processes, {seconds} s each; milliseconds");
    table(&["store", "change", "writers", "per_second", "p50", "p99", "failed"], &rows);
}

/// What each change took, how many failed, and how long it lasted.
async fn load(
    nodes: &Arc<Vec<Node>>,
    change: Change,
    writers: usize,
    lasting: Duration,
) -> (Vec<Duration>, usize, Duration) {
    let mut own = Vec::new();
    for writer in 0..writers {
        own.push(nodes[writer % NODES].issue(&KeyId::random().to_string()).await);
    }
    let start = Instant::now();
    let writers = own.into_iter().enumerate().map(|(writer, own)| {
        let nodes = nodes.clone();
        tokio::spawn(async move {
            let (node, mut times, mut failed) = (&nodes[writer % NODES], Vec::new(), 0);
            while start.elapsed() < lasting {
                let asked = Instant::now();
                let (status, _) = match change {
                    Change::Issue => {
                        let key = json!({"keyName": KeyId::random(), "keyType": "query"});
                        node.admin("POST", "", Some(key)).await
                    }
                    Change::Update => {
                        let patch = json!({"metadata": {"number": times.len().to_string()}});
                        node.admin("PATCH", &format!("/{}", own.id), Some(patch)).await
                    }
                };
                if matches!(status, 200 | 201) { times.push(asked.elapsed()) } else { failed += 1 }
            }
            (times, failed)
        })
    });
    let (mut times, mut failed) = (Vec::new(), 0);
    for writer in writers.collect::<Vec<_>>() {
        let (more, failures) = writer.await.unwrap();
        times.extend(more);
        failed += failures;
    }
    (times, failed, start.elapsed())
}
