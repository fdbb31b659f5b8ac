//! Lists of tables in `keyloft.toml`: identity providers and mappings. What is wrong is named with its line, and an
//! unknown key is refused, as elsewhere in the file.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::InvalidConfig;
use super::admin::read;
use crate::key::TenantId;
use crate::operators::{Mapping, Role, Scope};
use crate::signin::{ClientSecret, OidcSettings, ProviderName, ProviderSettings, Settings};

/// The lists that there are.
const OIDC: &str = "operators.oidc";
const MAPPING: &str = "operators.mapping";

/// How many entries a list may have.
const MAX_ENTRIES: usize = 1000;
/// The longest text of an entry, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// Whether a key of the file is a list of tables.
pub(super) fn is_list(key: &str) -> bool {
    matches!(key, OIDC | MAPPING)
}

/// Adds the tables of a list. `at` gives the place of a byte of the file.
pub(super) fn add(
    settings: &mut Settings,
    key: &str,
    value: &DeValue<'_>,
    place: &str,
    at: impl Fn(usize) -> String,
) -> Result<(), InvalidConfig> {
    let not_a_list = || InvalidConfig::new(place, format!("{key} must be a list of tables: [[{key}]]"));
    let list = value.as_array().filter(|list| list.iter().count() <= MAX_ENTRIES).ok_or_else(not_a_list)?;
    for entry in list.iter() {
        let table = entry.get_ref().as_table().ok_or_else(not_a_list)?;
        let fields =
            table.iter().map(|(name, value)| (name.get_ref().to_string(), (at(name.span().start), value.get_ref())));
        let mut table = Table { list: key.to_owned(), place: at(entry.span().start), fields: fields.collect() };
        if key == OIDC {
            settings.providers.push(ProviderSettings::Oidc(oidc(&mut table)?));
        } else {
            settings.mappings.push(mapping(&mut table)?);
        }
        table.end()?;
    }
    Ok(())
}

fn oidc(table: &mut Table<'_, '_>) -> Result<OidcSettings, InvalidConfig> {
    let name = table.required("name", |text| ProviderName::parse(text).map_err(|error| error.to_string()))?;
    let file = table.required("client_secret_file", |text| Ok(text.to_owned()))?;
    let (secret_place, secret) = (format!("{} ({file})", table.place), read(&table.place, file.as_ref())?);
    let scopes = table.texts("scopes")?;
    Ok(OidcSettings {
        name,
        issuer: table.required("issuer", super::providers::issuer)?,
        client_id: table.required("client_id", |text| Ok(text.to_owned()))?,
        client_secret: ClientSecret::parse(secret)
            .map_err(|rule| InvalidConfig::new(secret_place, format!("the client secret {rule}")))?,
        display_name: table.optional("display_name", |text| Ok(text.to_owned()))?,
        scopes: scopes.unwrap_or_else(|| OidcSettings::SCOPES.map(str::to_owned).into()),
        trust_email: table.switch("trust_email")?,
        groups_claim: table
            .optional("groups_claim", |text| Ok(text.to_owned()))?
            .unwrap_or_else(|| OidcSettings::GROUPS_CLAIM.to_owned()),
    })
}

fn mapping(table: &mut Table<'_, '_>) -> Result<Mapping, InvalidConfig> {
    let place = table.place.clone();
    let provider = table.required("provider", |text| ProviderName::parse(text).map_err(|error| error.to_string()))?;
    let group = table.optional("group", |text| Ok(text.to_owned()))?;
    let organization = table.optional("organization", organization)?;
    let group = match (group, organization) {
        (Some(group), None) | (None, Some(group)) => group,
        _ => return Err(InvalidConfig::new(place, format!("{MAPPING} needs either group or organization"))),
    };
    let tenant = table.optional("tenant", |text| TenantId::parse(text).map_err(|error| error.to_string()))?;
    let scope = match (tenant, table.switch("platform")?) {
        (Some(tenant), false) => Scope::Tenant(tenant),
        (None, true) => Scope::Platform,
        _ => return Err(InvalidConfig::new(place, format!("{MAPPING} needs either tenant or platform = true"))),
    };
    let role = table.required("role", |text| match text.parse::<Role>() {
        Ok(Role::Owner) => Err("must not be owner: that role is only granted to people by name".to_owned()),
        Ok(role) if role.fits(&scope) => Ok(role),
        Ok(_) if scope == Scope::Platform => {
            Err("of the platform must be platform_viewer or platform_admin".to_owned())
        }
        Ok(_) => Err("of a tenant must be viewer, analyst or admin".to_owned()),
        Err(error) => Err(error.to_string()),
    })?;
    Ok(Mapping { provider: provider.label().clone(), group, scope, role })
}

