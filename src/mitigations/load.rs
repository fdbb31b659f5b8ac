//! Reading the chain from a list: at the start, and after a time in which this node did not follow it.

use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::active::{MAX_HELD, Mitigations};
use super::chain::{self, Slot};
use super::entry::{Entry, Row};
use super::memory::Memory;
use super::position::Position;
use crate::error::Result;

/// How many entries are read at once.
const READS: usize = 32;
/// After this long without contact, others may have removed entries that this node has not read.
pub(super) const SILENCE: Duration = Duration::from_secs(30 * 60);

/// How long a start waits for all that.
const PATIENCE: Duration = Duration::from_secs(5);

impl Mitigations {
    /// Reads who is held, before the node is ready. It is ready all the same when that fails or takes long: decisions
    /// by policies and windows alone are better than none, and the rest follows.
    pub async fn load_patiently(&self) {
        match tokio::time::timeout(PATIENCE, self.load()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("active mitigations are read later: {error:?}"),
            Err(_) => tracing::warn!("active mitigations are still being read: there are many"),
        }
    }

    /// Reads who is held, if this was not done yet. One listing, and the entries that are in use.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: [`Mitigations::follow`] tries again.
    pub(super) async fn load(&self) -> Result<()> {
        self.keep_time();
        let mut position = self.position().lock().await;
        if position.is_loaded { Ok(()) } else { self.read_list(&mut position).await }
    }

    /// Reads on to the end, from a list where asking for the next number may not lead there.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn catch_up(&self) -> Result<()> {
        let mut position = self.position().lock().await;
        self.find_place(&mut position).await?;
        self.read_on(&mut position).await
    }

    /// Makes sure that the next number leads on.
    pub(super) async fn find_place(&self, position: &mut Position) -> Result<()> {
        let is_followed = position.contact.is_some_and(|contact| self.clock().since(&contact) < SILENCE);
        if position.is_loaded && is_followed { Ok(()) } else { self.read_list(position).await }
    }

    /// Reads what a list shows behind the place of this node. Numbers may be missing: their holds have ended.
    async fn read_list(&self, position: &mut Position) -> Result<()> {
        let asked = self.clock().mark();
        let is_followed = position.contact.is_some_and(|contact| self.clock().since(&contact) < SILENCE);
        let listing = chain::list(self.bucket(), position.seq, !position.is_loaded || !is_followed).await?;
        let numbers: Vec<u64> = listing.numbers.iter().map(|(seq, _)| *seq).collect();
        if !position.is_loaded {
            self.note_listed(&numbers, listing.foreign);
        }
        let has_missed = numbers.first().is_some_and(|first| *first > position.seq.saturating_add(1));
        let is_first = !position.is_loaded;
        let read = |seq: u64| async move { Ok((seq, chain::read(self.bucket(), seq).await?)) }.boxed();
        let mut slots = stream::iter(numbers.into_iter().map(read).collect::<Vec<_>>()).buffered(READS);
        if is_first || has_missed {
            // Apart from what this node holds already: who was released before has crossed anew since.
            let mut past = Memory::new(MAX_HELD);
            let mut head = position.seq;
            while let Some((seq, slot)) = slots.try_next().await? {
                match slot {
                    Slot::Free => {}
                    Slot::Taken(entry) => {
                        position.ends.insert(seq, entry.until_ms());
                        remember(&mut past, seq, &entry, self.store_now_ms());
                        head = seq;
                    }
                    Slot::Unreadable(reason) => self.note_unreadable(seq, reason),
                }
            }
            let now_ms = self.store_now_ms();
            self.change(|memory| {
                memory.merge(past, now_ms);
                if !is_first {
                    memory.keep_to_itself();
                }
            });
            position.seq = head;
        } else {
            while let Some((seq, slot)) = slots.try_next().await? {
                match slot {
                    Slot::Free => {}
                    Slot::Taken(entry) => {
                        self.take_in(position, seq, &entry);
                        position.seq = seq;
                    }
                    Slot::Unreadable(reason) => self.note_unreadable(seq, reason),
                }
            }
        }
        (position.is_loaded, position.contact) = (true, Some(asked));
        Ok(())
    }
}

/// Takes in the rows of an entry that was written before this node followed the chain.
fn remember(past: &mut Memory, seq: u64, entry: &Entry, now_ms: i64) {
    for row in &entry.rows {
        match row {
            Row::Held { tenant, key, hold } => past.read(tenant, *key, *hold, seq, now_ms),
            Row::Released { tenant, entity, policy } => _ = past.release(tenant, *entity, *policy),
        }
    }
}
