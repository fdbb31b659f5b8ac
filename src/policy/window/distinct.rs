//! Different values of an entity's events.

use super::times::{count, long, short, whole};

/// How many different values of an entity are kept. More than so many count as so many.
pub const MAX_VALUES: usize = 128;

/// A value, as 32 bits that stand for it, and when it was last met.
pub(super) type Met = (u32, u32);

/// The values met last, in the order of when.
#[derive(Debug, Clone)]
pub(super) struct Values(Vec<Met>);

impl From<Vec<Met>> for Values {
    /// Values in the order of when each was last met.
    fn from(met: Vec<Met>) -> Self {
        Self(met)
    }
}

impl Values {
    /// Those that were few.
    pub fn of(few: &[Met]) -> Self {
        Self(few.to_vec())
    }

    /// The bytes they take.
    pub fn bytes(&self) -> usize {
        size_of::<Self>().saturating_add(self.0.capacity().saturating_mul(size_of::<Met>()))
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Met> {
        self.0.iter()
    }

    /// Adds a value, and forgets those that no window counts any more.
    pub fn add(&mut self, value: u32, at_ms: i64, last_ms: i64, seconds: u32) {
        let from = at_ms.saturating_sub(i64::from(seconds).saturating_mul(1000));
        self.0.retain(|(other, time)| *other != value && long(*time, last_ms) > from);
        if self.0.len() >= MAX_VALUES {
            self.0.remove(0);
        }
        self.0.push((value, short(at_ms)));
    }

    /// How many there are in the window that ends at a time.
    pub fn count(&self, at_ms: i64, last_ms: i64, seconds: u32) -> u32 {
        whole(count(self.times(), at_ms, last_ms, seconds))
    }

    /// When each was last met.
    pub fn times(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.0.iter().map(|(_, time)| *time)
    }
}