/// An organisation of GitHub, or a team of one.
fn organization(text: &str) -> Result<String, String> {
    let is_word = |word: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        (1..=100).contains(&word.len()) && word.bytes().all(is_plain) && !word.starts_with('.')
    };
    if text.split('/').count() <= 2 && text.split('/').all(is_word) {
        Ok(text.to_owned())
    } else {
        Err("must be the login of an organization, or org/team with the slug of a team".to_owned())
    }
}

/// A table of a list. What is read is taken out of it.
struct Table<'a, 'b> {
    list: String,
    place: String,
    fields: BTreeMap<String, (String, &'a DeValue<'b>)>,
}

impl Table<'_, '_> {
    fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, InvalidConfig> {
        let given = self.optional(name, parse)?;
        given.ok_or_else(|| InvalidConfig::new(&self.place, format!("{} needs {name}", self.list)))
    }

    fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, InvalidConfig> {
        let Some((place, value)) = self.fields.remove(name) else { return Ok(None) };
        let is_good = |text: &&str| (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        let text = value.as_str().filter(is_good).ok_or_else(|| "must be a text".to_owned());
        text.and_then(parse).map(Some).map_err(|rule| InvalidConfig::new(place, format!("{}.{name} {rule}", self.list)))
    }

    fn switch(&mut self, name: &str) -> Result<bool, InvalidConfig> {
        let Some((place, value)) = self.fields.remove(name) else { return Ok(false) };
        let wrong = || InvalidConfig::new(place, format!("{}.{name} must be true or false", self.list));
        value.as_bool().ok_or_else(wrong)
    }

    fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, InvalidConfig> {
        let Some((place, value)) = self.fields.remove(name) else { return Ok(None) };
        let is_word = |text: &str| {
            (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')
        };
        let text = |value: &DeValue<'_>| value.as_str().filter(|text| is_word(text)).map(str::to_owned);
        let texts = value.as_array().and_then(|list| list.iter().map(|one| text(one.get_ref())).collect());
        let wrong = || InvalidConfig::new(place, format!("{}.{name} must be a list of words", self.list));
        texts.filter(|texts: &Vec<String>| texts.len() <= 20).map(Some).ok_or_else(wrong)
    }

    /// Refuses what was not read.
    fn end(self) -> Result<(), InvalidConfig> {
        let Some((name, (place, _))) = self.fields.into_iter().next() else { return Ok(()) };
        let reason = match &*name {
            "client_secret" => "client_secret has no place in a file: write client_secret_file".to_owned(),
            _ => format!("unknown key {}.{name}", self.list),
        };
        Err(InvalidConfig::new(place, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::apply_text;
    use super::super::{Config, providers};
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let mut config = Config::default();
        apply_text(&mut config, "keyloft.toml", text).map_err(|error| error.to_string())?;
        providers::complete(&mut config.signin, &|_| None).map_err(|error| error.to_string())?;
        Ok(config)
    }

    fn provider(secret: &tempfile::NamedTempFile, more: &str) -> String {
        std::fs::write(secret.path(), "hunter2\n").unwrap();
        format!(
            "[http]\npublic_url = \"https://k.example\"\n[[operators.oidc]]\nname = \"corp\"\n\
             issuer = \"https://id.example/\"\nclient_id = \"keyloft\"\nclient_secret_file = {:?}\n{more}",
            secret.path()
        )
    }

    #[test]
    fn providers_and_mappings_are_read_from_the_file() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        let config = read(&provider(
            &secret,
            "display_name = \"Corp\"\nscopes = [\"openid\", \"groups\"]\ntrust_email = true\ngroups_claim = \"roles\"\n\
             [[operators.mapping]]\nprovider = \"corp\"\ngroup = \"ops\"\ntenant = \"acme\"\nrole = \"admin\"\n\
             [[operators.mapping]]\nprovider = \"corp\"\norganization = \"a/b\"\nplatform = true\nrole = \"platform_viewer\"\n",
        ))
        .unwrap();
        let [ProviderSettings::Oidc(oidc)] = &config.signin.providers[..] else { panic!() };
        assert_eq!((oidc.name.as_str(), &*oidc.issuer, &*oidc.client_id), ("corp", "https://id.example/", "keyloft"));
        assert_eq!((oidc.client_secret.expose(), oidc.display_name.as_deref()), ("hunter2", Some("Corp")));
        assert_eq!((&oidc.scopes[1], oidc.trust_email, &*oidc.groups_claim), (&"groups".to_owned(), true, "roles"));
        let mappings: Vec<_> =
            config.signin.mappings.iter().map(|one| (&*one.group, one.scope.to_string(), one.role)).collect();
        assert_eq!(
            mappings,
            [("ops", "tenants/acme".to_owned(), Role::Admin), ("a/b", "platform".to_owned(), Role::PlatformViewer),]
        );
        assert!(!format!("{config:?}").contains("hunter2"));
        let [ProviderSettings::Oidc(plain)] = &read(&provider(&secret, "")).unwrap().signin.providers[..] else {
            panic!()
        };
        assert_eq!((&plain.scopes[..], plain.trust_email), (&OidcSettings::SCOPES.map(str::to_owned)[..], false));
    }

    #[test]
    fn what_is_wrong_in_a_list_is_named_with_its_line() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        let mapping = |text: &str| provider(&secret, &format!("[[operators.mapping]]\nprovider = \"corp\"\n{text}"));
        for (text, message) in [
            (provider(&secret, "issuer_url = \"x\""), "keyloft.toml line 8: unknown key operators.oidc.issuer_url"),
            (
                provider(&secret, "client_secret = \"hunter2\""),
                "keyloft.toml line 8: client_secret has no place in a file: write client_secret_file",
            ),
            (
                provider(&secret, "trust_email = \"yes\""),
                "keyloft.toml line 8: operators.oidc.trust_email must be true",
            ),
            (provider(&secret, "scopes = \"openid\""), "keyloft.toml line 8: operators.oidc.scopes must be a list"),
            (
                "[[operators.oidc]]\nname = \"corp\"".to_owned(),
                "keyloft.toml line 1: operators.oidc needs client_secret",
            ),
            ("[operators]\noidc = \"corp\"".to_owned(), "keyloft.toml line 2: operators.oidc must be a list of tables"),
            (mapping("group = \"a\"\nrole = \"admin\""), "keyloft.toml line 8: operators.mapping needs either tenant"),
            (mapping("tenant = \"a\"\nrole = \"admin\""), "keyloft.toml line 8: operators.mapping needs either group"),
            (
                mapping("group = \"a\"\ntenant = \"a\"\nrole = \"owner\""),
                "keyloft.toml line 12: operators.mapping.role must not be owner",
            ),
            (
                mapping("group = \"a\"\ntenant = \"a\"\nrole = \"platform_admin\""),
                "keyloft.toml line 12: operators.mapping.role of a tenant must be",
            ),
            (
                mapping("group = \"a\"\nplatform = true\nrole = \"admin\""),
                "keyloft.toml line 12: operators.mapping.role of the platform must be",
            ),
            (
                mapping("organization = \"a/b/c\"\ntenant = \"a\"\nrole = \"admin\""),
                "keyloft.toml line 10: operators.mapping.organization must be the login",
            ),
            (
                mapping("group = \"a\"\ntenant = \"a\"\nrole = \"admin\"")
                    .replace("provider = \"corp\"", "provider = \"c\""),
                "operators.mapping: there is no provider c",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(message) && !error.contains("hunter2"), "{error}, not {message}");
        }
    }
}
