//! A local directory as an object store. `object_store`'s own `LocalFileSystem` reads for us; writes are ours, because
//! version 0.13 never syncs and knows no conditional update, and lists are ours, because it follows symbolic links.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use relative_path::RelativePath;
use tokio::sync::mpsc;

use super::durable::{self, Placing, Stale};
use super::root::Root;
use super::types::MAX_DOCUMENT_BYTES;
use crate::layout;

const STORE: &str = "LocalStore";
/// No write takes this long: a staged file older than this belongs to a process that died.
pub(super) const STAGED_MAX_AGE: Duration = Duration::from_secs(600);

/// How many objects of a listing are found at once, so that folders of any size fit into memory.
const LISTED_AT_ONCE: usize = 1024;
/// How many times as many may wait for a slow reader.
const PARTS_AHEAD: usize = 4;

/// Durable objects in a directory; several processes may share it.
#[derive(Debug)]
pub(crate) struct LocalStore {
    root: Arc<Root>,
    files: LocalFileSystem,
}

impl LocalStore {
    /// Opens a directory, creating it (0700) if need be, and sweeps what a crash left behind.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        durable::create_folder(&root)?;
        let root = root.canonicalize()?;
        durable::sweep(&root, STAGED_MAX_AGE);
        let files = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?;
        Ok(Self { root: Arc::new(Root::open(root)?), files })
    }

    pub(super) fn root(&self) -> Arc<PathBuf> {
        self.root.path()
    }

    /// Runs some work on the directory. Its outcome counts only if the directory is still there afterwards.
    async fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce(&std::path::Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = self.root.clone();
        blocking(move || {
            let outcome = work(&root.path());
            root.check().map_err(generic).and(outcome)
        })
        .await
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (root, location) = (self.root.clone(), location.clone());
        self.within(move |folder| {
            root.check().map_err(generic)?; // Nothing is written elsewhere.
            let (target, path) = (folder.join(location.as_ref()), location.to_string());
            let lock = layout::lock_file().to_path(folder);
            refuse_special_files(folder, &location)?;
            let parts: Vec<&[u8]> = payload.iter().map(|part| part.as_ref()).collect();
            let placing = match &opts.mode {
                PutMode::Overwrite => Placing::Overwrite,
                PutMode::Create => Placing::Create,
                PutMode::Update(version) => {
                    let tag = version.e_tag.as_deref().ok_or_else(|| generic(io::Error::other("no ETag given")))?;
                    Placing::Swap { tag, lock: &lock }
                }
            };
            let tag = durable::write(&target, &parts, &placing).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
                _ if error.get_ref().is_some_and(|inner| inner.is::<Stale>()) => {
                    Error::Precondition { path, source: error.into() }
                }
                _ => generic(error),
            })?;
            Ok(PutResult { e_tag: Some(tag), version: None })
        })
        .await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unsupported("put_multipart"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if is_plain(&options) {
            let location = location.clone();
            if let Some(document) = self.within(move |folder| read_document(folder, &location)).await? {
                return Ok(document);
            }
        } else {
            let location = location.clone();
            self.within(move |folder| refuse_special_files(folder, &location)).await?;
        }
        match self.files.get_opts(location, options).await {
            Err(error @ (Error::Generic { .. } | Error::NotFound { .. })) => {
                let location = location.clone();
                self.within(move |folder| Err(why_not(error, &folder.join(location.as_ref())))).await
            }
            got => got,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let root = self.root.clone();
        let removed = self.files.delete_stream(locations);
        let tidied = removed.then(move |removed| {
            let root = root.clone();
            blocking(move || {
                root.check().map_err(generic)?;
                let location = removed?;
                let folder = RelativePath::new(location.as_ref()).parent();
                folder.inspect(|folder| remove_empty(&root.path(), folder));
                Ok(location)
            })
        });
        tidied.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (root, prefix) = (self.root.clone(), prefix.cloned().unwrap_or_default());
        let parts = async move {
            let (sender, parts) = mpsc::channel(PARTS_AHEAD);
            // It ends early when nobody reads the list any more.
            drop(tokio::task::spawn_blocking(move || walk(&root, prefix, &sender)));
            stream::try_unfold(parts, async |mut parts| match parts.recv().await {
                Some(Ok(Part::Objects(objects))) => Ok(Some((stream::iter(objects).map(Ok), parts))),
                Some(Ok(Part::End)) => Ok(None),
                Some(Err(error)) => Err(error),
                None => Err(generic(io::Error::other("the listing broke off"))),
            })
        };
        stream::once(parts).flatten().try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        self.within(move |folder| read_folder(folder, &prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unsupported("copy"))
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({})", self.root.path().display())
    }
}

/// Removes a folder of a stream, and those of the stream around it, as far as they are empty.
pub(super) fn remove_empty(root: &std::path::Path, folder: &RelativePath) {
    durable::remove_empty(root, folder, layout::is_of_stream);
}

/// A symbolic link could lead out of the directory, so none is followed, at any level below it; and to open a pipe
/// could take for ever.
fn refuse_special_files(root: &std::path::Path, location: &Path) -> Result<()> {
    let mut file = root.to_path_buf();
    for part in location.parts() {
        file.push(part.as_ref());
        match file.symlink_metadata() {
            Ok(meta) if meta.is_symlink() => {
                return Err(unreadable(io::Error::other("symbolic links are not followed")));
            }
            Ok(meta) if !meta.is_file() && !meta.is_dir() => {
                return Err(unreadable(io::Error::other("it is neither a file nor a folder")));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// What an error of opening a file means. A file that is there is the only one that cannot be opened. Where even that
/// cannot be seen, as in a folder that is a file or may not be entered, the store is not as it should be.
fn why_not(error: Error, file: &std::path::Path) -> Error {
    match error {
        Error::Generic { source, .. } => match file.symlink_metadata() {
            Ok(_) => unreadable(source),
            Err(_) => Error::Generic { store: STORE, source },
        },
        other => other,
    }
}

/// Whether a whole object is wanted, whatever its state.
fn is_plain(options: &GetOptions) -> bool {
    let GetOptions { if_match, if_none_match, if_modified_since, if_unmodified_since, range, version, head, .. } =
        options;
    let conditions = [if_match, if_none_match, version].map(Option::is_some);
    let dates = [if_modified_since, if_unmodified_since].map(Option::is_some);
    !conditions.into_iter().chain(dates).any(|is_set| is_set) && range.is_none() && !head
}

/// Reads a document in one visit to another thread: a start reads them by the hundred thousand. `None` for whatever is
/// not as simple as that.
fn read_document(root: &std::path::Path, location: &Path) -> Result<Option<GetResult>> {
    refuse_special_files(root, location)?;
    let file = match std::fs::File::open(root.join(location.as_ref())) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotFound { path: location.to_string(), source: error.into() });
        }
        Err(_) => return Ok(None),
    };
    let Ok(meta) = file.metadata() else { return Ok(None) };
    if !meta.is_file() || meta.len() > MAX_DOCUMENT_BYTES {
        return Ok(None);
    }
    let mut body = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default() + 1);
    if file.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut body).is_err() {
        return Ok(None);
    }
    let size = body.len() as u64;
    let object = object_meta(location.clone(), &meta, size);
    let payload = GetResultPayload::Stream(stream::once(async { Ok(body.into()) }).boxed());
    Ok(Some(GetResult { payload, meta: object, range: 0..size, attributes: Attributes::default() }))
}

