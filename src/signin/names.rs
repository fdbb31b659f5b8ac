//! The public URL, the names of providers, and client secrets. Each is parsed once, at the edge.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::key::{InvalidId, Label};

/// Where browsers reach this system.
///
/// - `https`, or `http` on loopback.
/// - a path is allowed; user, query and fragment are not.
/// - kept without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Box<str>);

impl PublicUrl {
    const RULE: InvalidId = InvalidId::new(
        "the public URL",
        "https://host, or http:// on loopback, optionally with a path, without user, query and fragment",
    );

    /// Reads a URL.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let url = base_url(text).ok_or(Self::RULE)?;
        Ok(Self(url.as_str().trim_end_matches('/').into()))
    }

    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a provider sends browsers back to.
    pub fn callback(&self, provider: &ProviderName) -> String {
        format!("{self}/auth/{provider}/callback")
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A URL of a server: `https`, or `http` on loopback, without user, query and fragment.
pub(crate) fn base_url(text: &str) -> Option<Url> {
    // The parser would drop blanks and line breaks.
    let is_plain = text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let url = Url::parse(text).ok().filter(|_| is_plain)?;
    let is_base = url.query().is_none() && url.fragment().is_none() && has_no_user(&url);
    (is_base && (url.scheme() == "https" || is_plain_loopback(&url))).then_some(url)
}

pub(super) fn has_no_user(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// `http` to this machine, where nobody else can listen.
pub(super) fn is_plain_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

/// What the configuration calls a provider: a segment of its paths.
///
/// - 1-32 of `a`-`z`, `0`-`9` and `-`, starting with a letter or a digit.
/// - not `complete`, which is a path of its own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderName(Label);

impl ProviderName {
    /// The name of the provider that is GitHub.
    pub const GITHUB: &'static str = "github";
    /// The name of the provider that is Google.
    pub const GOOGLE: &'static str = "google";

    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId =
            InvalidId::new("the name of a provider", "1-32 of a-z, 0-9 and -, not starting with -, and not complete");
        let is_word = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if (1..=32).contains(&text.len()) && is_word && !text.starts_with('-') && text != "complete" {
            Label::parse(text).map(Self).map_err(|_| RULE)
        } else {
            Err(RULE)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name as identities and mappings have it.
    pub fn label(&self) -> &Label {
        &self.0
    }
}

impl TryFrom<String> for ProviderName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderName({self})")
    }
}

/// What proves to a provider that we are its client. Silent in `Debug`, wiped when dropped.
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// Reads a secret; the text is wiped.
    ///
    /// # Errors
    /// The rule that the text breaks; never the text.
    pub fn parse(text: String) -> Result<Self, &'static str> {
        let text = Zeroizing::new(text);
        if (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err("must be 1-1024 visible ASCII characters")
        }
    }

    /// The secret, for the one request that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Clone for ClientSecret {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_url_is_https_or_on_loopback_and_has_no_more_than_a_path() {
        let name = ProviderName::parse("corp-1").unwrap();
        for (text, callback) in [
            ("https://keys.example", "https://keys.example/auth/corp-1/callback"),
            ("https://keys.example/", "https://keys.example/auth/corp-1/callback"),
            ("https://keys.example:8443/keyloft/", "https://keys.example:8443/keyloft/auth/corp-1/callback"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/auth/corp-1/callback"),
            ("http://[::1]:8000", "http://[::1]:8000/auth/corp-1/callback"),
            ("http://localhost", "http://localhost/auth/corp-1/callback"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().callback(&name), callback);
        }
        for bad in [
            "",
            "keys.example",
            "http://keys.example",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "ftp://127.0.0.1",
            "https://user@keys.example",
            "https://:secret@keys.example",
            "https://keys.example/?a",
            "https://keys.example/#a",
            "https://keys.example/\n",
            " https://keys.example",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        for good in ["corp", "github", "a", "0-1", &"a".repeat(32)] {
            assert_eq!(ProviderName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "Corp", "a_b", "a/b", "..", "a b", "complete", &"a".repeat(33)] {
            assert!(ProviderName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_client_secret_is_silent() {
        let secret = ClientSecret::parse("hunter2".to_owned()).unwrap();
        assert_eq!((format!("{secret:?}").as_str(), secret.expose()), ("ClientSecret(..)", "hunter2"));
        for bad in ["", "a b", "a\n", "ä", &"a".repeat(1025)] {
            assert!(ClientSecret::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
