//! Histories of nodes that count, flush, compact, are cut off and end: nothing is counted twice, nothing written is
//! lost.

use proptest::prelude::*;

use super::archive::{Node, store};

/// What happens to nodes.
#[derive(Debug, Clone, Copy)]
enum Step {
    Count(usize),
    Flush(usize),
    Compact(usize),
    /// The line to the store is cut at one of the next operations, before or after it is done; then a flush is tried.
    CutInFlush(usize, u64, bool),
    /// The same for a compaction.
    CutInCompaction(usize, u64, bool),
    /// The node ends, and another takes its place.
    Kill(usize),
}

const NODES: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // A flush asks the store for two things, or four; a compaction for a dozen.
    let (node, at) = (0..NODES, 1..15u64);
    let step = prop_oneof![
        4 => node.clone().prop_map(Step::Count),
        3 => node.clone().prop_map(Step::Flush),
        2 => node.clone().prop_map(Step::Compact),
        3 => (node.clone(), 1..5u64, any::<bool>()).prop_map(|(node, at, after)| Step::CutInFlush(node, at, after)),
        2 => (node.clone(), at, any::<bool>()).prop_map(|(node, at, after)| Step::CutInCompaction(node, at, after)),
        1 => node.prop_map(Step::Kill),
    ];
    proptest::collection::vec(step, 1..40)
}

impl Node {
    /// Cuts the line before or after one of the next operations.
    fn cut(&self, number: u64, after: bool) {
        if after { self.faults.crash_after(number) } else { self.faults.crash_at(number) }
    }
}

/// What a node has counted since its last flush that was answered.
#[derive(Debug, Default, Clone, Copy)]
struct Open {
    counted: u64,
    /// Whether a flush since then was cut off: it may or may not be durable.
    unclear: bool,
    /// Whether another node compacted after that: what was on its way then may be lost, and nothing else.
    archived: bool,
}

/// Node `by` has compacted.
fn note_compaction(open: &mut [Open], by: usize) {
    for (_, open) in open.iter_mut().enumerate().filter(|(at, open)| *at != by && open.unclear) {
        open.archived = true;
    }
}

async fn live_through(steps: Vec<Step>) {
    let (store, secret) = store().await;
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Node::on(&store, &secret).await);
    }
    nodes[0].meter.begin().await.unwrap();
    let mut open = [Open::default(); NODES];
    let (mut counted, mut may_be_lost) = (0, 0);
    for step in steps {
        match step {
            Step::Count(at) => {
                nodes[at].count();
                counted += 1;
                open[at].counted += 1;
            }
            Step::Flush(at) => {
                nodes[at].meter.flush().await.unwrap();
                if open[at].archived {
                    may_be_lost += open[at].counted;
                }
                open[at] = Open::default();
            }
            Step::Compact(at) => {
                nodes[at].meter.compact().await.unwrap();
                note_compaction(&mut open, at);
            }
            Step::CutInFlush(at, number, after) => {
                nodes[at].cut(number, after);
                let flushed = nodes[at].meter.flush().await;
                nodes[at].faults.none();
                match flushed {
                    Ok(()) => {
                        if open[at].archived {
                            may_be_lost += open[at].counted;
                        }
                        open[at] = Open::default();
                    }
                    Err(_) => open[at].unclear = true,
                }
            }
            Step::CutInCompaction(at, number, after) => {
                nodes[at].cut(number, after);
                let _ = nodes[at].meter.compact().await;
                nodes[at].faults.none();
                note_compaction(&mut open, at);
            }
            Step::Kill(at) => {
                may_be_lost += open[at].counted;
                open[at] = Open::default();
                nodes[at] = Node::on(&store, &secret).await;
            }
        }
        // Of what is open, some is in the store and some is not yet.
        let unflushed: u64 = open.iter().map(|open| open.counted).sum();
        let seen = Node::on(&store, &secret).await.total().await;
        assert!(seen <= counted, "{seen} of {counted} are seen after {step:?}");
        assert!(seen + unflushed + may_be_lost >= counted, "{seen} of {counted}, {unflushed} open, after {step:?}");
    }
    for node in &nodes {
        node.meter.flush().await.unwrap();
    }
    may_be_lost += open.iter().filter(|open| open.archived).map(|open| open.counted).sum::<u64>();
    for node in &nodes {
        let seen = node.total().await;
        assert!(seen <= counted && seen + may_be_lost >= counted, "{seen} of {counted} in the end, {may_be_lost}");
    }
}

#[tokio::test]
async fn a_segment_that_was_archived_before_its_node_knew_of_it_is_not_written_again() {
    use Step::{Compact, Count, CutInFlush, Flush};
    live_through(vec![Count(0), CutInFlush(0, 2, true), Compact(1), Flush(0), Count(0), Count(0)]).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn no_history_counts_anything_twice_or_loses_what_was_written(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_through(steps));
    }
}
