//! What this node publishes, what others have, and what that proves.

use std::sync::Arc;
use std::time::Duration;

use super::Replica;
use crate::clock::StoreClock;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::alone::INTRODUCTION;
use crate::sync::node::{LogHead, NodeView};
use crate::sync::{Receipt, log};

/// How often the nodes are read while a caller waits for a receipt.
const WAIT_PERIOD: Duration = Duration::from_millis(100);

impl Replica {
    /// Publishes what this node has applied, if that is news or a heartbeat is due. Reads the list of nodes too when it
    /// has grown old.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn publish(&self) -> Result<()> {
        let (now, store_clock) = (self.clock.now(), &self.store_clock);
        let head = || self.journal.tip().map(|(seq, hash)| LogHead { seq, hash });
        self.registry.publish(&self.bucket, || (self.published_seq(), head()), now, store_clock).await?;
        if self.alone.wants_list() {
            self.nodes().await?;
        }
        Ok(())
    }

    /// The clock of the store. It is learnt with what this node publishes.
    pub fn store_clock(&self) -> &Arc<StoreClock> {
        &self.store_clock
    }

    /// The clock of the store, learnt first if it is not known.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn learn_store_clock(&self) -> Result<&StoreClock> {
        if !self.store_clock.is_known() {
            self.publish().await?;
        }
        match self.store_clock.is_known() {
            true => Ok(&self.store_clock),
            false => Err(Error::new(ErrorKind::Unavailable, "the clock of the store is not known")),
        }
    }

    /// Waits, before the first change that makes a secret valid is acknowledged, until no other node holds a lease as
    /// the only node. Waits three seconds at most, because crashed nodes count as live too.
    pub async fn introduce(&self, seq: u64) {
        if self.alone.is_introduced() {
            return;
        }
        let _turn = self.introducing.lock().await;
        if self.alone.is_introduced() {
            return;
        }
        let everybody_knows = tokio::time::Instant::now() + INTRODUCTION;
        let published = self.publish().await;
        // This node itself does not count: it may still verify its memory.
        let known = |receipt: &Receipt| receipt.is_complete_but_for(self.node_id);
        if published.is_err() || !known(&self.wait_until(seq, INTRODUCTION, known).await) {
            tokio::time::sleep_until(everybody_knows).await;
        }
        if published.is_ok() {
            self.alone.introduced();
        }
    }

    /// Removes this node from the list of nodes. From then on it publishes nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer; other nodes then count this one as live for
    /// three minutes.
    pub async fn withdraw(&self) -> Result<()> {
        self.registry.withdraw(&self.bucket).await
    }

    /// All nodes, as they describe themselves. One that is loading its keys or verifying them has applied nothing yet.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn nodes(&self) -> Result<Vec<NodeView>> {
        self.registry.read(&self.bucket, self.published_seq(), self.clock.now()).await
    }

    /// How far a change has come. When the store does not answer, only what is known counts as applied.
    pub async fn receipt(&self, change_seq: u64) -> Receipt {
        let nodes = match self.nodes().await {
            Ok(nodes) => nodes,
            Err(_) => {
                let known = self.registry.last_read(self.published_seq(), self.clock.now());
                return Receipt::of_known(change_seq, &known);
            }
        };
        Receipt::of(change_seq, &nodes)
    }

    /// Waits until every live node has applied a change, at most for `patience`.
    pub async fn wait_for(&self, change_seq: u64, patience: Duration) -> Receipt {
        self.wait_until(change_seq, patience, Receipt::is_complete).await
    }

    async fn wait_until(&self, change_seq: u64, patience: Duration, enough: impl Fn(&Receipt) -> bool) -> Receipt {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let receipt = self.receipt(change_seq).await;
            let next = tokio::time::Instant::now() + WAIT_PERIOD;
            if enough(&receipt) || next > deadline {
                return receipt;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// How many seconds ago the first entry was written that a node has not applied; 0 when it has applied all.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn lag_seconds(&self, node: &NodeView) -> Result<i64> {
        if node.applied_seq >= self.applied_seq() {
            return Ok(0);
        }
        let now = self.clock.now();
        let since = match log::read(&self.bucket, node.applied_seq + 1).await? {
            log::Slot::Taken(entry, _) => entry.at,
            log::Slot::Free | log::Slot::Unreadable(_) => node.last_seen_at, // Trimmed: behind for longer than that.
        };
        Ok((now - since).num_seconds().max(0))
    }

    /// Removes the documents of nodes that ended without a word.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn sweep(&self) -> Result<()> {
        self.registry.sweep(&self.bucket, self.applied_seq(), self.clock.now()).await
    }

    /// How far the others are. Without a place in the log, those that ended count too: an operator may have removed
    /// the log, and numbers must never be given twice.
    pub(super) async fn furthest(&self) -> Result<u64> {
        let lost = self.is_lost();
        let others = self.nodes().await?;
        let others = others.iter().filter(|node| (lost || node.live) && node.node_id != self.node_id);
        Ok(others.map(|node| node.applied_seq).max().unwrap_or(0))
    }
}
