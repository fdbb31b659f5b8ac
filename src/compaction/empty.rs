//! Emptying a day: one swap of its manifest, after which none of its events counts.

use chrono::{DateTime, NaiveDate, Utc};

use super::plan;
use crate::documents::{Edit, Found};
use crate::error::Result;
use crate::stream::objects::{DayListing, StreamFolder};
use crate::stream::{Manifest, object_id};

/// How many objects with random ids a manifest names one by one.
const NAMED: usize = 20_000;

/// Takes every object of a day that counts now out of the count, and notes `deletion` as the one that did. Says whether
/// the day is empty: objects of earlier versions, if they are very many, wait until none of them can come any more. A
/// day that this deletion has emptied before is left alone: what it has now came later.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when the store does not answer.
pub(super) async fn empty(
    folder: &StreamFolder,
    date: NaiveDate,
    deletion: Option<u64>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let id = folder.day(date);
    // Listed before it is read: what is written after the listing stays.
    let list = || folder.list(date);
    let empty = |listing: DayListing, found: Found<Manifest>| {
        let manifest = match found {
            Found::Usable(manifest) => manifest,
            Found::Absent | Found::Unusable(_) => Manifest::default(),
        };
        if deletion.is_some_and(|number| manifest.emptied_by >= number) {
            return Ok(Edit::Keep(true));
        }
        let mut emptied = manifest.clone();
        for object in listing.untaken(&manifest) {
            // Taking one of these takes all whose names come before it, also those that come later.
            if object_id::parts(object.id).is_none() && !plan::has_all_random(date, now) {
                emptied.deleted.insert(object.id);
            } else {
                emptied.taken.insert(object.id, &object.file_name());
            }
        }
        if emptied.deleted.len() > NAMED {
            return Ok(Edit::Keep(false));
        }
        retire_all(&mut emptied, &listing.merged_ids());
        emptied.emptied_by = deletion.unwrap_or(manifest.emptied_by);
        if emptied == manifest {
            return Ok(Edit::Keep(true));
        }
        // Also where no manifest could be read: no step that goes on from the one before lists what it has made.
        let newest = listing.merged.iter().filter_map(|(id, _)| object_id::revision(*id)).max();
        emptied.revision = emptied.revision.max(newest.unwrap_or_default());
        Ok(Edit::Write(emptied.next(&id), true))
    };
    folder.manifests().update_after(&id, list, empty).await
}

/// No merged object counts any more, also none of a step that failed.
fn retire_all(manifest: &mut Manifest, there: &std::collections::HashSet<uuid::Uuid>) {
    let listed: Vec<_> = manifest.objects.iter().map(|object| object.id).collect();
    manifest.retired.retain(|id| there.contains(id));
    manifest.replace(&listed, []);
    let unlisted: Vec<_> = there.iter().filter(|id| !manifest.retired.contains(id)).copied().collect();
    manifest.replace(&unlisted, []);
}
