//! The windows of all entities.

use std::fmt;

use parking_lot::Mutex;

use super::shard::{Hit, Shard};
use crate::policy::entity::Entity;

/// The least memory of windows.
pub const MIN_POLICY_MEMORY: usize = 4 << 20;
/// Into how many parts entities are divided. Fixed: which entities share memory must not depend on the machine.
const SHARDS: usize = 16;

/// What a window counts, and within how long. Windows that differ only in their thresholds are one, and share counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowKey {
    /// Its length, 1 to 3600.
    pub seconds: u16,
    /// What is counted: see [`WindowKey::new`].
    content: u64,
}

impl WindowKey {
    /// A window over what is described by these texts: the condition of its events, and the field whose values it
    /// counts. The same texts are the same window in every version of a set, on every node.
    pub fn new<'a>(seconds: u16, content: impl IntoIterator<Item = &'a str>) -> Self {
        // FNV-1a over texts behind their lengths.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let content = content.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, text| {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes();
            length.into_iter().chain(text.bytes()).fold(hash, step)
        });
        Self { seconds, content }
    }

    /// The key of an entity in this window.
    fn of(self, entity: Entity) -> u128 {
        // Odd multipliers spread the bits over both halves; an entity is as good as random already.
        let content = self.content.wrapping_add(u64::from(self.seconds)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        entity.bits() ^ (u128::from(content) << 64 | u128::from(content.rotate_left(31)))
    }
}

/// What it counts, as a hash, and its length: the same on every node.
impl fmt::Display for WindowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}", self.content, self.seconds)
    }
}

/// How large the state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateSize {
    /// Entities times the windows that they are in.
    pub entries: usize,
    /// How many had to give way to others while a window still counted them.
    pub evicted: u64,
    /// Bytes of memory that they take.
    pub bytes: usize,
}

/// The windows of all entities, in bounded memory. It has no clock: time is that of the events, and never runs back for
/// an entity. Calls for entities of different shards do not wait for each other, and the same calls in the same order
/// for each entity give the same counts on any number of threads while nothing has to be evicted; with evictions, the
/// same order for each shard.
#[derive(Debug)]
pub struct State {
    shards: Box<[Mutex<Shard>]>,
}

impl State {
    /// No entities, in at most so many bytes, but at least [`MIN_POLICY_MEMORY`].
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.max(MIN_POLICY_MEMORY) / SHARDS;
        Self { shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(bytes))).collect() }
    }

    /// Counts an event of an entity, and says how many the window holds now, this one included. With a value, it counts
    /// different values instead of events.
    pub fn hit(&self, entity: Entity, window: WindowKey, at_ms: i64, value: Option<u32>) -> u32 {
        let hit = Hit { key: window.of(entity), seconds: window.seconds, at_ms, value };
        self.shard(entity).map_or(1, |shard| shard.lock().hit(hit))
    }

    /// How many events the window of an entity holds, without a new one.
    pub fn count(&self, entity: Entity, window: WindowKey, at_ms: i64) -> u32 {
        self.shard(entity).map_or(0, |shard| shard.lock().count(window.of(entity), at_ms))
    }

    /// When the window of an entity holds fewer than `threshold`, if no more come.
    pub fn below_at_ms(&self, entity: Entity, window: WindowKey, threshold: u32) -> Option<i64> {
        self.shard(entity)?.lock().below_at_ms(window.of(entity), threshold)
    }

    /// Forgets what these windows know of an entity: it was released, and must not be held again for what it did
    /// before.
    pub fn forget(&self, entity: Entity, windows: impl IntoIterator<Item = WindowKey>) {
        let Some(shard) = self.shard(entity) else { return };
        let mut shard = shard.lock();
        windows.into_iter().for_each(|window| _ = shard.forget(window.of(entity)));
    }

    /// How large it is.
    pub fn size(&self) -> StateSize {
        self.shards.iter().fold(StateSize::default(), |sum, shard| {
            let (entries, evicted, bytes) = shard.lock().sizes();
            StateSize {
                entries: sum.entries.saturating_add(entries),
                evicted: sum.evicted.saturating_add(evicted),
                bytes: sum.bytes.saturating_add(bytes),
            }
        })
    }

    /// All windows of an entity are in one shard.
    fn shard(&self, entity: Entity) -> Option<&Mutex<Shard>> {
        let number = usize::try_from(entity.bits() >> 120).unwrap_or_default();
        self.shards.get(number % SHARDS)
    }
}
