//! One entity in one window as bytes, which others count in for many nodes.

use super::distinct::{MAX_VALUES, Met};
use super::entry::{Entry, Hits};
use super::slots::{KEPT, Slots};
use super::state::WindowKey;
use super::times::{EXACT, Many};

/// One entity in one window, read from bytes. It counts as an entry in memory does.
///
/// The bytes, numbers big-endian: the letter `e` for events or `v` for values; eight bytes of the call that wrote them;
/// the time of the last event in eight. Then, of events, how many times in one, and the times in four each, oldest
/// first; if the window holds more, the number of its youngest sixteenth in eight and seventeen counts in four each. Of
/// values: each in four, and when it was last met in four, the one that was met last at the end.
#[derive(Debug)]
pub struct Kept(Entry);

impl Kept {
    /// Reads the bytes; `None` when they are not such.
    pub fn read(window: WindowKey, bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let [kind] = bytes.take()?;
        bytes.take::<8>()?;
        let last_ms = i64::from_be_bytes(bytes.take()?);
        let hits = match kind {
            b'e' => events(bytes, window.seconds)?,
            b'v' => values(bytes)?,
            _ => return None,
        };
        Some(Self(Entry::of(last_ms, window.seconds, hits)))
    }

    /// How many events or values the window holds that ends at a time, or at its last one if that is later.
    pub fn count(&self, at_ms: i64) -> u32 {
        self.0.count(at_ms)
    }

    /// When the window holds fewer than `threshold`, if no more come.
    pub fn below_at_ms(&self, threshold: u32) -> i64 {
        self.0.below_at_ms(threshold)
    }
}

fn events(mut bytes: Bytes<'_>, seconds: u16) -> Option<Hits> {
    let [len] = bytes.take()?;
    let times = (0..len).map(|_| bytes.number()).collect::<Option<Vec<u32>>>()?;
    let slots = match bytes.0 {
        [] => None,
        _ => {
            let now = i64::from_be_bytes(bytes.take()?);
            let mut counts = [0; KEPT];
            for count in &mut counts {
                *count = bytes.number()?;
            }
            Some(Slots::of(now, counts, u32::from(seconds)))
        }
    };
    (times.len() <= EXACT && bytes.0.is_empty()).then(|| Hits::Many(Box::new(Many::with(times, slots))))
}

fn values(mut bytes: Bytes<'_>) -> Option<Hits> {
    let mut met: Vec<Met> = Vec::new();
    while !bytes.0.is_empty() && met.len() < MAX_VALUES {
        met.push((bytes.number()?, bytes.number()?));
    }
    bytes.0.is_empty().then(|| Hits::ManyValues(Box::new(met.into())))
}

/// Bytes that are still to be read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u16 = 2;

    fn read(bytes: &[u8]) -> Option<Kept> {
        Kept::read(WindowKey::new(WINDOW, []), bytes)
    }

    /// Of events or values whose last one came at 5000 ms.
    fn head(kind: u8) -> Vec<u8> {
        [&[kind][..], &[7; 8], &5000i64.to_be_bytes()].concat()
    }

    #[test]
    fn events_and_values_count_as_they_do_in_memory() {
        let times: Vec<u8> = [3500u32, 4000, 5000].iter().flat_map(|time| time.to_be_bytes()).collect();
        let events = read(&[&head(b'e')[..], &[3], &times].concat()).unwrap();
        assert_eq!([0, 5000, 5499, 5500, 7000].map(|at_ms| events.count(at_ms)), [3, 3, 3, 2, 0]);
        assert_eq!([1, 2, 3].map(|threshold| events.below_at_ms(threshold)), [7000, 6000, 5500]);
        let met: Vec<u8> = [1u32, 4000, 2, 5000].iter().flat_map(|number| number.to_be_bytes()).collect();
        let values = read(&[&head(b'v')[..], &met].concat()).unwrap();
        assert_eq!([5000, 5999, 6000].map(|at_ms| values.count(at_ms)), [2, 2, 1]);
    }

    #[test]
    fn other_bytes_are_nothing() {
        let (events, values) = (head(b'e'), head(b'v'));
        let one = [&events[..], &[1, 0, 0, 0, 1]].concat();
        assert!(read(&one).is_some() && read(&values).is_some());
        for bytes in [
            &b""[..],
            b"e",
            &events,
            &one[..one.len() - 1],
            &[&one[..], &[0]].concat(),
            &[&one[..], &[0; 8 + 4 * 16]].concat(),
            &[&events[..], &[65], &[0; 65 * 4]].concat(),
            &[&values[..], &[0; 7]].concat(),
            &[&values[..], &[0; 129 * 8]].concat(),
            &head(b'x'),
        ] {
            assert!(read(bytes).is_none(), "{bytes:?}");
        }
        assert!(read(&[&one[..], &[0; 8 + 4 * KEPT]].concat()).is_some());
    }
}
