//! Secrets that keys had before, as the maps find them.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::table::Table;
use crate::key::{ApiKey, Digest, Hint, KeyName, KeyState, KeyType, NewKey, Tenant, TenantId};

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

fn found<'a>(table: &'a Table, secret: &str) -> Option<&'a Arc<ApiKey>> {
    table.find(&Digest::of(secret)).map(|(key, _)| key)
}

#[test]
fn a_key_is_found_by_every_secret_that_it_had_and_by_none_that_is_forgotten() {
    let mut table = table();
    let mut rotated = key("a", &["0", "1", "2"]);
    table.put_key(Arc::new(rotated.clone()));
    for secret in ["0", "1", "2"] {
        assert_eq!(found(&table, secret).unwrap().key_id, rotated.key_id, "{secret}");
    }
    rotated.rotate(Digest::of("3"), Hint::default(), at(60), at(90)).unwrap();
    rotated.rev = 2;
    table.put_key(Arc::new(rotated.clone()));
    let known: Vec<_> = ["0", "1", "2", "3"].into_iter().filter(|secret| found(&table, secret).is_some()).collect();
    assert_eq!((known, table.key_count()), (vec!["2", "3"], 1));
    table.remove_key(&rotated.tenant, rotated.key_id);
    assert!(["2", "3"].into_iter().all(|secret| found(&table, secret).is_none()));
}

#[test]
fn a_secret_that_two_keys_have_or_had_opens_neither() {
    for (one, other) in [(&["0", "1"][..], &["0"][..]), (&["0"], &["0", "1"]), (&["0", "1"], &["0", "2"])] {
        let mut table = table();
        table.put_key(Arc::new(key("a", one)));
        table.put_key(Arc::new(key("b", other)));
        assert!(["0", "1", "2"].into_iter().all(|secret| found(&table, secret).is_none()), "{one:?} {other:?}");
        assert_eq!((table.key_count(), table.unreadable().len()), (0, 2));
    }
}

#[test]
fn a_denied_key_is_revoked_by_all_its_secrets() {
    let mut table = table();
    let rotated = key("a", &["0", "1"]);
    table.put_key(Arc::new(rotated.clone()));
    table.deny(&rotated.tenant, rotated.key_id);
    for secret in ["0", "1"] {
        assert_eq!(found(&table, secret).unwrap().state, KeyState::Revoked);
    }
}

#[test]
fn a_key_that_names_its_own_secret_twice_is_found_and_removed() {
    let mut table = table();
    let mut twice = key("a", &["0", "1"]);
    let older: Vec<_> = twice.older.iter().copied().chain(twice.older.iter().copied()).collect();
    twice.older = older.try_into().unwrap();
    table.put_key(Arc::new(twice.clone()));
    assert!(found(&table, "0").is_some());
    table.remove_key(&twice.tenant, twice.key_id);
    assert!(found(&table, "0").is_none());
    assert!(table.put_key(Arc::new(key("b", &["0"]))) && found(&table, "0").is_some());
}

proptest! {
    #[test]
    fn after_any_rotations_and_removals_the_maps_know_what_the_keys_say(
        steps in proptest::collection::vec((0usize..4, 0i64..100, any::<bool>()), 1..60)
    ) {
        let mut table = table();
        let mut keys: Vec<Option<ApiKey>> = vec![None; 4];
        let mut all = Vec::new();
        for (now, (which, overlap, remove)) in steps.into_iter().enumerate() {
            let secret = format!("secret {now}");
            let now = now as i64;
            match &mut keys[which] {
                Some(held) if remove && overlap > 70 => {
                    table.remove_key(&held.tenant, held.key_id);
                    keys[which] = None;
                }
                Some(held) => {
                    _ = held.rotate(Digest::of(&secret), Hint::default(), at(now), at(now + overlap));
                    held.rev += 1;
                    table.put_key(Arc::new(held.clone()));
                }
                empty => {
                    *empty = Some(key(&format!("k{which}"), &[&secret]));
                    table.put_key(Arc::new(empty.clone().unwrap()));
                }
            }
            all.push(secret);
        }
        for secret in &all {
            let digest = Digest::of(secret);
            let owner = keys.iter().flatten().find(|key| {
                key.digest == digest || key.older.iter().any(|older| older.digest == digest)
            });
            let found = found(&table, secret);
            prop_assert_eq!(found.map(|key| key.key_id), owner.map(|key| key.key_id));
        }
        prop_assert_eq!(table.key_count(), keys.iter().flatten().count());
    }
}
