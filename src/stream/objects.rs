//! The objects that a stream consists of right now. Every query lists them anew, so that it sees each event that was
//! acknowledged before.
//!
//! A day is listed first, and its manifest is read then. An object that the manifest counts as taken never counts
//! again, and an object that it lists stays in the store for longer than a query may read. So each event is seen once,
//! also while other nodes merge.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt;
use object_store::ObjectMeta;
use parking_lot::Mutex;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use relative_path::RelativePath;
use uuid::Uuid;

use super::damaged::caught;
use super::{DayId, Manifest, MergedObject, footer, object_id};
use crate::documents::collection::{Place, Read};
use crate::documents::{Document as _, Documents, Found, Unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, TenantId};
use crate::layout::{self, ArrivalTime, ObjectName};
use crate::store::Bucket;
use crate::store::types::object_path;

/// A span of arrival times, open where an end is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// The first instant inside.
    pub start: Option<DateTime<Utc>>,
    /// The first instant after.
    pub end: Option<DateTime<Utc>>,
}

impl TimeRange {
    /// Whether it has an instant in common with a span of time.
    pub fn overlaps(self, times: Self) -> bool {
        let begins_before = |end| times.start.is_none_or(|start| start < end);
        let ends_after = |start| times.end.is_none_or(|end| end > start);
        self.end.is_none_or(begins_before) && self.start.is_none_or(ends_after)
    }

    /// The arrival times of what may stand in the folder of a day.
    pub fn of_day(date: NaiveDate) -> Self {
        ArrivalTime::Day(date).into()
    }
}

impl From<ArrivalTime> for TimeRange {
    fn from(arrived: ArrivalTime) -> Self {
        let (start, end) = arrived.bounds();
        Self { start, end }
    }
}

/// An object whose events count.
#[derive(Debug, Clone)]
pub struct EventObject {
    /// Its id.
    pub id: Uuid,
    /// Its name and size, as scans need them.
    pub meta: ObjectMeta,
    /// When its events arrived.
    pub times: TimeRange,
    /// How many events it holds, if that is known.
    pub rows: Option<u64>,
    /// Whether it was seen in a listing. A merged one that was not is newer than the listing, or gone.
    pub is_listed: bool,
}

/// An object of ingest. Small: a day may have a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshObject {
    /// Its id.
    pub id: Uuid,
    /// When its events arrived, by its name.
    pub arrived: ArrivalTime,
    /// Its size.
    pub bytes: u64,
}

impl FreshObject {
    /// The last part of its name.
    pub fn file_name(&self) -> String {
        layout::events_file(self.arrived, self.id)
    }

    /// Whether it does not count any more.
    pub fn is_taken(&self, manifest: &Manifest) -> bool {
        match object_id::parts(self.id) {
            Some(_) => manifest.is_taken(self.id, ""), // Its number says it.
            None => manifest.is_taken(self.id, &self.file_name()),
        }
    }

    /// The order of the names.
    fn compare(&self, other: &Self) -> Ordering {
        match (self.arrived, other.arrived) {
            (ArrivalTime::Minute(ours), ArrivalTime::Minute(theirs)) => (ours, self.id).cmp(&(theirs, other.id)),
            (ArrivalTime::Day(_), ArrivalTime::Day(_)) => self.id.cmp(&other.id),
            _ => self.file_name().cmp(&other.file_name()),
        }
    }
}

/// The id of a merged object, and how its folder lists it.
pub type ListedObject = (Uuid, ObjectMeta);

/// What stands in the folder of a day.
#[derive(Debug, Default)]
pub struct DayListing {
    /// The objects of ingest, those that are taken included, in the order of their names.
    pub fresh: Vec<FreshObject>,
    /// The merged objects, those that do not count included.
    pub merged: Vec<ListedObject>,
    /// Whether there is a manifest.
    pub has_manifest: bool,
}

/// The manifests and objects of events that could not be read: by name, with their tenant and why.
pub type UnreadableObjects = Arc<Mutex<BTreeMap<String, (TenantId, String)>>>;

/// The footer of an object of ingest is shorter, as a rule.
const FOOTER_BYTES: u64 = 64 << 10;
/// Why an object cannot be read that is not there.
pub const MISSING: &str = "it is missing";

/// One stream in a bucket.
#[derive(Debug, Clone)]
pub struct StreamFolder {
    pub(super) bucket: Bucket,
    tenant: TenantId,
    stream: StreamName,
    pub(super) unreadable: UnreadableObjects,
    first_day: Option<NaiveDate>,
}

