//! Finding out at an identity provider who somebody is: without routes, against real providers and bad ones.

mod bad;
mod flow;
mod github;
mod google;

use std::sync::Arc;

use keyloft::testing::signin::{
    Callback, ClientSecret, OidcSettings, ProviderName, ProviderSettings, Providers, PublicUrl, Settings,
};
use keyloft::{Clock, SystemClock};
use url::Url;

use crate::support::oidc::CLIENT_SECRET;

/// A client of a provider, which the configuration calls `corp`.
fn oidc(issuer: &str, client_id: &str) -> OidcSettings {
    OidcSettings {
        name: ProviderName::parse("corp").unwrap(),
        issuer: issuer.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: ClientSecret::parse(CLIENT_SECRET.to_owned()).unwrap(),
        display_name: None,
        scopes: ["openid", "email", "profile", "groups"].map(str::to_owned).into(),
        trust_email: false,
        groups_claim: "groups".to_owned(),
    }
}

fn settings(providers: Vec<ProviderSettings>) -> Settings {
    let public_url = PublicUrl::parse("http://127.0.0.1:8000").ok();
    Settings { public_url, providers, ..Settings::default() }
}

fn providers(all: Vec<ProviderSettings>) -> Providers {
    providers_at(all, Arc::new(SystemClock))
}

fn providers_at(all: Vec<ProviderSettings>, clock: Arc<dyn Clock>) -> Providers {
    Providers::new(&settings(all), clock).unwrap()
}

/// What a browser brings back.
fn callback(url: &Url) -> Callback {
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    Callback { code: value("code"), state: value("state"), iss: value("iss"), error: value("error") }
}

/// A parameter of a URL.
fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