fn object_meta(location: Path, meta: &std::fs::Metadata, size: u64) -> ObjectMeta {
    let last_modified = meta.modified().unwrap_or(std::time::UNIX_EPOCH).into();
    ObjectMeta { location, last_modified, size, e_tag: Some(durable::tag(meta)), version: None }
}

/// Some of a listing.
enum Part {
    Objects(Vec<ObjectMeta>),
    /// There is no more. Without it, the listing is not complete.
    End,
}

/// Lists a folder and those in it, a part at a time, for as long as somebody reads them.
fn walk(root: &Root, prefix: Path, parts: &mpsc::Sender<Result<Part>>) {
    let (mut folders, mut objects) = (vec![prefix], Vec::new());
    while let Some(folder) = folders.pop() {
        let visited = visit_folder(&root.path(), &folder, |entry| {
            match entry {
                Entry::Folder(folder) => folders.push(folder),
                Entry::Object(object) => objects.push(object),
            }
            let is_full = objects.len() >= LISTED_AT_ONCE;
            !is_full || parts.blocking_send(Ok(Part::Objects(std::mem::take(&mut objects)))).is_ok()
        });
        match visited {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return drop(parts.blocking_send(Err(error))),
        }
    }
    // What was listed counts only if all of it was there.
    let end = root.check().map(|()| Part::End).map_err(generic);
    for part in [Ok(Part::Objects(objects)), end] {
        if parts.blocking_send(part).is_err() {
            return;
        }
    }
}

