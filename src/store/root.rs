//! The folder of a local store.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder that was opened. Its path may come to name another one, or none: a volume that was unmounted leaves an
/// empty mount point behind. What is there then is not this store.
#[derive(Debug)]
pub(super) struct Root {
    path: Arc<PathBuf>,
    identity: Identity,
}

/// Which file system, and which folder of it.
type Identity = (u64, u64);

impl Root {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let identity = identity(&path)?;
        if !path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self { path: Arc::new(path), identity })
    }

    pub(super) fn path(&self) -> Arc<PathBuf> {
        self.path.clone()
    }

    /// Fails when the path names no folder, or another one than was opened.
    pub(super) fn check(&self) -> io::Result<()> {
        if identity(&self.path)? == self.identity {
            return Ok(());
        }
        Err(io::Error::other("another folder is in the place of the store: mount the volume, or restart the server"))
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let meta = std::fs::metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}
