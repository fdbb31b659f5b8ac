//! What the configuration says about signing in.

use std::time::Duration;

use super::names::{ClientSecret, ProviderName, PublicUrl};
use crate::operators::{Mapping, OperatorId};

/// Who may sign in, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where browsers reach this system; there is no provider without one.
    pub public_url: Option<PublicUrl>,
    /// The identity providers.
    pub providers: Vec<ProviderSettings>,
    /// Roles that follow from groups.
    pub mappings: Vec<Mapping>,
    /// Who is admin of the platform by configuration.
    pub platform_admins: Vec<OperatorId>,
    /// How long a session lasts.
    pub session_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            providers: Vec::new(),
            mappings: Vec::new(),
            platform_admins: Vec::new(),
            session_ttl: Duration::from_secs(8 * 3600),
        }
    }
}

/// One provider.
#[derive(Debug, Clone)]
pub enum ProviderSettings {
    /// A provider with OpenID Connect.
    Oidc(OidcSettings),
    /// GitHub, or a GitHub Enterprise Server.
    GitHub(GitHubSettings),
    /// Google.
    Google(GoogleSettings),
}

/// A provider with OpenID Connect.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// What the configuration calls it.
    pub name: ProviderName,
    /// Its own name for itself, exactly as it spells it.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// What proves that.
    pub client_secret: ClientSecret,
    /// What people see; its name where none is given.
    pub display_name: Option<String>,
    /// What is asked for; `openid` is always among it.
    pub scopes: Vec<String>,
    /// Whether each address counts as verified, also without `email_verified`.
    pub trust_email: bool,
    /// The claim that lists groups.
    pub groups_claim: String,
}

impl OidcSettings {
    /// What is asked for unless the configuration says otherwise.
    pub const SCOPES: [&'static str; 3] = ["openid", "email", "profile"];
    /// The claim that lists groups unless the configuration says otherwise.
    pub const GROUPS_CLAIM: &'static str = "groups";
}

/// GitHub, or a GitHub Enterprise Server.
#[derive(Debug, Clone)]
pub struct GitHubSettings {
    /// What the configuration calls it.
    pub name: ProviderName,
    /// The client id of the OAuth app.
    pub client_id: String,
    /// What proves that.
    pub client_secret: ClientSecret,
    /// Where people sign in, without a slash at its end; also the issuer of its people.
    pub url: String,
    /// Where the API is, without a slash at its end.
    pub api_url: String,
}

impl GitHubSettings {
    /// Where people sign in at github.com.
    pub const URL: &'static str = "https://github.com";
    /// Where the API of github.com is.
    pub const API_URL: &'static str = "https://api.github.com";
}

/// Google.
#[derive(Debug, Clone)]
pub struct GoogleSettings {
    /// What the configuration calls it.
    pub name: ProviderName,
    /// The client id.
    pub client_id: String,
    /// What proves that.
    pub client_secret: ClientSecret,
    /// Its issuer.
    pub issuer: String,
    /// The Workspace domains whose accounts may sign in; empty for all accounts.
    pub hosted_domains: Vec<String>,
}

impl GoogleSettings {
    /// The issuer of Google.
    pub const ISSUER: &'static str = "https://accounts.google.com";
}

impl ProviderSettings {
    /// What the configuration calls it.
    pub fn name(&self) -> &ProviderName {
        match self {
            Self::Oidc(settings) => &settings.name,
            Self::GitHub(settings) => &settings.name,
            Self::Google(settings) => &settings.name,
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Oidc(_) => Kind::Oidc,
            Self::GitHub(_) => Kind::GitHub,
            Self::Google(_) => Kind::Google,
        }
    }
}

/// What a provider is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenID Connect.
    Oidc,
    /// GitHub: OAuth and its API.
    GitHub,
    /// Google: OpenID Connect, with rules of its own.
    Google,
}

impl Kind {
    /// The word of answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::GitHub => "github",
            Self::Google => "google",
        }
    }
}
