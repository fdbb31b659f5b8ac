//! `keyloft key generate` and `keyloft key validate`: keys without a server.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::json;

use super::super::{ClientArgs, Failure, Outcome, input, output};
use super::create::{CreateArgs, for_people};
use super::hash::ScryptHash;
use crate::clock::{Clock, SystemClock};
use crate::documents::KeyDocument;
use crate::key::{Actor, ApiKey, Credential, Digest, PlainSecret, TenantId};
use crate::layout::ObjectName;

pub(super) const GENERATE_EXAMPLES: &str = "The document holds the digest of the API key, never the key itself: it may
pass through other hands.

Example:
  keyloft key generate --name ci --type ingestion --json > key.json
  jq .document key.json | install -Dm600 /dev/stdin \"$STORE/$(jq -r .object key.json)\"";

pub(super) const VALIDATE_EXAMPLES: &str =
    "A scrypt hash is a PHC string ($scrypt$ln=16,r=8,p=1$…$…), or the base64 that Ditto Edge
Server prints; one that takes more than 1 GiB of memory is not computed.

Exit codes: 0 it belongs, 3 it does not, 2 it is no API key or no hash at all.

Examples:
  keyloft key validate --digest sha256:9f86… < api-key.txt
  keyloft key validate --scrypt 'c2NyeXB0JGxuPTE2…' < api-key.txt";

/// The longest hash that is read, in bytes.
const MAX_HASH_BYTES: u64 = 4096;

/// The digest or hash to check against.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("expected").required(true))]
pub struct ValidateArgs {
    /// The digest of a key document: sha256: and 64 hexadecimal digits
    #[arg(long, group = "expected", value_parser = Digest::parse)]
    digest: Option<Digest>,
    /// A scrypt hash of another system
    #[arg(long, group = "expected", value_name = "HASH", value_parser = ScryptHash::parse)]
    scrypt: Option<ScryptHash>,
    /// A file that holds a scrypt hash and nothing else
    #[arg(long, group = "expected", value_name = "FILE")]
    scrypt_file: Option<PathBuf>,
}

pub(super) fn generate(args: &ClientArgs, create: CreateArgs) -> Outcome {
    output::require_output()?;
    let secret = PlainSecret::generate(create.key_type).map_err(|error| Failure::failed(error.to_string()))?;
    let key = described(args.tenant(), create, &secret);
    let object = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id }.path();
    let bytes = KeyDocument::new(&key).to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    output::print_once(&if args.json {
        let document = KeyDocument::parse(&bytes).map_err(|error| Failure::failed(error.to_string()))?;
        let generated = Generated { api_key: secret.expose(), object: object.as_str(), document };
        serde_json::to_string_pretty(&generated).map_err(|error| Failure::failed(error.to_string()))?
    } else {
        for_people(secret.expose(), &format!("Put this document into the store as {object}:\n\n{text}"))
    })
}

/// What `--json` prints, with the document's fields in their own order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Generated<'a> {
    api_key: &'a str,
    object: &'a str,
    document: KeyDocument,
}

fn described(tenant: TenantId, create: CreateArgs, secret: &PlainSecret) -> ApiKey {
    let now = Some(SystemClock.now());
    let key = create.into_new().into_key(tenant, secret.digest(), secret.hint());
    let by = Actor::parse("keyloft key generate").ok();
    ApiKey { created_by: by.clone(), created_at: now, modified_at: now, modified_by: by, ..key }
}

pub(super) fn validate(args: &ClientArgs, validate: &ValidateArgs) -> Outcome {
    let hash = scrypt_hash(validate)?;
    let presented = input::api_key()?;
    let belongs = match (&validate.digest, hash) {
        (Some(digest), _) => belongs(&presented, digest)?,
        (None, Some(hash)) if !presented.is_empty() => hash.is_of(&presented),
        (None, _) => return Err(Failure::usage("standard input holds no API key")),
    };
    if args.json {
        output::print(&output::json(&json!({ "valid": belongs })))?;
    } else if belongs {
        output::print(&format!("The API key belongs to this {}.", what(validate)))?;
    }
    let refused = || Failure::refused(format!("the API key does not belong to this {}", what(validate)));
    if belongs { Ok(()) } else { Err(refused()) }
}

fn what(validate: &ValidateArgs) -> &'static str {
    if validate.digest.is_some() { "digest" } else { "hash" }
}

/// The hash of another system, if one is given.
fn scrypt_hash(validate: &ValidateArgs) -> Outcome<Option<ScryptHash>> {
    let Some(path) = &validate.scrypt_file else { return Ok(validate.scrypt.clone()) };
    let wrong = |reason: &dyn Display| Failure::usage(format!("{}: {reason}", path.display()));
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_HASH_BYTES).read_to_string(&mut text));
    read.map_err(|error| wrong(&error))?;
    ScryptHash::parse(&text).map(Some).map_err(|rule| wrong(&rule))
}

fn belongs(presented: &str, digest: &Digest) -> Outcome<bool> {
    let credential = Credential::parse(presented)
        .map_err(|rung| Failure::usage(format!("standard input holds no API key: {rung}")))?;
    Ok(digest.verify(&credential.digest()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::super::failure::FailureKind;
    use super::*;
    use crate::key::KeyType;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: CreateArgs,
    }

    #[test]
    fn a_generated_document_is_a_key_and_holds_no_secret() {
        let secret = PlainSecret::generate(KeyType::Ingestion).unwrap();
        let line = Line::parse_from(["", "--name", "ci", "--type", "ingestion", "--streams", "web-*"]);
        let key = described(TenantId::default(), line.create, &secret);
        let bytes = KeyDocument::new(&key).to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains(&secret.expose()[7..]));
        let read = KeyDocument::parse(&bytes).unwrap().key(&TenantId::default(), key.key_id).unwrap();
        assert!(read.digest.verify(&secret.digest()));
        assert_eq!(read.settings, key.settings);
    }

    #[test]
    fn belonging_not_belonging_and_nonsense_differ() {
        let secret = PlainSecret::generate(KeyType::Query).unwrap();
        let other = PlainSecret::generate(KeyType::Query).unwrap();
        assert!(belongs(secret.expose(), &secret.digest()).unwrap());
        assert!(!belongs(other.expose(), &secret.digest()).unwrap());
        assert_eq!(belongs("hunter2", &secret.digest()).unwrap_err().kind(), FailureKind::Usage);
    }
}
