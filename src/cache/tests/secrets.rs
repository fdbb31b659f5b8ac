//! Secrets that keys have, had before, or share, as the maps find them.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{at, key, table};
use crate::cache::table::Table;
use crate::key::{ApiKey, Digest, Hint, KeyId, KeyState, Tenant, TenantId};

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

#[test]
fn a_key_that_was_refused_beside_another_is_let_in_as_it_may_be_once_it_is_the_last() {
    let mut table = table();
    let [one, other] = ["a", "b"].map(|name| key(name, &["0"]));
    table.put_key(Arc::new(one.clone()));
    table.put_key(Arc::new(other.clone()));
    assert_eq!(table.take_affected(), [(one.tenant.clone(), one.key_id)]);
    assert!(table.owner(&Digest::of("0")).is_some() && found(&table, "0").is_none());
    table.deny(&one.tenant, one.key_id);
    table.remove_key(&other.tenant, other.key_id);
    assert_eq!(table.take_affected(), [(one.tenant.clone(), one.key_id)]);
    assert_eq!(found(&table, "0").unwrap().state, KeyState::Revoked, "it was denied since");
    assert!(table.unreadable().is_empty());
}

#[test]
fn keys_that_share_a_secret_are_forgotten_with_their_tenant() {
    let mut table = table();
    let acme = Tenant::new(TenantId::parse("acme").unwrap());
    let theirs = |name| ApiKey { tenant: acme.id.clone(), ..key(name, &["0"]) };
    table.put_tenant(acme.clone());
    table.put_key(Arc::new(theirs("a")));
    table.put_key(Arc::new(theirs("b")));
    table.remove_tenant(&acme.id);
    table.put_tenant(acme.clone());
    assert!(table.owner(&Digest::of("0")).is_none() && table.key_count() == 0, "also when the tenant comes back");
    let ours = key("c", &["0"]);
    for key in [theirs("a"), theirs("b"), ours.clone()] {
        table.put_key(Arc::new(key));
    }
    table.remove_tenant(&acme.id);
    assert_eq!(found(&table, "0").unwrap().key_id, ours.key_id);
    assert_eq!((table.key_count(), table.unreadable().len(), table.duplicate_secrets().count()), (1, 0, 0));
}

proptest! {
    /// Exactly the keys that share a secret are refused and reported, in whatever order the documents come and go.
    #[test]
    fn after_any_changes_a_secret_opens_the_one_key_that_has_it_or_none(
        steps in vec((0usize..4, proptest::sample::subsequence(vec!["0", "1", "2", "3"], 0..=2)), 1..40)
    ) {
        let (mut table, mut keys) = (table(), vec![None; 4]);
        let ids: Vec<KeyId> = (0..4).map(|_| KeyId::random()).collect();
        for (rev, (which, secrets)) in steps.into_iter().enumerate() {
            keys[which] = match secrets[..] {
                [] => {
                    table.remove_key(&TenantId::default(), ids[which]);
                    None
                }
                _ => {
                    let key = ApiKey { key_id: ids[which], rev: rev as u64 + 1, ..key(&format!("k{which}"), &secrets) };
                    table.put_key(Arc::new(key.clone()));
                    Some(key)
                }
            };
            let has = |key: &ApiKey, digest: &Digest| key.digests().any(|other| other == digest);
            let shares = |key: &&ApiKey| {
                let others = keys.iter().flatten().filter(|other: &&ApiKey| other.key_id != key.key_id);
                others.flat_map(ApiKey::digests).any(|digest| has(key, digest))
            };
            for secret in ["0", "1", "2", "3"] {
                let digest = Digest::of(secret);
                let owner = keys.iter().flatten().find(|key| has(key, &digest));
                let opens = owner.filter(|key| !shares(key));
                prop_assert_eq!(found(&table, secret).map(|key| &**key), opens);
                prop_assert_eq!(table.owner(&digest).is_some(), owner.is_some());
            }
            let refused = keys.iter().flatten().filter(shares).count();
            prop_assert_eq!((table.unreadable().len(), table.duplicate_secrets().count()), (refused, refused));
            prop_assert_eq!(table.key_count() + refused, keys.iter().flatten().count());
        }
    }

    #[test]
    fn after_any_rotations_and_removals_the_maps_know_what_the_keys_say(
        steps in vec((0usize..4, 0i64..100, any::<bool>()), 1..60)
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
