//! What a provider with OpenID Connect publishes: its endpoints (OpenID Connect Discovery 1.0) and its keys.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::cached::Cached;
use super::error::{SignInError, quoted};
use super::fetch::{Authorization, Fetch};
use crate::clock::Clock;
use crate::jwt::KeySet;

/// How long what was fetched is used.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// How soon keys are fetched again for the sake of one that is not among them.
const KEYS_PAUSE: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";

/// The endpoints of a provider.
#[derive(Debug)]
pub(super) struct Endpoints {
    /// Where browsers are sent.
    pub(super) authorization: Url,
    /// Where codes are exchanged.
    pub(super) token: Url,
    /// Where the keys are.
    keys: Url,
    /// Whether the client secret goes into the form, and not into a header.
    pub(super) secret_in_form: bool,
    /// Whether answers say which provider they are of (RFC 9207).
    pub(super) says_issuer: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Fetches what a provider publishes when it is needed first, and keeps it for an hour at most. Nothing is fetched at
/// start, so a provider that is down does not stop one.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: String,
    place: Url,
    fetch: Fetch,
    clock: Arc<dyn Clock>,
    endpoints: Cached<Endpoints>,
    keys: Cached<KeySet>,
}

impl Discovery {
    /// For a provider by its issuer, whose document is at `place`.
    pub(super) fn new(issuer: &str, place: Url, fetch: Fetch, clock: Arc<dyn Clock>) -> Self {
        let (endpoints, keys) = (Cached::default(), Cached::default());
        Self { issuer: issuer.to_owned(), place, fetch, clock, endpoints, keys }
    }

    /// Where the document of an issuer is: behind its path, whose final slash does not count.
    pub(super) fn place(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// The endpoints.
    ///
    /// # Errors
    /// [`SignInError::Unavailable`] when they cannot be fetched, [`SignInError::Failed`] when the document is that of
    /// another issuer.
    pub(super) async fn endpoints(&self) -> Result<Arc<Endpoints>, SignInError> {
        self.endpoints.get(&*self.clock, MAX_AGE, self.fetch_endpoints()).await
    }

    /// The keys.
    ///
    /// # Errors
    /// [`SignInError::Unavailable`] when they cannot be fetched.
    pub(super) async fn keys(&self, endpoints: &Endpoints) -> Result<Arc<KeySet>, SignInError> {
        self.keys.get(&*self.clock, MAX_AGE, self.fetch_keys(endpoints)).await
    }

    /// The keys, once more: a token names one that is not among the `old` ones. They are fetched once a minute at most.
    ///
    /// # Errors
    /// As for [`Discovery::keys`].
    pub(super) async fn newer_keys(&self, endpoints: &Endpoints, old: Arc<KeySet>) -> Result<Arc<KeySet>, SignInError> {
        self.keys.renew(old, &*self.clock, KEYS_PAUSE, self.fetch_keys(endpoints)).await
    }

    async fn fetch_endpoints(&self) -> Result<Endpoints, SignInError> {
        let answer = self.fetch.get(&self.place, JSON, Authorization::None).await?;
        let unusable = |reason: &str| self.fetch.unavailable(&self.place, reason);
        if !answer.is_success() {
            return Err(unusable(&format!("it answers {}", answer.status())));
        }
        let document: Document = answer.json().ok_or_else(|| unusable("its answer is no discovery document"))?;
        if document.issuer != self.issuer {
            return Err(SignInError::failed(format_args!(
                "the issuer is configured as {}, and the provider calls itself {}: write it exactly so",
                quoted(&self.issuer),
                quoted(&document.issuer)
            )));
        }
        let url = |text: &str| self.fetch.permitted(text).ok_or_else(|| unusable("an endpoint of it is not https"));
        let methods = document.token_endpoint_auth_methods_supported.unwrap_or_default();
        let takes = |method: &str| methods.iter().any(|one| one == method);
        Ok(Endpoints {
            authorization: url(&document.authorization_endpoint)?,
            token: url(&document.token_endpoint)?,
            keys: url(&document.jwks_uri)?,
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
            says_issuer: document.authorization_response_iss_parameter_supported,
        })
    }

    async fn fetch_keys(&self, endpoints: &Endpoints) -> Result<KeySet, SignInError> {
        let answer = self.fetch.get(&endpoints.keys, JSON, Authorization::None).await?;
        if !answer.is_success() {
            return Err(self.fetch.unavailable(&endpoints.keys, &format!("it answers {}", answer.status())));
        }
        KeySet::parse(answer.body()).map_err(|error| self.fetch.unavailable(&endpoints.keys, &error.to_string()))
    }
}
