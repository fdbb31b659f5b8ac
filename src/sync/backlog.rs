//! Entries of the change log that were read and are not wholly applied. Pure: no store, no clock.
//!
//! The newest entry is applied first, so a revocation never waits behind a bulk change that was logged before it. An
//! entry is a hint where to look and the document decides, so the order does not matter for the result.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use super::{AuditAction, ChangedObject, LoggedChange};
use crate::documents::Difference;
use crate::key::RequestId;

/// How many changes may wait before no more entries are read: some 20 MiB.
const MAX_CHANGES: usize = 256 * 1024;

/// How many changes are remembered that another node has found.
const MAX_FOUND: usize = 100;

/// What was read and what of it is applied.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Every entry up to this one was read.
    read: u64,
    /// The changes of each entry that are still to be applied. An entry without any is not in here.
    entries: BTreeMap<u64, Vec<ChangedObject>>,
    /// Entries that cannot be read. Only a full reconcile finds what they changed.
    unreadable: BTreeSet<u64>,
    /// Changes that were applied since all entries up to `read` are here: older entries need not apply them again.
    fresh: HashSet<ChangedObject>,
    /// What entries have named since [`Backlog::watch`].
    watched: Option<HashSet<ChangedObject>>,
    /// Changes of the requests of a node that another node has found and entered lately.
    found: VecDeque<(ChangedObject, RequestId, Option<AuditAction>)>,
    /// The changes of the last entry of this node that it has read: it did not know that it had written it, so they may
    /// wait for a number still.
    own: HashSet<(ChangedObject, Option<RequestId>, Option<AuditAction>)>,
}

/// Some changes that are to be applied together, each once.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) changes: Vec<ChangedObject>,
    /// The entries they come from, and how many changes of each are left after them.
    left: Vec<(u64, usize)>,
}

impl Backlog {
    /// Every entry up to this one was read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Every entry up to this one is applied.
    pub(super) fn applied(&self) -> u64 {
        let waiting = self.entries.keys().next().into_iter().chain(self.unreadable.first());
        waiting.min().map_or(self.read, |first| first - 1)
    }

