//! `keyloft import vmauth`: the users of a vmauth configuration (its documentation: `-auth.config`).
//!
//! vmauth knows a client by a `bearer_token`, by `username` and `password`, or by an `auth_token`, which is all that
//! stands in `Authorization`. Keyloft knows it by the token or the password alone, in any carrier.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;
use zeroize::Zeroizing;

use super::super::yaml::{self, ErrorMode};
use super::super::{ClientArgs, Failure, Outcome};
use super::parsed::{self, ParsedKey};
use super::pattern::UserPattern;
use super::upload::{self, Row};
use crate::key::{KeyType, TenantId};

pub(super) const EXAMPLES: &str =
    "vmauth has no keys to write with and others to read with: say which users send. Placeholders
such as %{TOKEN} are refused, and so is unauthorized_user. The file is never changed.

Exit codes: 0 all are in, 3 some were refused, 4 the server does not answer.

Examples:
  keyloft import vmauth auth.yml --dry-run
  keyloft import vmauth auth.yml --ingestion-users 'agent-*,shipper' --tenant acme";

/// Which file, and which users send events.
#[derive(Debug, Args)]
pub struct VmauthArgs {
    /// The configuration; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The users that send events: names or patterns with *, separated by commas; all others read
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = UserPattern::parse)]
    ingestion_users: Vec<UserPattern>,
    /// What all of them are for: ingestion or query
    #[arg(long = "as", value_name = "TYPE", conflicts_with = "ingestion_users")]
    all_as: Option<KeyType>,
    /// Show what would be imported, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Deserialize)]
struct AuthConfig {
    #[serde(default)]
    users: Vec<Spanned<User>>,
    unauthorized_user: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct User {
    name: Option<String>,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
    bearer_token: Option<Zeroizing<String>>,
    auth_token: Option<Zeroizing<String>>,
    ip_filters: Option<IgnoredAny>,
}

pub(super) fn run(args: &ClientArgs, vmauth: &VmauthArgs) -> Outcome {
    let shown = vmauth.file.display();
    let config = yaml::text(&vmauth.file)
        .and_then(|text| yaml::parse::<AuthConfig>(&text, ErrorMode::LineOnly))
        .map_err(|failure| Failure::usage(format!("{shown}: {failure}")))?;
    let tenant = args.tenant();
    let (found, mut rows) = read(config, &tenant, |user| key_type(vmauth, user));
    unused(&vmauth.ingestion_users, &found)?;
    rows.splice(0..0, upload::upload(&args.connect()?, &tenant, &found, vmauth.dry_run)?);
    upload::show(args, &rows, 0, &[])?;
    upload::judge(&rows)
}

fn key_type(vmauth: &VmauthArgs, user: &str) -> KeyType {
    let sends = vmauth.ingestion_users.iter().any(|pattern| pattern.matches(user));
    vmauth.all_as.unwrap_or(if sends { KeyType::Ingestion } else { KeyType::Query })
}

/// A pattern without a matching user is a mistake: its users would become keys of the other type.
fn unused(patterns: &[UserPattern], found: &[ParsedKey]) -> Outcome {
    let names_one = |pattern: &&UserPattern| found.iter().any(|key| pattern.matches(&key.source));
    match patterns.iter().find(|pattern| !names_one(pattern)) {
        Some(pattern) => Err(Failure::usage(format!("--ingestion-users {} names no user", pattern.as_str()))),
        None => Ok(()),
    }
}

/// The users that have a secret, and why the others have none.
fn read(config: AuthConfig, tenant: &TenantId, key_type: impl Fn(&str) -> KeyType) -> (Vec<ParsedKey>, Vec<Row>) {
    let (mut found, mut rows) = (Vec::new(), Vec::new());
    for user in config.users {
        let (line, user) = (user.referenced.line(), user.value);
        let otherwise = format!("vmauth line {line}");
        let source = user.name.as_deref().or(user.username.as_deref()).unwrap_or(&otherwise).to_owned();
        let note = user.ip_filters.is_some().then(|| "its ip_filters stay behind: see allowedCidrs".to_owned());
        match (parsed::key_name(&source, &otherwise), user.secret()) {
            (Some(name), Ok(secret)) => {
                let metadata = parsed::metadata("vmauth", &[("username", user.username.as_deref())]);
                found.push(ParsedKey { key_type: key_type(&source), source, name, secret, metadata, note });
            }
            (None, _) => rows.push(Row::refused(tenant, source, "it has no name")),
            (_, Err(why)) => rows.push(Row::refused(tenant, source, why)),
        }
    }
    if config.unauthorized_user.is_some() {
        rows.push(Row::refused(tenant, "unauthorized_user", "requests without a key are always refused here"));
    }
    (found, rows)
}

impl User {
    /// The secret that clients of this user present, in clear text.
    fn secret(&self) -> Result<Zeroizing<String>, &'static str> {
        let secret = match (&self.bearer_token, &self.password, &self.auth_token) {
            (Some(secret), None, None) | (None, Some(secret), None) => secret.clone(),
            (None, None, Some(header)) => presented(header)?,
            (None, None, None) => return Err("it has neither a token nor a password in clear text"),
            _ => {
                return Err(
                    "it has more than one of bearer_token, password and auth_token: only one of them would work",
                );
            }
        };
        if secret.contains("%{") {
            return Err("its secret is a placeholder that vmauth fills in: put the value there, or make a new key");
        }
        Ok(secret)
    }
}