impl StreamFolder {
    /// The objects of `stream`, read through `bucket`. What cannot be read is noted in `unreadable`.
    pub fn new(bucket: Bucket, unreadable: &UnreadableObjects, tenant: TenantId, stream: StreamName) -> Self {
        Self { bucket, tenant, stream, unreadable: unreadable.clone(), first_day: None }
    }

    /// The same without the days before `first_day`.
    #[must_use]
    pub fn since(self, first_day: Option<NaiveDate>) -> Self {
        Self { first_day, ..self }
    }

    /// Whose stream it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which stream it is.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The name of a day's documents.
    pub fn day(&self, date: NaiveDate) -> DayId {
        (self.tenant.clone(), self.stream.clone(), date)
    }

    /// The days that have a folder, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn days(&self) -> Result<Vec<NaiveDate>> {
        let folders = self.bucket.entries(&layout::stream_folder(&self.tenant, &self.stream)).await?;
        let days = folders.iter().filter_map(|folder| layout::parse_day(folder));
        let days: Vec<_> = days.filter(|day| self.first_day.is_none_or(|first| *day >= first)).collect();
        self.forget_days_gone(&days);
        Ok(days)
    }

    /// Forgets what was noted of days that the stream does not have any more: it has these, sorted.
    fn forget_days_gone(&self, days: &[NaiveDate]) {
        let folder = layout::stream_folder(&self.tenant, &self.stream).into_string() + "/";
        let is_gone = |object: &str| {
            let day = object.strip_prefix(&folder).and_then(|rest| layout::parse_day(rest.split('/').next()?));
            day.is_some_and(|day| days.binary_search(&day).is_err())
        };
        self.unreadable.lock().retain(|object, _| !is_gone(object));
    }

    /// What stands in the folder of a day.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn list(&self, date: NaiveDate) -> Result<DayListing> {
        let mut listing = DayListing::default();
        let mut objects = self.bucket.list_each(&layout::day(&self.tenant, &self.stream, date))?;
        while let Some(meta) = objects.try_next().await? {
            match ObjectName::parse(RelativePath::new(meta.location.as_ref())) {
                Some(ObjectName::Events { id, arrived, .. }) => {
                    listing.fresh.push(FreshObject { id, arrived, bytes: meta.size });
                }
                Some(ObjectName::Merged { id, .. }) => listing.merged.push((id, meta)),
                Some(ObjectName::Manifest { .. }) => listing.has_manifest = true,
                _ => {}
            }
        }
        // A copy that somebody made of a merged object is no object of ingest.
        let merged = listing.merged_ids();
        listing.fresh.retain(|object| !merged.contains(&object.id));
        listing.fresh.sort_unstable_by(FreshObject::compare);
        Ok(listing)
    }

    /// The manifest of a day if there is one, and the version to replace.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when it cannot be read.
    pub(super) async fn read_manifest(&self, date: NaiveDate) -> Result<(Option<Manifest>, Place)> {
        let id = self.day(date);
        let Read { found, place, .. } = self.manifests().read(&id).await?;
        if let Found::Unusable(reason) = found {
            return Err(self.unreadable_manifest(date, reason));
        }
        Ok((found.usable()?, place))
    }

    pub(super) fn unreadable_manifest(&self, date: NaiveDate, reason: Unreadable) -> Error {
        let object = Manifest::object(&self.day(date)).path().into_string();
        self.note_unreadable(object, reason.to_string());
        let message = format!("the manifest of the day {date} of the stream `{}` cannot be read", self.stream);
        Error::new(ErrorKind::Corrupt, message).caused_by(reason)
    }

    /// Forgets what was noted of the manifest of a day: there is none, or it can be read.
    pub(super) fn forget_unreadable_manifest(&self, date: NaiveDate) {
        self.forget_unreadable(Manifest::object(&self.day(date)).path().as_str());
    }

    /// Notes that an object cannot be read, and why.
    pub fn note_unreadable(&self, object: String, reason: String) {
        self.unreadable.lock().insert(object, (self.tenant.clone(), reason));
    }

    /// Whether it was noted that an object cannot be read.
    pub fn is_unreadable(&self, object: &str) -> bool {
        self.unreadable.lock().contains_key(object)
    }

    /// Forgets what was noted of an object: all of it was read, or it does not count any more.
    pub fn forget_unreadable(&self, object: &str) {
        self.unreadable.lock().remove(object);
    }

    /// The manifest of a day whose folder was listed. One is written before the first merged object, so a day with
    /// merged objects that has none has lost it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when it cannot be read, is
    /// lost, or is not the newest one.
    pub async fn manifest_of(&self, date: NaiveDate, listing: &DayListing) -> Result<(Manifest, Place)> {
        self.manifest_with(date, &listing.merged).await
    }

    /// The same, where it is known whether there are merged objects. It may be an older one.
    ///
    /// # Errors
    /// As for [`StreamFolder::manifest_of`].
    pub async fn manifest_if(&self, date: NaiveDate, has_merged: bool) -> Result<(Manifest, Place)> {
        let read = self.read_manifest(date).await?;
        match read.0 {
            None if has_merged => {
                let reason = Unreadable::Object("it is missing, and merged objects are there".to_owned());
                Err(self.unreadable_manifest(date, reason))
            }
            found => Ok((found.unwrap_or_default(), read.1)),
        }
    }

    /// The footer of an object; `None` when it is gone, or is no object of events.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub(crate) async fn footer(&self, object: &ObjectMeta) -> Result<Option<ParquetMetaData>> {
        let size = object.size;
        let (mut reader, mut bytes) = (ParquetMetaDataReader::new(), size.min(FOOTER_BYTES));
        loop {
            let end = match self.bucket.read_end(object, bytes).await {
                Ok(Some(end)) => end,
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
                Err(error) => return Err(error),
            };
            match caught(|| reader.try_parse_sized(&end, size)) {
                Some(Ok(())) => break,
                Some(Err(ParquetError::NeedMoreData(more))) if more as u64 > bytes && more as u64 <= size => {
                    bytes = more as u64;
                }
                Some(Err(_)) | None => return Ok(None),
            }
        }
        Ok(reader.finish().ok().filter(|footer| footer::check(footer, size).is_ok()))
    }

    /// The manifests of its days.
    pub fn manifests(&self) -> Documents<Manifest> {
        Documents::new(self.bucket.clone())
    }

    /// The name of a merged object.
    pub fn merged_name(&self, date: NaiveDate, id: Uuid) -> ObjectName {
        ObjectName::Merged { tenant: self.tenant.clone(), stream: self.stream.clone(), date, id }
    }

    /// An object of ingest, as its folder lists it.
    ///
    /// # Errors
    /// None: its name is one that a store takes.
    pub fn fresh(&self, FreshObject { id, arrived, bytes }: FreshObject) -> Result<ObjectMeta> {
        meta(&ObjectName::Events { tenant: self.tenant.clone(), stream: self.stream.clone(), arrived, id }, bytes)
    }

    /// An object that the manifest of a day lists.
    ///
    /// # Errors
    /// None: its name is one that a store takes.
    pub fn merged(&self, date: NaiveDate, object: &MergedObject) -> Result<EventObject> {
        let meta = meta(&self.merged_name(date, object.id), object.bytes)?;
        let end = object.last.checked_add_signed(chrono::TimeDelta::milliseconds(1));
        let times = TimeRange { start: Some(object.first), end };
        Ok(EventObject { id: object.id, meta, times, rows: Some(object.rows), is_listed: false })
    }
}

