//! The objects of a stream that a reader chooses by the arrival times of their events, while they are listed: memory is
//! bounded by the chosen objects, not by all objects.
//!
//! A day is listed first, and its manifest is read then, for the reason that [`super::objects`] states.

use std::collections::HashSet;

use chrono::NaiveDate;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use relative_path::RelativePath;
use uuid::Uuid;

use super::objects::{EventObject, StreamFolder, TimeRange};
use super::{DayId, Manifest};
use crate::documents::Document as _;
use crate::error::Result;
use crate::layout::{self, ObjectName};

/// How many days are listed at once.
const DAYS_AT_ONCE: usize = 8;
/// How many objects of a day are held before unwanted ones are dropped.
const LOOK_AFTER: usize = 4096;

/// Says which of some objects are wanted, by the arrival times of their events.
pub type Choose<'a> = dyn Fn(&[TimeRange]) -> Result<Vec<bool>> + Send + Sync + 'a;

/// The objects that were chosen.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Those that are wanted, day by day.
    pub objects: Vec<EventObject>,
    /// How many of the days that were listed count.
    pub listed: u64,
    /// Whether there are more than were asked for: then some are missing.
    pub is_cut: bool,
}

impl StreamFolder {
    /// The objects of some days whose events count, as far as `choose` wants them. The listing ends as soon as more
    /// than `most` are wanted.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer, [`crate::ErrorKind::Corrupt`] when a manifest
    /// cannot be read; those of `choose`.
    pub async fn choose(&self, days: &[NaiveDate], most: usize, choose: &Choose<'_>) -> Result<Chosen> {
        let mut reads = Vec::new();
        for date in days {
            reads.push(self.choose_of_day(*date, most, choose).boxed());
        }
        let mut days = stream::iter(reads).buffered(DAYS_AT_ONCE);
        let mut chosen = Chosen::default();
        while let Some(day) = days.try_next().await? {
            chosen.listed += day.listed;
            chosen.objects.extend(day.objects);
            chosen.is_cut |= day.is_cut || chosen.objects.len() > most;
            if chosen.is_cut {
                break;
            }
        }
        Ok(chosen)
    }

    /// Those of some days that may hold events of `range`, all of them.
    #[cfg(test)]
    pub(crate) async fn objects(&self, days: &[NaiveDate], range: TimeRange) -> Result<Vec<EventObject>> {
        let in_range = |times: &[TimeRange]| Ok(times.iter().map(|times| range.overlaps(*times)).collect());
        Ok(self.choose(days, usize::MAX, &in_range).await?.objects)
    }

    async fn choose_of_day(&self, date: NaiveDate, most: usize, choose: &Choose<'_>) -> Result<Chosen> {
        let folder = layout::day(self.tenant(), self.stream(), date);
        let mut listing = self.bucket.list_each(&folder)?;
        let (mut fresh, mut merged, mut has_manifest) = (Vec::new(), Vec::new(), false);
        let (mut known, mut look_at, mut dropped) = (None, LOOK_AFTER, 0);
        while let Some(meta) = listing.try_next().await? {
            let path = RelativePath::new(meta.location.as_ref());
            if let Some((arrived, id)) = layout::events_in(&folder, date, path) {
                fresh.push(EventObject { id, meta, times: arrived.into(), rows: None, is_listed: true });
            } else {
                match ObjectName::parse(path) {
                    Some(ObjectName::Merged { id, .. }) => merged.push((id, meta)),
                    Some(ObjectName::Manifest { .. }) => has_manifest = true,
                    _ => {}
                }
            }
            if fresh.len() >= look_at {
                // A taken object never counts again, so a manifest that was read too early only keeps too many objects.
                let known = match &mut known {
                    Some(known) => known,
                    None => known.insert(self.read_manifest(date).await?.0.unwrap_or_default()),
                };
                fresh.retain(|object| is_untaken(known, object));
                dropped += keep(&mut fresh, choose)?;
                look_at = fresh.len() + LOOK_AFTER;
                if fresh.len() > most {
                    return Ok(Chosen { listed: dropped + fresh.len() as u64, objects: fresh, is_cut: true });
                }
            }
        }
        fresh.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
        // One that was read early may be newer than the listing: what it counts as taken must be in its merged objects.
        let manifest = if has_manifest || !merged.is_empty() || known.is_some() {
            self.manifest_with(date, &merged).await?.0
        } else {
            self.forget_unreadable_manifest(date);
            Manifest::default()
        };
        let merged: HashSet<Uuid> = merged.into_iter().map(|(id, _)| id).collect();
        // A copy that somebody made of a merged object is no object of ingest.
        fresh.retain(|object| is_untaken(&manifest, object) && !merged.contains(&object.id));
        let mut objects =
            manifest.objects.iter().map(|object| self.merged(date, object)).collect::<Result<Vec<_>>>()?;
        objects.iter_mut().for_each(|object| object.is_listed = merged.contains(&object.id));
        objects.append(&mut fresh);
        if known.is_none() {
            self.forget_gone(&self.day(date), &objects);
        }
        let listed = dropped + objects.len() as u64;
        keep(&mut objects, choose)?;
        Ok(Chosen { is_cut: objects.len() > most, listed, objects })
    }

