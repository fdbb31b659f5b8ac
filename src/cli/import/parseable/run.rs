//! Reading the bucket, moving the keys in, removing the originals.

use tokio::runtime::Runtime;

use super::super::super::{Client, ClientArgs, Failure, Outcome};
use super::super::arrival::{self, Fate};
use super::ParseableArgs;
use super::originals::{self, Originals};
use crate::key::KeyType;
use crate::store::{Bucket, StoreUrl};

/// Imports what Parseable has.
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
    let originals = runtime.block_on(read(args, parseable, &bucket))?;
    let mut rows = Vec::new();
    for tenant in &originals {
        rows.extend(arrival::arrive(&client, &tenant.tenant, &tenant.found, parseable.dry_run)?);
        rows.extend(tenant.refused.iter().cloned());
    }
    let all_in = rows.iter().all(|row| matches!(row.result, Fate::Imported | Fate::AlreadyThere));
    let removed =
        if parseable.delete_originals && all_in { remove(&runtime, &client, &bucket, originals) } else { Ok(0) };
    arrival::show(args, &rows, *removed.as_ref().unwrap_or(&0))?;
    removed?;
    arrival::judge(&rows).map_err(
        |failure| {
            if parseable.delete_originals { failure.and("nothing was removed") } else { failure }
        },
    )
}

async fn read(args: &ClientArgs, parseable: &ParseableArgs, bucket: &Bucket) -> Outcome<Vec<Originals>> {
    let tenants = match args.stated_tenant() {
        Some(tenant) => vec![tenant.clone()],
        None => originals::tenants(bucket).await?,
    };
    let mut all = Vec::new();
    for tenant in tenants {
        all.push(originals::read(bucket, tenant, parseable.otherwise.unwrap_or(KeyType::Ingestion)).await?);
    }
    Ok(all)
}

/// Asks once more whether every key is there, and only then removes what they came from.
fn remove(runtime: &Runtime, client: &Client, bucket: &Bucket, originals: Vec<Originals>) -> Outcome<usize> {
    for tenant in &originals {
        let rows = arrival::arrive(client, &tenant.tenant, &tenant.found, true)?;
        if rows.iter().any(|row| row.result != Fate::AlreadyThere) {
            return Err(Failure::refused("the server does not have every key: nothing was removed"));
        }
    }
    let mut removed = 0;
    for tenant in originals {
        removed += runtime.block_on(tenant.remove(bucket))?;
    }
    Ok(removed)
}