/// Objects never change, so nothing reads the other fields of a listing.
fn meta(name: &ObjectName, size: u64) -> Result<ObjectMeta> {
    let location = object_path(&name.path())?;
    Ok(ObjectMeta { location, last_modified: DateTime::UNIX_EPOCH, size, e_tag: None, version: None })
}

impl DayListing {
    /// The objects of ingest that are not in merged ones.
    pub fn untaken<'a>(&'a self, manifest: &'a Manifest) -> impl Iterator<Item = &'a FreshObject> {
        self.fresh.iter().filter(|object| !object.is_taken(manifest))
    }

    /// Whether no object of events is there.
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.merged.is_empty()
    }

    /// Whether a merged object is there.
    pub fn merged_ids(&self) -> HashSet<Uuid> {
        self.merged.iter().map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Minute;

    #[test]
    fn objects_of_ingest_are_small_and_stand_in_the_order_of_their_names() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
        let minute = |text: &str| ArrivalTime::Minute(Minute::parse(date, text).unwrap());
        let mut objects = Vec::new();
        for id in [0x09_u128, 0x0931 << 112, 0x10 << 120, 0x23 << 120, 0xff << 120].map(Uuid::from_u128) {
            for arrived in [ArrivalTime::Day(date), minute("0930"), minute("0931"), minute("2359")] {
                objects.push(FreshObject { id, arrived, bytes: 1 });
            }
        }
        objects.sort_unstable_by(FreshObject::compare);
        assert!(objects.iter().map(FreshObject::file_name).is_sorted());
        assert!(size_of::<FreshObject>() <= 40, "a million of them take 40 MB");
    }
}
