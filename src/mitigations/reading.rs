//! Reading on in the chain, and taking in what is read.

use futures::future::try_join_all;

use super::active::Mitigations;
use super::chain::{self, Slot};
use super::entry::{Entry, Row};
use super::position::Position;
use crate::error::Result;

/// How many entries are read at once after one that exists. The number doubles as long as all of them exist,
const WINDOW: u64 = 8;
/// up to this.
const WIDEST_WINDOW: u64 = 64;

impl Mitigations {
    /// Reads on to the end: one request when there is nothing new.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer; what was read stays so.
    pub(super) async fn read_on(&self, position: &mut Position) -> Result<()> {
        let mut window = 1;
        loop {
            let (first, asked) = (position.seq.saturating_add(1), self.clock().mark());
            let numbers = first..first.saturating_add(window);
            let slots = try_join_all(numbers.clone().map(|seq| chain::read(self.bucket(), seq))).await?;
            for (seq, slot) in numbers.zip(slots) {
                match slot {
                    Slot::Free => {
                        position.contact = Some(asked);
                        return Ok(());
                    }
                    Slot::Taken(entry) => self.take_in(position, seq, &entry),
                    Slot::Unreadable(reason) => self.note_unreadable(seq, reason),
                }
                position.seq = seq;
            }
            window = (window * 2).clamp(WINDOW, WIDEST_WINDOW);
        }
    }

    /// Takes in the rows of an entry, also of one that this node has written.
    pub(super) fn take_in(&self, position: &mut Position, seq: u64, entry: &Entry) {
        position.ends.insert(seq, entry.until_ms());
        let now_ms = self.store_now_ms();
        for row in &entry.rows {
            match row {
                Row::Held { tenant, key, hold } => {
                    self.change(|memory| memory.read(tenant, *key, *hold, seq, now_ms));
                }
                Row::Released { tenant, entity, policy } => {
                    // The windows first: a request in between is refused by the hold, and counted from nothing.
                    self.forget_windows(tenant, *entity, *policy);
                    _ = self.change(|memory| memory.release(tenant, *entity, *policy));
                }
            }
        }
    }
}