    /// Forgets what was noted of objects of a day that do not count any more: these do.
    fn forget_gone(&self, day: &DayId, objects: &[EventObject]) {
        let folder = layout::day(&day.0, &day.1, day.2).into_string() + "/";
        let mut unreadable = self.unreadable.lock();
        let mut noted = unreadable.range(folder.clone()..);
        if !noted.next().is_some_and(|(object, _)| object.starts_with(&folder)) {
            return;
        }
        let manifest = Manifest::object(day).path().into_string();
        let count: HashSet<&str> = objects.iter().map(|object| object.meta.location.as_ref()).collect();
        unreadable
            .retain(|object, _| !object.starts_with(&folder) || *object == manifest || count.contains(object.as_str()));
    }
}

/// Whether an object of ingest is not in merged ones.
fn is_untaken(manifest: &Manifest, object: &EventObject) -> bool {
    !manifest.is_taken(object.id, object.meta.location.filename().unwrap_or_default())
}

/// Keeps the objects that are wanted, and says how many are not.
fn keep(objects: &mut Vec<EventObject>, choose: &Choose<'_>) -> Result<u64> {
    let times: Vec<TimeRange> = objects.iter().map(|object| object.times).collect();
    let mut wanted = choose(&times)?.into_iter();
    objects.retain(|_| wanted.next().unwrap_or(true));
    Ok((times.len() - objects.len()) as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::key::{StreamName, TenantId};
    use crate::store::Bucket;

    #[tokio::test]
    async fn a_listing_ends_once_more_is_wanted_than_may_be() {
        let (bucket, unreadable) = (Bucket::in_memory(), Arc::default());
        let (tenant, stream) = (TenantId::default(), StreamName::parse("web").unwrap());
        let at = |minute: usize| format!("2026-11-20T{:02}:{:02}:00Z", minute / 60, minute % 60).parse().unwrap();
        let count = 3 * LOOK_AFTER;
        for n in 0..count {
            let id = Uuid::from_u128(n as u128);
            let name = ObjectName::events(tenant.clone(), stream.clone(), at(n * 1440 / count), id);
            bucket.put(&name, Default::default()).await.unwrap();
        }
        let folder = StreamFolder::new(bucket, &unreadable, tenant, stream);
        let days = folder.days().await.unwrap();
        let longest = Mutex::new(0);
        let wanted = |times: &[TimeRange], range: TimeRange| {
            let mut longest = longest.lock();
            *longest = times.len().max(*longest);
            Ok(times.iter().map(|times| range.overlaps(*times)).collect())
        };
        let all = folder.choose(&days, 100, &|times| wanted(times, TimeRange::default())).await.unwrap();
        assert!(all.is_cut && all.objects.len() <= 100 + LOOK_AFTER && *longest.lock() <= 100 + LOOK_AFTER);
        let range = TimeRange { start: Some(at(60)), end: Some(at(65)) };
        let some = folder.choose(&days, 100, &|times| wanted(times, range)).await.unwrap();
        assert!(!some.is_cut && (1..=50).contains(&some.objects.len()), "{}", some.objects.len());
        assert_eq!(some.listed, count as u64);
        assert!(*longest.lock() <= LOOK_AFTER + 50);
        assert_eq!(folder.objects(&days, TimeRange::default()).await.unwrap().len(), count);
    }
}
