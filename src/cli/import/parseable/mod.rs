//! `keyloft import parseable`: the API keys that Parseable keeps in its bucket, in clear text.
//!
//! 1. `document`: their format, in a file each and in the metadata.
//! 2. `source`: finding them in the bucket, and removing them there.
//! 3. `run`: all of it, in order.

mod document;
mod run;
mod source;

use clap::Args;

use crate::key::KeyType;
use crate::store::StoreUrl;

pub(super) use run::run;

pub(super) const EXAMPLES: &str = "Keys are found in .settings/apikeys/<ulid>.json (April 2026) and in the later
.parseable/.parseable.json, of the default tenant and of every other; tenants must exist here
under the same id, and --tenant names the only one to look at. Keys are for ingestion unless
Parseable says that they read. S3 settings come from the usual AWS_* variables.

--delete-originals removes them once all are in; stop Parseable first, or it writes them back.

Exit codes: 0 all are in, 3 some were refused, 4 a store or the server does not answer.

Examples:
  keyloft import parseable --store s3://parseable-bucket --dry-run
  keyloft import parseable --store ./parseable-data --delete-originals";

/// Which bucket, and how to import it.
#[derive(Debug, Args)]
pub struct ParseableArgs {
    /// Parseable's store: `s3://bucket/prefix`, `file:///path` or a plain path
    #[arg(long, value_name = "URL or path")]
    store: StoreUrl,
    /// The type of keys for which Parseable states none, or both: ingestion or query [default: ingestion]
    #[arg(long = "as", value_name = "TYPE")]
    otherwise: Option<KeyType>,
    /// Show what would be imported, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove the originals once every key is imported
    #[arg(long, conflicts_with = "dry_run")]
    delete_originals: bool,
}