/// The objects and folders in one folder.
fn read_folder(root: &std::path::Path, folder: &Path) -> Result<ListResult> {
    let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
    visit_folder(root, folder, |entry| {
        match entry {
            Entry::Folder(folder) => result.common_prefixes.push(folder),
            Entry::Object(object) => result.objects.push(object),
        }
        true
    })?;
    Ok(result)
}

/// What is in a folder.
enum Entry {
    Folder(Path),
    Object(ObjectMeta),
}

/// Gives the objects and folders in one folder to `each`, until it says that it needs no more, and says whether it took
/// all. What is no file is given as an empty object, so that it can be reported; reading it is refused. Staged files,
/// and files without a UTF-8 name, are passed over.
fn visit_folder(root: &std::path::Path, folder: &Path, mut each: impl FnMut(Entry) -> bool) -> Result<bool> {
    let entries = match std::fs::read_dir(root.join(folder.as_ref())) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(true);
        }
        Err(error) => return Err(generic(error)),
    };
    for entry in entries {
        let entry = entry.map_err(generic)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(meta) = entry.metadata() else { continue }; // Removed since; `metadata` does not follow links.
        let Ok(location) = Path::parse(format!("{folder}/{name}").trim_start_matches('/')) else { continue };
        let entry = if meta.is_dir() {
            Entry::Folder(location)
        } else if durable::is_staged(&name) {
            continue;
        } else {
            let size = if meta.is_file() { meta.len() } else { 0 };
            Entry::Object(object_meta(location, &meta, size))
        };
        if !each(entry) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn generic(error: io::Error) -> Error {
    Error::Generic { store: STORE, source: error.into() }
}

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::NotSupported { source: source.into() }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_object_of_a_stream_takes_its_empty_folders_along() {
        use object_store::ObjectStoreExt;

        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path().to_owned()).unwrap();
        let [schema, fresh, merged, key] = [
            "acme/streams/web/schema.json",
            "acme/streams/web/date=2026-11-27/1200-a.parquet",
            "acme/streams/web/date=2026-11-27/merged/b.parquet",
            "acme/.settings/apikeys/c.json",
        ]
        .map(Path::from);
        for object in [&schema, &fresh, &merged, &key] {
            store.put(object, "x".into()).await.unwrap();
        }
        let is_there = |path: &str| folder.path().join(path).exists();
        let day = "acme/streams/web/date=2026-11-27";
        store.delete(&merged).await.unwrap();
        assert!(is_there(day) && !is_there(&format!("{day}/merged")));
        store.delete(&fresh).await.unwrap();
        assert!(!is_there(day) && is_there("acme/streams/web"));
        store.delete(&schema).await.unwrap();
        assert!(!is_there("acme/streams/web") && is_there("acme/streams"));
        store.delete(&key).await.unwrap();
        assert!(is_there("acme/.settings/apikeys"), "those of keys stay");
    }

    #[tokio::test]
    async fn a_listing_of_many_parts_has_each_object_once_and_may_be_left_early() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path().to_owned()).unwrap();
        let count = LISTED_AT_ONCE * (PARTS_AHEAD + 3);
        for n in 0..count {
            let path = folder.path().join(format!("a/{}", n % 3));
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(n.to_string()), []).unwrap();
        }
        for read in [1, LISTED_AT_ONCE + 1] {
            let some: Vec<_> = store.list(None).take(read).try_collect().await.unwrap();
            assert_eq!(some.len(), read);
        }
        let all: Vec<_> = store.list(Some(&Path::from("a"))).try_collect().await.unwrap();
        let names: std::collections::BTreeSet<_> = all.iter().map(|object| object.location.clone()).collect();
        assert_eq!((all.len(), names.len()), (count, count));
        let nothing: Vec<_> = store.list(Some(&Path::from("b"))).try_collect().await.unwrap();
        assert!(nothing.is_empty());
    }
}
