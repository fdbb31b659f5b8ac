//! Tells an older manifest that was put back, from a backup say, from the newest one.
//!
//! Each writing of a manifest has the next revision, and the id of a merged object holds the revision that was to list
//! it. So a merged object that the manifest has never listed, of a revision two or more after it, tells that there was
//! a newer one. An object of the very next revision may be in the making, or a failed step has left it: then all that
//! it was made of is still there. Its footer names that.

use std::collections::HashSet;

use chrono::NaiveDate;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::objects::{ListedObject, StreamFolder};
use super::{Manifest, TakenObjects, object_id};
use crate::documents::Unreadable;
use crate::documents::collection::Place;
use crate::error::Result;

/// Where the footer of a merged object has its lineage, as JSON.
const KEY: &str = "keyloft.lineage";
/// How many objects of the next revision are looked into: a step makes few.
const LOOKED_INTO: usize = 16;
/// More than a step takes.
const MAX_TAKEN: usize = 1 << 16;

/// What a merged object was made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lineage {
    /// Objects of ingest. Those with random ids, which earlier versions wrote, are not named.
    pub taken: TakenObjects,
    /// Merged objects.
    pub merged: Vec<Uuid>,
}

impl Lineage {
    /// As the footer of an object holds it.
    pub fn metadata(&self) -> KeyValue {
        KeyValue::new(KEY.to_owned(), serde_json::to_string(self).ok())
    }

    /// That of an object; empty when its footer has none.
    fn of(footer: &ParquetMetaData) -> Self {
        let mut metadata = footer.file_metadata().key_value_metadata().into_iter().flatten();
        let value = metadata.find(|entry| entry.key == KEY).and_then(|entry| entry.value.as_deref());
        value.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }
}

impl StreamFolder {
    /// The manifest of a day whose folder was listed before, with these merged objects.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer, [`crate::ErrorKind::Corrupt`] when the
    /// manifest cannot be read, is lost, or is not the newest one.
    pub(super) async fn manifest_with(&self, date: NaiveDate, merged: &[ListedObject]) -> Result<(Manifest, Place)> {
        let (manifest, place) = self.manifest_if(date, !merged.is_empty()).await?;
        let newer: Vec<_> = merged.iter().filter(|(id, _)| manifest.is_before(*id)).collect();
        let is_next = |id: Uuid| object_id::revision(id) == Some(manifest.revision + 1);
        if newer.iter().any(|(id, _)| !is_next(*id)) || self.has_lost_sources(date, &manifest, &newer).await? {
            let reason = "an older one stands in its place: it has never listed merged objects that are there";
            return Err(self.unreadable_manifest(date, Unreadable::Object(reason.to_owned())));
        }
        self.forget_unreadable_manifest(date);
        Ok((manifest, place))
    }

    /// Whether something is gone that the objects of the next revision were made of.
    async fn has_lost_sources(&self, date: NaiveDate, manifest: &Manifest, next: &[&ListedObject]) -> Result<bool> {
        let mut lineages = Vec::new();
        for (id, object) in next.iter().take(LOOKED_INTO) {
            if let Some(footer) = self.footer(object).await? {
                lineages.push((*id, Lineage::of(&footer)));
            }
        }
        if lineages.is_empty() {
            return Ok(false);
        }
        // In this order: what is gone from the listing because it was taken, the manifest counts as taken.
        let listing = self.list(date).await?;
        let there: HashSet<Uuid> =
            listing.fresh.iter().map(|object| object.id).chain(listing.merged.iter().map(|(id, _)| *id)).collect();
        let (now, _) = self.manifest_if(date, true).await?;
        let mut lineages = lineages.iter().filter(|(id, _)| !now.knows(*id) && now.revision == manifest.revision);
        Ok(lineages.any(|(_, lineage)| {
            let mut taken = lineage.taken.numbered().take(MAX_TAKEN);
            taken.any(|id| !there.contains(&id) && !now.is_taken(id, ""))
                || lineage.merged.iter().any(|id| !there.contains(id) && now.lists(*id))
        }))
    }
}
