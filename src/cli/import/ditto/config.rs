//! The configuration of a Ditto Edge Server, in both forms that its documentation shows:
//!
//! - resources with a `resource_type`: `PermissionSet`, `Identity`, and `HttpServer`, whose `auth` lists identities.
//! - `http_server` with `auth`, which holds `permission_sets` and `identities`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::super::super::key::hash::ScryptHash;
use super::super::super::yaml::{self, ErrorMode};
use super::super::super::{Failure, Outcome};

/// The most identities of a file.
const MAX_IDENTITIES: usize = 1000;
/// The memory that checking a secret may take, in bytes. Ditto's own hashes take 64 MiB.
const MAX_MEMORY_BYTES: u64 = 256 << 20;

/// What the file declares.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// The identities that may be imported.
    pub(super) identities: Vec<Identity>,
    /// What may not, and why.
    pub(super) refused: Vec<(String, String)>,
}

/// An identity that an HTTP server lets in, with full permissions there.
#[derive(Debug)]
pub(super) struct Identity {
    /// Its name in the file.
    pub(super) name: String,
    /// What it is called in Ditto's own audit logs.
    pub(super) id: Option<String>,
    /// The hash of its secret.
    pub(super) hash: ScryptHash,
}

/// Who is let in, by an HTTP server that opens all of its API.
#[derive(Default)]
struct LetIn {
    names: BTreeSet<String>,
    /// Every identity, because the form has no list.
    everybody: bool,
}

type Declared<'a> = BTreeMap<&'a str, &'a Map<String, Value>>;

/// Reads a file. An identity that cannot be imported is refused alone.
///
/// # Errors
/// When it is no YAML, or declares nothing that is known.
pub(super) fn read(text: &str) -> Outcome<Config> {
    let file: Value = yaml::parse(text, ErrorMode::LineOnly)?;
    let mut config = Config::default();
    let resources = file["resources"].as_object();
    let auth = file.get("auth");
    if resources.is_none() && auth.is_none() {
        return Err(Failure::usage("it has neither resources nor auth: is this the configuration of an Edge Server?"));
    }
    if let Some(resources) = resources {
        let of = |kind: &str| -> Declared<'_> {
            let kinds = resources.iter().filter(|(_, resource)| resource["resource_type"] == kind);
            kinds.filter_map(|(name, resource)| Some((name.as_str(), resource.as_object()?))).collect()
        };
        let identities = of("Identity");
        let let_in = config.servers(&of("HttpServer"), &identities);
        config.identities(&identities, &of("PermissionSet"), &let_in)?;
    }
    match auth {
        None => {}
        Some(Value::Object(auth)) => {
            let of = |kind: &str| -> Declared<'_> {
                let all = auth.get(kind).and_then(Value::as_object).into_iter().flatten();
                all.filter_map(|(name, entry)| Some((name.as_str(), entry.as_object()?))).collect()
            };
            let opens = file["http_server"]["http_api"] == true;
            let let_in = LetIn { everybody: opens, ..LetIn::default() };
            config.identities(&of("identities"), &of("permission_sets"), &let_in)?;
        }
        Some(_) => config.refuse("auth", OPEN),
    }
    Ok(config)
}

const OPEN: &str = "it lets everybody in without a key, and Keyloft does not: for trusted development on one machine \
                    there is keyloft serve --auth off";

impl Config {
    fn refuse(&mut self, name: &str, why: impl Into<String>) {
        self.refused.push((name.to_owned(), why.into()));
    }

    /// Who is let in by these servers.
    fn servers(&mut self, servers: &Declared<'_>, identities: &Declared<'_>) -> LetIn {
        let mut let_in = LetIn::default();
        for (&name, &server) in servers {
            let Some(auth) = server.get("auth").and_then(Value::as_array) else {
                match server.get("auth") {
                    None | Some(Value::Null) => self.refuse(name, OPEN),
                    Some(_) => self.refuse(name, "its auth is not a list of identities"),
                }
                continue;
            };
            let databases = server.get("databases").and_then(Value::as_object);
            let opens = databases.is_some_and(|all| all.values().any(|database| database["http_api"] == true));
            for entry in auth {
                match entry.as_str().filter(|entry| identities.contains_key(entry)) {
                    Some(entry) if opens => _ = let_in.names.insert(entry.to_owned()),
                    Some(_) => {}
                    None => self.refuse(name, "its auth names something that is no Identity of this file"),
                }
            }
        }
        let_in
    }

    fn identities(&mut self, identities: &Declared<'_>, sets: &Declared<'_>, let_in: &LetIn) -> Outcome {
        if identities.len() > MAX_IDENTITIES {
            return Err(Failure::usage(format!("it declares more than {MAX_IDENTITIES} identities")));
        }
        for (&name, &identity) in identities {
            match hash(name, identity, sets, let_in) {
                Ok(hash) => {
                    let id = identity.get("id").and_then(Value::as_str).map(str::to_owned);
                    self.identities.push(Identity { name: name.to_owned(), id, hash });
                }
                Err(why) => self.refuse(name, why),
            }
        }
        Ok(())
    }
}