    /// Whether changes that were read are still to be applied.
    pub(super) fn has_changes(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The first entry that cannot be read.
    pub(super) fn unreadable(&self) -> Option<u64> {
        self.unreadable.first().copied()
    }

    /// Whether the backlog is full: no more should be read.
    pub(super) fn is_full(&self) -> bool {
        self.entries.values().map(Vec::len).sum::<usize>() >= MAX_CHANGES
    }

    /// Begins to note what entries name: those that are still to be applied, and those that are read from now on.
    pub(super) fn watch(&mut self) {
        self.watched = Some(self.entries.values().flatten().cloned().collect());
    }

    /// Ends what [`Backlog::watch`] began.
    pub(super) fn unwatch(&mut self) {
        self.watched = None;
    }

    /// Notes the changes that another node has found: the node that made one may be about to enter it itself.
    pub(super) fn note_found(&mut self, changes: &[LoggedChange]) {
        for change in changes.iter().filter(|change| change.changed_at.is_some() && change.answer.is_none()) {
            let id = change.by.request_id;
            self.found.extend(id.map(|id| (change.object.clone(), id, change.action)));
        }
        let surplus = self.found.len().saturating_sub(MAX_FOUND);
        self.found.drain(..surplus);
    }

    /// Notes the changes of an entry that this node has written without learning that it had.
    pub(super) fn note_own(&mut self, changes: &[LoggedChange]) {
        let named = |change: &LoggedChange| (change.object.clone(), change.by.request_id, change.action);
        self.own = changes.iter().map(named).collect();
    }

    /// A change as it is to be entered after all that was read. One that a full reconcile has found is not, if entries
    /// have named the object since that began. One that another node has found is only a repetition, and so is one of
    /// an entry that this node has written without learning that it had.
    pub(super) fn to_enter(&self, change: &LoggedChange, is_found: bool) -> Option<LoggedChange> {
        if is_found && self.watched.as_ref().is_some_and(|watched| watched.contains(&change.object)) {
            return None;
        }
        let mut change = change.clone();
        let is_same = |found: &(ChangedObject, RequestId, Option<AuditAction>)| {
            found.0 == change.object && change.by.request_id == Some(found.1) && found.2 == change.action
        };
        let is_entered = self.own.contains(&(change.object.clone(), change.by.request_id, change.action));
        if is_entered && change.object.is_request() {
            return None;
        }
        let is_repeated = is_entered && change.by.request_id.is_some();
        if !is_found && (is_repeated || self.found.iter().any(is_same)) {
            (change.action, change.difference) = (None, Difference::default());
        }
        Some(change)
    }

    /// Takes in the entry after the last one. One that is known already changes nothing.
    pub(super) fn push(&mut self, seq: u64, changes: Vec<ChangedObject>) {
        if seq != self.read + 1 {
            return;
        }
        self.read = seq;
        for change in &changes {
            self.fresh.remove(change); // It was applied before this entry was written, perhaps.
        }
        if let Some(watched) = &mut self.watched {
            watched.extend(changes.iter().cloned());
        }
        if !changes.is_empty() {
            self.entries.insert(seq, changes);
        }
    }

    /// Takes in an entry of this node after the last one. What it names is in memory already.
    pub(super) fn push_own(&mut self, seq: u64, changes: &[LoggedChange]) {
        if let Some(watched) = &mut self.watched {
            watched.extend(changes.iter().map(|change| change.object.clone()));
        }
        self.note_found(changes);
        self.push(seq, Vec::new());
    }

    /// Takes in that the entry after the last one cannot be read.
    pub(super) fn push_unreadable(&mut self, seq: u64) {
        if seq == self.read + 1 {
            self.read = seq;
            self.unreadable.insert(seq);
        }
    }

    /// A full reconcile that began when the log had this entry is complete: no entry up to it is missing any more.
    /// Those that were read are applied all the same, because a listing may miss what was written a moment ago.
    pub(super) fn reconciled(&mut self, seq: u64) {
        self.read = self.read.max(seq);
        self.unreadable.retain(|unreadable| *unreadable > seq);
    }

    /// Up to `limit` changes, those of the newest entries first. Call [`Backlog::applied_portion`] once they are
    /// applied.
    pub(super) fn portion(&mut self, limit: usize) -> Portion {
        let (mut portion, mut seen) = (Portion::default(), HashSet::new());
        for (seq, changes) in self.entries.iter().rev() {
            let mut left = changes.len();
            while left > 0 && portion.changes.len() < limit {
                left -= 1;
                let change = &changes[left];
                if !self.fresh.contains(change) && seen.insert(change.clone()) {
                    portion.changes.push(change.clone());
                }
            }
            portion.left.push((*seq, left));
            if portion.changes.len() == limit {
                break;
            }
        }
        portion
    }

    /// Notes that a portion is applied. Nothing else may have been read in between.
    pub(super) fn applied_portion(&mut self, portion: Portion) {
        for (seq, left) in portion.left {
            if left == 0 {
                self.entries.remove(&seq);
            } else if let Some(changes) = self.entries.get_mut(&seq) {
                changes.truncate(left);
            }
        }
        if self.entries.is_empty() {
            self.fresh.clear();
        } else {
            self.fresh.extend(portion.changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::TenantId;

    fn change(number: usize) -> ChangedObject {
        ChangedObject::Tenant { tenant: TenantId::parse(&format!("t{number}")).unwrap() }
    }

    fn apply(backlog: &mut Backlog, limit: usize) -> Vec<ChangedObject> {
        let portion = backlog.portion(limit);
        let changes = portion.changes.clone();
        backlog.applied_portion(portion);
        changes
    }

    #[test]
    fn the_newest_entry_is_applied_first_and_the_cursor_waits_for_the_oldest() {
        let mut backlog = Backlog::default();
        backlog.push(1, (0..5).map(change).collect());
        backlog.push(2, vec![]);
        backlog.push(3, vec![change(9)]);
        assert_eq!((backlog.read(), backlog.applied()), (3, 0));
        assert_eq!(apply(&mut backlog, 3), [change(9), change(4), change(3)]);
        assert_eq!(backlog.applied(), 0);
        backlog.push(4, vec![change(7)]);
        assert_eq!(apply(&mut backlog, 2), [change(7), change(2)]);
        assert_eq!(apply(&mut backlog, 9), [change(1), change(0)]);
        assert_eq!((backlog.applied(), backlog.has_changes()), (4, false));
        assert_eq!(apply(&mut backlog, 9), []);
    }

    #[test]
    fn what_several_entries_name_is_applied_once_unless_a_later_entry_names_it_again() {
        let mut backlog = Backlog::default();
        backlog.push(1, vec![change(1), change(2), change(3)]);
        backlog.push(2, vec![change(1), change(1)]);
        assert_eq!(apply(&mut backlog, 2), [change(1), change(3)]);
        backlog.push(3, vec![change(1)]);
        assert_eq!(apply(&mut backlog, 1), [change(1)]);
        assert_eq!(apply(&mut backlog, 9), [change(2)]);
        assert_eq!(backlog.applied(), 3);
    }

    #[test]
    fn an_entry_that_cannot_be_read_holds_the_cursor_until_a_full_reconcile_that_began_after_it() {
        let mut backlog = Backlog::default();
        backlog.push(1, vec![]);
        backlog.push_unreadable(2);
        backlog.push(3, vec![change(3)]);
        assert_eq!(apply(&mut backlog, 9), [change(3)], "what comes after it is applied all the same");
        assert_eq!((backlog.applied(), backlog.unreadable()), (1, Some(2)));
        backlog.reconciled(1);
        assert_eq!(backlog.applied(), 1);
        backlog.reconciled(3);
        assert_eq!((backlog.applied(), backlog.has_changes()), (3, false));
        backlog.reconciled(10);
        backlog.push(11, vec![change(4)]);
        backlog.push(7, vec![change(5)]);
        assert_eq!((backlog.read(), backlog.applied()), (11, 10));
    }

    #[test]
    fn what_is_still_to_be_applied_and_what_is_read_later_is_noted_while_somebody_watches() {
        let mut backlog = Backlog::default();
        backlog.push(1, vec![change(1)]);
        apply(&mut backlog, 9);
        backlog.push(2, vec![change(2)]);
        backlog.watch();
        backlog.push(3, vec![change(3)]);
        apply(&mut backlog, 9);
        let enter = |backlog: &Backlog, number| backlog.to_enter(&change(number).by_unknown(), true).is_some();
        assert_eq!([1, 2, 3].map(|number| enter(&backlog, number)), [true, false, false]);
        assert!(backlog.to_enter(&change(2).by_unknown(), false).is_some(), "it was changed once more");
        backlog.unwatch();
        assert!(enter(&backlog, 2));
    }

    #[test]
    fn an_entry_stays_until_its_changes_are_applied() {
        let mut backlog = Backlog::default();
        backlog.push(1, vec![change(1), change(2)]);
        let lost = backlog.portion(9);
        drop(lost); // The store did not answer, or the caller that applied it is gone.
        assert_eq!((backlog.applied(), apply(&mut backlog, 9).len(), backlog.applied()), (0, 2, 1));
    }
}
