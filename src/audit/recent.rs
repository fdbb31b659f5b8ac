//! The newest entries of the change log, in memory: every node reads every entry anyway.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::documents::Fields;
use crate::sync::LoggedChange;
use crate::sync::log::LogEntry;

/// How many changes are kept at most.
const MAX_CHANGES: usize = 10_000;
/// How many bytes they take at most, by an estimate, and one entry more.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Entries without a gap between them.
#[derive(Debug, Default)]
pub struct Recent {
    /// With the estimate of the memory that each takes.
    entries: VecDeque<(Arc<LogEntry>, usize)>,
    /// The number of the first one.
    first: u64,
    changes: usize,
    bytes: usize,
}

impl Recent {
    /// Takes in an entry that was read or written. One that does not follow the last is the first after a gap.
    pub fn push(&mut self, seq: u64, entry: Arc<LogEntry>) {
        let next = self.first + self.entries.len() as u64;
        if !self.entries.is_empty() && seq < next {
            return;
        }
        if self.entries.is_empty() || seq > next {
            *self = Self { first: seq, ..Self::default() };
        }
        let size = size(&entry);
        (self.changes, self.bytes) = (self.changes + entry.changes.len(), self.bytes + size);
        self.entries.push_back((entry, size));
        while self.is_over() && self.entries.len() > 1 {
            if let Some((entry, size)) = self.entries.pop_front() {
                (self.changes, self.bytes) = (self.changes - entry.changes.len(), self.bytes - size);
                self.first += 1;
            }
        }
    }

    /// Takes in an entry that was read from the log, if it stands right before the first one, or is the `end` of the
    /// log and the first at all, and there is room.
    pub fn push_front(&mut self, seq: u64, end: u64, entry: Arc<LogEntry>) {
        let fits = if self.entries.is_empty() { seq == end } else { seq + 1 == self.first };
        if !fits {
            return;
        }
        let size = size(&entry);
        if self.changes + entry.changes.len() <= MAX_CHANGES && self.bytes + size <= MAX_BYTES {
            (self.changes, self.bytes) = (self.changes + entry.changes.len(), self.bytes + size);
            self.entries.push_front((entry, size));
            self.first = seq;
        }
    }

    /// Up to `limit` entries, from `seq` backwards; none if that one is not here.
    pub fn back_from(&self, seq: u64, limit: usize) -> Vec<(u64, Arc<LogEntry>)> {
        let Some(place) = seq.checked_sub(self.first).and_then(|place| usize::try_from(place).ok()) else {
            return Vec::new();
        };
        if place >= self.entries.len() {
            return Vec::new();
        }
        let numbered = self.entries.iter().zip(self.first..).map(|((entry, _), seq)| (seq, entry.clone()));
        let mut found: Vec<_> = numbered.skip((place + 1).saturating_sub(limit)).take(limit.min(place + 1)).collect();
        found.reverse();
        found
    }

    fn is_over(&self) -> bool {
        self.changes > MAX_CHANGES || self.bytes > MAX_BYTES
    }
}

/// An estimate of the memory that an entry takes.
fn size(entry: &LogEntry) -> usize {
    entry.changes.iter().map(of_change).sum::<usize>() + size_of::<LogEntry>()
}

fn of_change(change: &LoggedChange) -> usize {
    let texts = [&change.name, &change.route, &change.agent].into_iter().flatten();
    let views = [&change.difference.before, &change.difference.after].into_iter().flatten();
    size_of::<LoggedChange>() + 128 + texts.map(String::len).sum::<usize>() + views.map(of_fields).sum::<usize>()
}

fn of_fields(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + 64 + of_value(value)).sum()
}

fn of_value(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(of_value).sum(),
            Value::Object(fields) => of_fields(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::key::{NodeId, TenantId};
    use crate::sync::ChangedObject;

    fn entry(changes: usize) -> Arc<LogEntry> {
        let change = ChangedObject::Tenant { tenant: TenantId::default() }.by_unknown();
        Arc::new(LogEntry::new(NodeId::random(), DateTime::UNIX_EPOCH, vec![change; changes]))
    }

    fn numbers(recent: &Recent, seq: u64, limit: usize) -> Vec<u64> {
        recent.back_from(seq, limit).into_iter().map(|(seq, _)| seq).collect()
    }

    #[test]
    fn entries_are_found_by_number_and_a_gap_begins_anew() {
        let mut recent = Recent::default();
        assert_eq!(numbers(&recent, 0, 9), [0; 0]);
        for seq in 5..=9 {
            recent.push(seq, entry(1));
        }
        recent.push(9, entry(1));
        recent.push(7, entry(1));
        assert_eq!(numbers(&recent, 9, 3), [9, 8, 7]);
        assert_eq!(numbers(&recent, 6, 9), [6, 5]);
        assert!(numbers(&recent, 10, 9).is_empty() && numbers(&recent, 4, 9).is_empty());
        recent.push_front(3, 9, entry(1));
        recent.push_front(4, 9, entry(1));
        assert_eq!(numbers(&recent, 5, 9), [5, 4]);
        let mut empty = Recent::default();
        empty.push_front(4, 9, entry(1));
        assert!(numbers(&empty, 4, 9).is_empty());
        [9, 8].into_iter().for_each(|seq| empty.push_front(seq, 9, entry(1)));
        empty.push(10, entry(1));
        assert_eq!(numbers(&empty, 10, 9), [10, 9, 8]);
        recent.push(20, entry(1));
        assert_eq!((numbers(&recent, 20, 9), numbers(&recent, 9, 9)), (vec![20], vec![]));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut recent = Recent::default();
        for seq in 1..=50 {
            recent.push(seq, entry(1000));
        }
        assert!(recent.changes <= MAX_CHANGES && recent.bytes <= MAX_BYTES, "{recent:?}");
        let (count, first) = (recent.entries.len(), recent.first);
        assert_eq!((numbers(&recent, 50, 99).len(), first), (count, 51 - count as u64));
        recent.push_front(first - 1, 50, entry(1000));
        assert_eq!(recent.first, first);
    }
}
