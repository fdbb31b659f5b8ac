//! Listings as streams: a million names need not be held to be looked at, and a walk can end early.

use futures::stream::{BoxStream, StreamExt};
use futures::{TryStreamExt, future};
use object_store::ObjectMeta;
use relative_path::RelativePath;

use super::bucket::{Bucket, LARGE_PATIENCE, Listed, location, within};
use super::object::unavailable;
use crate::error::Result;

impl Bucket {
    /// Every object below a folder, those in its subfolders too, page by page as the store gives them.
    ///
    /// # Errors
    /// Each item is [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub fn walk(&self, folder: &RelativePath) -> BoxStream<'static, Result<Listed>> {
        match location(folder) {
            Ok(folder) => steps(self.object_store().list(Some(&folder))),
            Err(error) => failed(error),
        }
    }

    /// Those whose names come after `after`, up to `last` and with it. Only for a store that lists in order: the walk ends
    /// at the first name beyond.
    ///
    /// # Errors
    /// As for [`Bucket::walk`].
    pub fn walk_range(
        &self,
        folder: &RelativePath,
        after: &RelativePath,
        last: Option<&RelativePath>,
    ) -> BoxStream<'static, Result<Listed>> {
        let (folder, after) = match (location(folder), location(after)) {
            (Ok(folder), Ok(after)) => (folder, after),
            (Err(error), _) | (_, Err(error)) => return failed(error),
        };
        let last = last.map(ToOwned::to_owned);
        let within = move |listed: &Listed| last.as_ref().is_none_or(|last| listed.path.as_str() <= last.as_str());
        let found = self.object_store().list_with_offset(Some(&folder), &after);
        steps(found).try_take_while(move |listed| future::ready(Ok(within(listed)))).boxed()
    }
}

/// A list may take long, as long as it goes on.
fn steps(list: BoxStream<'static, object_store::Result<ObjectMeta>>) -> BoxStream<'static, Result<Listed>> {
    let step = async |mut list: BoxStream<'static, object_store::Result<ObjectMeta>>| {
        let next = within(LARGE_PATIENCE, async { list.try_next().await.map_err(unavailable) }).await?;
        Ok(next.map(|meta| (Listed::from(meta), list)))
    };
    futures::stream::try_unfold(list, step).boxed()
}

fn failed(error: crate::error::Error) -> BoxStream<'static, Result<Listed>> {
    futures::stream::once(future::ready(Err(error))).boxed()
}

#[cfg(test)]
mod tests {
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
        let range = bucket.walk_range(&folder, &after, Some(&last)).try_collect::<Vec<_>>().await.unwrap();
        let paths: Vec<_> = range.into_iter().map(|listed| listed.path).collect();
        assert_eq!(paths, ['4', '5', '6', '7'].map(|digit| name(digit).path()));
        let rest = bucket.walk_range(&folder, &after, None).try_collect::<Vec<_>>().await.unwrap();
        assert_eq!((rest.len(), bucket.walk(&folder).count().await), (12, 16));
    }
}
