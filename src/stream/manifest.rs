//! What the events of one day consist of, once some of their objects have been merged.
//!
//! A day without a manifest consists of the objects that ingest wrote. With one, it consists of the merged objects that
//! the manifest lists, and of those of ingest that it does not count as taken. Both change by one compare-and-swap, so
//! every reader sees each event once while any node merges, and no node needs a clock for that.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{TakenObjects, object_id};
use crate::documents::{Document, Unreadable};
use crate::key::{Digest, StreamName, TenantId};
use crate::layout::ObjectName;

const VERSION: u32 = 1;

/// The manifest of a day of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// How often it was written: a higher one is newer.
    pub revision: u64,
    /// Its name in the store; `None` where an earlier version wrote it. So none stands in for another.
    path: Option<String>,
    /// The merged objects that count, in the order of their first events.
    pub objects: Vec<MergedObject>,
    /// The objects of ingest that do not count any more: their events are in merged ones, or were deleted.
    pub taken: TakenObjects,
    /// Merged objects that do not count any more and may still be there.
    pub retired: Vec<Uuid>,
    /// Objects of ingest with random ids that were deleted one by one.
    pub deleted: BTreeSet<Uuid>,
    /// The number of the last deletion of the stream that has emptied the day.
    pub emptied_by: u64,
    /// What a later version keeps besides.
    unknown: Map<String, Value>,
}

/// An object that was made of others. Its rows are sorted by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MergedObject {
    /// Names it within its day.
    pub id: Uuid,
    /// How many events it holds.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// When the first of its events arrived.
    #[serde(with = "chrono::serde::ts_milliseconds", rename = "firstMillis")]
    pub first: DateTime<Utc>,
    /// When the last of them arrived.
    #[serde(with = "chrono::serde::ts_milliseconds", rename = "lastMillis")]
    pub last: DateTime<Utc>,
    /// It is merged with others no more: it has reached a bound of its size.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
}

impl Manifest {
    /// Whether an object of ingest does not count any more.
    pub fn is_taken(&self, id: Uuid, file_name: &str) -> bool {
        self.taken.contains(id, file_name) || self.deleted.contains(&id)
    }

    /// Whether it lists a merged object.
    pub fn lists(&self, id: Uuid) -> bool {
        self.objects.iter().any(|object| object.id == id)
    }

    /// Whether it lists a merged object, or has listed it.
    pub fn knows(&self, id: Uuid) -> bool {
        self.retired.contains(&id) || self.lists(id)
    }

    /// Whether a merged object was made for a later revision of it.
    pub fn is_before(&self, id: Uuid) -> bool {
        !self.knows(id) && object_id::revision(id).is_some_and(|revision| revision > self.revision)
    }

    /// What is to be written in its place: the same, of the next revision.
    #[must_use]
    pub fn next(&self, day: &DayId) -> Self {
        let path = Self::object(day).path().into_string();
        Self { revision: self.revision.saturating_add(1), path: Some(path), ..self.clone() }
    }

    /// Whether no merged object counts.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Puts merged objects in the place of others that are listed.
    pub fn replace(&mut self, old: &[Uuid], new: impl IntoIterator<Item = MergedObject>) {
        self.objects.retain(|object| !old.contains(&object.id));
        self.retired.extend(old);
        self.objects.extend(new);
        self.objects.sort_by_key(|object| (object.first, object.last, object.id));
    }
}

/// Which day of which stream.
pub type DayId = (TenantId, StreamName, NaiveDate);

impl Document for Manifest {
    type Id = DayId;

    const NAME: &'static str = "the manifest of a day of the stream";

    fn object((tenant, stream, date): &DayId) -> ObjectName {
        ObjectName::Manifest { tenant: tenant.clone(), stream: stream.clone(), date: *date }
    }

    fn parse(day: &DayId, body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("a manifest of a day", VERSION, body, &error);
        let json: ManifestJson = serde_json::from_slice(body).map_err(explain)?;
        if json.version != VERSION {
            return Err(Unreadable::Version(json.version));
        }
        let fields: Map<String, Value> = serde_json::from_slice(body).map_err(explain)?;
        if checksum_of(&fields) != json.checksum {
            return Err(Unreadable::Field("checksum")); // What it counts as taken would be removed.
        }
        let ManifestJson { revision, path, objects, taken, retired, deleted, emptied_by, unknown, .. } = json;
        if path.as_deref().is_some_and(|path| path != Self::object(day).path().as_str()) {
            return Err(Unreadable::Field("path"));
        }
        if objects.iter().any(|object| object.first > object.last) {
            return Err(Unreadable::Field("firstMillis"));
        }
        let ids: HashSet<Uuid> = objects.iter().map(|object| object.id).collect();
        if ids.len() < objects.len() {
            return Err(Unreadable::Field("id"));
        }
        Ok(Self { revision, path, objects, taken, retired, deleted, emptied_by, unknown })
    }

