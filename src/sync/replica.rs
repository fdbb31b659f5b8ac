//! This node's copy of the bucket, and how it keeps up.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;

use super::journal::{Apply, Journal, Reached};
use super::lookup::Lookups;
use super::node::{Board, NodeView};
use super::snapshot::{self, Candidates, Need, Shelf};
use super::tags::Tags;
use super::{Counts, LoggedChange, Receipt, SyncSettings, Touched, apply, log, reconcile};
use crate::cache::KeyCache;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Digest, KeyId, NodeId, TenantId};
use crate::store::Bucket;

/// After so long without contact the log may have been trimmed behind our back: only a look at everything helps.
const SILENCE: TimeDelta = TimeDelta::minutes(30);
/// How long an entry of the log stays at least, by the clock of the store: far longer than that.
const LOG_KEPT: TimeDelta = TimeDelta::hours(24);
/// How often the board is read while somebody waits.
const BOARD_PERIOD: Duration = Duration::from_millis(100);
/// No contact yet.
const NEVER: i64 = i64::MIN;

/// A copy of all keys and tenants in memory, and its place in the change log.
#[derive(Debug)]
pub struct Replica {
    bucket: Bucket,
    cache: Arc<KeyCache>,
    clock: Arc<dyn Clock>,
    settings: SyncSettings,
    node_id: NodeId,
    journal: Journal,
    tags: Tags,
    board: Board,
    need: Need,
    lookups: Lookups,
    /// When the bucket was last known to hold nothing newer, in milliseconds.
    contact: AtomicI64,
}

