//! Removes objects that no query can read any more.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{TryStreamExt, future, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::time::Instant;
use uuid::Uuid;

use super::day::{Base, Day, Tools};
use super::plan;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::ObjectName;
use crate::store::Written;
use crate::stream::Manifest;
use crate::stream::objects::{DayListing, FreshObject};

/// How many objects are removed at once.
const AT_ONCE: usize = 16;
/// An object of this age that no manifest lists was left by a failed step.
const LEFT_OVER: TimeDelta = TimeDelta::hours(1);

impl Day {
    /// Removes objects that have not counted for longer than a query may read them.
    pub(super) async fn remove(&mut self, tools: Tools<'_>, base: &Base<'_>, now: DateTime<Utc>) -> Result<()> {
        let Base { manifest, listing, .. } = base;
        let (since, seen) = self.seen.get_or_insert_with(|| (Instant::now(), (*manifest).clone()));
        if since.elapsed() < tools.keep {
            return Ok(());
        }
        // In both manifests: one may have been removed or changed by hand.
        let is_taken = |object: &&FreshObject| object.is_taken(seen) && object.is_taken(manifest);
        let is_retired = |id: &Uuid| seen.retired.contains(id) && manifest.retired.contains(id);
        let mut merged: Vec<&ObjectMeta> =
            listing.merged.iter().filter(|(id, _)| is_retired(id)).map(|(_, meta)| meta).collect();
        let fresh: Vec<FreshObject> = listing.fresh.iter().filter(is_taken).copied().collect();
        let left_over = left_over(listing, manifest, now);
        if !left_over.is_empty() && self.invalidate(base).await? {
            merged.extend(left_over);
        }
        let names = merged.into_iter().map(|meta| Ok(meta.location.clone()));
        let names = names.chain(fresh.into_iter().map(|object| Ok(self.folder.fresh(object)?.location)));
        let store = &tools.bucket.object_store();
        let removals = stream::iter(names).map_ok(|location: Path| async move {
            match store.delete(&location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(unavailable(error)),
            }
        });
        removals.try_buffer_unordered(AT_ONCE).try_for_each(|()| future::ready(Ok(()))).await?;
        // An empty day leaves its manifest, which keeps late copies of what was deleted from counting, for as long as
        // one may come. Nobody writes to it then: no event arrives on a day that is long over.
        if listing.has_manifest && listing.is_empty() && manifest.is_empty() && plan::has_all_random(self.date, now) {
            let (tenant, stream, date) = self.folder.day(self.date);
            tools.bucket.remove(&ObjectName::Manifest { tenant, stream, date }).await?;
        }
        self.seen = Some((Instant::now(), (*manifest).clone()));
        Ok(())
    }

    /// Makes every step that has begun fail, so that none of them can list what it has written. Says whether it did.
    async fn invalidate(&self, base: &Base<'_>) -> Result<bool> {
        let id = self.folder.day(self.date);
        let written = self.folder.manifests().write(&id, base.place, &base.manifest.next(&id)).await?;
        Ok(written == Written::Done)
    }
}

/// Merged objects that no manifest lists or has listed, of steps that failed.
fn left_over<'a>(listing: &'a DayListing, manifest: &Manifest, now: DateTime<Utc>) -> Vec<&'a ObjectMeta> {
    let listed: HashSet<Uuid> =
        manifest.objects.iter().map(|object| object.id).chain(manifest.retired.iter().copied()).collect();
    let unlisted = listing.merged.iter().filter(|(id, _)| !listed.contains(id));
    unlisted.filter(|(_, meta)| now - meta.last_modified >= LEFT_OVER).map(|(_, meta)| meta).collect()
}

fn unavailable(error: object_store::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the store cannot be used right now").caused_by(error)
}
