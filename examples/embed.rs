//! The key store without a server: issue a key, authenticate with it, revoke it, and see it refused, here and on
//! another node.
//!
//! `cargo run --example embed --no-default-features`
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use keyloft::access::{Action, Attempt, authenticate};
use keyloft::key::{Actor, KeyName, KeyType, Label, NewKey, StreamName, TenantId};
use keyloft::store::StoreUrl;
use keyloft::{Keystore, RequestContext, SystemClock};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("keyloft-embed-{}", std::process::id()));
    let store = StoreUrl::Directory(directory.clone());
    let tenant = TenantId::default();

    let keystore = Keystore::new(store.open()?, Arc::default(), Arc::new(SystemClock));
    keystore.sync().await?;

    let mut new = NewKey::new(KeyName::parse("dashboards")?, KeyType::Query);
    new.settings.streams = "web-*".parse()?;
    // Every change says who made it.
    let context = RequestContext::new(Actor::Named(Label::parse("embed")?), keystore.now());
    let issued = keystore.issue(&context, &tenant, new).await?;

    // The hot path: no await, no store, one short read lock.
    let attempt = Attempt::new(Action::Query, keystore.now());
    let permit = authenticate(keystore.cache(), issued.secret.expose(), &attempt)?;
    println!("tenant {}, key {}", permit.tenant(), permit.key().name);
    for stream in ["web-shop", "billing"] {
        println!("may read {stream}: {}", permit.check_stream(&StreamName::parse(stream)?).is_ok());
    }

    // Another node on the same store. A long-lived node spawns `follow`; here one catch-up is enough.
    let elsewhere = Keystore::new(store.open()?, Arc::default(), Arc::new(SystemClock));
    elsewhere.sync().await?;

    let revoked = keystore.revoke(&context, &tenant, issued.key.key_id, None).await?;
    elsewhere.catch_up().await?;
    for (place, node) in [("here", &keystore), ("on the other node", &elsewhere)] {
        let attempt = Attempt::new(Action::Query, node.now());
        let outcome = authenticate(node.cache(), issued.secret.expose(), &attempt);
        let denial = outcome.err().map_or("still authenticates".to_owned(), |denial| denial.to_string());
        println!("after change {}, {place}: {denial}", revoked.change_seq);
    }

    std::fs::remove_dir_all(directory)?;
    Ok(())
}