impl Replica {
    /// A copy that holds nothing yet.
    pub fn new(bucket: Bucket, cache: Arc<KeyCache>, clock: Arc<dyn Clock>, settings: SyncSettings) -> Self {
        let node_id = NodeId::random();
        Self {
            journal: Journal::new(bucket.clone(), clock.clone(), node_id),
            bucket,
            cache,
            clock,
            settings,
            node_id,
            tags: Tags::default(),
            board: Board::new(node_id),
            need: Need::default(),
            lookups: Lookups::default(),
            contact: AtomicI64::new(NEVER),
        }
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// How it follows.
    pub fn settings(&self) -> &SyncSettings {
        &self.settings
    }

    /// Every entry of the change log up to this one is in memory.
    pub fn applied_seq(&self) -> u64 {
        self.journal.applied()
    }

    /// How old the view is: the time since the bucket was known to hold nothing newer. `None` before the first load.
    pub fn age(&self) -> Option<TimeDelta> {
        let contact = self.contact.load(Ordering::Acquire);
        let at = DateTime::from_timestamp_millis(contact).filter(|_| contact != NEVER)?;
        Some((self.clock.now() - at).max(TimeDelta::zero()))
    }

    /// Makes memory equal to the bucket by looking at everything.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer; nothing is removed then.
    pub async fn reconcile(&self) -> Result<Counts> {
        let began = self.clock.now();
        let mut shelf = self.shelf().await?;
        // Before the documents: what is written after this has a higher number, and is read on later. A listing may miss
        // what was written a moment ago, so a node that follows the log goes on to do so.
        let furthest = self.furthest().await?;
        let head = match !self.is_lost() && self.journal.read_on(self).await? == Reached::Head {
            true => self.applied_seq().max(furthest), // Where others are further, an entry is missing.
            false => log::head(&self.bucket, self.known_seq(&shelf).max(furthest)).await?,
        };
        let candidates = async {
            // Later, nearly all is in memory; and a local directory is read as fast as a snapshot of it.
            if self.age().is_some() || self.bucket.is_directory() {
                Candidates::default()
            } else {
                self.load(&shelf).await
            }
        };
        let pass = reconcile::run(&self.bucket, &self.cache, &self.tags, candidates).boxed().await?;
        self.journal.advance(head);
        self.in_contact(began);
        shelf.set_aside(&self.need.bad());
        self.need.note(shelf.newest_seq(), pass.counts.changed.saturating_sub(pass.spared));
        Ok(pass.counts)
    }

    /// Writes a snapshot if one is worth it, for the next start, and removes the entries of the change log that nobody
    /// needs then. Best after [`Replica::reconcile`]: what this node wrote since is left out. Says whether it did.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: nothing is lost then.
    pub async fn compact(&self) -> Result<bool> {
        if !self.needs_snapshot() {
            return Ok(false);
        }
        self.need.note(self.shelf().await?.newest_seq(), 0);
        if !self.needs_snapshot() {
            return Ok(false); // Another node was faster.
        }
        let (seq, now) = (self.applied_seq(), self.clock.now());
        self.need.note_try(seq);
        let keys = snapshot::write(&self.bucket, &self.cache, &self.tags, seq, self.node_id, now).await?;
        self.need.note_written(seq);
        let shelf = self.shelf().await?;
        let trimmed = match shelf.previous_seq().zip(shelf.now()) {
            Some((last, store_now)) => log::trim(&self.bucket, last, store_now - LOG_KEPT).await?,
            None => 0,
        };
        shelf.tidy(&self.bucket).await?;
        tracing::info!(seq, keys, trimmed, "a snapshot is written");
        Ok(true)
    }

    fn needs_snapshot(&self) -> bool {
        self.need.is_there(self.applied_seq(), self.cache.key_count(), self.bucket.is_directory())
    }

    /// Whether the change log has grown so much that a look at everything and [`Replica::compact`] should not wait. From
    /// memory.
    pub fn needs_snapshot_soon(&self) -> bool {
        self.need.is_urgent(self.applied_seq(), self.cache.key_count(), self.bucket.is_directory())
    }

    async fn shelf(&self) -> Result<Shelf> {
        let mut shelf = Shelf::read(&self.bucket).await?;
        shelf.set_aside(&self.need.bad());
        Ok(shelf)
    }

    async fn load(&self, shelf: &Shelf) -> Candidates {
        let candidates = snapshot::load(&self.bucket, shelf).await;
        self.need.note_bad(candidates.bad.clone());
        candidates
    }

    /// Takes in what other nodes have written since: one request when there is nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, or before the first [`Replica::reconcile`].
    pub async fn catch_up(&self) -> Result<()> {
        let outcome = self.read_on().await;
        self.lookups.note(outcome.is_ok());
        outcome
    }

    async fn read_on(&self) -> Result<()> {
        if self.age().is_none() {
            return Err(Error::new(ErrorKind::Unavailable, "the keys are not loaded yet"));
        }
        if self.is_lost() {
            self.reconcile().await?;
        }
        let began = self.clock.now();
        if self.journal.read_on(self).await? == Reached::Unreadable {
            tracing::warn!(
                seq = self.applied_seq() + 1,
                "an entry of the change log cannot be read: looking at everything"
            );
            self.reconcile().await?;
        }
        self.in_contact(began);
        Ok(())
    }

    /// Looks for a key that is not in memory. Many requests share one look; says whether a look was made at all.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: then nobody can be told that the key is unknown.
    pub async fn look_for(&self, digest: &Digest) -> Result<bool> {
        if !self.is_worth_looking(digest) {
            return Ok(false);
        }
        self.lookups.share(async || self.read_on().await).await?;
        if self.cache.find(digest).is_none() {
            self.lookups.in_vain(digest, self.clock.now());
        }
        Ok(true)
    }

    /// Whether [`Replica::look_for`] would look.
    pub fn is_worth_looking(&self, digest: &Digest) -> bool {
        // A cache that was filled by other means follows no log.
        self.contact.load(Ordering::Acquire) != NEVER && self.lookups.worthwhile(digest, self.clock.now())
    }

    /// Appends changes whose documents are durable to the change log, and gives their number.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: they are appended as soon as it does.
    pub async fn append(&self, changes: Vec<LoggedChange>) -> Result<u64> {
        loop {
            if self.is_lost() {
                // The number after ours may have been given and trimmed: nobody would look there again.
                self.find_place(&changes).await?;
            }
            // A number that a node has applied cannot be free, unless somebody removed its entry by hand.
            let taken = self.furthest().await.unwrap_or(0);
            let seq = self.journal.append(self, changes.clone()).await?;
            if seq <= taken {
                tracing::warn!(seq, taken, "an entry of the change log is missing: looking at everything");
                self.find_place(&changes).await?;
            } else if !self.is_lost() {
                return Ok(seq);
            }
        }
    }

    /// Looks at everything before `changes` get a number; when that fails they are kept until one can be had.
    async fn find_place(&self, changes: &[LoggedChange]) -> Result<()> {
        let found = self.reconcile().await;
        if found.is_err() {
            self.journal.owe(changes.to_vec());
        }
        found.map(drop)
    }

    /// Whether this node has no place in the log yet, or has been out of contact for so long that it means nothing.
    fn is_lost(&self) -> bool {
        self.age().is_none_or(|age| age >= SILENCE)
    }

    /// Forgets which state of a document is in memory: it is about to be written.
    pub fn about_to_write(&self, tenant: &TenantId, id: KeyId) {
        self.tags.forget(tenant, id);
    }

    /// Takes in one key as it stands in the bucket.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn refresh(&self, tenant: &TenantId, id: KeyId) -> Result<()> {
        apply::key(&self.bucket, &self.cache, &self.tags, tenant, id).await
    }

