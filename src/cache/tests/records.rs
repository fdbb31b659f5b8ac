//! Records, names, pages and tenants, as the maps hold them.

use std::sync::Arc;

use super::table;
use crate::cache::table::{Table, Unreservable};
use crate::key::{ApiKey, Digest, KeyState, KeyType, Tenant, TenantId};

fn key(name: &str, secret: &str) -> ApiKey {
    super::key(name, &[secret])
}

#[test]
fn an_older_revision_never_replaces_a_newer_one() {
    let mut table = table();
    let old = key("a", "s");
    let revoked = ApiKey { state: KeyState::Revoked, rev: 2, ..old.clone() };
    assert!(table.put_key(Arc::new(revoked)));
    assert!(!table.put_key(Arc::new(old)));
    assert_eq!(table.find(&Digest::of("s")).unwrap().0.state, KeyState::Revoked);
}

#[test]
fn a_revoked_key_frees_its_name_and_stays_on_record() {
    let mut table = table();
    let first = key("a", "s");
    table.put_key(Arc::new(first.clone()));
    let name = first.name.clone();
    assert_eq!(table.reserve_name(&first.tenant, &name), Err(Unreservable::Taken));
    table.put_key(Arc::new(ApiKey { state: KeyState::Revoked, rev: 2, ..first.clone() }));
    assert_eq!(table.reserve_name(&first.tenant, &name), Ok(()));
    assert_eq!(table.reserve_name(&first.tenant, &name), Err(Unreservable::Taken));
    table.release_name(&first.tenant, &name);
    assert_eq!(table.reserve_name(&first.tenant, &name), Ok(()));
    assert_eq!(table.keys_after(&first.tenant, None, 10).len(), 1);
}

#[test]
fn a_denied_key_stays_refused_until_it_is_left_to_the_bucket_again() {
    let mut table = table();
    let first = key("a", "s");
    table.put_key(Arc::new(first.clone()));
    table.deny(&first.tenant, first.key_id);
    let state = |table: &Table| table.find(&first.digest).unwrap().0.state;
    assert_eq!(state(&table), KeyState::Revoked);
    table.put_key(Arc::new(ApiKey { rev: 2, ..first.clone() }));
    assert_eq!(state(&table), KeyState::Revoked);
    table.stop_denying(&first.tenant, first.key_id);
    table.put_key(Arc::new(ApiKey { rev: 3, ..first.clone() }));
    assert_eq!(state(&table), KeyState::Active);
}

#[test]
fn two_keys_with_one_digest_are_both_refused_and_listed() {
    let mut table = table();
    table.put_key(Arc::new(key("a", "same")));
    table.put_key(Arc::new(key("b", "same")));
    assert!(table.find(&Digest::of("same")).is_none());
    assert_eq!((table.key_count(), table.unreadable().len()), (0, 2));
}

#[test]
fn a_changed_digest_takes_the_old_one_out() {
    let mut table = table();
    let old = key("a", "old");
    table.put_key(Arc::new(old.clone()));
    table.put_key(Arc::new(ApiKey { digest: Digest::of("new"), ..old.clone() }));
    assert!(table.find(&Digest::of("old")).is_none());
    assert!(table.find(&Digest::of("new")).is_some());
    table.remove_key(&old.tenant, old.key_id);
    assert_eq!(table.key_count(), 0);
}

#[test]
fn pages_follow_the_order_of_ids() {
    let mut table = table();
    for n in 0..10 {
        table.put_key(Arc::new(key(&format!("k{n}"), &format!("s{n}"))));
    }
    let tenant = TenantId::default();
    let first = table.keys_after(&tenant, None, 4);
    let rest = table.keys_after(&tenant, Some(first[3].key_id), 100);
    assert_eq!((first.len(), rest.len()), (4, 6));
    assert!(first.iter().chain(&rest).map(|key| key.key_id).is_sorted());
}

#[test]
fn what_was_read_gives_way_to_what_this_node_wrote_since() {
    let mut table = Table::default();
    let acme = TenantId::parse("acme").unwrap();
    table.put_tenant(Tenant::new(acme.clone()));
    let known = table.tenant(&acme).unwrap().clone();
    let suspended = Tenant { suspended: KeyType::ALL.into(), ..Tenant::new(acme.clone()) };
    table.put_tenant(suspended.clone());
    assert!(!table.restore_tenant(Some(&known), Tenant::new(acme.clone())));
    assert!(!table.restore_tenant(None, Tenant::new(acme.clone())));
    assert_eq!(**table.tenant(&acme).unwrap(), suspended);
    let known = table.tenant(&acme).unwrap().clone();
    assert!(table.restore_tenant(Some(&known), Tenant::new(acme.clone())));
    assert!(table.tenant(&acme).unwrap().suspended.is_empty());
}

#[test]
fn a_tenant_is_forgotten_with_its_keys_and_names() {
    let mut table = Table::default();
    let tenant = TenantId::default();
    table.put_tenant(Tenant::new(tenant.clone()));
    let key = key("k", "s");
    let digest = key.digest;
    assert!(table.put_key(Arc::new(key)));
    table.remove_tenant(&tenant);
    assert!(table.find(&digest).is_none() && table.tenant(&tenant).is_none() && table.key_count() == 0);
}

#[test]
fn a_lower_revision_counts_only_in_place_of_what_was_known() {
    let mut table = Table::default();
    table.put_tenant(Tenant::new(TenantId::default()));
    let low = key("k", "s");
    let high = ApiKey { rev: low.rev + 1, ..low.clone() };
    table.put_key(Arc::new(high.clone()));
    let known = table.key(&low.tenant, low.key_id).unwrap().clone();
    assert!(!table.put_key(Arc::new(low.clone())));
    assert!(!table.restore_key(&Arc::new(high), Arc::new(low.clone())), "another one than was known");
    assert!(table.restore_key(&known, Arc::new(low.clone())));
    assert_eq!(table.key(&low.tenant, low.key_id).unwrap().rev, low.rev);
}
