//! The token of a sign-in: a file for each server, which only its owner can read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use crate::cli::{Failure, Outcome};
use crate::config::AdminToken;
use crate::key::Digest;

/// A sign-in.
pub(in crate::cli) struct Login {
    /// The token.
    pub(in crate::cli) token: AdminToken,
    /// When it ends, for people.
    pub(in crate::cli) expires_at: String,
}

/// The sign-in at a server, if there is one.
///
/// # Errors
/// When the file cannot be read, is broken, or others can read it.
pub(in crate::cli) fn read(base: &Url) -> Outcome<Option<Login>> {
    let Some(path) = path(base) else { return Ok(None) };
    let failed = |why: &str| Failure::failed(format!("{}: {why}", path.display()));
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error.to_string())),
    };
    let mode = fs::metadata(&path).map_err(|error| failed(&error.to_string()))?.mode();
    if mode & 0o077 != 0 {
        return Err(failed("others can read it: sign in again, after chmod 600"));
    }
    let document: Value = serde_json::from_str(&text).map_err(|_| failed("is no sign-in: remove it"))?;
    let field = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let token = AdminToken::parse(field("token")).map_err(|_| failed("is no sign-in: remove it"))?;
    Ok(Some(Login { token, expires_at: field("expiresAt") }))
}

/// Makes the folder, so that nobody signs in whose token cannot be kept.
///
/// # Errors
/// When it cannot be made.
pub(super) fn prepare(base: &Url) -> Outcome {
    let path = path(base).ok_or_else(no_home)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))
}

fn no_home() -> Failure {
    Failure::failed("neither XDG_CONFIG_HOME nor HOME is set: there is no place for the token")
}

/// Keeps a sign-in, in place of the one at this server.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(base: &Url, login: &Login) -> Outcome {
    let path = path(base).ok_or_else(no_home)?;
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", path.display()));
    let fields = json!({"url": base.as_str(), "token": login.token.expose(), "expiresAt": login.expires_at});
    let text = Zeroizing::new(fields.to_string());
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let written = options.open(&fresh).and_then(|mut file| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(&fresh, &path)).map_err(|error| {
        let _ = fs::remove_file(&fresh);
        failed(error)
    })
}

/// Forgets a sign-in.
///
/// # Errors
/// When the file cannot be removed.
pub(super) fn remove(base: &Url) -> Outcome {
    let Some(path) = path(base) else { return Ok(()) };
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::failed(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// `$XDG_CONFIG_HOME/keyloft/logins`, or below `~/.config` (XDG Base Directory Specification 0.8).
fn path(base: &Url) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    let name = &Digest::of(base.as_str().trim_end_matches('/')).hex()[..32];
    Some(config.join("keyloft/logins").join(format!("{name}.json")))
}
