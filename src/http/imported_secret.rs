//! An imported secret in a body: the API key itself, or its digest and hint.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::app::App;
use super::error::Problem;
use crate::key::{Digest, Hint, KeyType, own};
use crate::keystore::SuppliedSecret;

/// An API key in clear text, wiped when dropped and silent in `Debug`.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct PlainText(Zeroizing<String>);

impl fmt::Debug for PlainText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainText(..)")
    }
}

/// A digest as documents write it.
#[derive(Debug, Clone, Copy)]
pub struct DigestText(Digest);

impl<'de> Deserialize<'de> for DigestText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?); // A client may have put the key itself here.
        Digest::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The last four characters of a secret that is imported by its digest.
#[derive(Debug, Clone, Copy)]
pub struct HintText(Hint);

impl<'de> Deserialize<'de> for HintText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Hint::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The secret that `apiKey`, or `digest` with an optional `hint`, imports; `None` when the server is to generate one.
///
/// # Errors
/// 400 when both are there, when the API key breaks the rules of [`own::judge`], or when it is the admin token. A
/// digest cannot be checked for how easily its secret is guessed.
pub fn imported_secret(
    app: &App,
    key_type: KeyType,
    api_key: Option<&PlainText>,
    digest: Option<DigestText>,
    hint: Option<HintText>,
) -> Result<Option<SuppliedSecret>, Problem> {
    let (digest, hint) = match (api_key, digest, hint) {
        (None, None, None) => return Ok(None),
        (Some(text), None, None) => own::judge(&text.0, key_type)?,
        (None, Some(digest), hint) => (digest.0, hint.map_or_else(Hint::default, |hint| hint.0)),
        (Some(_), _, _) => return Err(Problem::invalid("Send apiKey, or digest and hint, not both.")),
        (None, None, Some(_)) => return Err(Problem::invalid("A hint needs the digest that it belongs to.")),
    };
    refuse_admin_token(app, &digest)?;
    Ok(Some(SuppliedSecret { digest, hint, own: true }))
}

/// The admin token must not be a key as well.
///
/// # Errors
/// 400 when this is the digest of the admin token.
pub fn refuse_admin_token(app: &App, digest: &Digest) -> Result<(), Problem> {
    if app.admin_token.is(digest) {
        return Err(Problem::invalid("The admin token cannot be an API key."));
    }
    Ok(())
}
