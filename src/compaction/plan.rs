//! Plans the next step of compaction for a day. Pure.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::stream::objects::{DayListing, FreshObject};
use crate::stream::{DayId, Manifest, MergedObject, object_id};

/// An object of this size is not merged with others any more.
pub(super) const FULL_BYTES: u64 = 128 << 20;
/// How many objects are merged at once; below this, those of a running day are left alone.
const FAN_IN: usize = 8;
/// Objects up to this size are of the lowest class; each class is eight times the one before.
const CLASS_BYTES: u64 = 64 << 10;
/// How many objects of ingest are taken at once …
const TAKEN_AT_ONCE: usize = 4096;
/// … and how many bytes of them.
const TAKEN_BYTES: u64 = 48 << 20;
/// How long after its midnight a day is over: by then, requests that arrived before are durable.
const DAY_GRACE: TimeDelta = TimeDelta::minutes(10);
/// The same for objects of earlier versions, which may be written by a node that was stopped for long.
const RANDOM_GRACE: TimeDelta = TimeDelta::hours(24);

/// The next piece of work on a day.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// These objects of ingest become merged ones.
    Take(Vec<&'a FreshObject>),
    /// These merged objects become larger ones.
    Merge(Vec<MergedObject>),
}

/// Whether no further object with a random id can arrive in a day.
pub(super) fn has_all_random(date: NaiveDate, now: DateTime<Utc>) -> bool {
    is_over(date, RANDOM_GRACE, now)
}

/// The next step, if there is one now. `is_bad` says which objects cannot be merged.
pub(super) fn next<'a>(
    (_, _, date): &DayId,
    listing: &'a DayListing,
    manifest: &'a Manifest,
    is_bad: impl Fn(Uuid) -> bool,
    now: DateTime<Utc>,
) -> Option<Step<'a>> {
    let is_day_over = is_over(*date, DAY_GRACE, now);
    let is_random = |object: &FreshObject| object_id::parts(object.id).is_none();
    // Taking one of these also takes all with a lower name, so no object with a lower name may stay or arrive later.
    let kept =
        listing.untaken(manifest).filter(|object| is_random(object) && is_bad(object.id)).map(FreshObject::file_name);
    let first_kept: Option<String> = kept.min();
    let may_be_taken = |object: &FreshObject| match is_random(object) {
        true => has_all_random(*date, now) && first_kept.as_ref().is_none_or(|kept| object.file_name() < *kept),
        false => !is_bad(object.id),
    };
    let fresh: Vec<_> = listing.untaken(manifest).filter(|object| may_be_taken(object)).collect();
    let stays_alone = fresh.len() == 1 && manifest.objects.is_empty();
    if fresh.len() >= FAN_IN || is_day_over && !fresh.is_empty() && !stays_alone {
        let mut bytes = 0;
        let fits = |object: &&FreshObject| {
            bytes += object.bytes;
            bytes <= TAKEN_BYTES
        };
        let mut taken: Vec<_> = fresh.iter().copied().take(TAKEN_AT_ONCE).take_while(fits).collect();
        if taken.is_empty() {
            taken.push(fresh[0]);
        }
        return Some(Step::Take(taken));
    }
    let mut small: Vec<MergedObject> =
        manifest.objects.iter().filter(|object| may_grow(object) && !is_bad(object.id)).copied().collect();
    small.sort_by_key(|object| (class(object.bytes), object.first));
    if is_day_over {
        small.truncate(FAN_IN);
        return (small.len() > 1).then_some(Step::Merge(small));
    }
    let of_class = |of: u32| small.iter().filter(move |object| class(object.bytes) == of);
    let full_class = (0..=class(FULL_BYTES)).find(|of| of_class(*of).count() >= FAN_IN)?;
    Some(Step::Merge(of_class(full_class).take(FAN_IN).copied().collect()))
}

/// Whether an object is merged with others.
pub(super) fn may_grow(object: &MergedObject) -> bool {
    !object.full && object.bytes < FULL_BYTES
}

/// The first instant after a day.
fn end(date: NaiveDate) -> DateTime<Utc> {
    date.checked_add_days(Days::new(1)).map_or(DateTime::<Utc>::MAX_UTC, |next| next.and_time(NaiveTime::MIN).and_utc())
}

/// When the next step may become due, if there is none now and nothing is written.
pub(super) fn next_at(date: NaiveDate, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    [DAY_GRACE, RANDOM_GRACE].into_iter().filter_map(|grace| end(date).checked_add_signed(grace)).find(|at| *at > now)
}

fn is_over(date: NaiveDate, grace: TimeDelta, now: DateTime<Utc>) -> bool {
    end(date).checked_add_signed(grace).is_some_and(|end| now >= end)
}

