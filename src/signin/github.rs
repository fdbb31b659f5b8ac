//! Signing in at GitHub, which has OAuth and an API, and no OpenID Connect for people.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use super::attempt::{Attempt, Callback};
use super::claims::{mapped_groups, shown_name};
use super::error::{SignInError, code};
use super::fetch::{Answer, Authorization, Fetch};
use super::names::{ClientSecret, ProviderName, PublicUrl, base_url};
use super::settings::GitHubSettings;
use crate::error::{Error, Result};
use crate::operators::{Email, Identity, Mapping};

/// The media type of the API.
const JSON: &str = "application/vnd.github+json";
/// How many addresses a page has, and how many pages are read.
const PAGE: usize = 100;
const MAX_PAGES: usize = 5;
/// What hides the address of a person. GitHub has verified it, and nobody reads what is sent there.
const NO_REPLY: &str = "@users.noreply.github.com";

/// GitHub, or a GitHub Enterprise Server.
#[derive(Debug)]
pub(super) struct GitHub {
    name: ProviderName,
    issuer: String,
    url: Url,
    api: Url,
    client_id: String,
    client_secret: ClientSecret,
    redirect_uri: String,
    /// The organisations (`org`) and teams (`org/team`) that mappings name, in order.
    groups: Vec<String>,
    fetch: Fetch,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Option<Zeroizing<String>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    email: String,
    primary: bool,
    verified: bool,
}

#[derive(Deserialize)]
struct Membership {
    state: String,
}

impl GitHub {
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a URL that is not https and not on loopback.
    pub(super) fn new(settings: &GitHubSettings, mappings: &[Mapping], public_url: &PublicUrl) -> Result<Self> {
        let unusable = || Error::invalid("the URLs of github must be https, or http on loopback");
        let (url, api) = (base_url(&settings.url).ok_or_else(unusable)?, base_url(&settings.api_url));
        let fetch = Fetch::new(&settings.name, &url)?;
        let mut groups = mapped_groups(mappings, &settings.name);
        groups.sort_by(|one, other| one.split('/').cmp(other.split('/')));
        let api = api.filter(|api| fetch.permitted(api.as_str()).is_some()).ok_or_else(unusable)?;
        Ok(Self {
            name: settings.name.clone(),
            issuer: settings.url.clone(),
            url,
            api,
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
            redirect_uri: public_url.callback(&settings.name),
            groups,
            fetch,
        })
    }

    /// See [`Provider::begin`](super::Provider::begin).
    pub(super) fn begin(&self) -> Result<(Url, Attempt), SignInError> {
        let attempt = Attempt::new(&self.name)?;
        let mut url = below(&self.url, &["login", "oauth", "authorize"]);
        // Organisations are asked for only when a mapping needs to know.
        let scope = if self.groups.is_empty() { "user:email" } else { "user:email read:org" };
        attempt.ask(&mut url, &self.client_id, &self.redirect_uri, scope);
        url.query_pairs_mut().append_pair("allow_signup", "false");
        Ok((url, attempt))
    }

    /// See [`Provider::finish`](super::Provider::finish).
    pub(super) async fn finish(&self, attempt: &Attempt, callback: &Callback) -> Result<Identity, SignInError> {
        // GitHub does not say who it is, but its discovery document names `/login/oauth`.
        let oauth_issuer = format!("{}/login/oauth", self.issuer);
        let code = attempt.code(&self.name, callback, &[&self.issuer, &oauth_issuer], false)?;
        let token = self.redeem(code, attempt).await?;
        let user: User = self.read(&below(&self.api, &["user"]), &token).await?;
        let email = self.verified_email(&token).await?;
        let groups = self.groups_of(&user, &token).await?;
        let identity = Identity {
            provider: self.name.label().clone(),
            issuer: self.issuer.clone(),
            subject: user.id.to_string(),
            display_name: user.name.as_deref().and_then(shown_name).or_else(|| shown_name(&user.login)),
            email,
            groups,
        };
        identity.id().map_err(SignInError::failed)?;
        Ok(identity)
    }

