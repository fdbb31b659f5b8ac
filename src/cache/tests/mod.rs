//! The maps, tested as one.

use chrono::{DateTime, TimeDelta, Utc};

use super::table::Table;
use crate::key::{ApiKey, Digest, Hint, KeyName, KeyType, NewKey, Tenant, TenantId};

mod records;
mod secrets;

fn table() -> Table {
    let mut table = Table::default();
    table.put_tenant(Tenant::new(TenantId::default()));
    table
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

/// A key that had all these secrets, the last one now.
fn key(name: &str, secrets: &[&str]) -> ApiKey {
    let new = NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query);
    let mut key = new.into_key(TenantId::default(), Digest::of(secrets[0]), Hint::default());
    for secret in &secrets[1..] {
        key.rotate(Digest::of(secret), Hint::default(), at(0), at(60)).unwrap();
    }
    key
}
