//! What is remembered of one entity in one window: 64 bytes, and more only for those that come often.

use super::distinct::{Met, Values};
use super::times::{FEW, Many, below_at_ms, count, short, whole};

/// As many values as an entry holds in itself.
const FEW_VALUES: usize = 2;

/// One entity in one window.
#[derive(Debug)]
pub(super) struct Entry {
    /// Of entity and window.
    pub key: u128,
    /// The time of its last event. It never runs back.
    pub last_ms: i64,
    /// Its neighbours in the list that it is in.
    pub before: u32,
    /// See `before`.
    pub after: u32,
    /// The length of the window.
    pub seconds: u16,
    /// Whether it came more than once: which of the lists it is in.
    pub came_again: bool,
    /// Its events.
    hits: Hits,
}

/// The events of an entry, or the values that it counts instead.
#[derive(Debug)]
pub(super) enum Hits {
    Few { len: u8, times: [u32; FEW] },
    Many(Box<Many>),
    FewValues { len: u8, met: [Met; FEW_VALUES] },
    ManyValues(Box<Values>),
}

impl Entry {
    /// An entity whose first event is at hand; of a window that counts different values if there is one.
    pub fn new(key: u128, at_ms: i64, seconds: u16, value: Option<u32>) -> Self {
        let at = short(at_ms);
        let hits = match value {
            None => Hits::Few { len: 1, times: [at; FEW] },
            Some(value) => Hits::FewValues { len: 1, met: [(value, at); FEW_VALUES] },
        };
        Self { key, last_ms: at_ms, before: u32::MAX, after: u32::MAX, seconds, came_again: false, hits }
    }

    /// One that is in no state.
    pub fn of(last_ms: i64, seconds: u16, hits: Hits) -> Self {
        Self { key: 0, last_ms, before: u32::MAX, after: u32::MAX, seconds, came_again: false, hits }
    }

    /// Bytes beside its own.
    pub fn bytes_beside(&self) -> usize {
        match &self.hits {
            Hits::Few { .. } | Hits::FewValues { .. } => 0,
            Hits::Many(many) => many.bytes(),
            Hits::ManyValues(values) => values.bytes(),
        }
    }

    /// When no window counts its events any more.
    pub fn expires_at_ms(&self) -> i64 {
        self.last_ms.saturating_add(i64::from(self.seconds) * 1000)
    }

    /// Adds an event, at its last time if it is older.
    pub fn add(&mut self, at_ms: i64, value: Option<u32>) {
        let (at_ms, last_ms, seconds) = (at_ms.max(self.last_ms), self.last_ms, u32::from(self.seconds));
        self.last_ms = at_ms;
        match (&mut self.hits, value) {
            (Hits::Few { len, times }, None) => {
                let kept = times.get(..usize::from(*len)).unwrap_or_default();
                let old = kept.len().saturating_sub(count(kept.iter().copied(), at_ms, last_ms, seconds));
                if kept.len() == FEW && old == 0 {
                    let mut many = Box::new(Many::of(kept));
                    many.add(at_ms, last_ms, seconds);
                    self.hits = Hits::Many(many);
                    return;
                }
                times.copy_within(old.., 0);
                let end = usize::from(*len).saturating_sub(old);
                if let Some(time) = times.get_mut(end) {
                    *time = short(at_ms);
                }
                *len = u8::try_from(end.saturating_add(1)).unwrap_or(u8::MAX);
            }
            (Hits::Many(many), None) => many.add(at_ms, last_ms, seconds),
            (Hits::FewValues { len, met }, Some(value)) => {
                let mut values = Values::of(met.get(..usize::from(*len)).unwrap_or_default());
                values.add(value, at_ms, last_ms, seconds);
                if values.len() > FEW_VALUES {
                    self.hits = Hits::ManyValues(Box::new(values));
                    return;
                }
                *len = u8::try_from(values.len()).unwrap_or_default();
                met.iter_mut().zip(values.iter()).for_each(|(place, value)| *place = *value);
            }
            (Hits::ManyValues(values), Some(value)) => values.add(value, at_ms, last_ms, seconds),
            // The key holds whether a window counts values.
            (Hits::Few { .. } | Hits::Many(_), Some(_)) | (Hits::FewValues { .. } | Hits::ManyValues(_), None) => {}
        }
    }

    /// How many events or values the window holds that ends at a time, or at its last one if that is later.
    pub fn count(&self, at_ms: i64) -> u32 {
        let (at_ms, last_ms, seconds) = (at_ms.max(self.last_ms), self.last_ms, u32::from(self.seconds));
        match &self.hits {
            Hits::Few { len, times } => {
                whole(count(times.iter().take(usize::from(*len)).copied(), at_ms, last_ms, seconds))
            }
            Hits::Many(many) => many.count(at_ms, last_ms, seconds),
            Hits::FewValues { len, met } => {
                let times = met.iter().take(usize::from(*len)).map(|(_, time)| *time);
                whole(count(times, at_ms, last_ms, seconds))
            }
            Hits::ManyValues(values) => values.count(at_ms, last_ms, seconds),
        }
    }

    /// When the window holds fewer than `threshold`, if no more come.
    pub fn below_at_ms(&self, threshold: u32) -> i64 {
        let (last_ms, seconds) = (self.last_ms, u32::from(self.seconds));
        match &self.hits {
            Hits::Few { len, times } => {
                below_at_ms(times.iter().take(usize::from(*len)).copied(), threshold, last_ms, seconds)
            }
            Hits::Many(many) => many.below_at_ms(threshold, last_ms, seconds),
            Hits::FewValues { len, met } => {
                let times = met.iter().take(usize::from(*len)).map(|(_, time)| *time);
                below_at_ms(times, threshold, last_ms, seconds)
            }
            Hits::ManyValues(values) => below_at_ms(values.times(), threshold, last_ms, seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_64_bytes() {
        assert_eq!(size_of::<Entry>(), 64);
    }
}
