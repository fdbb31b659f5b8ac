//! Identity providers in the environment, and what must be true of all of them together.

use std::ffi::OsString;
use std::path::Path;

use super::InvalidConfig;
use super::admin::read;
use crate::signin::{
    ClientSecret, GitHubSettings, GoogleSettings, Kind, OidcSettings, ProviderName, ProviderSettings, Settings,
    base_url,
};

const OIDC: &str = "KEYLOFT_OIDC";
const GITHUB: &str = "KEYLOFT_GITHUB";
const GOOGLE: &str = "KEYLOFT_GOOGLE";

/// The variables of one provider.
struct Variables<'a, F> {
    prefix: &'static str,
    environment: &'a F,
}

impl<F: Fn(&str) -> Option<OsString>> Variables<'_, F> {
    fn name(&self, end: &str) -> String {
        format!("{}_{end}", self.prefix)
    }

    fn text(&self, end: &str) -> Result<Option<String>, InvalidConfig> {
        let Some(text) = (self.environment)(&self.name(end)) else { return Ok(None) };
        let is_good = |text: &String| (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control);
        let text = text.into_string().ok().filter(is_good);
        text.map(Some).ok_or_else(|| InvalidConfig::new(self.name(end), "must be a text"))
    }

    fn required(&self, end: &str) -> Result<String, InvalidConfig> {
        let missing = || InvalidConfig::new(self.name(end), format!("is needed, as other {}_… are set", self.prefix));
        self.text(end)?.ok_or_else(missing)
    }

    fn parsed<T>(
        &self,
        end: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, InvalidConfig> {
        let text = self.text(end)?;
        parse(text.as_deref().unwrap_or(default)).map_err(|rule| InvalidConfig::new(self.name(end), rule))
    }

    fn secret(&self) -> Result<ClientSecret, InvalidConfig> {
        let (variable, file) = (self.name("CLIENT_SECRET"), self.name("CLIENT_SECRET_FILE"));
        let (place, text) = match ((self.environment)(&variable), (self.environment)(&file)) {
            (None, None) => {
                return Err(InvalidConfig::new(variable, format!("or {file} is needed for {}_CLIENT_ID", self.prefix)));
            }
            (Some(_), Some(_)) => {
                return Err(InvalidConfig::new(variable, format!("is set as well as {file}: set one of them")));
            }
            (Some(text), None) => {
                let text = text.into_string().map_err(|_| InvalidConfig::new(&variable, "is not UTF-8"))?;
                (variable, text)
            }
            (None, Some(path)) => {
                let text = read(&file, Path::new(&path))?;
                (file, text)
            }
        };
        ClientSecret::parse(text).map_err(|rule| InvalidConfig::new(place, format!("the client secret {rule}")))
    }

    /// Whether any of them is set.
    fn are_set(&self, ends: &[&str]) -> bool {
        ends.iter().any(|end| (self.environment)(&self.name(end)).is_some())
    }
}

const COMMON: [&str; 3] = ["CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE"];

