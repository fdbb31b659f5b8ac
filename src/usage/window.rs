//! Totals of keys of one tenant, within a bound on memory: all of its keys if they fit, else those that were asked for
//! and as many of those after them as fit, because pages are read in order of key id.

use std::collections::BTreeMap;

use super::Tally;
use crate::key::{KeyId, TenantId};

/// An entry in a tree whose nodes are two thirds full.
const ENTRY_BYTES: usize = size_of::<(KeyId, Tally)>() * 3 / 2;

/// Sums over all objects that were read.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) tenant: TenantId,
    /// The keys that were asked for, each with a sum.
    wanted: BTreeMap<KeyId, Tally>,
    /// All keys that have been counted between `from` and `to`.
    range: BTreeMap<KeyId, Tally>,
    /// Inclusive; `None` is the start.
    from: Option<KeyId>,
    /// Exclusive; `None` is the end.
    to: Option<KeyId>,
    range_bytes: usize,
    max_bytes: usize,
}

impl Window {
    /// A window without counts. `max_bytes` bounds it, apart from the keys in `ids`.
    pub(super) fn new(tenant: &TenantId, ids: &[KeyId], max_bytes: usize) -> Self {
        let wanted = ids.iter().map(|id| (*id, Tally::default())).collect();
        let range = BTreeMap::new();
        Self { tenant: tenant.clone(), wanted, range, from: None, to: None, range_bytes: 0, max_bytes }
    }

    /// Adds a count of a key.
    pub(super) fn add(&mut self, key_id: KeyId, tally: Tally) {
        if let Some(sum) = self.wanted.get_mut(&key_id) {
            sum.add(&tally);
        }
        if !self.is_in_range(key_id) {
            return;
        }
        if let Some(sum) = self.range.get_mut(&key_id) {
            let before = bytes(sum);
            sum.add(&tally);
            self.range_bytes += bytes(sum) - before;
        } else {
            self.range_bytes += bytes(&tally);
            self.range.insert(key_id, tally);
        }
        if self.range_bytes > self.max_bytes {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if let (None, Some((first, _))) = (self.from, self.wanted.first_key_value()) {
            self.from = Some(*first);
            self.range = self.range.split_off(first);
            self.range_bytes = self.range.values().map(bytes).sum();
        }
        while self.range_bytes > self.max_bytes
            && let Some((last, tally)) = self.range.pop_last()
        {
            self.to = Some(last);
            self.range_bytes -= bytes(&tally);
        }
    }

    fn is_in_range(&self, key_id: KeyId) -> bool {
        self.from.is_none_or(|from| from <= key_id) && self.to.is_none_or(|to| key_id < to)
    }

    /// Whether the sums of all these keys are known.
    pub(super) fn covers(&self, ids: &[KeyId]) -> bool {
        ids.iter().all(|id| self.is_in_range(*id) || self.wanted.contains_key(id))
    }

    /// The sum of a key that is covered; `None` when nothing was counted.
    pub(super) fn get(&self, key_id: KeyId) -> Option<&Tally> {
        self.wanted.get(&key_id).or_else(|| self.range.get(&key_id))
    }

    /// An estimate of the memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.range_bytes + self.wanted.values().map(bytes).sum::<usize>()
    }
}

fn bytes(tally: &Tally) -> usize {
    ENTRY_BYTES + tally.heap_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(requests: u64) -> Tally {
        let mut tally = Tally::default();
        tally.requests = requests;
        tally
    }

    fn sorted_ids(count: usize) -> Vec<KeyId> {
        let mut ids: Vec<_> = (0..count).map(|_| KeyId::random()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_tenant_that_fits_is_covered_whole() {
        let ids = sorted_ids(100);
        let mut window = Window::new(&TenantId::default(), &ids[..1], 200 * ENTRY_BYTES);
        ids.iter().rev().chain(&ids).for_each(|id| window.add(*id, counted(1)));
        assert!(window.covers(&ids) && window.covers(&sorted_ids(10)));
        assert!(ids.iter().all(|id| window.get(*id).unwrap().requests == 2));
    }

    #[test]
    fn a_tenant_that_does_not_fit_is_covered_where_it_was_asked_for_and_after_that() {
        let ids = sorted_ids(1000);
        let wanted = [ids[300], ids[900]];
        let mut window = Window::new(&TenantId::default(), &wanted, 50 * ENTRY_BYTES);
        let shuffled = (0..1000).map(|number| ids[number * 617 % 1000]);
        shuffled.clone().chain(shuffled).for_each(|id| {
            window.add(id, counted(1));
            assert!(window.bytes() <= 52 * ENTRY_BYTES, "{}", window.bytes());
        });
        assert!(window.covers(&wanted) && window.covers(&ids[300..340]));
        assert!(!window.covers(&ids[299..300]) && !window.covers(&ids[899..900]));
        assert!(ids[300..340].iter().chain(&wanted).all(|id| window.get(*id).unwrap().requests == 2));
    }
}
