//! Reading the file, checking the secrets, importing the keys.

use std::path::PathBuf;

use clap::Args;

use super::super::super::{ClientArgs, Failure, Outcome, yaml};
use super::super::parsed::{self, ParsedKey};
use super::super::pattern::UserPattern;
use super::super::upload::{self, Row};
use super::config::{self, Identity};
use super::secrets::{self, Checked};
use crate::key::KeyType;

pub(in super::super) const EXAMPLES: &str =
    "The file holds hashes, and clients have the secrets: give them on standard input, one on each
line, with the name of the identity and a space before it if you like. Each is checked against
its hash. Full permissions become a key that reads, or one that sends if you say so; others are
refused. The file is never changed.

Exit codes: 0 all are in, 3 some were refused, 4 the server does not answer.

Examples:
  keyloft import ditto edge-server.yaml --keys-stdin --dry-run < secrets.txt
  keyloft import ditto edge-server.yaml --keys-stdin --ingestion-identities 'till-*' < secrets.txt";

/// Which file, and which identities send events.
#[derive(Debug, Args)]
pub struct DittoArgs {
    /// The configuration of the Edge Server
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Read the secrets from standard input
    #[arg(long)]
    keys_stdin: bool,
    /// The identities that send events: names or patterns with *, separated by commas; all others read
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = UserPattern::parse)]
    ingestion_identities: Vec<UserPattern>,
    /// What all of them are for: ingestion or query
    #[arg(long = "as", value_name = "TYPE", conflicts_with = "ingestion_identities")]
    all_as: Option<KeyType>,
    /// Show what would be imported, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Imports the identities of an Edge Server.
pub(in super::super) fn run(args: &ClientArgs, ditto: &DittoArgs) -> Outcome {
    if ditto.keys_stdin && ditto.file.as_os_str() == "-" {
        return Err(Failure::usage("standard input cannot be both the file and the secrets"));
    }
    let shown = ditto.file.display();
    let read = yaml::text(&ditto.file).and_then(|text| config::read(&text));
    let config = read.map_err(|failure| Failure::usage(format!("{shown}: {failure}")))?;
    for pattern in &ditto.ingestion_identities {
        // Its identities would become keys of the other type.
        if !config.identities.iter().any(|identity| pattern.matches(&identity.name)) {
            let message = format!("--ingestion-identities {} names no identity", pattern.as_str());
            return Err(Failure::usage(message));
        }
    }
    let lines = if ditto.keys_stdin { secrets::read()? } else { Vec::new() };
    let client = args.connect()?;
    let Checked { secrets, refused } = secrets::check(&config.identities, lines)?;
    let tenant = args.tenant();
    let (mut found, mut rows) = (Vec::new(), Vec::new());
    for (identity, secret) in config.identities.into_iter().zip(secrets) {
        let name = parsed::key_name(&identity.name, "ditto identity");
        match (secret, name) {
            (Some(secret), Some(name)) => found.push(ParsedKey {
                name,
                key_type: ditto.key_type(&identity),
                secret,
                metadata: parsed::metadata(
                    "ditto",
                    &[("identity", Some(&identity.name)), ("id", identity.id.as_deref())],
                ),
                note: Some(format!("full there, {} only here", ditto.key_type(&identity))),
                source: identity.name,
            }),
            (None, _) if ditto.keys_stdin => {
                rows.push(Row::refused(&tenant, identity.name, "its secret is not on standard input"));
            }
            (None, _) => rows.push(Row::refused(&tenant, identity.name, "its secret was not given: --keys-stdin")),
            (_, None) => rows.push(Row::refused(&tenant, identity.name, "it has no name")),
        }
    }
    rows.extend(config.refused.into_iter().map(|(name, why)| Row::refused(&tenant, name, why)));
    rows.extend(refused.into_iter().map(|(line, why)| Row::refused(&tenant, line, why)));
    rows.splice(0..0, upload::upload(&client, &tenant, &found, ditto.dry_run)?);
    upload::show(args, &rows, 0, &[])?;
    upload::judge(&rows)
}

impl DittoArgs {
    fn key_type(&self, identity: &Identity) -> KeyType {
        let sends = self.ingestion_identities.iter().any(|pattern| pattern.matches(&identity.name));
        self.all_as.unwrap_or(if sends { KeyType::Ingestion } else { KeyType::Query })
    }
}