    /// Exchanges a code for a token, which is used for this sign-in only and not kept.
    async fn redeem(&self, code: &str, attempt: &Attempt) -> Result<Zeroizing<String>, SignInError> {
        let form = [
            ("client_id", &*self.client_id),
            ("client_secret", self.client_secret.expose()),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", attempt.verifier()),
        ];
        let url = below(&self.url, &["login", "oauth", "access_token"]);
        let answer = self.fetch.post(&url, &form, Authorization::None).await?;
        // Errors come with status 200 too.
        let granted = answer.json::<Granted>().unwrap_or(Granted { access_token: None, error: None });
        match granted {
            Granted { access_token: Some(token), error: None } if answer.is_success() => Ok(token),
            Granted { error, .. } => {
                let (status, error) = (answer.status(), self::code(error.as_deref().unwrap_or_default()));
                Err(SignInError::failed(format_args!("GitHub refuses the code: {status}, {error}")))
            }
        }
    }

    async fn api(&self, url: &Url, token: &str) -> Result<Answer, SignInError> {
        self.fetch.get(url, JSON, Authorization::Bearer(token)).await
    }

    /// What the API must answer.
    async fn read<T: DeserializeOwned>(&self, url: &Url, token: &str) -> Result<T, SignInError> {
        let answer = self.api(url, token).await?;
        let value = answer.json().filter(|_| answer.is_success());
        value.ok_or_else(|| {
            SignInError::failed(format_args!(
                "GitHub does not answer {} as documented: {}",
                url.path(),
                answer.status()
            ))
        })
    }

    /// The primary address if it is verified and read, else the first that is.
    async fn verified_email(&self, token: &str) -> Result<Option<Email>, SignInError> {
        let mut first = None;
        for page in 1..=MAX_PAGES {
            let mut url = below(&self.api, &["user", "emails"]);
            url.query_pairs_mut().append_pair("per_page", &PAGE.to_string()).append_pair("page", &page.to_string());
            let answer = self.api(&url, token).await?;
            // A person may be in without an address.
            let Some(addresses) = answer.json::<Vec<Address>>().filter(|_| answer.is_success()) else { break };
            let is_last = addresses.len() < PAGE;
            for Address { email, primary, .. } in addresses.into_iter().filter(Address::counts) {
                match Email::parse(&email) {
                    Ok(email) if primary => return Ok(Some(email)),
                    Ok(email) => _ = first.get_or_insert(email),
                    Err(_) => {}
                }
            }
            if is_last {
                break;
            }
        }
        Ok(first)
    }

    /// Which organisations and teams of the mappings the person belongs to. They stand in order, so an organisation is
    /// asked for once.
    async fn groups_of(&self, user: &User, token: &str) -> Result<Vec<String>, SignInError> {
        let mut groups = Vec::new();
        let mut known: Option<(&str, bool)> = None;
        for group in &self.groups {
            let (org, team) = group.split_once('/').map_or((&**group, None), |(org, team)| (org, Some(team)));
            let is_member = match known {
                Some((asked, is_member)) if asked == org => is_member,
                _ => self.is_active(&["user", "memberships", "orgs", org], token).await?,
            };
            known = Some((org, is_member));
            let belongs = match team {
                Some(team) if is_member => {
                    let path = ["orgs", org, "teams", team, "memberships", &user.login];
                    self.is_active(&path, token).await?
                }
                _ => is_member,
            };
            if belongs {
                groups.push(group.clone());
            }
        }
        Ok(groups)
    }

    /// Whether a membership is there and has been accepted. 403 and 404 say that there is none, or that the
    /// organisation has not approved the OAuth app.
    async fn is_active(&self, path: &[&str], token: &str) -> Result<bool, SignInError> {
        let answer = self.api(&below(&self.api, path), token).await?;
        Ok(answer.is_success() && answer.json::<Membership>().is_some_and(|membership| membership.state == "active"))
    }
}

impl Address {
    fn counts(&self) -> bool {
        self.verified && !self.email.to_ascii_lowercase().ends_with(NO_REPLY)
    }
}

/// A URL with these segments behind its path.
fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Only URLs without a host have no segments.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}
