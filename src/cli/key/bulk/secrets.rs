//! The file that API keys are written to before they are sent, so that none is lost however a run ends.
//!
//! Lines are only added, and the file is locked while the command runs: two runs at once would make two API keys for
//! one name. A last line that a crash cut short was never sent.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::super::{Failure, Outcome};
use crate::key::{Credential, Digest, Hint, KeyName, KeyType, PlainSecret, TenantId};

/// The part of an API key that is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownSecret {
    pub(super) digest: Digest,
    pub(super) hint: Hint,
    /// The end of the key, counted from when its API key was made.
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// Whether an earlier run made it.
    pub(super) stood_there: bool,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept<'a> {
    tenant: TenantId,
    key_name: KeyName,
    key_type: KeyType,
    api_key: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
}

/// The file and its content.
#[derive(Debug)]
pub(super) struct Secrets {
    path: PathBuf,
    file: File,
    known: HashMap<(TenantId, KeyName, KeyType), KnownSecret>,
    /// Lines that are not in the file yet.
    fresh: Zeroizing<String>,
    made: usize,
}

impl Secrets {
    /// Opens the file for appending, or creates it; only its owner may read it.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let fails = |error| Failure::failed(format!("cannot use {}: {error}", path.display()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(fails)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::usage(format!("another run uses {}: let it end first", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(fails(error)),
        }
        let mut secrets = Self::load(path, file)?;
        secrets.file.set_permissions(Permissions::from_mode(0o600)).map_err(fails)?;
        secrets.mend().map_err(fails)?;
        Ok(secrets)
    }

    /// Reads the file, if there is one, without changing it.
    pub(super) fn read(path: &Path) -> Outcome<Option<Self>> {
        match File::open(path) {
            Ok(file) => Self::load(path, file).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::failed(format!("cannot use {}: {error}", path.display()))),
        }
    }

    fn load(path: &Path, mut file: File) -> Outcome<Self> {
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text)
            .map_err(|error| Failure::failed(format!("cannot use {}: {error}", path.display())))?;
        let mut known = HashMap::new();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut fresh = Zeroizing::new(String::new());
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match entry(line) {
                Some((name, entry)) => _ = known.insert(name, entry),
                None if text[whole..] == *line => {} // Cut short by a crash.
                None => {
                    let place = format!("line {} of {}", at + 1, path.display());
                    return Err(Failure::usage(format!("{place} is no API key that was kept: name another file")));
                }
            }
        }
        if entry(&text[whole..]).is_some() {
            fresh.push('\n'); // An editor removed the last newline.
        }
        Ok(Self { path: path.to_owned(), file, known, fresh, made: 0 })
    }

    /// Removes a last line that a crash cut short.
    fn mend(&mut self) -> std::io::Result<()> {
        if self.fresh.is_empty() {
            let mut text = Zeroizing::new(Vec::new());
            self.file.seek(SeekFrom::Start(0))?;
            self.file.read_to_end(&mut text)?;
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.file.set_len(whole as u64)?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The API key of a name, if there is one.
    pub(super) fn find(&self, tenant: &TenantId, name: &KeyName, key_type: KeyType) -> Option<&KnownSecret> {
        self.known.get(&(tenant.clone(), name.clone(), key_type))
    }

    /// The API key of a name, generated if there is none; [`Secrets::save`] writes new ones.
    pub(super) fn find_or_make(
        &mut self,
        tenant: &TenantId,
        name: &KeyName,
        key_type: KeyType,
        expires_at: Option<DateTime<Utc>>,
    ) -> Outcome<KnownSecret> {
        if let Some(entry) = self.find(tenant, name, key_type) {
            return Ok(*entry);
        }
        let secret = PlainSecret::generate(key_type).map_err(|error| Failure::failed(error.to_string()))?;
        let kept =
            Kept { tenant: tenant.clone(), key_name: name.clone(), key_type, api_key: secret.expose(), expires_at };
        let line = serde_json::to_string(&kept).map(Zeroizing::new);
        let line = line.map_err(|error| Failure::failed(format!("cannot write an API key down: {error}")))?;
        self.fresh.push_str(&line);
        self.fresh.push('\n');
        self.made += 1;
        let entry = KnownSecret { digest: secret.digest(), hint: secret.hint(), expires_at, stood_there: false };
        self.known.insert((tenant.clone(), name.clone(), key_type), entry);
        Ok(entry)
    }

    /// Appends the new API keys to the file, durably; returns how many.
    pub(super) fn save(&mut self) -> Outcome<usize> {
        let fails = |error| Failure::failed(format!("cannot write {}: {error}", self.path.display()));
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let saved = self
            .file
            .seek(SeekFrom::End(0))
            .and_then(|_| self.file.write_all(self.fresh.as_bytes()))
            .and_then(|()| self.file.sync_all())
            .and_then(|()| File::open(folder)?.sync_all());
        saved.map_err(fails)?;
        self.fresh.clear();
        Ok(std::mem::take(&mut self.made))
    }
}

type Name = (TenantId, KeyName, KeyType);

fn entry(line: &str) -> Option<(Name, KnownSecret)> {
    let kept: Kept<'_> = serde_json::from_str(line).ok()?;
    let credential = Credential::parse(kept.api_key).ok()?;
    let hint = kept.api_key.get(kept.api_key.len().checked_sub(4)?..).and_then(|end| Hint::parse(end).ok())?;
    let entry = KnownSecret { digest: credential.digest(), hint, expires_at: kept.expires_at, stood_there: true };
    Some(((kept.tenant, kept.key_name, kept.key_type), entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(secrets: &mut Secrets, name: &str) -> Digest {
        let name = KeyName::parse(name).unwrap();
        secrets.find_or_make(&TenantId::default(), &name, KeyType::Query, None).unwrap().digest
    }

    #[test]
    fn an_api_key_is_made_once_for_a_name_and_found_again_whatever_cut_the_last_run_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.secrets");
        let mut secrets = Secrets::open(&path).unwrap();
        let first = made(&mut secrets, "a");
        assert_eq!(secrets.save().unwrap(), 1);
        let busy = Secrets::open(&path).unwrap_err().to_string();
        assert!(busy.contains("another run"), "{busy}");
        drop(secrets);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let whole = std::fs::read_to_string(&path).unwrap();
        for torn in ["", "{\"tenant\":\"default\",\"keyNa"] {
            std::fs::write(&path, format!("{whole}{torn}")).unwrap();
            let mut secrets = Secrets::open(&path).unwrap();
            assert_eq!(made(&mut secrets, "a"), first);
            made(&mut secrets, "b");
            secrets.save().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        }
        // The last newline was lost to an editor: the line is whole.
        std::fs::write(&path, whole.trim_end()).unwrap();
        let mut secrets = Secrets::open(&path).unwrap();
        assert_eq!(made(&mut secrets, "a"), first);
        made(&mut secrets, "c");
        secrets.save().unwrap();
        drop(secrets);
        assert_eq!(made(&mut Secrets::open(&path).unwrap(), "a"), first);
    }

    #[test]
    fn a_file_of_something_else_is_never_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "my diary\nday two\n").unwrap();
        assert!(Secrets::open(&path).unwrap_err().to_string().contains("line 1"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "my diary\nday two\n");
    }
}
