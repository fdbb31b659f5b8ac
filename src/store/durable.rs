//! Durable files: after a call returns, neither a crash nor a power cut loses or tears what was written.
//!
//! Every write goes to a staged file beside its target, is synced, moved into place in one step, and the folder is
//! synced too. A staged file is called `<name>#<digits>`, which no object name can be, so a leftover is never listed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use relative_path::RelativePath;

/// How often a folder is created anew for a file, because others have removed it meanwhile.
const ATTEMPTS: usize = 100;

/// How a new file meets one that is there already.
pub(crate) enum Placing<'a> {
    /// Takes its place.
    Overwrite,
    /// Fails with [`io::ErrorKind::AlreadyExists`].
    Create,
    /// Takes its place if its tag is still this one, else fails with [`Stale`]; `lock` is what all writers lock.
    Swap { tag: &'a str, lock: &'a Path },
}

/// The file changed since its tag was read.
#[derive(Debug, thiserror::Error)]
#[error("the file was changed by another writer")]
pub(crate) struct Stale;

/// Writes `body` to `target` durably and returns the tag of the new file.
pub(crate) fn write(target: &Path, body: &[&[u8]], placing: &Placing<'_>) -> io::Result<String> {
    let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let staged = stage(target, folder, body)?;
    match placing {
        Placing::Overwrite => staged.rename(target)?,
        // A hard link refuses to replace a file, atomically and on every local file system.
        Placing::Create => fs::hard_link(&staged.0, target)?,
        Placing::Swap { tag: expected, lock } => {
            let _locked = lock_file(lock)?;
            match fs::symlink_metadata(target) {
                Ok(meta) if tag(&meta) == *expected => staged.rename(target)?,
                Ok(_) => return Err(io::Error::other(Stale)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(io::Error::other(Stale)),
                Err(error) => return Err(error),
            }
        }
    }
    let tag = tag(&fs::symlink_metadata(target)?);
    sync_folder(folder)?;
    Ok(tag)
}

/// Writes a staged file beside `target`. Until it is there, others may find the folder empty, and remove it.
fn stage(target: &Path, folder: &Path, body: &[&[u8]]) -> io::Result<Staged> {
    let (mut attempts, mut parents) = (1, Vec::new());
    loop {
        match make_folder(folder, &mut parents).and_then(|()| Staged::write(target, body)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => attempts += 1,
            staged => {
                // Only now: while this takes its time, others find the folder in use.
                sync_folders(&parents)?;
                return staged;
            }
        }
    }
}

/// Removes a folder, and those around it, as far as they are empty and `may_go`.
pub(crate) fn remove_empty(root: &Path, folder: &RelativePath, may_go: impl Fn(&RelativePath) -> bool) {
    let mut next = Some(folder);
    while let Some(folder) = next.filter(|folder| may_go(folder)) {
        match fs::remove_dir(folder.to_path(root)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return,
            _ => next = folder.parent(),
        }
    }
}

/// A word that changes with the file: what HTTP servers use as its `ETag`, and `object_store` too.
pub(crate) fn tag(meta: &fs::Metadata) -> String {
    let modified = meta.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    format!("{:x}-{:x}-{:x}", meta.ino(), modified.unwrap_or_default().as_micros(), meta.len())
}

/// Creates a folder and its parents, each 0700 whatever the umask. They are durable then.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    let mut parents = Vec::new();
    make_folder(folder, &mut parents)?;
    sync_folders(&parents)
}

/// Those that were removed meanwhile are no more.
fn sync_folders(folders: &[PathBuf]) -> io::Result<()> {
    folders.iter().try_for_each(|folder| match sync_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced,
    })
}

/// Creates a folder and its parents. Those of `parents` must be synced to make them durable.
fn make_folder(folder: &Path, parents: &mut Vec<PathBuf>) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(parent, parents)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {
            parents.push(parent.to_owned());
            fs::set_permissions(folder, Permissions::from_mode(0o700))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes staged files older than `age` below `folder`: what a crash left behind. Looks closer at nothing else,
/// because there may be millions of files.
pub(crate) fn sweep(folder: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep(&entry.path(), age);
        } else if is_staged(&entry.file_name().to_string_lossy())
            && let Ok(meta) = entry.metadata() // It does not follow links.
            && meta.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|old| old >= age)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes every staged file below a folder of `root` that nobody may write to any more, and the folders that are empty
