//! How much a stream holds, from its manifests and listings. The footers of objects that are not merged yet are read,
//! of which there are few; no footer of a merged object is.
//!
//! The manifest of a day is read first, and then its folder is listed. What it counts as taken is in the merged objects
//! that it names. What is taken later is still in the listing, because nothing is removed before a query could end.

use chrono::{DateTime, NaiveDate, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use relative_path::RelativePath;

use super::Manifest;
use super::objects::{EventObject, ListedObject, StreamFolder};
use super::schema::TIMESTAMP;
use crate::error::Result;
use crate::layout::{self, ObjectName};

/// How many days are looked at at once.
const DAYS_AT_ONCE: usize = 8;
/// How many footers of a stream are read at most.
pub const MAX_FOOTERS: usize = 1000;
/// How many of them at once.
const FOOTERS_AT_ONCE: usize = 16;

/// How much a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStatistics {
    /// How many events; `None` when more than [`MAX_FOOTERS`] objects are not merged yet, or one cannot be read.
    pub rows: Option<u64>,
    /// The size of its objects.
    pub bytes: u64,
    /// How many objects it has.
    pub objects: u64,
    /// When the first event arrived; the minute or the day in which it did, where `rows` is not known.
    pub first: Option<DateTime<Utc>>,
    /// The same of the last event.
    pub last: Option<DateTime<Utc>>,
}

impl Default for StreamStatistics {
    fn default() -> Self {
        Self { rows: Some(0), bytes: 0, objects: 0, first: None, last: None }
    }
}

impl StreamStatistics {
    /// Adds some that are about other objects.
    fn add(&mut self, other: Self) {
        self.rows = self.rows.zip(other.rows).map(|(rows, more)| rows + more);
        self.bytes += other.bytes;
        self.objects += other.objects;
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
    }
}

/// What was found of a day.
#[derive(Default)]
struct Day {
    known: StreamStatistics,
    /// The objects that are not merged: at most one more than the footers that may be read.
    fresh: Vec<EventObject>,
}

impl StreamFolder {
    /// How much the stream holds now.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when a manifest cannot be
    /// read.
    pub async fn statistics(&self) -> Result<StreamStatistics> {
        let days = self.days().await?;
        let mut reads = Vec::new();
        for date in days {
            reads.push(self.statistics_of_day(date).boxed());
        }
        let mut days = stream::iter(reads).buffer_unordered(DAYS_AT_ONCE);
        let (mut all, mut fresh) = (StreamStatistics::default(), Vec::new());
        while let Some(day) = days.try_next().await? {
            all.add(day.known);
            fresh.extend(day.fresh);
            if fresh.len() > MAX_FOOTERS {
                fresh.drain(..).for_each(|object| all.add(by_name(&object)));
                all.rows = None;
            }
        }
        let mut reads = Vec::new();
        for object in fresh {
            reads.push(self.by_footer(object).boxed());
        }
        let mut footers = stream::iter(reads).buffer_unordered(FOOTERS_AT_ONCE);
        while let Some(found) = footers.try_next().await? {
            all.add(found);
        }
        Ok(all)
    }

    async fn statistics_of_day(&self, date: NaiveDate) -> Result<Day> {
        let mut manifest = self.read_manifest(date).await?.0;
        loop {
            let (day, newer) = self.statistics_with(date, manifest.as_ref()).await?;
            if newer.is_empty() {
                return Ok(day);
            }
            // The manifest was written meanwhile, or is lost or an older one: that is an error.
            let read_again = Some(self.manifest_with(date, &newer).await?.0);
            if manifest == read_again {
                return Ok(day);
            }
            manifest = read_again;
        }
    }

    /// What the manifest and the folder of a day say, and the merged objects that are newer than that manifest.
    async fn statistics_with(&self, date: NaiveDate, manifest: Option<&Manifest>) -> Result<(Day, Vec<ListedObject>)> {
        let (mut day, mut newer) = (Day::default(), Vec::new());
        let mut listing = self.bucket.list_each(&layout::day(self.tenant(), self.stream(), date))?;
        while let Some(meta) = listing.try_next().await? {
            match ObjectName::parse(RelativePath::new(meta.location.as_ref())) {
                Some(ObjectName::Events { id, .. }) if manifest.is_some_and(|manifest| manifest.lists(id)) => {}
                Some(ObjectName::Events { arrived, id, .. }) => {
                    let file_name = meta.location.filename().unwrap_or_default();
                    if manifest.is_some_and(|manifest| manifest.is_taken(id, file_name)) {
                        continue;
                    }
                    let object = EventObject { id, meta, times: arrived.into(), rows: None, is_listed: true };
                    match day.fresh.len() > MAX_FOOTERS {
                        true => day.known.add(by_name(&object)),
                        false => day.fresh.push(object),
                    }
                }
                Some(ObjectName::Merged { id, .. }) if manifest.is_none_or(|manifest| manifest.is_before(id)) => {
                    newer.push((id, meta));
                }
                _ => {}
            }
        }
        for object in manifest.into_iter().flat_map(|manifest| &manifest.objects) {
            day.known.add(StreamStatistics {
                rows: Some(object.rows),
                bytes: object.bytes,
                objects: 1,
                first: Some(object.first),
                last: Some(object.last),
            });
        }
        Ok((day, newer))
    }

    /// The statistics of an object by its footer; by its name if the footer cannot be read.
    async fn by_footer(&self, object: EventObject) -> Result<StreamStatistics> {
        let footer = self.footer(&object.meta).await?;
        let found = footer.and_then(|footer| of_footer(&footer, object.meta.size));
        Ok(found.unwrap_or_else(|| by_name(&object)))
    }
}

/// The statistics of an object that was not opened.
fn by_name(object: &EventObject) -> StreamStatistics {
    StreamStatistics {
        rows: None,
        bytes: object.meta.size,
        objects: 1,
        first: object.times.start,
        last: object.times.end.map(|end| end - chrono::TimeDelta::milliseconds(1)),
    }
}

fn of_footer(footer: &ParquetMetaData, bytes: u64) -> Option<StreamStatistics> {
    let rows = u64::try_from(footer.file_metadata().num_rows()).ok()?;
    let (mut first, mut last) = (None, None);
    for group in footer.row_groups() {
        let column = group.columns().iter().find(|column| column.column_path().string() == TIMESTAMP)?;
        let Some(Statistics::Int64(times)) = column.statistics() else { return None };
        let (least, greatest) = (*times.min_opt()?, *times.max_opt()?);
        first = Some(first.map_or(least, |first: i64| first.min(least)));
        last = last.max(Some(greatest));
    }
    let at = |millis: Option<i64>| millis.and_then(DateTime::from_timestamp_millis);
    Some(StreamStatistics { rows: Some(rows), bytes, objects: 1, first: at(first), last: at(last) })
}
