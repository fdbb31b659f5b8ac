//! The events of all parts in the order in which they happened, whatever the order in which they arrived, in bounded
//! memory.
//!
//! A part is read once its first event may be the next one. So events that are complete, which are those before the
//! first event of every part that was not read, are handed on in order. Where so many parts overlap that their events
//! do not fit the memory, a **ceiling** is set: later events are let go, and their parts are read again from there.
//! Events in disorder cost time, and never memory or exactness.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::parts::{Arrived, Part, PartRows, Source};
use crate::decisions::stored::{StoredRows, TrustLevels};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::event::Event;
use crate::query::{Beside, TakenMemory};

/// How many parts of short objects are read at once.
const SHORT_AT_ONCE: usize = 16;
/// What a value takes at least, and a text that is a view.
const VALUE_BYTES: usize = 16;

/// Where an event stands: when it happened, when it arrived, its place among those of its node, and its row.
type Place = (i64, i64, i64, u32);

/// Rows of a part that are in memory.
struct Held {
    part: usize,
    source: usize,
    number: usize,
    batch: RecordBatch,
    rows: StoredRows,
    /// Those that were not handed on yet begin at `next`, in order.
    order: Vec<Place>,
    next: usize,
    bytes: usize,
}

impl Held {
    /// When those happened that were not handed on yet.
    fn times(&self) -> impl Iterator<Item = i64> {
        self.order.get(self.next..).unwrap_or_default().iter().map(|place| place.0)
    }
}

/// The next event of some held rows; equal ones stay in the order of parts and rows.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    time: (i64, i64, i64),
    part: usize,
    number: usize,
    row: u32,
    held: usize,
}

/// What is read, and how.
#[derive(Clone, Copy)]
pub struct Reading<'r> {
    /// Whose events.
    pub beside: &'r Beside,
    /// The streams.
    pub sources: &'r [Source],
    /// When they arrived.
    pub arrived: Arrived,
    /// How far the sources of keys are trusted.
    pub trust: &'r TrustLevels,
}

/// Events in order.
pub struct Ordered<'r> {
    reading: Reading<'r>,
    parts: Vec<Part>,
    /// The parts that are to be read, by their first event.
    pending: BTreeSet<(i64, usize)>,
    held: Vec<Option<Held>>,
    heads: BinaryHeap<Reverse<Head>>,
    /// How often rows were taken in.
    taken: usize,
    bytes: usize,
    budget: usize,
    memory: TakenMemory,
    /// Later events are let go for now.
    ceiling_ms: i64,
    /// Events before it are complete.
    horizon_ms: i64,
    /// How many bytes of objects were read.
    pub bytes_read: u64,
    /// How many rows were read, some of them several times.
    pub rows_read: u64,
}

impl<'r> Ordered<'r> {
    /// The events of some parts, of which at most `budget` bytes are in memory at once.
    pub fn new(reading: Reading<'r>, parts: Vec<Part>, budget: usize) -> Self {
        let pending = parts.iter().enumerate().map(|(place, part)| (part.start_ms, place)).collect();
        Self {
            memory: reading.beside.memory("backtest events"),
            reading,
            parts,
            pending,
            held: Vec::new(),
            heads: BinaryHeap::new(),
            taken: 0,
            bytes: 0,
            budget,
            ceiling_ms: i64::MAX,
            horizon_ms: i64::MIN,
            bytes_read: 0,
            rows_read: 0,
        }
    }

    /// Reads until the next event is complete. Says whether there is one.
    ///
    /// # Errors
    /// When an object cannot be read, the store does not answer, or memory is not there.
    pub async fn ready(&mut self) -> Result<bool> {
        if self.heads.peek().is_some_and(|Reverse(head)| head.time.0 < self.horizon_ms) {
            return Ok(true);
        }
        loop {
            let first = self.pending.first().map_or(i64::MAX, |(start_ms, _)| *start_ms);
            self.horizon_ms = first.min(self.ceiling_ms);
            match self.heads.peek() {
                Some(Reverse(head)) if head.time.0 < self.horizon_ms || first == i64::MAX => return Ok(true),
                None if self.pending.is_empty() => return Ok(false),
                None if first >= self.ceiling_ms => self.ceiling_ms = i64::MAX,
                _ => self.read_next().await?,
            }
        }
    }

