//! Lists objects and folders, and reads when an object was written.

use chrono::{DateTime, Utc};
use futures::stream::{BoxStream, StreamExt, TryStreamExt, try_unfold};
use object_store::path::Path;
use object_store::{Error as StoreError, ListResult, ObjectMeta, ObjectStoreExt};
use relative_path::RelativePath;

use super::Bucket;
use super::bucket::patiently;
use super::object::unavailable;
use super::types::{Listed, object_path};
use crate::error::Result;
use crate::layout::ObjectName;

/// Lists, for Keyloft itself: no part of the contract.
#[doc(hidden)]
impl Bucket {
    /// Every object in a folder, not those in its subfolders.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn list(&self, folder: &RelativePath) -> Result<Vec<Listed>> {
        let found = gathered(self.documents.list(Some(&object_path(folder)?))).await?;
        Ok(found.into_iter().map(Listed::from).filter(|listed| listed.path.parent() == Some(folder)).collect())
    }

    /// Every object below a folder, those in its subfolders too.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn list_all(&self, folder: &RelativePath) -> Result<Vec<ObjectMeta>> {
        gathered(self.data.list(Some(&object_path(folder)?))).await
    }

    /// The same, one object after the other, for folders of any size.
    ///
    /// # Errors
    /// As for [`Bucket::list`]; the list ends with its first error.
    pub fn list_each(&self, folder: &RelativePath) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let found = self.data.list(Some(&object_path(folder)?));
        let next = |mut list: BoxStream<'static, object_store::Result<ObjectMeta>>| async {
            let next = patiently(async { list.try_next().await.map_err(unavailable) }).await?;
            Ok(next.map(|meta| (meta, list)))
        };
        Ok(try_unfold(found, next).boxed())
    }

    /// Every object in a folder whose name comes after `after`, which need not exist; not those in its subfolders.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn list_after(&self, folder: &RelativePath, after: &ObjectName) -> Result<Vec<Listed>> {
        let (folder_path, after) = (object_path(folder)?, object_path(&after.path())?);
        let found = self.documents.list_with_offset(Some(&folder_path), &after);
        let found = gathered(found).await?;
        Ok(found.into_iter().map(Listed::from).filter(|listed| listed.path.parent() == Some(folder)).collect())
    }

    /// The names of the folders in a folder, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn folders(&self, folder: &RelativePath) -> Result<Vec<String>> {
        let found = self.list_folder(folder).await?;
        Ok(sorted_names(found.common_prefixes.iter()))
    }

    /// The names of the folders and the objects in a folder, sorted. In a directory, a link to a folder is an object
    /// here, which cannot be read: what is below it is missing without a word where folders alone are asked for.
    ///
    /// # Errors
    /// As for [`Bucket::folders`].
    pub async fn entries(&self, folder: &RelativePath) -> Result<Vec<String>> {
        let found = self.list_folder(folder).await?;
        Ok(sorted_names(found.common_prefixes.iter().chain(found.objects.iter().map(|object| &object.location))))
    }

    async fn list_folder(&self, folder: &RelativePath) -> Result<ListResult> {
        let prefix = object_path(folder)?;
        let prefix = (!prefix.as_ref().is_empty()).then_some(&prefix);
        patiently(async { self.documents.list_with_delimiter(prefix).await.map_err(unavailable) }).await
    }

    /// When an object was written, by the clock of the store; `None` when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn written_at(&self, name: &ObjectName) -> Result<Option<DateTime<Utc>>> {
        let path = object_path(&name.path())?;
        patiently(async {
            match self.documents.head(&path).await {
                Ok(meta) => Ok(Some(meta.last_modified)),
                Err(StoreError::NotFound { .. }) => Ok(None),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }
}

fn sorted_names<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<String> {
    let mut names: Vec<String> = paths.filter_map(|path| path.filename().map(str::to_owned)).collect();
    names.sort_unstable();
    names
}

/// All of a list. It may be long, so the timeout is for its next object and not for the whole.
async fn gathered(mut list: BoxStream<'_, object_store::Result<ObjectMeta>>) -> Result<Vec<ObjectMeta>> {
    let mut found = Vec::new();
    while let Some(meta) = patiently(async { list.try_next().await.map_err(unavailable) }).await? {
        found.push(meta);
    }
    Ok(found)
}
