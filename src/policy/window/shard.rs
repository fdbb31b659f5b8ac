//! A part of the entities, within a part of the memory.

use hashbrown::HashTable;

use super::bloom::Bloom;
use super::entry::Entry;
use super::list::{Entries, List};

/// What an entry takes: itself, its place in the index at the lowest load of the index, and its place among the free.
const ENTRY_BYTES: usize = size_of::<Entry>() + 12 + 4;

/// A part of the entities. What it does depends only on what it is asked, and in which order.
///
/// An entity that came once gives way to any other. One that came again gives way only to those that came again, too:
/// the filters remember who came lately and had to give way.
#[derive(Debug)]
pub(super) struct Shard {
    entries: Entries,
    index: HashTable<u32>,
    once: List,
    again: List,
    met: Bloom,
    /// How many bytes it may take, and takes.
    budget: usize,
    used: usize,
    evicted: u64,
}

/// What an event is to the shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// Of entity and window.
    pub key: u128,
    /// The length of the window.
    pub seconds: u16,
    /// When.
    pub at_ms: i64,
    /// Which value, where different ones are counted.
    pub value: Option<u32>,
}

impl Shard {
    /// An empty one that takes at most so many bytes.
    pub fn new(bytes: usize) -> Self {
        let keys = bytes / (ENTRY_BYTES + Bloom::bytes(4) / 4);
        Self {
            entries: Entries::default(),
            index: HashTable::new(),
            once: List::new(),
            again: List::new(),
            met: Bloom::new(keys),
            budget: bytes.saturating_sub(Bloom::bytes(keys)),
            used: 0,
            evicted: 0,
        }
    }

    /// Counts an event, and says how many there are now.
    pub fn hit(&mut self, hit: Hit) -> u32 {
        let Some(number) = self.find(hit.key) else {
            self.admit(hit);
            return 1;
        };
        self.touch(number);
        let Some(entry) = self.entries.get_mut(number) else { return 1 };
        let before = entry.bytes_beside();
        entry.add(hit.at_ms, hit.value);
        let (count, grown) = (entry.count(hit.at_ms), entry.bytes_beside().saturating_sub(before));
        let shrunk = before.saturating_sub(entry.bytes_beside());
        self.used = self.used.saturating_add(grown).saturating_sub(shrunk);
        if grown > 0 {
            self.make_room(0, Some(number), hit.at_ms, true);
        }
        count
    }

    /// How many events the window of a key holds.
    pub fn count(&self, key: u128, at_ms: i64) -> u32 {
        self.entry(key).map_or(0, |entry| entry.count(at_ms))
    }

    /// When it holds fewer than `threshold`; `None` when nothing is known of it.
    pub fn below_at_ms(&self, key: u128, threshold: u32) -> Option<i64> {
        self.entry(key).map(|entry| entry.below_at_ms(threshold))
    }

    /// Forgets a key.
    pub fn forget(&mut self, key: u128) -> bool {
        self.find(key).map(|number| self.remove(number)).is_some()
    }

    /// How many entries there are, and how many had to give way while a window still counted them.
    pub fn sizes(&self) -> (usize, u64, usize) {
        (self.index.len(), self.evicted, self.used)
    }

    fn entry(&self, key: u128) -> Option<&Entry> {
        self.find(key).and_then(|number| self.entries.get(number))
    }

    fn find(&self, key: u128) -> Option<u32> {
        let is_key = |number: &u32| self.entries.get(*number).is_some_and(|entry| entry.key == key);
        self.index.find(hash(key), is_key).copied()
    }

    /// Remembers a key, if there is room for it.
    fn admit(&mut self, hit: Hit) {
        let came_before = self.used.saturating_add(ENTRY_BYTES) > self.budget && self.met.has(hit.key);
        if !self.make_room(ENTRY_BYTES, None, hit.at_ms, came_before) {
            self.met.add(hit.key);
            return;
        }
        let mut entry = Entry::new(hit.key, hit.at_ms, hit.seconds, hit.value);
        entry.came_again = came_before;
        let number = self.entries.insert(entry);
        let entries = &self.entries;
        let hash_of = |number: &u32| entries.get(*number).map_or(0, |entry| hash(entry.key));
        self.index.insert_unique(hash(hit.key), number, hash_of);
        if came_before { &mut self.again } else { &mut self.once }.push(number, &mut self.entries);
        self.used = self.used.saturating_add(ENTRY_BYTES);
    }

    /// Moves an entry to those that came again, as the last one.
    fn touch(&mut self, number: u32) {
        let Some(entry) = self.entries.get_mut(number) else { return };
        let from = if std::mem::replace(&mut entry.came_again, true) { &mut self.again } else { &mut self.once };
        from.unlink(number, &mut self.entries);
        self.again.push(number, &mut self.entries);
    }

    /// Evicts until so many more bytes fit: first what has expired, then the oldest that came once, then, for one that
    /// came again, the oldest of those.
    fn make_room(&mut self, bytes: usize, keep: Option<u32>, at_ms: i64, came_again: bool) -> bool {
        while self.used.saturating_add(bytes) > self.budget {
            let has_expired = |number: &u32| {
                let entry = self.entries.get(*number);
                Some(*number) != keep && entry.is_some_and(|entry| entry.expires_at_ms() <= at_ms)
            };
            if let Some(expired) = self.again.first().filter(has_expired) {
                self.remove(expired);
                continue;
            }
            let oldest = self.once.first().or_else(|| self.again.first().filter(|_| came_again));
            let Some(oldest) = oldest.filter(|oldest| Some(*oldest) != keep) else { return false };
            if let Some(entry) = self.remove(oldest) {
                self.met.add(entry.key);
                self.evicted = self.evicted.saturating_add(u64::from(entry.expires_at_ms() > at_ms));
            }
        }
        true
    }

    fn remove(&mut self, number: u32) -> Option<Entry> {
        let entry = self.entries.get(number)?;
        let (key, came_again) = (entry.key, entry.came_again);
        if came_again { &mut self.again } else { &mut self.once }.unlink(number, &mut self.entries);
        if let Ok(found) = self.index.find_entry(hash(key), |other| *other == number) {
            found.remove();
        }
        let entry = self.entries.remove(number)?;
        self.used = self.used.saturating_sub(ENTRY_BYTES).saturating_sub(entry.bytes_beside());
        Some(entry)
    }
}

/// A key is as good as random.
fn hash(key: u128) -> u64 {
    u64::try_from(key & u128::from(u64::MAX)).unwrap_or_default()
}