    #[allow(clippy::disallowed_methods)]
    fn to_bytes(&self) -> Bytes {
        let Self { revision, path, objects, taken, retired, deleted, emptied_by, unknown } = self.clone();
        let (version, checksum, write_id) = (VERSION, String::new(), Uuid::new_v4());
        let json = ManifestJson {
            version,
            checksum,
            revision,
            path,
            objects,
            taken,
            retired,
            deleted,
            emptied_by,
            write_id,
            unknown,
        };
        let mut fields = match serde_json::to_value(&json) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        fields.insert("checksum".to_owned(), checksum_of(&fields).into());
        serde_json::to_vec(&fields).unwrap_or_default().into()
    }
}

/// The SHA-256 of all fields but the checksum itself, as compact JSON whose keys are sorted: tells what Keyloft wrote
/// from what was edited by hand.
fn checksum_of(fields: &Map<String, Value>) -> String {
    let others = fields.iter().filter(|(name, _)| *name != "checksum");
    let others = sorted(others.map(|(name, value)| (name.clone(), value.clone())).collect());
    Digest::of(others.to_string()).to_document()
}

/// The same with the keys of every object sorted. As deep as the parser lets it be: 128 levels.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            fields.into_iter().collect()
        }
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestJson {
    version: u32,
    checksum: String,
    #[serde(default)]
    revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    objects: Vec<MergedObject>,
    taken: TakenObjects,
    #[serde(default)]
    retired: Vec<Uuid>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    deleted: BTreeSet<Uuid>,
    #[serde(default, skip_serializing_if = "is_zero")]
    emptied_by: u64,
    write_id: Uuid,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> DayId {
        let date = NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
        (TenantId::default(), StreamName::parse("web").unwrap(), date)
    }

    fn merged(id: u128, first: i64) -> MergedObject {
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        MergedObject {
            id: Uuid::from_u128(id),
            rows: 5,
            bytes: 900,
            first: at(first),
            last: at(first + 7),
            full: false,
        }
    }

    /// With its checksum.
    fn sealed(json: &str) -> Vec<u8> {
        let mut fields: Map<String, Value> = serde_json::from_str(json).unwrap();
        fields.insert("checksum".to_owned(), checksum_of(&fields).into());
        serde_json::to_vec(&fields).unwrap()
    }

    #[test]
    fn a_manifest_reads_back_with_what_a_later_version_added() {
        let mut manifest = Manifest::default();
        manifest.taken.insert(Uuid::from_u128(7), "0930-x");
        manifest.replace(&[], [merged(2, 60), merged(1, 50)]);
        manifest.replace(&[Uuid::from_u128(2)], [merged(3, 40)]);
        assert_eq!(manifest.objects, [merged(3, 40), merged(1, 50)]);
        assert_eq!(manifest.retired, [Uuid::from_u128(2)]);
        let body = String::from_utf8(manifest.to_bytes().to_vec()).unwrap().replacen('{', "{\"later\":[1],", 1);
        let read = Manifest::parse(&day(), &sealed(&body)).unwrap();
        assert_eq!(
            (&read.objects, &read.taken, &read.retired),
            (&manifest.objects, &manifest.taken, &manifest.retired)
        );
        assert!(String::from_utf8(read.to_bytes().to_vec()).unwrap().contains("\"later\":[1]"));
        assert_ne!(read.to_bytes(), read.to_bytes(), "each writing is told from every other");
    }

    #[test]
    fn what_is_no_manifest_is_not_guessed() {
        for body in ["", "{}", r#"{"version":2}"#, r#"{"version":1,"objects":[],"taken":{"writers":{"x":"1"}}}"#] {
            assert!(Manifest::parse(&day(), body.as_bytes()).is_err(), "{body}");
        }
        let twice =
            r#"{"id":"00000000-0000-4000-8000-000000000001","rows":1,"bytes":1,"firstMillis":1,"lastMillis":1}"#;
        let write_id = "00000000-0000-4000-8000-000000000000";
        let of =
            |objects: &str| format!(r#"{{"version":1,"objects":[{objects}],"taken":{{}},"writeId":"{write_id}"}}"#);
        assert!(Manifest::parse(&day(), &sealed(&of(twice))).is_ok());
        assert!(Manifest::parse(&day(), &sealed(&of(&format!("{twice},{twice}")))).is_err(), "an object twice");
        assert!(Manifest::parse(&day(), of(twice).as_bytes()).is_err(), "no checksum");
        let edited = String::from_utf8(sealed(&of(twice))).unwrap().replace("\"rows\":1", "\"rows\":2");
        assert_eq!(Manifest::parse(&day(), edited.as_bytes()).unwrap_err(), Unreadable::Field("checksum"));
        let formatted: Value = serde_json::from_slice(&sealed(&of(twice))).unwrap();
        let formatted = serde_json::to_vec_pretty(&formatted).unwrap();
        assert!(Manifest::parse(&day(), &formatted).is_ok(), "nothing of it is changed");
        let golden = include_bytes!("../../fixtures/stream/v1/manifest.json");
        assert_eq!(Manifest::parse(&day(), golden).unwrap().objects.len(), 1);
    }
}