/// Adds the providers of the environment, and checks all of them together.
///
/// # Errors
/// [`InvalidConfig`] for a provider that lacks something, a name that is given twice, a mapping of an unknown provider,
/// and providers without a public URL.
pub(super) fn complete(
    settings: &mut Settings,
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Result<(), InvalidConfig> {
    let of = |prefix| Variables { prefix, environment };
    let (oidc, github, google) = (of(OIDC), of(GITHUB), of(GOOGLE));
    if oidc.are_set(&COMMON) || oidc.are_set(&["NAME", "ISSUER"]) {
        settings.providers.push(ProviderSettings::Oidc(OidcSettings {
            name: oidc.parsed("NAME", "oidc", |text| ProviderName::parse(text).map_err(|error| error.to_string()))?,
            issuer: issuer(&oidc.required("ISSUER")?).map_err(|rule| InvalidConfig::new(oidc.name("ISSUER"), rule))?,
            client_id: oidc.required("CLIENT_ID")?,
            client_secret: oidc.secret()?,
            display_name: None,
            scopes: OidcSettings::SCOPES.map(str::to_owned).into(),
            trust_email: false,
            groups_claim: OidcSettings::GROUPS_CLAIM.to_owned(),
        }));
    }
    if github.are_set(&COMMON) || github.are_set(&["URL", "API_URL"]) {
        let url = github.parsed("URL", GitHubSettings::URL, plain_base)?;
        // A GitHub Enterprise Server has its API below its own address.
        let api_url =
            if url == GitHubSettings::URL { GitHubSettings::API_URL.to_owned() } else { format!("{url}/api/v3") };
        settings.providers.push(ProviderSettings::GitHub(GitHubSettings {
            name: fixed_name(ProviderName::GITHUB)?,
            client_id: github.required("CLIENT_ID")?,
            client_secret: github.secret()?,
            api_url: github.parsed("API_URL", &api_url, plain_base)?,
            url,
        }));
    }
    if google.are_set(&COMMON) || google.are_set(&["ISSUER", "HOSTED_DOMAINS"]) {
        settings.providers.push(ProviderSettings::Google(GoogleSettings {
            name: fixed_name(ProviderName::GOOGLE)?,
            client_id: google.required("CLIENT_ID")?,
            client_secret: google.secret()?,
            issuer: google.parsed("ISSUER", GoogleSettings::ISSUER, issuer)?,
            hosted_domains: google.parsed("HOSTED_DOMAINS", "", domains)?,
        }));
    }
    check(settings)
}

fn fixed_name(name: &str) -> Result<ProviderName, InvalidConfig> {
    ProviderName::parse(name).map_err(|error| InvalidConfig::new(name, error))
}

fn check(settings: &Settings) -> Result<(), InvalidConfig> {
    let mut known: Vec<(&ProviderName, Kind)> = Vec::new();
    for provider in &settings.providers {
        let (name, kind) = (provider.name(), provider.kind());
        let is_reserved = matches!(name.as_str(), ProviderName::GITHUB | ProviderName::GOOGLE);
        if kind == Kind::Oidc && is_reserved {
            return Err(InvalidConfig::new("operators.oidc", format!("the name {name} is that of another kind")));
        }
        if known.iter().any(|(other, _)| *other == name) {
            return Err(InvalidConfig::new("operators.oidc", format!("two providers have the name {name}")));
        }
        known.push((name, kind));
    }
    for mapping in &settings.mappings {
        let name = &mapping.provider;
        match known.iter().find(|(known, _)| known.label() == name) {
            None => return Err(InvalidConfig::new("operators.mapping", format!("there is no provider {name}"))),
            Some((_, Kind::Google)) => {
                return Err(InvalidConfig::new("operators.mapping", "google says nothing about groups"));
            }
            Some((_, Kind::GitHub | Kind::Oidc)) => {}
        }
    }
    if let (Some((name, _)), None) = (known.first(), &settings.public_url) {
        return Err(InvalidConfig::new(
            "public-url",
            format!(
                "is needed for the identity provider {name}: say where browsers reach this system, such as https://keys.example.com"
            ),
        ));
    }
    Ok(())
}

/// The issuer of a provider, kept exactly as it is spelt.
pub(super) fn issuer(text: &str) -> Result<String, String> {
    base_url(text).map(|_| text.to_owned()).ok_or_else(url_rule)
}

/// A URL without a slash at its end.
fn plain_base(text: &str) -> Result<String, String> {
    base_url(text).map(|_| text.trim_end_matches('/').to_owned()).ok_or_else(url_rule)
}

fn url_rule() -> String {
    "must be https://…, or http:// on loopback, without user, query and fragment".to_owned()
}

/// Domains with commas between.
fn domains(text: &str) -> Result<Vec<String>, String> {
    let domains: Vec<String> =
        text.split(',').map(str::trim).filter(|domain| !domain.is_empty()).map(str::to_ascii_lowercase).collect();
    let is_domain = |domain: &String| {
        domain.len() <= 253 && domain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    if domains.len() <= 100 && domains.iter().all(is_domain) {
        Ok(domains)
    } else {
        Err("must be domains with commas between, such as example.com,example.org".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signin::PublicUrl;

    /// The providers of an environment, with a public URL.
    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let mut settings = Settings { public_url: PublicUrl::parse("https://k.example").ok(), ..Settings::default() };
        let environment = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).into());
        complete(&mut settings, &environment).map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn the_environment_configures_one_provider_of_each_kind() {
        assert!(read(&[]).unwrap().providers.is_empty());
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "hunter2\n").unwrap();
        let settings = read(&[
            ("KEYLOFT_OIDC_ISSUER", "https://id.example/"),
            ("KEYLOFT_OIDC_CLIENT_ID", "a"),
            ("KEYLOFT_OIDC_CLIENT_SECRET_FILE", secret.path().to_str().unwrap()),
            ("KEYLOFT_GITHUB_CLIENT_ID", "b"),
            ("KEYLOFT_GITHUB_CLIENT_SECRET", "hunter2"),
            ("KEYLOFT_GITHUB_URL", "https://github.corp.example/"),
            ("KEYLOFT_GOOGLE_CLIENT_ID", "c"),
            ("KEYLOFT_GOOGLE_CLIENT_SECRET", "hunter2"),
            ("KEYLOFT_GOOGLE_HOSTED_DOMAINS", "Example.com, example.org"),
        ])
        .unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let [ProviderSettings::Oidc(oidc), ProviderSettings::GitHub(github), ProviderSettings::Google(google)] =
            &settings.providers[..]
        else {
            panic!("{settings:?}")
        };
        assert_eq!((oidc.name.as_str(), &*oidc.issuer), ("oidc", "https://id.example/"));
        assert_eq!([&oidc.client_secret, &github.client_secret].map(ClientSecret::expose), ["hunter2", "hunter2"]);
        assert_eq!(github.url, "https://github.corp.example");
        assert_eq!(github.api_url, "https://github.corp.example/api/v3");
        assert_eq!(google.hosted_domains, ["example.com", "example.org"]);
        assert_eq!(google.issuer, GoogleSettings::ISSUER);
        let github = read(&[("KEYLOFT_GITHUB_CLIENT_ID", "b"), ("KEYLOFT_GITHUB_CLIENT_SECRET", "c")]).unwrap();
        let ProviderSettings::GitHub(github) = &github.providers[0] else { panic!() };
        assert_eq!((&*github.url, &*github.api_url), (GitHubSettings::URL, GitHubSettings::API_URL));
    }

    #[test]
    fn a_provider_that_lacks_something_is_an_error_that_names_it_and_no_secret() {
        let oidc = [("KEYLOFT_OIDC_CLIENT_ID", "a"), ("KEYLOFT_OIDC_CLIENT_SECRET", "hunter2")];
        let with = |more: &[(&'static str, &'static str)]| read(&[&oidc[..], more].concat()).unwrap_err();
        let issuer = ("KEYLOFT_OIDC_ISSUER", "https://id.example");
        for (message, start) in [
            (with(&[]), "KEYLOFT_OIDC_ISSUER: is needed"),
            (with(&[("KEYLOFT_OIDC_ISSUER", "http://id.example")]), "KEYLOFT_OIDC_ISSUER: must be https://"),
            (with(&[issuer, ("KEYLOFT_OIDC_NAME", "A b")]), "KEYLOFT_OIDC_NAME: the name of a provider must be"),
            (with(&[issuer, ("KEYLOFT_OIDC_NAME", "github")]), "operators.oidc: the name github"),
            (with(&[issuer, ("KEYLOFT_OIDC_CLIENT_SECRET_FILE", "x")]), "KEYLOFT_OIDC_CLIENT_SECRET: is set as well"),
            (read(&[issuer]).unwrap_err(), "KEYLOFT_OIDC_CLIENT_ID: is needed"),
            (read(&[("KEYLOFT_GITHUB_URL", "https://g.example")]).unwrap_err(), "KEYLOFT_GITHUB_CLIENT_ID: is needed"),
            (read(&[("KEYLOFT_GOOGLE_CLIENT_ID", "a")]).unwrap_err(), "KEYLOFT_GOOGLE_CLIENT_SECRET: or "),
            (
                read(&[("KEYLOFT_GITHUB_CLIENT_ID", "a"), ("KEYLOFT_GITHUB_CLIENT_SECRET_FILE", "/nowhere/secret")])
                    .unwrap_err(),
                "KEYLOFT_GITHUB_CLIENT_SECRET_FILE (/nowhere/secret): ",
            ),
            (
                read(&[("KEYLOFT_GITHUB_CLIENT_ID", "a"), ("KEYLOFT_GITHUB_CLIENT_SECRET", "hunter2 ")]).unwrap_err(),
                "KEYLOFT_GITHUB_CLIENT_SECRET: the client secret must be",
            ),
        ] {
            assert!(message.starts_with(start) && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn providers_need_a_public_url_and_the_error_says_what_to_write() {
        let pairs = [("KEYLOFT_GOOGLE_CLIENT_ID", "a"), ("KEYLOFT_GOOGLE_CLIENT_SECRET", "b")];
        let environment = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).into());
        let error = complete(&mut Settings::default(), &environment).unwrap_err().to_string();
        assert!(error.starts_with("public-url: is needed") && error.contains("https://keys.example.com"), "{error}");
    }
}