    /// Hands on the next event, and says of which stream it is. `None` when none is complete.
    pub fn next<T>(&mut self, then: impl FnOnce(usize, &Event<'_>) -> T) -> Option<T> {
        let head = self.heads.peek().map(|Reverse(head)| head)?;
        if head.time.0 >= self.horizon_ms && !self.pending.is_empty() {
            return None;
        }
        let (place, row) = (head.held, head.row);
        self.heads.pop();
        let held = self.held.get_mut(place)?.as_mut()?;
        let source = held.source;
        let done = held.rows.event(usize::try_from(row).ok()?, self.reading.trust, |event| then(source, event));
        held.next += 1;
        self.push_head(place);
        Some(done)
    }

    /// Notes the next event of held rows, or lets them go.
    fn push_head(&mut self, place: usize) {
        let Some(Some(held)) = self.held.get(place) else { return };
        match held.order.get(held.next) {
            Some((time, arrived, offset, row)) => self.heads.push(Reverse(Head {
                time: (*time, *arrived, *offset),
                part: held.part,
                number: held.number,
                row: *row,
                held: place,
            })),
            None => {
                self.bytes -= held.bytes;
                if let Some(held) = self.held.get_mut(place) {
                    *held = None;
                }
            }
        }
    }

    /// Reads the part with the next event; of short objects, several.
    async fn read_next(&mut self) -> Result<()> {
        let reading = self.reading;
        let mut next: Vec<(usize, Part)> = Vec::new();
        while let Some((start_ms, place)) = self.pending.first().copied() {
            let Some((part, source)) =
                self.parts.get(place).and_then(|part| Some((*part, reading.sources.get(part.source)?)))
            else {
                self.pending.pop_first();
                continue;
            };
            let is_short = source.is_short(&part);
            if !next.is_empty() && (!is_short || next.len() >= SHORT_AT_ONCE || start_ms >= self.ceiling_ms) {
                break;
            }
            self.pending.pop_first();
            self.bytes_read += part.bytes;
            next.push((place, part));
            if !is_short {
                break;
            }
        }
        let waiting: u64 = next.iter().map(|(_, part)| part.bytes).sum();
        self.memory.resize(self.bytes.saturating_add(usize::try_from(waiting).unwrap_or(usize::MAX)))?;
        if let [(place, part)] = &*next {
            let Some(source) = reading.sources.get(part.source) else { return Ok(()) };
            let Some(mut rows) = source.open(reading.beside, part).await? else { return Ok(()) };
            let mut resume_ms = None;
            while let Some(batch) = rows.next(reading.beside, reading.arrived).await? {
                self.take(*place, &rows, batch, &mut resume_ms)?;
                tokio::task::yield_now().await;
            }
            self.resume(*place, resume_ms);
            return Ok(());
        }
        let mut reads = Vec::new();
        for (place, part) in next {
            reads.push(async move { whole(reading, &part).await.map(|rows| (place, rows)) }.boxed());
        }
        let mut reads = stream::iter(reads).buffered(SHORT_AT_ONCE);
        while let Some((place, read)) = reads.try_next().await? {
            let Some((rows, batches)) = read else { continue };
            let mut resume_ms = None;
            for batch in batches {
                self.take(place, &rows, batch, &mut resume_ms)?;
            }
            self.resume(place, resume_ms);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// A part is to be read again from a time on, or earlier if that was known.
    fn resume(&mut self, place: usize, at_ms: Option<i64>) {
        let Some((at_ms, part)) = at_ms.zip(self.parts.get_mut(place)) else { return };
        if !self.pending.remove(&(part.start_ms, place)) || at_ms < part.start_ms {
            part.start_ms = at_ms;
        }
        self.pending.insert((part.start_ms, place));
    }

    /// Takes rows into memory that happened before the ceiling and were not handed on yet. `resume_ms` becomes the
    /// time of the first of those that it lets go.
    fn take(
        &mut self,
        place: usize,
        rows: &PartRows<'_>,
        batch: RecordBatch,
        resume_ms: &mut Option<i64>,
    ) -> Result<()> {
        let Some(Part { start_ms, source, .. }) = self.parts.get(place).copied() else { return Ok(()) };
        self.rows_read += batch.num_rows() as u64;
        let events = rows.events(self.reading.beside, &batch)?;
        let times = rows.times(self.reading.beside, &batch, self.reading.trust)?;
        let mut order: Vec<Place> = Vec::with_capacity(times.len());
        for (row, time) in (0_u32..).zip(times) {
            if time >= self.ceiling_ms {
                *resume_ms = (*resume_ms).into_iter().chain([time]).min();
            } else if time >= start_ms {
                let (arrived, offset) = events.arrival(row as usize);
                order.push((time, arrived, offset, row));
            }
        }
        if order.is_empty() {
            return Ok(());
        }
        if !order.is_sorted() {
            order.sort_unstable();
        }
        self.taken += 1;
        let bytes = bytes(&batch);
        let mut held = Held { part: place, source, number: self.taken, batch, rows: events, order, next: 0, bytes };
        if held.order.len() * 2 < held.batch.num_rows() {
            self.reading.shrink(&mut held)?;
        }
        self.bytes += held.bytes;
        let free = self.held.iter().position(Option::is_none).unwrap_or(self.held.len());
        if free == self.held.len() {
            self.held.push(None);
        }
        if let Some(empty) = self.held.get_mut(free) {
            *empty = Some(held);
        }
        self.push_head(free);
        if self.bytes > self.budget {
            self.lower_ceiling(place, resume_ms)?;
        }
        self.memory.resize(self.bytes)
    }

    /// Lets go of the later half of what is held. What is let go of the part that is `being_read` is noted in
    /// `resume_ms`: it is to be read again once it was read to its end.
    fn lower_ceiling(&mut self, being_read: usize, resume_ms: &mut Option<i64>) -> Result<()> {
        let mut times: Vec<i64> = self.held.iter().flatten().flat_map(Held::times).collect();
        let middle = times.len() / 2;
        let first = times.iter().min().copied().unwrap_or_default();
        let median = times.select_nth_unstable(middle).1;
        let ceiling_ms = (*median).max(first.saturating_add(1));
        if ceiling_ms >= self.ceiling_ms || times.iter().all(|time| *time < ceiling_ms) {
            let message = "the backtest needs more memory than is left: too many events happened at one time";
            return Err(Error::new(ErrorKind::Exhausted, message));
        }
        self.ceiling_ms = ceiling_ms;
        self.heads.clear();
        self.bytes = 0;
        for place in 0..self.held.len() {
            let Some(mut held) = self.held.get_mut(place).and_then(Option::take) else { continue };
            let end = held.order.partition_point(|place| place.0 < ceiling_ms);
            let let_go = held.order.get(end).map(|place| place.0);
            held.order.truncate(end);
            if held.part == being_read {
                *resume_ms = (*resume_ms).into_iter().chain(let_go).min();
            } else {
                self.resume(held.part, let_go);
            }
            if held.next >= held.order.len() {
                continue;
            }
            if let_go.is_some() {
                self.reading.shrink(&mut held)?;
            }
            self.bytes += held.bytes;
            if let Some(empty) = self.held.get_mut(place) {
                *empty = Some(held);
            }
            self.push_head(place);
        }
        Ok(())
    }
}

impl Reading<'_> {
    /// Copies the rows that are still waiting, in their order, so that the others take no memory.
    fn shrink(self, held: &mut Held) -> Result<()> {
        let waiting = held.order.get(held.next..).unwrap_or_default();
        let rows: UInt32Array = waiting.iter().map(|place| Some(place.3)).collect();
        let failed = |error| Error::new(ErrorKind::Internal, "rows cannot be copied").caused_by(error);
        let taken = take_record_batch(&held.batch, &rows).map_err(failed)?;
        let columns = taken.columns().iter().map(alone).collect();
        let batch = RecordBatch::try_new(taken.schema(), columns).map_err(failed)?;
        held.order =
            (0..).zip(waiting).map(|(row, (time, arrived, offset, _))| (*time, *arrived, *offset, row)).collect();
        held.next = 0;
        held.bytes = bytes(&batch);
        let source = self.sources.get(held.source);
        let none = || Error::new(ErrorKind::Internal, "rows cannot be copied");
        held.rows = source.and_then(|source| source.stored.rows(&batch)).ok_or_else(none)?;
        held.batch = batch;
        Ok(())
    }
}

/// All rows of a part of a short object.
async fn whole<'r>(reading: Reading<'r>, part: &Part) -> Result<Option<(PartRows<'r>, Vec<RecordBatch>)>> {
    let Some(source) = reading.sources.get(part.source) else { return Ok(None) };
    let Some(mut rows) = source.open(reading.beside, part).await? else { return Ok(None) };
    let mut batches = Vec::new();
    while let Some(batch) = rows.next(reading.beside, reading.arrived).await? {
        batches.push(batch);
    }
    Ok(Some((rows, batches)))
}

/// A column that holds on to nothing but its own values.
fn alone(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => std::sync::Arc::new(column.as_string_view().gc()),
        _ => column.clone(),
    }
}

/// About how much memory the values of a batch take: of texts that repeat, each one counts.
fn bytes(batch: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| {
        let texts = match column.data_type() {
            DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
            _ => 0,
        };
        column.len() * VALUE_BYTES + texts
    };
    batch.columns().iter().map(of).sum::<usize>() + batch.num_rows() * size_of::<Place>()
}
