//! Options of traffic policies: the memory of their windows, their challenges, and their secrets.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::value::{GIB, MIB, duration, size};
use super::{InvalidConfig, OptionDoc, admin};
use crate::decisions::secret::MIN_BYTES;

const SECRET_FILE: &str = "KEYLOFT_POLICY_SECRET_FILE";
const OTHER_SECRET_FILE: &str = "KEYLOFT_POLICY_OTHER_SECRET_FILE";

/// [`secrets`] reads the last two.
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
        flag: Some("challenge-ttl"),
        env: "KEYLOFT_CHALLENGE_TTL",
        key: Some("policy.challenge_ttl"),
        default: "10m",
        unit: "duration",
        doc: "How long a challenge can be solved after it was issued.",
        set: |config, text| {
            let bounds = Duration::from_secs(60)..=Duration::from_secs(3600);
            config.policy.challenge_ttl = duration(text, bounds)?;
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
    OptionDoc {
        flag: None,
        env: OTHER_SECRET_FILE,
        key: None,
        default: "none",
        unit: "path",
        doc: "A file that holds a second secret while secrets are exchanged, the next or the last one: challenges and clearances are verified with it, and none is made.",
        set: |_, _| Ok(()),
    },
];

/// A secret that an operator gives.
type Given = Option<Zeroizing<Vec<u8>>>;

/// The secrets in the files that `KEYLOFT_POLICY_SECRET_FILE` and `KEYLOFT_POLICY_OTHER_SECRET_FILE` name. The second
/// is a file of its own, because the whole of the first is one secret, line ends included.
///
/// # Errors
/// [`InvalidConfig`] when a file cannot be read, or holds too little; and when there is only the second.
pub(super) fn secrets(environment: impl Fn(&str) -> Option<OsString>) -> Result<(Given, Given), InvalidConfig> {
    let read = |variable: &'static str| {
        let Some(path) = environment(variable) else { return Ok(None) };
        let secret = Zeroizing::new(admin::read(variable, Path::new(&path))?.into_bytes());
        if secret.len() < MIN_BYTES {
            return Err(InvalidConfig::new(variable, format!("must hold at least {MIN_BYTES} bytes")));
        }
        Ok(Some(secret))
    };
    match (read(SECRET_FILE)?, read(OTHER_SECRET_FILE)?) {
        (None, Some(_)) => Err(InvalidConfig::new(OTHER_SECRET_FILE, format!("needs {SECRET_FILE}"))),
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variable: &str, text: &str) -> Result<(Given, Given), InvalidConfig> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        secrets(|name| (name == variable).then(|| file.path().into()))
    }

    #[test]
    fn a_secret_is_what_the_file_holds_without_its_last_newline_and_never_shown() {
        assert_eq!(secrets(|_| None).unwrap(), (None, None));
        let (secret, other) = of(SECRET_FILE, &("x".repeat(32) + "\n")).unwrap();
        assert_eq!((&**secret.unwrap(), other), (&[b'x'; 32][..], None));
        let error = of(SECRET_FILE, "hunter2").unwrap_err().to_string();
        assert!(error.contains("at least 32 bytes") && !error.contains("hunter2"), "{error}");
        let nowhere = |name: &str| (name == SECRET_FILE).then(|| "/nowhere/secret".into());
        assert!(secrets(nowhere).unwrap_err().to_string().contains("/nowhere/secret"));
    }

    #[test]
    fn a_second_secret_comes_with_a_first_and_is_no_shorter() {
        let error = of(OTHER_SECRET_FILE, &"x".repeat(32)).unwrap_err().to_string();
        assert!(error.contains("needs KEYLOFT_POLICY_SECRET_FILE"), "{error}");
        assert!(of(OTHER_SECRET_FILE, "short").unwrap_err().to_string().contains("OTHER_SECRET_FILE"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "y".repeat(32)).unwrap();
        assert!(matches!(secrets(|_| Some(file.path().into())).unwrap(), (Some(_), Some(_))));
    }
}