fn class(bytes: u64) -> u32 {
    (bytes / CLASS_BYTES).checked_ilog2().map_or(0, |doublings| doublings / 3 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{StreamName, TenantId};
    use crate::layout::{ArrivalTime, Minute};
    use crate::stream::ObjectIds;

    fn day() -> DayId {
        let date = NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
        (TenantId::default(), StreamName::parse("web").unwrap(), date)
    }

    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-11-{time}Z").parse().unwrap()
    }

    fn fresh(ids: &[Uuid], time: &str, bytes: u64) -> DayListing {
        let objects = ids.iter().map(|id| {
            let minute = Minute::of(at(time));
            FreshObject { id: *id, arrived: ArrivalTime::Minute(minute), bytes }
        });
        DayListing { fresh: objects.collect(), ..DayListing::default() }
    }

    fn numbered(count: usize) -> Vec<Uuid> {
        let ids = ObjectIds::default();
        let (tenant, stream, _) = day();
        (0..count).map(|_| ids.next(&tenant, &stream)).collect()
    }

    fn merged(sizes: &[u64]) -> Manifest {
        let mut manifest = Manifest::default();
        let objects = sizes.iter().enumerate().map(|(n, bytes)| {
            let first = at("27T10:00:00") + TimeDelta::minutes(n as i64);
            MergedObject { id: Uuid::from_u128(n as u128), rows: 1, bytes: *bytes, first, last: first, full: false }
        });
        manifest.replace(&[], objects);
        manifest
    }

    /// How many objects are taken in, or merged.
    fn step(listing: &DayListing, manifest: &Manifest, now: &str) -> (usize, usize) {
        match next(&day(), listing, manifest, |_| false, at(now)) {
            Some(Step::Take(taken)) => (taken.len(), 0),
            Some(Step::Merge(merged)) => (0, merged.len()),
            None => (0, 0),
        }
    }

    #[test]
    fn objects_of_ingest_are_taken_once_there_are_several_or_their_day_is_over() {
        let none = Manifest::default();
        assert_eq!(step(&fresh(&numbered(20), "27T10:00:00", 900), &none, "27T10:01:00"), (20, 0));
        assert_eq!(step(&fresh(&numbered(7), "27T10:00:00", 900), &none, "27T23:59:59"), (0, 0));
        assert_eq!(step(&fresh(&numbered(7), "27T10:00:00", 900), &none, "28T00:10:00"), (7, 0));
        assert_eq!(step(&fresh(&numbered(1), "27T10:00:00", 900), &none, "28T00:10:00"), (0, 0), "it is one already");
        assert_eq!(step(&fresh(&numbered(1), "27T10:00:00", 900), &merged(&[1]), "28T00:10:00"), (1, 0));
        assert_eq!(step(&fresh(&numbered(20), "27T10:00:00", 20 << 20), &none, "27T10:01:00"), (2, 0), "bounded");
        assert_eq!(step(&fresh(&numbered(20), "27T10:00:00", 60 << 20), &none, "27T10:01:00"), (1, 0), "one always");
        let random: Vec<Uuid> = (0..20).map(Uuid::from_u128).collect();
        assert_eq!(step(&fresh(&random, "27T10:00:00", 900), &none, "27T23:59:59"), (0, 0));
        assert_eq!(step(&fresh(&random, "27T10:00:00", 900), &none, "28T23:59:59"), (0, 0));
        assert_eq!(step(&fresh(&random, "27T10:00:00", 900), &none, "29T00:00:00"), (20, 0));
    }

    #[test]
    fn an_object_with_a_random_id_that_cannot_be_merged_keeps_those_after_it_from_being_taken() {
        let random: Vec<Uuid> = (0..20).map(Uuid::from_u128).collect();
        let listing = fresh(&random, "27T10:00:00", 900);
        let (none, is_bad) = (Manifest::default(), |id: Uuid| id == random[5]);
        let Some(Step::Take(taken)) = next(&day(), &listing, &none, is_bad, at("29T00:00:00")) else {
            panic!("nothing is taken");
        };
        assert_eq!(taken.iter().map(|object| object.id).collect::<Vec<_>>(), random[..5]);
    }

    #[test]
    fn eight_objects_of_one_class_become_one_and_a_day_that_is_over_keeps_one_that_is_not_full() {
        let none = DayListing::default();
        let (mib, full) = (1 << 20, FULL_BYTES);
        assert_eq!(step(&none, &merged(&[900; 7]), "27T12:00:00"), (0, 0));
        assert_eq!(step(&none, &merged(&[900; 9]), "27T12:00:00"), (0, 8));
        let mixed: Vec<u64> = [900, 900, 900, 900, mib, mib, mib, mib].to_vec();
        assert_eq!(step(&none, &merged(&mixed), "27T12:00:00"), (0, 0));
        assert_eq!(step(&none, &merged(&[full; 20]), "27T12:00:00"), (0, 0));
        assert_eq!(step(&none, &merged(&[full, full, 900]), "28T01:00:00"), (0, 0));
        assert_eq!(step(&none, &merged(&[full, mib, full, 900]), "28T01:00:00"), (0, 2));
        assert_eq!(step(&none, &merged(&[900; 20]), "28T01:00:00"), (0, 8));
    }
}
