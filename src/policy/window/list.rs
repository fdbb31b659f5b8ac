//! Entries in the order of their age, in slots that do not move.

use super::entry::Entry;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;
/// Entries are allocated so many at a time: none is moved, and little is allocated ahead.
const CHUNK: usize = 256;

/// Entries by number. Numbers of removed ones are given again.
#[derive(Debug, Default)]
pub(super) struct Entries {
    chunks: Vec<Vec<Entry>>,
    free: Vec<u32>,
}

impl Entries {
    /// Puts an entry in a place.
    pub fn insert(&mut self, entry: Entry) -> u32 {
        if let Some(number) = self.free.pop() {
            if let Some(place) = self.get_mut(number) {
                *place = entry;
            }
            return number;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = self.chunks.len().saturating_sub(1).saturating_mul(CHUNK);
        let Some(chunk) = self.chunks.last_mut() else { return NONE };
        chunk.push(entry);
        u32::try_from(full.saturating_add(chunk.len()).saturating_sub(1)).unwrap_or(NONE)
    }

    /// Takes an entry out of its place. What stays there is empty and takes no memory beside it.
    pub fn remove(&mut self, number: u32) -> Option<Entry> {
        let removed = std::mem::replace(self.get_mut(number)?, Entry::new(0, 0, 0, None));
        self.free.push(number);
        Some(removed)
    }

    pub fn get(&self, number: u32) -> Option<&Entry> {
        let number = usize::try_from(number).ok()?;
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Entry> {
        let number = usize::try_from(number).ok()?;
        self.chunks.get_mut(number / CHUNK)?.get_mut(number % CHUNK)
    }
}

/// A list through entries, the one that came last at the end.
#[derive(Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
}

impl List {
    pub const fn new() -> Self {
        Self { first: NONE, last: NONE }
    }

    /// The one whose last event is the oldest.
    pub const fn first(&self) -> Option<u32> {
        if self.first == NONE { None } else { Some(self.first) }
    }

    pub fn push(&mut self, number: u32, entries: &mut Entries) {
        if let Some(entry) = entries.get_mut(number) {
            (entry.before, entry.after) = (self.last, NONE);
        }
        match entries.get_mut(self.last) {
            Some(last) => last.after = number,
            None => self.first = number,
        }
        self.last = number;
    }

    pub fn unlink(&mut self, number: u32, entries: &mut Entries) {
        let Some((before, after)) = entries.get(number).map(|entry| (entry.before, entry.after)) else { return };
        match entries.get_mut(before) {
            Some(entry) => entry.after = after,
            None => self.first = after,
        }
        match entries.get_mut(after) {
            Some(entry) => entry.before = before,
            None => self.last = before,
        }
    }
}
