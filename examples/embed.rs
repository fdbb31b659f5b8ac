//! The keystore without any server: issue a key, authenticate with it, revoke it, and see it refused.
//!
//! `cargo run --example embed --no-default-features`
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use keyloft::auth::{self, Query};
use keyloft::key::{KeyName, KeyType, NewKey, StreamName, TenantId};
use keyloft::store::StoreUrl;
use keyloft::{Keystore, SystemClock};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("keyloft-embed-{}", std::process::id()));
    let bucket = StoreUrl::Directory(directory.clone()).open()?;
    let keystore = Keystore::new(bucket, Arc::default(), Arc::new(SystemClock));
    keystore.sync().await?;

    let tenant = TenantId::default();
    let mut new = NewKey::new(KeyName::parse("dashboards")?, KeyType::Query);
    new.streams = "web-*".parse()?;
    let issued = keystore.issue(&tenant, new, None).await?;

    // The hot path: no await, no store, one short read lock.
    let permit = auth::authenticate::<Query>(keystore.cache(), issued.secret.expose(), None, keystore.now())?;
    println!(
        "{} may read web-shop: {}",
        permit.key().name,
        permit.check_stream(&StreamName::parse("web-shop")?).is_ok()
    );
    println!("{} may read billing: {}", permit.key().name, permit.check_stream(&StreamName::parse("billing")?).is_ok());

    keystore.revoke(&tenant, issued.key.key_id, None).await?;
    let refused = auth::authenticate::<Query>(keystore.cache(), issued.secret.expose(), None, keystore.now());
    println!("after revocation: {}", refused.err().map_or("?".to_owned(), |denial| denial.to_string()));

    std::fs::remove_dir_all(directory)?;
    Ok(())
}
