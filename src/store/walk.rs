//! Listings as streams of pages: a million names need not be held to be looked at, and a walk can end early.

use futures::future;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectMeta;
use relative_path::{RelativePath, RelativePathBuf};

use super::bucket::{Bucket, LARGE_PATIENCE, within};
use super::object::unavailable;
use super::types::{Listed, object_path};
use crate::error::{Error, Result};

/// What a store lists at once; one that lists less costs nothing but time.
pub const PAGE: usize = 1000;

/// Pages of up to [`PAGE`] objects. Each is an error of kind [`crate::ErrorKind::Unavailable`] when the store does not
/// answer.
pub type Walk = BoxStream<'static, Result<Vec<Listed>>>;

#[doc(hidden)]
impl Bucket {
    /// Every object below a folder, those in its subfolders too.
    pub fn walk(&self, folder: &RelativePath) -> Walk {
        match object_path(folder) {
            Ok(folder) => pages(self.object_store().list(Some(&folder)), None),
            Err(error) => failed(error),
        }
    }

    /// Those whose names come after `after`, up to `last` and with it. Only for a store that lists in order: the walk
    /// ends at the first name beyond.
    pub fn walk_range(&self, folder: &RelativePath, after: &RelativePath, last: Option<&RelativePath>) -> Walk {
        match (object_path(folder), object_path(after)) {
            (Ok(folder), Ok(after)) => {
                let found = self.object_store().list_with_offset(Some(&folder), &after);
                pages(found, last.map(ToOwned::to_owned))
            }
            (Err(error), _) | (_, Err(error)) => failed(error),
        }
    }
}

/// A list may take long, so the timeout is for its next page. The objects of a page come with one answer of the store.
fn pages(list: BoxStream<'static, object_store::Result<ObjectMeta>>, last: Option<RelativePathBuf>) -> Walk {
    let beyond = move |listed: &Listed| last.as_ref().is_some_and(|last| listed.path.as_str() > last.as_str());
    stream::try_unfold((Some(list.ready_chunks(PAGE)), beyond), async |(list, beyond)| {
        let Some(mut list) = list else { return Ok(None) };
        let Some(found) = within(LARGE_PATIENCE, async { Ok(list.next().await) }).await? else { return Ok(None) };
        let found = found.into_iter().map(|meta| meta.map(Listed::from).map_err(unavailable));
        let mut page = found.collect::<Result<Vec<_>>>()?;
        let end = page.iter().position(&beyond);
        page.truncate(end.unwrap_or(page.len()));
        Ok(Some((page, (end.is_none().then_some(list), beyond))))
    })
    .boxed()
}

fn failed(error: Error) -> Walk {
    stream::once(future::ready(Err(error))).boxed()
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::key::{KeyId, TenantId};
    use crate::layout::{self, ObjectName};

    #[tokio::test]
    async fn a_range_begins_behind_one_name_and_ends_with_another() {
        let (bucket, tenant) = (Bucket::in_memory(), TenantId::default());
        let name = |digit: char| {
            let id = KeyId::parse(&format!("{digit}0000000-0000-4000-8000-000000000000")).unwrap();
            ObjectName::Key { tenant: tenant.clone(), key_id: id }
        };
        for digit in "0123456789abcdef".chars() {
            let _ = bucket.create(&name(digit), "{}".into()).await.unwrap();
        }
        let folder = layout::keys(&tenant);
        let (after, last) = (name('3').path(), name('7').path());
        let range = bucket.walk_range(&folder, &after, Some(&last)).try_concat().await.unwrap();
        let paths: Vec<_> = range.into_iter().map(|listed| listed.path).collect();
        assert_eq!(paths, ['4', '5', '6', '7'].map(|digit| name(digit).path()));
        let rest = bucket.walk_range(&folder, &after, None).try_concat().await.unwrap();
        assert_eq!((rest.len(), bucket.walk(&folder).try_concat().await.unwrap().len()), (12, 16));
    }
}