/// then. Nothing, if a part of the folder's name is a link: it may lead out of the store.
pub(crate) fn sweep_all(root: &Path, folder: &RelativePath) {
    let mut path = root.to_owned();
    for part in folder.iter() {
        path.push(part);
        if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            return;
        }
    }
    sweep_below(&path);
}

fn sweep_below(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep_below(&entry.path());
            let _ = fs::remove_dir(entry.path());
        } else if is_staged(&entry.file_name().to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a file name is that of a staged file.
pub(crate) fn is_staged(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit()))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Holds the lock until dropped. Blocks: for threads that may wait.
fn lock_file(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
        // The umask took away the owner's right, or the file existed with other permissions.
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    file.lock()?;
    Ok(file)
}

/// A staged file, removed when dropped unless it was renamed.
struct Staged(PathBuf);

impl Staged {
    fn write(target: &Path, body: &[&[u8]]) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let staged = Self(target.with_file_name(format!("{name}#{}{number:06}", std::process::id())));
            let mut file = match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&staged.0) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    std::mem::forget(staged); // Another process's, not ours to remove.
                    continue;
                }
                Err(error) => return Err(error),
            };
            file.set_permissions(Permissions::from_mode(0o600))?;
            for part in body {
                file.write_all(part)?;
            }
            file.sync_all()?;
            return Ok(staged);
        }
    }

    fn rename(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_0600_and_folders_0700_and_nothing_is_left_behind() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/b/c.json");
        write(&target, &[b"one"], &Placing::Create).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&target), mode(&root.path().join("a")), mode(&root.path().join("a/b"))),
            (0o600, 0o700, 0o700)
        );
        assert_eq!(fs::read_dir(root.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn a_swap_wants_the_tag_it_was_given() {
        let root = tempfile::tempdir().unwrap();
        let (target, lock) = (root.path().join("c.json"), root.path().join("lock"));
        let first = write(&target, &[b"one"], &Placing::Create).unwrap();
        let second = write(&target, &[b"three"], &Placing::Swap { tag: &first, lock: &lock }).unwrap();
        assert_ne!(first, second);
        let stale = write(&target, &[b"four"], &Placing::Swap { tag: &first, lock: &lock }).unwrap_err();
        assert!(stale.get_ref().unwrap().is::<Stale>());
        assert_eq!(fs::read(&target).unwrap(), b"three");
        let mode = || fs::metadata(&lock).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
        write(&target, &[b"five"], &Placing::Swap { tag: &second, lock: &lock }).unwrap();
        assert_eq!(mode(), 0o600, "whatever it was before");
    }

    #[test]
    fn a_file_is_written_while_others_remove_its_folder_whenever_it_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let folder = RelativePath::new("streams/web/date=2026-11-27/merged");
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    remove_empty(root.path(), folder, |folder| folder.as_str() != "streams");
                    std::thread::sleep(Duration::from_millis(3));
                }
            });
            let removed = std::panic::catch_unwind(|| {
                for n in 0..500 {
                    let target = folder.join(n.to_string()).to_path(root.path());
                    write(&target, &[b"one"], &Placing::Create).unwrap();
                    assert_eq!(fs::read(&target).unwrap(), b"one");
                    fs::remove_file(&target).unwrap();
                }
            });
            is_done.store(true, Ordering::Relaxed);
            removed.unwrap();
        });
        remove_empty(root.path(), folder, |folder| folder.as_str() != "streams");
        assert_eq!(fs::read_dir(root.path().join("streams")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_left_of_a_tenant_is_swept_through_no_link() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let staged = [root.path().join("acme/streams/web/x#1"), other.path().join("streams/web/x#1")];
        for file in &staged {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, b"").unwrap();
        }
        std::os::unix::fs::symlink(other.path(), root.path().join("linked")).unwrap();
        for tenant in ["acme", "linked"] {
            sweep_all(root.path(), RelativePath::new(&format!("{tenant}/streams")));
        }
        assert_eq!(staged.map(|file| file.exists()), [false, true]);
    }

    #[test]
    fn only_old_staged_files_are_swept() {
        let root = tempfile::tempdir().unwrap();
        for name in ["x.json#12", "x.json", "y#z"] {
            fs::write(root.path().join(name), b"").unwrap();
        }
        sweep(root.path(), Duration::from_secs(60));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 3);
        sweep(root.path(), Duration::ZERO);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    }
}
