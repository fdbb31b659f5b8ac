//! New API keys, written to a file before their digests are sent: a run that is killed loses none, and the next run
//! uses them again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::super::{Failure, Outcome};
use crate::key::{Credential, Digest, Hint, KeyName, KeyType, PlainSecret};

/// An API key that no server knows yet.
pub(super) struct Fresh {
    /// The name of its key.
    pub(super) name: KeyName,
    /// The API key in clear text.
    pub(super) api_key: Zeroizing<String>,
}

impl Fresh {
    fn make(name: KeyName, key_type: KeyType) -> Outcome<Self> {
        let secret = PlainSecret::generate(key_type).map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self { name, api_key: Zeroizing::new(secret.expose().to_owned()) })
    }

    /// The part that is sent.
    pub(super) fn digest_and_hint(&self) -> (Digest, Hint) {
        let tail = self.api_key.len().checked_sub(4).and_then(|at| self.api_key.get(at..));
        let hint = tail.and_then(|tail| Hint::parse(tail).ok()).unwrap_or_default();
        (Digest::of(&self.api_key), hint)
    }

    /// A line of the file, or of the table.
    pub(super) fn line(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\t{}", self.name, self.api_key.as_str()))
    }
}

/// New API keys and their file, which is locked until this is dropped.
pub(super) struct Made {
    /// One for each name that was wanted.
    pub(super) fresh: Vec<Fresh>,
    _keep: Option<Keep>,
}

/// An API key for each of these names; with a file, from it or written to it, durably.
pub(super) fn make(wanted: Vec<(KeyName, KeyType)>, keep_in: Option<&Path>) -> Outcome<Made> {
    let Some(path) = keep_in else {
        let fresh = wanted.into_iter().map(|(name, key_type)| Fresh::make(name, key_type)).collect::<Outcome<_>>()?;
        return Ok(Made { fresh, _keep: None });
    };
    let mut keep = Keep::open(path).map_err(|reason| Failure::usage(format!("{}: {reason}", path.display())))?;
    let mut made = Vec::with_capacity(wanted.len());
    for (name, key_type) in wanted {
        made.push(match keep.known(&name, key_type) {
            Some(fresh) => fresh,
            None => {
                let fresh = Fresh::make(name, key_type)?;
                keep.add(&fresh).map_err(|error| cannot_write(path, &error))?;
                fresh
            }
        });
    }
    keep.file.sync_all().map_err(|error| cannot_write(path, &error))?;
    Ok(Made { fresh: made, _keep: Some(keep) })
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}; nothing was issued", path.display()))
}

/// The file of a run, and of the runs before it.
struct Keep {
    file: File,
    lines: BTreeMap<String, Zeroizing<String>>,
}

impl Keep {
    fn open(path: &Path) -> Result<Self, String> {
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path);
        let file = file.as_mut().map_err(|error| format!("cannot be opened: {error}"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err("another run uses it: let it end first".to_owned()),
            Err(TryLockError::Error(error)) => return Err(format!("cannot be locked: {error}")),
        }
        let meta = file.metadata().map_err(|error| error.to_string())?;
        if !meta.is_file() || meta.mode() & 0o077 != 0 {
            return Err("it must be a file that only its owner can read (chmod 600)".to_owned());
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
        if !text.is_empty() && !text.ends_with('\n') {
            // A line that was cut short was never sent.
            file.write_all(b"\n").map_err(|error| format!("cannot be written: {error}"))?;
        }
        let pairs = text.lines().filter_map(|line| line.split_once('\t'));
        let lines = pairs.map(|(name, api_key)| (name.to_owned(), Zeroizing::new(api_key.to_owned()))).collect();
        Ok(Self { file: file.try_clone().map_err(|error| error.to_string())?, lines })
    }

    /// The API key that an earlier run wrote for this name.
    fn known(&self, name: &KeyName, key_type: KeyType) -> Option<Fresh> {
        let api_key = self.lines.get(name.as_str())?;
        let credential = Credential::parse(api_key).ok()?;
        let fits = credential.key_type() == Some(key_type);
        fits.then(|| Fresh { name: name.clone(), api_key: api_key.clone() })
    }

    fn add(&mut self, fresh: &Fresh) -> std::io::Result<()> {
        let mut line = fresh.line();
        line.push('\n');
        self.file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn wanted(names: &[&str]) -> Vec<(KeyName, KeyType)> {
        names.iter().map(|name| (KeyName::parse(name).unwrap(), KeyType::Query)).collect()
    }

    #[test]
    fn what_was_written_down_is_used_again_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.tsv");
        let made = make(wanted(&["a", "b"]), Some(&path)).unwrap();
        let failure = make(wanted(&["a"]), Some(&path)).err().unwrap();
        assert!(failure.to_string().contains("another run uses it"), "{failure}");
        let first = made.fresh;
        drop(made._keep);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // A run that was killed in the middle of a line.
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        let second = make(wanted(&["b", "a", "c"]), Some(&path)).unwrap().fresh;
        assert_eq!(second[1].api_key, first[0].api_key);
        assert_ne!(second[0].api_key, first[1].api_key, "its line was cut short");
        let third = make(wanted(&["a", "b", "c"]), Some(&path)).unwrap().fresh;
        assert_eq!(third[1].api_key, second[0].api_key);
        assert_eq!(third[2].api_key, second[2].api_key);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(make(wanted(&["a"]), Some(&path)).is_err());
    }

    #[test]
    fn a_line_of_the_other_type_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.tsv");
        make(wanted(&["a"]), Some(&path)).unwrap();
        let other = make(vec![(KeyName::parse("a").unwrap(), KeyType::Ingestion)], Some(&path)).unwrap().fresh;
        assert!(other[0].api_key.starts_with("kl_ing_"));
    }
}
