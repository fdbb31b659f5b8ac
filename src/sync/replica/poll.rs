//! Reading the change log, and appending to it.

use std::net::IpAddr;

use super::Replica;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Digest;
use crate::sync::{LoggedChange, Lookup};

/// How often a full reconcile may be needed in a row before we say that the log cannot be followed.
const ATTEMPTS: usize = 3;

impl Replica {
    /// Takes in what other nodes have logged since: one request when there is nothing. Logs what an outage left
    /// unlogged. Says whether memory is complete then. If not, a full reconcile is needed, which this does not wait
    /// for: see [`Replica::incomplete`].
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, or before the first [`Replica::reconcile`].
    pub async fn poll(&self) -> Result<bool> {
        let outcome = self.poll_now().await;
        self.lookups.note(outcome.is_ok());
        outcome
    }

    async fn poll_now(&self) -> Result<bool> {
        if self.age().is_none() {
            return Err(Error::new(ErrorKind::Unavailable, "the keys are not loaded yet"));
        }
        // Decided before the log is read: other nodes may have trimmed entries that this one has not read, and then the
        // log seems to end too early.
        let was_lost = self.is_lost();
        let taken = if self.journal.has_unlogged() { self.furthest().await.ok() } else { None };
        let polled = self.journal.poll(self).await?;
        // As in `append`: if other nodes have applied more, an entry is missing here, and no poll would read its number
        // again.
        let is_missing = taken.is_some_and(|taken| taken > self.journal.read());
        if taken.is_some() && !was_lost && !is_missing {
            self.journal.append_waiting(self).await;
        }
        if was_lost || is_missing || !polled.complete {
            self.incomplete.notify_one();
            return Ok(false);
        }
        self.in_contact(polled);
        Ok(true)
    }

    /// Logs what an outage left unlogged, now rather than with the next poll.
    ///
    /// # Errors
    /// As for [`Replica::catch_up`]; [`ErrorKind::Unavailable`] when it still cannot be logged.
    pub async fn log_remaining(&self) -> Result<()> {
        if self.journal.has_unlogged() {
            self.catch_up().await?;
        }
        match self.journal.has_unlogged() {
            true => Err(Error::new(ErrorKind::Unavailable, "changes are still not logged")),
            false => Ok(()),
        }
    }

    /// Takes in what other nodes have logged since, by a full reconcile if nothing else helps.
    ///
    /// # Errors
    /// As for [`Replica::poll`].
    pub async fn catch_up(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            if self.poll().await? {
                return Ok(());
            }
            let seq = self.applied_seq() + 1;
            tracing::warn!(seq, "the change log cannot be followed from here: a full reconcile is needed");
            self.reconcile().await?;
        }
        Err(Error::new(ErrorKind::Unavailable, "entries of the change log cannot be read"))
    }

    /// Waits until a full reconcile is needed, because the log alone does not make memory complete.
    pub async fn incomplete(&self) {
        self.incomplete.notified().await;
    }

    /// What to do about a key that is not in memory, presented from `client`. From memory.
    pub fn decide_lookup(&self, digest: &Digest, client: Option<IpAddr>) -> Lookup {
        if self.contact.lock().is_none() {
            return Lookup::Alone; // A cache that was filled by other means follows no log.
        }
        self.lookups.decide(digest, client, self.clock.now(), || self.alone.is_now())
    }

    /// Asks the log for a key that is not in memory. Many requests share one look.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: then it is not known whether the key exists.
    pub async fn look_up(&self, digest: &Digest, client: Option<IpAddr>) -> Result<()> {
        let looked = self.lookups.share(async || self.catch_up().await).await;
        if looked.is_err() || self.cache.find(digest).is_none() {
            self.lookups.found_nothing(digest, client, self.clock.now());
        }
        looked
    }

    /// What was decided about unknown keys since the node started: a word for metrics, and how often.
    pub fn lookup_counts(&self) -> [(&'static str, u64); 4] {
        self.lookups.counts()
    }

    /// How many changes of the log were passed over since the node started: only later versions know their kind.
    pub fn unknown_changes(&self) -> u64 {
        self.journal.unknown_changes()
    }

    /// Appends changes whose documents are durable to the change log, and gives their number.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: they are appended as soon as it does.
    pub async fn append(&self, changes: Vec<LoggedChange>) -> Result<u64> {
        loop {
            if self.is_lost() {
                // The number after ours may have been given and trimmed: no node would read an entry there.
                self.find_place(&changes).await?;
            }
            // A number that a node has applied cannot be free, unless somebody removed its entry by hand.
            let taken = self.furthest().await.unwrap_or(0);
            let seq = self.journal.append(self, changes.clone()).await?;
            if seq <= taken {
                tracing::warn!(seq, taken, "an entry of the change log is missing: a full reconcile is needed");
                self.find_place(&changes).await?;
            } else if !self.is_lost() {
                return Ok(seq);
            }
        }
    }

    /// Whether this node has its place in the log, and nothing waits for a number that no caller stays for.
    pub fn can_append(&self) -> bool {
        !self.is_lost() && !self.journal.has_unlogged()
    }

    /// Finds this node's place in the log by a full reconcile. If that fails, `changes` are appended once it has
    /// worked.
    async fn find_place(&self, changes: &[LoggedChange]) -> Result<()> {
        let found = self.reconcile().await;
        if found.is_err() {
            self.journal.append_later(changes.to_vec());
        }
        found.map(drop)
    }
}
