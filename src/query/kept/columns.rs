//! The columns that are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use parking_lot::Mutex;
use parquet::file::metadata::ParquetMetaData;

use super::chunk::Chunk;

/// What no query has asked for this long is dropped.
const UNUSED: Duration = Duration::from_mins(10);
/// How often that is looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// Columns of row groups, up to a number of bytes. Those that were not used for the longest time make room for others,
/// and for running queries.
#[derive(Debug)]
pub(in crate::query) struct KeptColumns {
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    chunks: HashMap<Place, KeptChunk>,
    /// The places in the order in which they were used.
    by_use: BTreeMap<u64, Place>,
    uses: u64,
    memory: MemoryReservation,
}

/// A column in a row group of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    /// The address of the footer of the object: no other footer gets it while a chunk refers to this one.
    footer: usize,
    group: usize,
    column: usize,
}

impl Place {
    fn of(footer: &Arc<ParquetMetaData>, group: usize, column: usize) -> Self {
        Self { footer: Arc::as_ptr(footer) as usize, group, column }
    }
}

#[derive(Debug)]
struct KeptChunk {
    chunk: Chunk,
    bytes: usize,
    footer: Weak<ParquetMetaData>,
    /// Its place in the order of use.
    used: u64,
    used_at: Instant,
}

impl KeptColumns {
    /// None yet, and at most so many bytes of this pool.
    pub(in crate::query) fn new(most_bytes: usize, pool: &Arc<dyn MemoryPool>) -> Self {
        let memory = MemoryConsumer::new("kept columns").register(pool);
        let kept = Kept { chunks: HashMap::new(), by_use: BTreeMap::new(), uses: 0, memory };
        Self { most_bytes, kept: Mutex::new(kept) }
    }

    /// How much one scan may have of them, so that a large one does not drive out what it reads itself.
    pub(super) fn share_bytes(&self) -> usize {
        self.most_bytes - self.most_bytes / 4
    }

    /// A column of a row group of the object with this footer.
    pub(super) fn get(&self, footer: &Arc<ParquetMetaData>, group: usize, column: usize) -> Option<Chunk> {
        let mut kept = self.kept.lock();
        let Kept { chunks, by_use, uses, .. } = &mut *kept;
        let place = Place::of(footer, group, column);
        let found = chunks.get_mut(&place)?;
        by_use.remove(&found.used);
        *uses += 1;
        (found.used, found.used_at) = (*uses, Instant::now());
        by_use.insert(*uses, place);
        Some(found.chunk.clone())
    }

    /// Keeps a column, if there is room for it.
    pub(super) fn put(&self, footer: &Arc<ParquetMetaData>, group: usize, column: usize, chunk: Chunk) {
        let (bytes, place) = (chunk.bytes(), Place::of(footer, group, column));
        let mut kept = self.kept.lock();
        kept.remove(&place); // Another query may have read it too.
        while kept.memory.size().saturating_add(bytes) > self.most_bytes || kept.memory.try_grow(bytes).is_err() {
            if kept.remove_oldest() == 0 {
                return;
            }
        }
        kept.uses += 1;
        let used = kept.uses;
        kept.by_use.insert(used, place);
        let footer = Arc::downgrade(footer);
        kept.chunks.insert(place, KeptChunk { chunk, bytes, footer, used, used_at: Instant::now() });
    }

    /// Drops as much as a running query needs. Returns how many bytes it gave back: less when there is no more.
    pub(in crate::query) fn give_back(&self, bytes: usize) -> usize {
        let mut kept = self.kept.lock();
        let mut given = 0;
        while given < bytes {
            match kept.remove_oldest() {
                0 => break,
                more => given += more,
            }
        }
        given
    }

    /// Drops what no query has asked for since `then`, and what no query can ask for any more.
    pub(super) fn forget(&self, then: Option<Instant>) {
        let mut kept = self.kept.lock();
        let is_old = |chunk: &KeptChunk| then.is_some_and(|then| chunk.used_at < then);
        let old = kept.chunks.iter().filter(|(_, chunk)| is_old(chunk) || chunk.footer.strong_count() == 0);
        for place in old.map(|(place, _)| *place).collect::<Vec<_>>() {
            kept.remove(&place);
        }
    }

    /// How many bytes are kept.
    #[cfg(test)]
    pub(in crate::query) fn bytes(&self) -> usize {
        self.kept.lock().memory.size()
    }
}

impl Kept {
    /// Drops what was not used for the longest time. Returns its bytes; 0 when there is nothing.
    fn remove_oldest(&mut self) -> usize {
        self.by_use.first_key_value().map(|(_, place)| *place).map_or(0, |place| self.remove(&place))
    }

    fn remove(&mut self, place: &Place) -> usize {
        let Some(gone) = self.chunks.remove(place) else { return 0 };
        self.by_use.remove(&gone.used);
        self.memory.shrink(gone.bytes);
        gone.bytes
    }
}

/// Drops what is not used any more, as long as something keeps columns.
pub(in crate::query) async fn sweep(columns: Weak<KeptColumns>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(columns) = columns.upgrade() else { return };
        columns.forget(Instant::now().checked_sub(UNUSED));
    }
}
