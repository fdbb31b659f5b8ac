//! Requests to providers, and their bounds. The only file here that names `reqwest`.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use serde::de::DeserializeOwned;
use url::Url;

use super::error::SignInError;
use super::names::{ProviderName, has_no_user, is_plain_loopback};
use crate::error::{Error, ErrorKind, Result};

/// How long a provider may take for one answer, from connecting to its last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer.
const MAX_BYTES: usize = 1 << 20;
/// Sign-ins are rare, and a provider closes connections that nobody uses.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes requests to one provider.
///
/// - over https, or over http to this machine when the provider itself is reached so.
/// - 5 s and 1 MiB an answer; no redirect is followed.
/// - a request to this machine never takes a proxy; others take that of the environment (`HTTPS_PROXY`), which sees
///   neither secrets nor tokens.
#[derive(Debug, Clone)]
pub(super) struct Fetch {
    provider: ProviderName,
    client: Client,
    is_plain: bool,
}

/// What a provider answered: a success, or a refusal (4xx). Anything else is [`SignInError::Unavailable`].
pub(super) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

/// How a request says who it is from.
pub(super) enum Authorization<'a> {
    /// It does not.
    None,
    /// Name and secret of a client.
    Basic(&'a str, &'a str),
    /// A token of a person.
    Bearer(&'a str),
}

impl Fetch {
    /// For the provider whose first URL is `base`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the root certificates of the operating system cannot be read.
    pub(super) fn new(provider: &ProviderName, base: &Url) -> Result<Self> {
        let is_plain = is_plain_loopback(base);
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .https_only(!is_plain)
            .user_agent(concat!("keyloft/", env!("CARGO_PKG_VERSION")));
        // Plain HTTP must work on machines that hold no certificates at all.
        let client = if is_plain { client.no_proxy().tls_built_in_root_certs(false) } else { client };
        let client = client.build().map_err(|error| {
            let message = format!("requests to the identity provider {provider} cannot be set up");
            Error::new(ErrorKind::Internal, message).caused_by(error)
        })?;
        Ok(Self { provider: provider.clone(), client, is_plain })
    }

    /// Reads a URL that the provider published, and refuses one that it may not send us to.
    pub(super) fn permitted(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| has_no_user(url) && url.fragment().is_none())?;
        (url.scheme() == "https" || self.is_plain && is_plain_loopback(&url)).then_some(url)
    }

    /// `GET`.
    pub(super) async fn get(&self, url: &Url, accept: &str, by: Authorization<'_>) -> Result<Answer, SignInError> {
        self.send(url, authorized(self.client.get(url.clone()).header(ACCEPT, accept), by)).await
    }

    /// `POST` of a form that is answered in JSON.
    pub(super) async fn post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        by: Authorization<'_>,
    ) -> Result<Answer, SignInError> {
        let request = self.client.post(url.clone()).header(ACCEPT, "application/json").form(form);
        self.send(url, authorized(request, by)).await
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Answer, SignInError> {
        let mut answer = request.send().await.map_err(|error| self.no_answer(url, &error))?;
        let status = answer.status();
        if !(status.is_success() || status.is_client_error()) || is_limited(status, answer.headers()) {
            return Err(self.unavailable(url, &format!("it answers {}", status.as_u16())));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.no_answer(url, &error))? {
            if body.len() + piece.len() > MAX_BYTES {
                return Err(self.unavailable(url, "its answer is larger than 1 MiB"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, body })
    }

    fn no_answer(&self, url: &Url, error: &reqwest::Error) -> SignInError {
        if error.is_timeout() {
            return self.unavailable(url, "no whole answer within 5 s");
        }
        // The last cause says it best: `Connection refused`.
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        self.unavailable(url, &super::error::quoted(&cause.to_string()))
    }

    /// Notes why the provider cannot be used at the moment.
    pub(super) fn unavailable(&self, url: &Url, reason: &str) -> SignInError {
        // Without the query: it may hold what a person gave.
        let place = format!("{}{}", url.origin().ascii_serialization(), url.path());
        tracing::warn!(provider = %self.provider, url = %place, "the identity provider is not available: {reason}");
        SignInError::Unavailable
    }
}

impl Answer {
    /// Whether the provider did what it was asked.
    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// The number of the status.
    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The body.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

fn authorized(request: RequestBuilder, by: Authorization<'_>) -> RequestBuilder {
    match by {
        Authorization::None => request,
        // Both are encoded as in a form first (RFC 6749, section 2.3.1).
        Authorization::Basic(name, secret) => request.basic_auth(form_encoded(name), Some(form_encoded(secret))),
        Authorization::Bearer(token) => request.bearer_auth(token),
    }
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Whether the provider asks to come back later. GitHub says so by 403, too.
fn is_limited(status: StatusCode, headers: &HeaderMap) -> bool {
    let is_spent = headers.get("x-ratelimit-remaining").is_some_and(|left| left.as_bytes() == b"0");
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::FORBIDDEN && (is_spent || headers.contains_key(RETRY_AFTER))
}
