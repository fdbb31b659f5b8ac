//! One of this node's sheets, and what of it is durable.
//!
//! A sheet is first written empty, then again and again with all that was counted, each time only in place of the state
//! that was read. Whoever folds it seals it first, so a node that was taken for dead finds out before it writes, and goes on
//! with a new sheet; what was folded of the old one is exactly what was durable.

use uuid::Uuid;

use super::{Book, Tally};
use crate::key::{KeyId, TenantId};

/// What is in the store under the name of a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none: never written, or folded and removed.
    Nothing,
    /// The revision that this node may write over.
    Open(u64),
    /// The last revision: it was sealed.
    Sealed(u64),
}

/// What of a sheet is durable, on its way, and yet to be written.
#[derive(Debug)]
pub(super) struct Sheet {
    id: Uuid,
    /// The last revision that is known to be durable; 0 before the first.
    rev: u64,
    /// What is in that revision.
    settled: Book,
    /// What the revision after it has besides, when nobody knows whether that was written.
    attempted: Option<Book>,
    /// What came since.
    fresh: Book,
    /// Whether the first revision was ever sent.
    is_begun: bool,
}

impl Sheet {
    pub(super) fn new() -> Self {
        let (settled, fresh) = (Book::default(), Book::default());
        Self { id: new_id(), rev: 0, settled, attempted: None, fresh, is_begun: false }
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn rev(&self) -> u64 {
        self.rev
    }

    /// What is durable.
    pub(super) fn settled(&self) -> &Book {
        &self.settled
    }

    /// Whether it was ever written.
    pub(super) fn is_stored(&self) -> bool {
        self.rev > 0
    }

    /// Takes in what was counted.
    pub(super) fn add(&mut self, counted: &Book) {
        self.fresh.add(counted);
    }

    /// Whether there is something to write.
    pub(super) fn is_due(&self) -> bool {
        self.attempted.is_some() || !self.fresh.is_empty()
    }

    /// Learns what became of the last writing.
    pub(super) fn learn(&mut self, found: Found) {
        let durable = self.rev;
        match (self.attempted.take(), found) {
            (Some(attempted), Found::Open(rev) | Found::Sealed(rev)) if rev == durable + 1 => {
                self.settled.add(&attempted)
            }
            (Some(mut attempted), Found::Open(_) | Found::Sealed(_)) => {
                attempted.add(&self.fresh);
                self.fresh = attempted;
            }
            // Folded, and nobody can say any more whether with the last writing: rather lost than counted twice.
            (Some(_), Found::Nothing) | (None, _) => {}
        }
        match found {
            Found::Open(rev) => self.rev = rev,
            Found::Nothing if !self.is_begun => {}
            Found::Sealed(_) | Found::Nothing => {
                let fresh = std::mem::take(&mut self.fresh);
                *self = Self { fresh, ..Self::new() };
            }
        }
    }

    /// What the next revision is to hold: its number, and everything so far. Call it after [`Sheet::learn`] only.
    pub(super) fn attempt(&mut self) -> (u64, Book) {
        let mut all = self.settled.clone();
        // From here on a sheet that is not there may have been folded: nothing on one of that name would count.
        self.is_begun = true;
        // Nothing may hang on the first writing: when its answer is lost, nobody can tell whether it was folded since.
        if self.is_stored() {
            let fresh = std::mem::take(&mut self.fresh);
            all.add(&fresh);
            self.attempted = Some(fresh);
        }
        (self.rev + 1, all)
    }

    /// The attempt is durable.
    pub(super) fn settle(&mut self) {
        self.learn(Found::Open(self.rev + 1));
    }

    /// The attempt came to nothing: somebody else has written.
    pub(super) fn give_up(&mut self) {
        if self.attempted.is_some() {
            self.learn(Found::Open(self.rev));
        }
    }

    /// What it holds, and what it will; without what is in the store when `is_folded`.
    pub(super) fn books(&self, is_folded: bool) -> impl Iterator<Item = &Book> {
        let settled = [Some(&self.settled), self.attempted.as_ref()].into_iter().flatten().filter(move |_| !is_folded);
        settled.chain([&self.fresh])
    }

    /// Forgets the keys that `kept` says no to.
    pub(super) fn retain(&mut self, kept: &impl Fn(&TenantId, KeyId, &mut Tally) -> bool) {
        self.settled.retain(kept);
        self.fresh.retain(kept);
    }
}

#[allow(clippy::disallowed_methods)]
pub(super) fn new_id() -> Uuid {
    Uuid::new_v4()
}
