//! Reading the bucket, importing the keys, removing the originals.

use std::collections::BTreeSet;

use clap::Args;
use tokio::runtime::Runtime;

use super::super::super::{Client, ClientArgs, Failure, Outcome};
use super::super::upload::{self, Row, Status};
use super::source::{self, Source};
use crate::key::KeyType;
use crate::store::{Bucket, StoreUrl};

pub(in super::super) const EXAMPLES: &str =
    "Keys are found in .settings/apikeys/<ulid>.json (April 2026) and in the later
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

/// Imports Parseable's keys.
pub(in super::super) fn run(args: &ClientArgs, parseable: &ParseableArgs) -> Outcome {
    if let StoreUrl::Directory(path) = &parseable.store
        && !path.is_dir()
    {
        return Err(Failure::unavailable(format!("there is no directory {}", path.display())));
    }
    let client = args.connect()?;
    let bucket = parseable.store.open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot set up the runtime: {error}")))?;
    let sources = runtime.block_on(read(args, parseable, &bucket))?;
    let mut rows = Vec::new();
    for tenant in &sources {
        rows.extend(upload::upload(&client, &tenant.tenant, &tenant.keys, parseable.dry_run)?);
        rows.extend(tenant.refused.iter().cloned());
    }
    if !parseable.delete_originals {
        upload::show(args, &rows, 0)?;
        return upload::judge(&rows);
    }
    if !rows.iter().all(is_settled) {
        upload::show(args, &rows, 0)?;
        return upload::judge(&rows).map_err(|failure| failure.and("nothing was removed"));
    }
    let removed = remove(&runtime, &client, &bucket, sources);
    for row in rows.iter_mut().filter(|row| row.barred) {
        row.note = row.note.take().map(|note| format!("{note}: the original stays"));
    }
    upload::show(args, &rows, removed.as_ref().map_or(0, |(removed, _)| *removed))?;
    match removed? {
        (_, 0) => Ok(()),
        (_, stay) => Err(Failure::refused(format!("{stay} originals stay: their keys are revoked or disabled here"))),
    }
}

/// Whether another run would not change the outcome.
fn is_settled(row: &Row) -> bool {
    row.barred || matches!(row.result, Status::Imported | Status::AlreadyThere)
}

async fn read(args: &ClientArgs, parseable: &ParseableArgs, bucket: &Bucket) -> Outcome<Vec<Source>> {
    let tenants = match args.stated_tenant() {
        Some(tenant) => vec![tenant.clone()],
        None => source::tenants(bucket).await?,
    };
    let mut all = Vec::new();
    for tenant in tenants {
        all.push(source::read(bucket, tenant, parseable.otherwise.unwrap_or(KeyType::Ingestion)).await?);
    }
    Ok(all)
}

/// Checks again that every key is there, and only then removes the sources of keys that are accepted here. Returns how
/// many were removed and how many stay.
fn remove(runtime: &Runtime, client: &Client, bucket: &Bucket, sources: Vec<Source>) -> Outcome<(usize, usize)> {
    let mut stay = Vec::with_capacity(sources.len());
    for tenant in &sources {
        let rows = upload::upload(client, &tenant.tenant, &tenant.keys, true)?;
        if rows.iter().any(|row| !row.barred && row.result != Status::AlreadyThere) {
            return Err(Failure::refused("the server does not have every key: nothing was removed"));
        }
        let barred = rows.into_iter().filter(|row| row.barred).map(|row| row.source);
        stay.push(barred.collect::<BTreeSet<_>>());
    }
    let (mut removed, kept) = (0, stay.iter().map(BTreeSet::len).sum());
    for (tenant, stay) in sources.into_iter().zip(&stay) {
        removed += runtime.block_on(tenant.remove(bucket, stay))?;
    }
    Ok((removed, kept))
}