    /// Takes in the record of one tenant as it stands in the bucket.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn refresh_tenant(&self, tenant: &TenantId) -> Result<()> {
        apply::tenant(&self.bucket, &self.cache, &self.tags, tenant).await
    }

    /// Tells the other nodes what this one has applied, if that is news or a heartbeat is due.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn publish(&self) -> Result<()> {
        self.board.publish(&self.bucket, self.applied_seq(), self.clock.now()).await
    }

    /// Says that this node ends.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer; the node is then taken for live for three minutes.
    pub async fn withdraw(&self) -> Result<()> {
        self.board.withdraw(&self.bucket).await
    }

    /// All nodes, as they describe themselves.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn nodes(&self) -> Result<Vec<NodeView>> {
        self.board.read(&self.bucket, self.applied_seq(), self.clock.now()).await
    }

    /// How far a change has come. When the store does not answer, only what is known counts as applied.
    pub async fn receipt(&self, change_seq: u64) -> Receipt {
        let nodes = match self.nodes().await {
            Ok(nodes) => nodes,
            Err(_) => {
                let known = self.board.last_read(self.applied_seq(), self.clock.now());
                return Receipt::of_known(change_seq, &known);
            }
        };
        Receipt::of(change_seq, &nodes)
    }

    /// Waits until every live node has applied a change, at most for `patience`.
    pub async fn wait_for(&self, change_seq: u64, patience: Duration) -> Receipt {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let receipt = self.receipt(change_seq).await;
            let next = tokio::time::Instant::now() + BOARD_PERIOD;
            if receipt.is_complete() || next > deadline {
                return receipt;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// How many seconds ago the first entry was written that a node has not applied; 0 when it has applied all.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn lag_seconds(&self, node: &NodeView) -> Result<i64> {
        if node.applied_seq >= self.applied_seq() {
            return Ok(0);
        }
        let now = self.clock.now();
        let since = match log::read(&self.bucket, node.applied_seq + 1).await? {
            log::Slot::Taken(entry) => entry.at,
            log::Slot::Free | log::Slot::Unreadable => node.last_seen_at, // Trimmed: behind for longer than that.
        };
        Ok((now - since).num_seconds().max(0))
    }

    /// Removes what nodes left behind that ended without a word.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn sweep(&self) -> Result<()> {
        self.board.sweep(&self.bucket, self.applied_seq(), self.clock.now()).await
    }

    /// A number that was given for certain.
    fn known_seq(&self, shelf: &Shelf) -> u64 {
        self.applied_seq().max(shelf.highest_seq().filter(|seq| *seq <= log::MAX_SEQ).unwrap_or(0))
    }

    /// How far the others are. Without a place in the log, those that ended count too: somebody may have removed the log by
    /// hand, and numbers must never be given twice.
    async fn furthest(&self) -> Result<u64> {
        let lost = self.is_lost();
        let others = self.nodes().await?;
        let others = others.iter().filter(|node| (lost || node.live) && node.node_id != self.node_id);
        Ok(others.map(|node| node.applied_seq).max().unwrap_or(0))
    }

    fn in_contact(&self, at: DateTime<Utc>) {
        self.contact.fetch_max(at.timestamp_millis(), Ordering::AcqRel);
        if let Some(max_stale) = self.settings.max_stale {
            let max_stale = TimeDelta::from_std(max_stale).unwrap_or(TimeDelta::MAX);
            self.cache.set_good_until(at.checked_add_signed(max_stale).unwrap_or(DateTime::<Utc>::MAX_UTC));
        }
    }
}

impl Apply for Replica {
    async fn apply(&self, changes: &[Touched]) -> Result<()> {
        apply::apply(&self.bucket, &self.cache, &self.tags, changes).await
    }
}
