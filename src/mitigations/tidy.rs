//! Removing what nobody needs any more. Any node does it, and twice is as good as once.

use chrono::TimeDelta;

use super::active::Mitigations;
use super::chain::{self, Slot};
use super::hold::max_hold_ms;
use crate::clock::Clock as _;
use crate::error::Result;

/// How long an entry stays at least, by the clock of the store: twice as long as a node may be silent and still ask for
/// the next number.
const KEPT: TimeDelta = TimeDelta::hours(1);
/// With more entries than this that are old and still in use, their holds are shared again, together.
const MANY: usize = 256;

impl Mitigations {
    /// Removes the entries that are old and whose holds have ended, from the first on. The last one stays: its
    /// number is where others go on. Says how many it has removed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer; what is left is removed another time.
    pub(super) async fn tidy(&self) -> Result<usize> {
        let (_, clock) = self.node()?;
        if !clock.is_known() {
            return Ok(0);
        }
        let old = self.over().await?;
        // From the first on, so that a release is never gone before those whom it let go; and without the place of this
        // node, so that nobody waits for it.
        for seq in &old {
            self.bucket().remove(&chain::name(*seq)).await?;
        }
        let mut position = self.position().lock().await;
        old.iter().for_each(|seq| _ = position.ends.remove(seq));
        Ok(old.len())
    }

    /// The numbers of the entries that nobody needs any more. Reads on first, also behind numbers that are missing.
    async fn over(&self) -> Result<Vec<u64>> {
        let (_, clock) = self.node()?;
        let mut position = self.position().lock().await;
        self.find_place(&mut position).await?;
        let listing = chain::list(self.bucket(), 0, true).await?;
        self.read_on(&mut position).await?;
        let numbers: Vec<u64> = listing.numbers.iter().map(|(seq, _)| *seq).collect();
        self.note_listed(&numbers, listing.foreign);
        // Behind a number that somebody has removed by hand, asking for the next one does not lead.
        for seq in numbers {
            if seq <= position.seq {
                continue;
            }
            match chain::read(self.bucket(), seq).await? {
                Slot::Taken(entry) => {
                    self.take_in(&mut position, seq, &entry);
                    position.seq = seq;
                }
                Slot::Unreadable(reason) => self.note_unreadable(seq, reason),
                Slot::Free => {}
            }
        }
        let (now, now_ms, last) = (clock.now(), clock.now().timestamp_millis(), position.seq);
        let (in_use, is_whole) = self.look(|memory| (memory.entries_in_use(), memory.dropped_until_ms() <= now_ms));
        let (mut over, mut blocked) = (Vec::new(), Vec::new());
        for (seq, written_at) in listing.numbers {
            if seq >= last || written_at >= now - KEPT {
                continue;
            }
            let is_over = match position.ends.get(&seq) {
                Some(end) => *end <= now_ms || is_whole && !in_use.contains(&seq),
                // It cannot be read here. Whom a later version may hold by it is let go by then.
                None => written_at < now - KEPT - TimeDelta::milliseconds(max_hold_ms()),
            };
            if is_over && blocked.is_empty() {
                over.push(seq);
            } else if position.ends.contains_key(&seq) {
                blocked.push(seq);
            }
        }
        if let Some(last) = blocked.last().filter(|_| blocked.len() > MANY && is_whole) {
            let again = self.change(|memory| memory.share_again(*last));
            tracing::debug!(entries = blocked.len(), again, "old entries of active mitigations are written together");
            self.news().notify_one();
        }
        Ok(over)
    }
}
