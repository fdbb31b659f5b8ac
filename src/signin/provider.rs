//! All providers, and what each of them can do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use url::Url;

use super::attempt::{Attempt, Callback};
use super::error::SignInError;
use super::github::GitHub;
use super::names::ProviderName;
use super::oidc::Oidc;
use super::settings::{Kind, ProviderSettings, Settings};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::operators::Identity;

/// How long a provider may take for all the answers that a step of a sign-in needs.
const PATIENCE: Duration = Duration::from_secs(15);

/// The identity providers of a configuration. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Providers(Arc<[Provider]>);

/// An identity provider.
#[derive(Debug)]
pub struct Provider {
    name: ProviderName,
    display_name: String,
    kind: Kind,
    protocol: Protocol,
}

#[derive(Debug)]
enum Protocol {
    Oidc(Box<Oidc>),
    GitHub(Box<GitHub>),
}

impl Providers {
    /// Sets up all providers, and asks none of them anything: one that is down does not stop a start.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for providers without a public URL, for a URL that is not
    /// https and not on loopback, and for a name that is given twice;
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) when the root certificates of the system cannot be
    /// read.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut providers: Vec<Provider> = Vec::new();
        for one in &settings.providers {
            if providers.iter().any(|other| other.name == *one.name()) {
                return Err(Error::invalid(format!("there are two identity providers with the name {}", one.name())));
            }
            providers.push(Provider::new(one, settings, clock.clone())?);
        }
        Ok(Self(providers.into()))
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter()
    }

    /// The one that the configuration calls so.
    pub fn get(&self, name: &str) -> Option<&Provider> {
        self.all().find(|provider| provider.name.as_str() == name)
    }
}

impl Provider {
    fn new(provider: &ProviderSettings, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let public_url = settings.public_url.as_ref();
        let public_url = public_url.ok_or_else(|| Error::invalid("identity providers need --public-url"))?;
        let mappings = &settings.mappings;
        let (display_name, protocol) = match provider {
            ProviderSettings::Oidc(oidc) => {
                let shown = oidc.display_name.clone().unwrap_or_else(|| oidc.name.to_string());
                (shown, Protocol::Oidc(Oidc::new(oidc, mappings, public_url, clock)?.into()))
            }
            ProviderSettings::Google(google) => {
                ("Google".to_owned(), Protocol::Oidc(Oidc::google(google, public_url, clock)?.into()))
            }
            ProviderSettings::GitHub(github) => {
                ("GitHub".to_owned(), Protocol::GitHub(GitHub::new(github, mappings, public_url)?.into()))
            }
        };
        Ok(Self { name: provider.name().clone(), display_name, kind: provider.kind(), protocol })
    }

    /// What the configuration calls it.
    pub fn name(&self) -> &ProviderName {
        &self.name
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What people see.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// The address that the browser is sent to, and what the sign-in has to remember until the browser is back.
    ///
    /// # Errors
    /// [`SignInError::Unavailable`] when the provider does not answer as it must, [`SignInError::Failed`] when its
    /// configuration is wrong.
    pub async fn begin(&self) -> Result<(Url, Attempt), SignInError> {
        let begun = match &self.protocol {
            Protocol::Oidc(oidc) => timeout(PATIENCE, oidc.begin()).await,
            Protocol::GitHub(github) => Ok(github.begin()),
        };
        begun.unwrap_or_else(|_| Err(self.too_slow()))
    }

    /// Who it is, once the browser is back with these parameters. A code is redeemed once; a second try with it fails
    /// at the provider.
    ///
    /// # Errors
    /// [`SignInError::Denied`] when the person or the provider said no, [`SignInError::Unavailable`] when the provider
    /// does not answer as it must, [`SignInError::Failed`] when what came back is not of this attempt or cannot be
    /// believed.
    pub async fn finish(&self, attempt: &Attempt, callback: &Callback) -> Result<Identity, SignInError> {
        let finished = match &self.protocol {
            Protocol::Oidc(oidc) => timeout(PATIENCE, oidc.finish(attempt, callback)).await,
            Protocol::GitHub(github) => timeout(PATIENCE, github.finish(attempt, callback)).await,
        };
        finished.unwrap_or_else(|_| Err(self.too_slow()))
    }

    fn too_slow(&self) -> SignInError {
        tracing::warn!(provider = %self.name, "the identity provider is not available: it takes more than 15 s");
        SignInError::Unavailable
    }
}
