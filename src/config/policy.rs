//! Options of traffic policies: the memory of their windows, and their secret.

use std::ffi::OsString;
use std::path::Path;

use zeroize::Zeroizing;

use super::value::{GIB, MIB, size};
use super::{InvalidConfig, OptionDoc, admin};
use crate::decisions::secret::MIN_BYTES;

const SECRET_FILE: &str = "KEYLOFT_POLICY_SECRET_FILE";

/// [`secret`] reads the second.
pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("policy-memory"),
        env: "KEYLOFT_POLICY_MEMORY",
        key: Some("policy.memory"),
        default: "64MiB",
        unit: "size",
        doc: "How much memory the windows of traffic policies take at most; the oldest entities make room for new ones.",
        set: |config, text| {
            config.policy.memory = size(text, 4 * MIB..=16 * GIB)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: None,
        env: SECRET_FILE,
        key: None,
        default: "none",
        unit: "path",
        doc: "A file that holds the secret of pseudonyms and clearances, the same on every node; without one, a node makes a secret and keeps it in the store.",
        set: |_, _| Ok(()),
    },
];

/// The secret in the file that `KEYLOFT_POLICY_SECRET_FILE` names.
///
/// # Errors
/// [`InvalidConfig`] when the file cannot be read, or holds too little.
pub(super) fn secret(
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Zeroizing<Vec<u8>>>, InvalidConfig> {
    let Some(path) = environment(SECRET_FILE) else { return Ok(None) };
    let secret = Zeroizing::new(admin::read(SECRET_FILE, Path::new(&path))?.into_bytes());
    if secret.len() < MIN_BYTES {
        return Err(InvalidConfig::new(SECRET_FILE, format!("must hold at least {MIN_BYTES} bytes")));
    }
    Ok(Some(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<Zeroizing<Vec<u8>>>, InvalidConfig> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        secret(|name| (name == SECRET_FILE).then(|| file.path().into()))
    }

    #[test]
    fn a_secret_is_what_the_file_holds_without_its_last_newline_and_never_shown() {
        assert!(secret(|_| None).unwrap().is_none());
        assert_eq!(*of(&("x".repeat(32) + "\n")).unwrap().unwrap(), vec![b'x'; 32]);
        let error = of("hunter2").unwrap_err().to_string();
        assert!(error.contains("at least 32 bytes") && !error.contains("hunter2"), "{error}");
        assert!(secret(|_| Some("/nowhere/secret".into())).unwrap_err().to_string().contains("/nowhere/secret"));
    }
}