/// The hash of an identity whose rights a key can have, or why it cannot be imported.
fn hash(name: &str, identity: &Map<String, Value>, sets: &Declared<'_>, let_in: &LetIn) -> Result<ScryptHash, String> {
    if !let_in.everybody && !let_in.names.contains(name) {
        return Err("no HttpServer with http_api: true lets it in".to_owned());
    }
    check_permissions(identity.get("permissions"), sets)?;
    let credential = identity.get("credential").and_then(|credential| credential.get("api_key")?.as_str());
    let hash = ScryptHash::parse(credential.ok_or("it has no credential.api_key")?);
    let hash = hash.map_err(|rule| format!("its credential.api_key {rule}"))?;
    if hash.memory_bytes() > MAX_MEMORY_BYTES {
        return Err("checking its secret takes more than 256 MiB of memory: it is not computed".to_owned());
    }
    Ok(hash)
}

/// A key does part of what `full` allows. What else there is, now or later, may be less than that.
fn check_permissions(named: Option<&Value>, sets: &Declared<'_>) -> Result<(), String> {
    let names: Vec<Option<&str>> = match named {
        Some(Value::String(name)) => vec![Some(name)],
        Some(Value::Array(names)) if !names.is_empty() => names.iter().map(Value::as_str).collect(),
        _ => return Err("it names no permission set".to_owned()),
    };
    for name in names {
        let name = name.ok_or("it names something that is no permission set")?;
        let set = sets.get(name).ok_or("it names a permission set that is not in this file")?;
        if set.get("permissions").is_none_or(|level| level != "full") {
            return Err(format!("a key cannot express the permissions of {name}: only full is known"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCES: &str = include_str!("../../../../fixtures/import/ditto/resources.yaml");
    const AUTH: &str = include_str!("../../../../fixtures/import/ditto/auth.yaml");

    fn names(config: &Config) -> Vec<&str> {
        config.identities.iter().map(|identity| identity.name.as_str()).collect()
    }

    /// What is refused, each with a part of the reason.
    #[track_caller]
    fn assert_refused(text: &str, expected: &[(&str, &str)]) {
        let config = read(text).unwrap();
        assert_eq!(config.refused.len(), expected.len(), "{:?}", config.refused);
        for ((name, why), (of, part)) in config.refused.iter().zip(expected) {
            assert!(name == of && why.contains(part), "{name}: {why}");
        }
    }

    #[test]
    fn both_documented_forms_are_read() {
        let resources = read(RESOURCES).unwrap();
        assert_eq!(names(&resources), ["dashboards", "till"]);
        assert_eq!(resources.identities[0].id.as_deref(), Some("service-account-1"));
        let auth = read(AUTH).unwrap();
        assert_eq!((names(&auth), auth.refused.len()), (vec!["kiosk", "till"], 0));
    }

    #[test]
    fn what_a_key_cannot_express_is_refused_and_named() {
        assert_refused(
            RESOURCES,
            &[
                ("open_http", "serve --auth off"),
                ("costly", "256 MiB"),
                ("nobody", "lets it in"),
                ("reader", "permissions of read_only"),
            ],
        );
        for (from, to, part) in [
            ("permissions: full", "permissions: read_only", "only full is known"),
            ("permissions: full", "permissions: [full]", "only full is known"),
            ("[everything]", "[everything, other]", "not in this file"),
            ("[everything]", "[]", "names no permission set"),
            ("http_api: true", "http_api: false", "lets it in"),
            ("http_api: true", "http_api: {execute: true}", "lets it in"),
            ("api_key:", "password:", "no credential.api_key"),
        ] {
            let text = AUTH.replace(from, to);
            assert_ne!(text, AUTH);
            assert_refused(&text, &[("kiosk", part), ("till", part)]);
        }
    }

    #[test]
    fn a_server_without_authentication_is_refused_in_each_of_its_forms() {
        for text in ["auth: dev_mode\n", "auth: null\n", "resources:\n  auth:\n    resource_type: HttpServer\n"] {
            assert_refused(text, &[("auth", "serve --auth off")]);
        }
        assert!(read("http_server: {}\n").is_err() && read("resources: [").is_err() && read("").is_err());
    }

    #[test]
    fn a_hash_that_takes_a_gibibyte_is_never_computed() {
        let costly = |ln: u32| {
            use base64::Engine as _;
            let text = format!("scrypt$ln={ln},r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$aGFzaCBvZiBub3RoaW5nIGF0IGFsbC4uLg");
            base64::engine::general_purpose::STANDARD.encode(text)
        };
        for ln in [19, 20, 30] {
            let text = AUTH.lines().map(|line| match line.split_once("api_key: ") {
                Some((before, _)) => format!("{before}api_key: \"{}\"\n", costly(ln)),
                None => format!("{line}\n"),
            });
            let refused = read(&text.collect::<String>()).unwrap();
            assert!(refused.identities.is_empty(), "{ln}");
            assert!(refused.refused.iter().all(|(_, why)| why.contains("not computed")), "{:?}", refused.refused);
        }
    }

    #[test]
    fn a_hostile_file_is_refused_within_bounds() {
        let deep = format!("auth: {}{}", "[".repeat(1000), "]".repeat(1000));
        let many: String = (0..=MAX_IDENTITIES).map(|at| format!("    a{at}: {{}}\n")).collect();
        // Nine times as much with each letter.
        let more = ('b'..='j')
            .zip('a'..)
            .map(|(name, of)| format!("  {name}: &{name} [{}]\n", vec![format!("*{of}"); 9].join(",")));
        let aliases = format!("auth:\n  a: &a [x]\n{}", more.collect::<String>());
        for text in [deep, format!("auth:\n  identities:\n{many}"), aliases] {
            assert!(read(&text).is_err());
        }
    }
}
