//! Which nodes have applied a change. A receipt never claims more than is known.

use crate::key::NodeId;

use super::node::NodeView;

/// How far a change has come: what the nodes themselves have published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the change in the log.
    pub change_seq: u64,
    /// How many live nodes have applied it.
    pub applied_on: usize,
    /// How many nodes are live; `None` when the store could not be asked.
    pub live_nodes: Option<usize>,
    /// The live nodes that have not published that they applied it.
    pub behind: Vec<NodeId>,
}

impl Receipt {
    /// What the nodes have published about a change.
    pub(super) fn of(change_seq: u64, nodes: &[NodeView]) -> Self {
        let live = nodes.iter().filter(|node| node.live);
        let behind: Vec<NodeId> =
            live.clone().filter(|node| node.applied_seq < change_seq).map(|node| node.node_id).collect();
        let live_nodes = live.count();
        Self { change_seq, applied_on: live_nodes - behind.len(), live_nodes: Some(live_nodes), behind }
    }

    /// What is known when the store cannot be asked: there may be nodes that this one does not know.
    pub(super) fn of_known(change_seq: u64, nodes: &[NodeView]) -> Self {
        Self { live_nodes: None, ..Self::of(change_seq, nodes) }
    }

    /// Whether every live node has applied the change.
    pub fn is_complete(&self) -> bool {
        self.behind.is_empty() && self.live_nodes.is_some()
    }

    /// Whether every live node has applied the change, with this one or without it.
    pub(super) fn is_complete_but_for(&self, node: NodeId) -> bool {
        self.behind.iter().all(|behind| *behind == node) && self.live_nodes.is_some()
    }
}
