//! Reading the bucket, importing the keys, removing the originals.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;

use super::super::super::{Client, ClientArgs, Failure, Outcome, output};
use super::super::upload::{self, Row, Status};
use super::machines;
use super::source::{self, Reading, Source};
use crate::key::KeyType;
use crate::store::{Bucket, StoreUrl};

pub(in super::super) const EXAMPLES: &str =
    "Keys are found in .settings/apikeys/<ulid>.json (April 2026) and in the later
.parseable/.parseable.json, of the default tenant and of every other; tenants must exist here
under the same id, and --tenant names the only one to look at. Keys are for ingestion unless
Parseable says that they read. S3 settings come from the usual AWS_* variables.

With --admins-as machine a key that manages there (admin, editor) becomes a machine instead, role
admin, with a new token that is shown once. Without it, such a key opens here what other keys open.

--delete-originals removes them once all are in; stop Parseable first, or it writes them back.

Exit codes: 0 all are in, 3 some were refused, 4 a store or the server does not answer.

Examples:
  keyloft import parseable --store s3://parseable-bucket --dry-run
  keyloft import parseable --store ./parseable-data --admins-as machine --json > tokens.json
  keyloft import parseable --store ./parseable-data --delete-originals";

/// What becomes of keys that manage Parseable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AdminsAs {
    /// A machine, with a token of its own.
    Machine,
}

/// Which bucket, and how to import it.
#[derive(Debug, Args)]
pub struct ParseableArgs {
    /// Parseable's store: `s3://bucket/prefix`, `file:///path` or a plain path
    #[arg(long, value_name = "URL or path")]
    store: StoreUrl,
    /// The type of keys for which Parseable states none, or both: ingestion or query [default: ingestion]
    #[arg(long = "as", value_name = "TYPE")]
    otherwise: Option<KeyType>,
    /// Make machines of the keys that manage Parseable: admins and editors
    #[arg(long, value_name = "KIND")]
    admins_as: Option<AdminsAs>,
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
    if parseable.admins_as.is_some() && !parseable.dry_run {
        output::require_output()?;
    }
    let client = args.connect()?;
    let bucket = parseable.store.open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot set up the runtime: {error}")))?;
    let sources = runtime.block_on(read(args, parseable, &bucket))?;
    let (mut rows, mut machines) = (Vec::new(), Vec::new());
    for tenant in &sources {
        rows.extend(upload::upload(&client, &tenant.tenant, &tenant.keys, parseable.dry_run)?);
        rows.extend(tenant.refused.iter().cloned());
    }
    // After everything that may end the command: their tokens are shown once.
    for tenant in &sources {
        match machines::make(&client, &tenant.tenant, &tenant.managing, parseable.dry_run) {
            Ok(made) => {
                rows.extend(made.rows);
                machines.extend(made.machines);
            }
            Err(failure) if machines.is_empty() => return Err(failure),
            Err(failure) => rows.push(Row::left(&tenant.tenant, "machines", failure.to_string())),
        }
    }
    if !parseable.delete_originals {
        upload::show(args, &rows, 0, &machines)?;
        return upload::judge(&rows);
    }
    if !rows.iter().all(is_settled) {
        upload::show(args, &rows, 0, &machines)?;
        return upload::judge(&rows).map_err(|failure| failure.and("nothing was removed"));
    }
    let removed = remove(&runtime, &client, &bucket, sources);
    let stay = rows.iter().filter(|row| row.barred).count();
    for row in rows.iter_mut().filter(|row| row.barred) {
        row.note = row.note.take().map(|note| format!("{note}: the original stays"));
    }
    upload::show(args, &rows, removed.as_ref().map_or(0, |removed| *removed), &machines)?;
    removed?;
    match stay {
        0 => Ok(()),
        stay => Err(Failure::refused(format!("{stay} originals stay: the notes say why"))),
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
    let how = Reading {
        otherwise: parseable.otherwise.unwrap_or(KeyType::Ingestion),
        machines: parseable.admins_as.is_some(),
    };
    let mut all = Vec::new();
    for tenant in tenants {
        all.push(source::read(bucket, tenant, how).await?);
    }
    Ok(all)
}

/// Checks again that every key is there, and only then removes the sources of keys that are accepted here. Returns how
/// many were removed.
fn remove(runtime: &Runtime, client: &Client, bucket: &Bucket, sources: Vec<Source>) -> Outcome<usize> {
    let mut stay = Vec::with_capacity(sources.len());
    for tenant in &sources {
        let rows = upload::upload(client, &tenant.tenant, &tenant.keys, true)?;
        if rows.iter().any(|row| !row.barred && row.result != Status::AlreadyThere) {
            return Err(Failure::refused("the server does not have every key: nothing was removed"));
        }
        let barred = rows.into_iter().filter(|row| row.barred).map(|row| row.source);
        stay.push(barred.collect::<BTreeSet<_>>());
    }
    let mut removed = 0;
    for (tenant, stay) in sources.into_iter().zip(&stay) {
        removed += runtime.block_on(tenant.remove(bucket, stay))?;
    }
    Ok(removed)
}
