//! What one sign-in remembers between sending a browser away and its return, and what comes back with it.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::error::SignInError;
use super::names::ProviderName;
use crate::key::{Digest, RandomText};

/// What one sign-in remembers. It and the parameters that come back are enough to finish the sign-in, so it belongs
/// into a cookie that no script reads. `Debug` shows nothing of it but the provider.
#[derive(Clone, Serialize, Deserialize)]
pub struct Attempt {
    #[serde(rename = "p")]
    provider: ProviderName,
    /// Comes back with the browser: it ties the answer to this attempt.
    #[serde(rename = "s")]
    state: Zeroizing<String>,
    /// Comes back in the ID token: it ties the token to this attempt.
    #[serde(rename = "n")]
    nonce: Zeroizing<String>,
    /// Proves that who redeems the code is who asked for it (PKCE, RFC 7636).
    #[serde(rename = "v")]
    verifier: Zeroizing<String>,
}

impl Attempt {
    /// A fresh attempt: three values of 32 random bytes.
    pub(super) fn new(provider: &ProviderName) -> Result<Self, SignInError> {
        let random = || RandomText::generate().map(RandomText::into_inner).map_err(SignInError::failed);
        Ok(Self { provider: provider.clone(), state: random()?, nonce: random()?, verifier: random()? })
    }

    /// Appends the parameters of a request for a code.
    pub(super) fn ask(&self, url: &mut Url, client_id: &str, redirect_uri: &str, scope: &str) {
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", scope)
            .append_pair("state", &self.state)
            .append_pair("code_challenge", &Digest::of(&self.verifier).base64url())
            .append_pair("code_challenge_method", "S256");
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    /// Checks that an answer belongs to this attempt at that provider, and that it came from one of `issuers`; when the
    /// provider announces to say so, the answer must (RFC 9207). Returns the code.
    ///
    /// # Errors
    /// [`SignInError::Denied`] when the person or the provider said no, [`SignInError::Unavailable`] when the provider
    /// says that it is, [`SignInError::Failed`] otherwise.
    pub(super) fn code<'a>(
        &self,
        provider: &ProviderName,
        callback: &'a Callback,
        issuers: &[&str],
        says_issuer: bool,
    ) -> Result<&'a str, SignInError> {
        self.check_state(provider, callback)?;
        match &callback.iss {
            Some(issuer) if !issuers.contains(&&**issuer) => {
                return Err(SignInError::failed("iss of the callback is another provider"));
            }
            None if says_issuer => {
                return Err(SignInError::failed("the callback has no iss, which the provider announces"));
            }
            _ => {}
        }
        match callback.error.as_deref() {
            None => {}
            Some("access_denied") => return Err(SignInError::Denied),
            Some(error @ ("server_error" | "temporarily_unavailable")) => {
                tracing::warn!(%provider, "the provider answers {error}");
                return Err(SignInError::Unavailable);
            }
            Some(error) => {
                return Err(SignInError::failed(format_args!("the provider answers {}", super::error::code(error))));
            }
        }
        callback.code.as_deref().filter(|code| !code.is_empty()).ok_or_else(|| SignInError::failed("no code came back"))
    }

    /// Whether an answer is for this attempt, by its `state`.
    pub fn is_answered_by(&self, callback: &Callback) -> bool {
        callback.state.as_ref().is_some_and(|state| Digest::of(&self.state).verify(&Digest::of(state)))
    }

    /// Before anything is asked of the provider.
    pub(super) fn check_state(&self, provider: &ProviderName, callback: &Callback) -> Result<(), SignInError> {
        callback.check_lengths()?;
        if self.provider != *provider {
            return Err(SignInError::failed("the sign-in was begun at another provider"));
        }
        let state = callback.state.as_deref().ok_or_else(|| SignInError::failed("no state came back"))?;
        // Digests, because those are compared in constant time.
        if !Digest::of(&self.state).verify(&Digest::of(state)) {
            return Err(SignInError::failed("state is that of another sign-in"));
        }
        Ok(())
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attempt({}, ..)", self.provider)
    }
}

/// The parameters with which a browser comes back. Others are ignored.
#[derive(Clone, Default, Deserialize)]
pub struct Callback {
    /// What is exchanged for tokens; at most 4 KiB.
    pub code: Option<String>,
    /// That of the attempt.
    pub state: Option<String>,
    /// The provider that answered (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

impl Callback {
    fn check_lengths(&self) -> Result<(), SignInError> {
        let bounds = [(&self.code, 4096), (&self.state, 256), (&self.iss, 1024), (&self.error, 256)];
        if bounds.iter().any(|(text, max)| text.as_ref().is_some_and(|text| text.len() > *max)) {
            return Err(SignInError::failed("a parameter of the callback is too long"));
        }
        Ok(())
    }
}

impl fmt::Debug for Callback {
    /// The code is a secret until it is redeemed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(..)")
    }
}