/// The secret in the value of an `Authorization` header.
fn presented(header: &str) -> Result<Zeroizing<String>, &'static str> {
    const OTHER: &str = "its auth_token is neither Bearer nor Basic";
    let (scheme, rest) = header.split_once(' ').ok_or(OTHER)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Zeroizing::new(rest.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(OTHER);
    }
    let bytes = Zeroizing::new(STANDARD.decode(rest.trim()).map_err(|_| OTHER)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| OTHER)?;
    text.split_once(':').map(|(_, password)| Zeroizing::new(password.to_owned())).ok_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../../fixtures/import/vmauth.yml");

    fn file() -> (Vec<ParsedKey>, Vec<Row>) {
        let sends = UserPattern::parse("agent-*").unwrap();
        read(yaml::parse(FILE, ErrorMode::LineOnly).unwrap(), &TenantId::default(), |user| {
            if sends.matches(user) { KeyType::Ingestion } else { KeyType::Query }
        })
    }

    #[test]
    fn every_user_is_a_key_or_a_reason() {
        let (found, rows) = file();
        let keys: Vec<_> = found.iter().map(|key| (key.name.as_str(), key.key_type, key.secret.len())).collect();
        let (ingestion, query) = (KeyType::Ingestion, KeyType::Query);
        let expected = [
            ("dashboards", query, 40),
            ("vmauth line 12", query, 36),
            ("agent-web", ingestion, 32),
            ("agent-db", ingestion, 33),
            ("agent-db", ingestion, 34),
            ("short", query, 8),
            ("header", query, 32),
            ("basic-header", query, 32),
        ];
        assert_eq!(keys, expected);
        let refused: Vec<_> = rows.iter().map(|row| (row.source.as_str(), row.note.as_deref().unwrap())).collect();
        assert_eq!(refused.len(), 4, "{refused:?}");
        for (source, why) in [
            ("from-environment", "placeholder"),
            ("nobody", "neither"),
            ("influx", "auth_token"),
            ("unauthorized_user", ""),
        ] {
            assert!(refused.iter().any(|(of, said)| *of == source && said.contains(why)), "{source}: {refused:?}");
        }
    }

    #[test]
    fn a_user_with_two_secrets_is_refused() {
        let text = "users:\n- username: two\n  password: one-secret\n  bearer_token: another\n";
        let config = yaml::parse(text, ErrorMode::LineOnly).unwrap();
        let (found, rows) = read(config, &TenantId::default(), |_| KeyType::Query);
        assert!(found.is_empty() && rows[0].note.as_deref().unwrap().contains("more than one"), "{rows:?}");
    }

    #[test]
    fn a_file_that_is_none_says_where_and_quotes_nothing() {
        for (text, line) in
            [("users:\n- username: a\n  password: [canary]\n", 3), ("users:\n  - \"canary", 2), ("canary", 1)]
        {
            let said = yaml::parse::<AuthConfig>(text, ErrorMode::LineOnly).err().unwrap().to_string();
            assert!(said.starts_with(&format!("line {line}: ")), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
    }
}
