//! Signing in with OpenID Connect: authorization code, PKCE, state and nonce.

use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use super::attempt::{Attempt, Callback};
use super::claims::{display_name, groups, mapped_groups, verified_email};
use super::discovery::{Discovery, Endpoints};
use super::error::{SignInError, code};
use super::fetch::{Authorization, Fetch};
use super::google::Google;
use super::names::{ClientSecret, ProviderName, PublicUrl, base_url};
use super::settings::{GoogleSettings, OidcSettings};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::jwt::{Claims, Expected, Refusal, id_token};
use crate::operators::{Identity, Mapping};

/// A provider with OpenID Connect.
#[derive(Debug)]
pub(super) struct Oidc {
    name: ProviderName,
    issuer: String,
    client_id: String,
    client_secret: ClientSecret,
    redirect_uri: String,
    scope: String,
    rules: Rules,
    fetch: Fetch,
    discovery: Discovery,
    clock: Arc<dyn Clock>,
}

/// What the claims of a provider mean.
#[derive(Debug)]
enum Rules {
    Standard { trust_email: bool, groups_claim: String, mapped: Vec<String> },
    Google(Google),
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
}

#[derive(Deserialize)]
struct TokenError {
    error: Option<String>,
}

impl Oidc {
    /// Any provider.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an issuer that is no URL as [`base_url`] wants it.
    pub(super) fn new(
        settings: &OidcSettings,
        mappings: &[Mapping],
        public_url: &PublicUrl,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let rules = Rules::Standard {
            trust_email: settings.trust_email,
            groups_claim: settings.groups_claim.clone(),
            mapped: mapped_groups(mappings, &settings.name),
        };
        let client = (&*settings.client_id, &settings.client_secret);
        let mut scopes: Vec<&str> = settings.scopes.iter().map(String::as_str).collect();
        if !scopes.contains(&"openid") {
            scopes.insert(0, "openid");
        }
        Self::with_rules(&settings.name, &settings.issuer, client, &scopes.join(" "), rules, public_url, clock)
    }

    /// Google.
    ///
    /// # Errors
    /// As for [`Oidc::new`].
    pub(super) fn google(settings: &GoogleSettings, public_url: &PublicUrl, clock: Arc<dyn Clock>) -> Result<Self> {
        let rules = Rules::Google(Google::new(&settings.issuer, &settings.hosted_domains));
        let client = (&*settings.client_id, &settings.client_secret);
        let scope = OidcSettings::SCOPES.join(" ");
        Self::with_rules(&settings.name, &settings.issuer, client, &scope, rules, public_url, clock)
    }

    fn with_rules(
        name: &ProviderName,
        issuer: &str,
        client: (&str, &ClientSecret),
        scope: &str,
        rules: Rules,
        public_url: &PublicUrl,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let unusable = || Error::invalid(format!("the issuer of {name} must be https, or http on loopback"));
        let place = base_url(issuer).and_then(|_| base_url(&Discovery::place(issuer))).ok_or_else(unusable)?;
        let fetch = Fetch::new(name, &place)?;
        Ok(Self {
            name: name.clone(),
            issuer: issuer.to_owned(),
            client_id: client.0.to_owned(),
            client_secret: client.1.clone(),
            redirect_uri: public_url.callback(name),
            scope: scope.to_owned(),
            rules,
            discovery: Discovery::new(issuer, place, fetch.clone(), clock.clone()),
            fetch,
            clock,
        })
    }

    /// See [`Provider::begin`](super::Provider::begin).
    pub(super) async fn begin(&self) -> Result<(Url, Attempt), SignInError> {
        let endpoints = self.discovery.endpoints().await?;
        let attempt = Attempt::new(&self.name)?;
        let mut url = endpoints.authorization.clone();
        attempt.ask(&mut url, &self.client_id, &self.redirect_uri, &self.scope);
        url.query_pairs_mut().append_pair("nonce", attempt.nonce());
        if let Rules::Google(google) = &self.rules
            && let Some(domain) = google.hint()
        {
            url.query_pairs_mut().append_pair("hd", domain);
        }
        Ok((url, attempt))
    }

    /// See [`Provider::finish`](super::Provider::finish).
    pub(super) async fn finish(&self, attempt: &Attempt, callback: &Callback) -> Result<Identity, SignInError> {
        attempt.check_state(&self.name, callback)?;
        let endpoints = self.discovery.endpoints().await?;
        let issuers = self.issuers();
        let code = attempt.code(&self.name, callback, &issuers, endpoints.says_issuer)?;
        let token = self.redeem(&endpoints, code, attempt).await?;
        let expected = Expected { issuers: &issuers, client_id: &self.client_id, nonce: attempt.nonce() };
        let claims = self.check(&endpoints, &token, &expected).await?;
        self.identity(claims)
    }

    /// How the provider spells itself.
    fn issuers(&self) -> Vec<&str> {
        match &self.rules {
            Rules::Standard { .. } => vec![&self.issuer],
            Rules::Google(google) => vec![&self.issuer, google.legacy_issuer()],
        }
    }

    /// Exchanges a code for an ID token.
    async fn redeem(&self, endpoints: &Endpoints, code: &str, attempt: &Attempt) -> Result<String, SignInError> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", attempt.verifier()),
        ];
        let by = if endpoints.secret_in_form {
            form.extend([("client_id", &*self.client_id), ("client_secret", self.client_secret.expose())]);
            Authorization::None
        } else {
            Authorization::Basic(&self.client_id, self.client_secret.expose())
        };
        let answer = self.fetch.post(&endpoints.token, &form, by).await?;
        if !answer.is_success() {
            let error = answer.json::<TokenError>().and_then(|answer| answer.error).unwrap_or_default();
            let (status, error) = (answer.status(), self::code(&error));
            return Err(SignInError::failed(format_args!("the provider refuses the code: {status}, {error}")));
        }
        let tokens = answer.json::<Tokens>().and_then(|tokens| tokens.id_token);
        tokens.ok_or_else(|| SignInError::failed("the provider answers without an ID token"))
    }

    /// Checks a token with the keys that are known, and once more with newer ones when it names another.
    async fn check(&self, endpoints: &Endpoints, token: &str, expected: &Expected<'_>) -> Result<Claims, SignInError> {
        let keys = self.discovery.keys(endpoints).await?;
        let checked = match id_token::check(token, &keys, expected, self.clock.now()) {
            Err(Refusal::UnknownKey) => {
                let keys = self.discovery.newer_keys(endpoints, keys).await?;
                id_token::check(token, &keys, expected, self.clock.now())
            }
            checked => checked,
        };
        checked.map_err(SignInError::failed)
    }

    fn identity(&self, claims: Claims) -> Result<Identity, SignInError> {
        let others = &claims.others;
        let (email, groups) = match &self.rules {
            Rules::Standard { trust_email, groups_claim, mapped } => {
                (verified_email(others, *trust_email), groups(others, groups_claim, mapped))
            }
            Rules::Google(google) => {
                google.check_domain(others)?;
                (Google::email(others), Vec::new())
            }
        };
        let identity = Identity {
            provider: self.name.label().clone(),
            issuer: self.issuer.clone(),
            subject: claims.subject,
            display_name: display_name(others),
            email,
            groups,
        };
        identity.id().map_err(SignInError::failed)?;
        Ok(identity)
    }
}
