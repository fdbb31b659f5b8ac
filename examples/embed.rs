//! The keystore without any server: issue a key, authenticate with it, revoke it, and see it refused, here and elsewhere.
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
    let store = StoreUrl::Directory(directory.clone());
    let keystore = Keystore::new(store.open()?, Arc::default(), Arc::new(SystemClock));
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

    // Another node on the same store. A long-lived one spawns `follow`; here one look is enough.
    let elsewhere = Keystore::new(store.open()?, Arc::default(), Arc::new(SystemClock));
    elsewhere.sync().await?;

    let revoked = keystore.revoke(&tenant, issued.key.key_id, None).await?;
    elsewhere.catch_up().await?;
    for (place, node) in [("here", &keystore), ("elsewhere", &elsewhere)] {
        let refused = auth::authenticate::<Query>(node.cache(), issued.secret.expose(), None, node.now());
        println!(
            "after change {}, {place}: {}",
            revoked.change_seq,
            refused.err().map_or("?".into(), |no| no.to_string())
        );
    }

    std::fs::remove_dir_all(directory)?;
    Ok(())
}
