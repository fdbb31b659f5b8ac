//! Writing to the chain. Only who has read all entries can write the next one, so its rows have been compared with
//! every release before it: a position takes the entries in as they come.

use std::time::Duration;

use super::active::Mitigations;
use super::chain;
use super::entry::{Entry, MAX_ROWS, Row};
use super::position::Position;
use crate::clock::Clock as _;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Written;
use crate::sync;

/// How often a number may be lost to other nodes before we say that too many are writing.
const ATTEMPTS: usize = 200;

impl Mitigations {
    /// Tells other nodes of some of those that wait for that, in one entry.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: they wait as before. If the entry was written all the
    /// same, this node reads it like any other, and nobody of it waits any more.
    pub(super) async fn share(&self) -> Result<()> {
        let mut position = self.position().lock().await;
        let taken = self.change(|memory| memory.take_waiting(MAX_ROWS));
        let rows = || {
            let now_ms = self.store_now_ms();
            let row = |(tenant, key, hold)| Row::Held { tenant: Clone::clone(tenant), key, hold };
            self.look(|memory| memory.still_waiting(&taken, now_ms).map(row).collect())
        };
        let appended = self.append(&mut position, rows).await;
        if appended.is_err() {
            self.change(|memory| memory.wait_again(taken));
        }
        appended
    }

    /// Creates an entry at the first free number, of the rows that are still to be shared once all before it was read.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when no number could be had.
    pub(super) async fn append(&self, position: &mut Position, rows: impl Fn() -> Vec<Row>) -> Result<()> {
        self.find_place(position).await?;
        let (node, clock) = self.node()?;
        for _ in 0..ATTEMPTS {
            let entry = Entry { rows: rows() };
            if entry.rows.is_empty() {
                return Ok(());
            }
            let (before, at) = (position.seq, clock.now());
            let seq = before.saturating_add(1);
            if chain::create(self.bucket(), seq, &entry, *node, at).await? == Written::Done {
                self.take_in(position, seq, &entry);
                position.seq = seq;
                return Ok(());
            }
            self.read_on(position).await?;
            if position.seq == before {
                // A store may say "conflict, try again" (AWS answers 409 to a race).
                tokio::time::sleep(sync::up_to(Duration::from_millis(20))).await;
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "too many nodes are writing active mitigations"))
    }
}
