//! The admin token: from the environment or a file, never from a flag or `keyloft.toml`.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::{InvalidConfig, OptionDoc};
use crate::key::Digest;

/// Access to the admin plane.
#[derive(Debug, Default)]
pub struct AdminConfig {
    /// The token that the operator set. Without it, the digest in the store is used, or the first start makes a token.
    pub token: Option<AdminToken>,
}

const TOKEN: &str = "KEYLOFT_ADMIN_TOKEN";
const TOKEN_FILE: &str = "KEYLOFT_ADMIN_TOKEN_FILE";
const CLIENT_TOKEN: &str = "KEYLOFT_TOKEN";
const CLIENT_TOKEN_FILE: &str = "KEYLOFT_TOKEN_FILE";

/// [`token`] reads both, because the two exclude each other.
pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: None,
        env: TOKEN,
        key: None,
        default: "none",
        unit: "at least 32 characters",
        doc: "The admin token. Without one, the first start makes it, prints it once and keeps its digest.",
        set: |_, _| Ok(()),
    },
    OptionDoc {
        flag: None,
        env: TOKEN_FILE,
        key: None,
        default: "none",
        unit: "path",
        doc: "A file that holds the admin token; one final newline is not part of it.",
        set: |_, _| Ok(()),
    },
];

/// The admin token in clear text.
///
/// - at least 32 characters, all of them visible ASCII: it goes into a header.
/// - not `Clone`, not `Serialize`, silent in `Debug`, wiped when dropped.
pub struct AdminToken(Zeroizing<String>);

impl AdminToken {
    /// The fewest characters a token may have.
    pub const MIN_CHARACTERS: usize = 32;

    /// Parses a token; the text is wiped.
    ///
    /// # Errors
    /// The rule that the text breaks; never the text.
    pub fn parse(text: String) -> Result<Self, &'static str> {
        let text = Zeroizing::new(text);
        if text.chars().count() < Self::MIN_CHARACTERS {
            return Err("must have at least 32 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must be ASCII without spaces");
        }
        Ok(Self(text))
    }

    /// The digest that presented tokens are compared with.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// The token itself, for the one header that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

/// The token that `KEYLOFT_ADMIN_TOKEN` holds or `KEYLOFT_ADMIN_TOKEN_FILE` points to; `None` when neither is set.
/// `environment` answers like [`std::env::var_os`].
///
/// # Errors
/// [`InvalidConfig`] when both are set, when the file cannot be read, and when the token breaks a rule of
/// [`AdminToken`]; an empty token is an error, because it was set by mistake.
pub fn token(environment: impl Fn(&str) -> Option<OsString>) -> Result<Option<AdminToken>, InvalidConfig> {
    read_token(environment, "the admin token", TOKEN, TOKEN_FILE)
}

/// What the command line presents: the admin token, else the token of a machine in `KEYLOFT_TOKEN` or the file that
/// `KEYLOFT_TOKEN_FILE` names.
///
/// # Errors
/// As for [`token`].
pub fn client_token(environment: impl Fn(&str) -> Option<OsString>) -> Result<Option<AdminToken>, InvalidConfig> {
    match token(&environment)? {
        Some(token) => Ok(Some(token)),
        None => read_token(environment, "the token", CLIENT_TOKEN, CLIENT_TOKEN_FILE),
    }
}

fn read_token(
    environment: impl Fn(&str) -> Option<OsString>,
    what: &str,
    variable: &'static str,
    file: &'static str,
) -> Result<Option<AdminToken>, InvalidConfig> {
    let (place, text) = match (environment(variable), environment(file)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(InvalidConfig::new(variable, format!("is set as well as {file}: set one of them")));
        }
        (Some(text), None) => {
            (variable, text.into_string().map_err(|_| InvalidConfig::new(variable, "must be ASCII without spaces"))?)
        }
        (None, Some(path)) => (file, read(file, Path::new(&path))?),
    };
    AdminToken::parse(text).map(Some).map_err(|rule| InvalidConfig::new(place, format!("{what} {rule}")))
}

/// What a file holds, without one final newline.
pub(super) fn read(variable: &str, path: &Path) -> Result<String, InvalidConfig> {
    let place = || format!("{variable} ({})", path.display());
    let mut text = std::fs::read_to_string(path).map_err(|error| InvalidConfig::new(place(), error))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789abcdef0123456789abcdef";

    fn from_variable(text: &str) -> Result<Option<AdminToken>, InvalidConfig> {
        token(|name| (name == TOKEN).then(|| text.into()))
    }

    fn from_file(body: &str) -> Result<Option<AdminToken>, InvalidConfig> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), body).unwrap();
        token(|name| (name == TOKEN_FILE).then(|| file.path().into()))
    }

    #[test]
    fn one_final_newline_of_the_file_is_not_part_of_the_token() {
        for body in [GOOD.to_owned(), format!("{GOOD}\n"), format!("{GOOD}\r\n")] {
            assert_eq!(from_file(&body).unwrap().unwrap().expose(), GOOD);
        }
        assert!(from_file(&format!("{GOOD}\n\n")).is_err());
    }

    #[test]
    fn a_short_empty_or_unprintable_token_is_refused_without_being_quoted() {
        for text in ["", "hunter2", &GOOD[1..], &format!("{GOOD} x"), &format!("{GOOD}ü")] {
            let message = from_variable(text).unwrap_err().to_string();
            assert!(message.starts_with("KEYLOFT_ADMIN_TOKEN: the admin token must"), "{message}");
            assert!(text.is_empty() || !message.contains(text));
        }
        assert!(from_file("").is_err());
        assert!(token(|name| (name == TOKEN_FILE).then(|| "/nowhere/token".into())).is_err());
    }

    #[test]
    fn two_sources_are_one_too_many_and_none_is_fine() {
        assert!(token(|_| Some(GOOD.into())).is_err());
        assert!(token(|_| None).unwrap().is_none());
    }

    #[test]
    fn a_token_is_silent() {
        assert_eq!(format!("{:?}", from_variable(GOOD).unwrap().unwrap()), "AdminToken(..)");
    }
}
