//! Plans, and what is left to do once they are carried out: nothing.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::error::{ErrorKind, Result};
use crate::key::{
    ApiKey, Digest, Hint, KeyName, KeyPatch, KeyState, KeyType, Label, Metadata, NewKey, Streams, TenantId, TrustLevel,
};
use crate::keystore::{Change, Rotation, SuppliedSecret};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn supplied(secret: u8) -> SuppliedSecret {
    SuppliedSecret { digest: Digest::of(secret.to_string()), hint: Hint::default(), own: false }
}

fn declared(name: &str, secret: DeclaredSecret) -> Declared {
    let new = NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query);
    Declared { new, expires_at: None, active: None, secret }
}

/// What the keystore would make of it.
fn carry_out(plan: &Plan, held: &[Arc<ApiKey>]) -> Vec<Arc<ApiKey>> {
    let mut keys = held.to_vec();
    for step in &plan.steps {
        match &step.change {
            Some(Change::Issue { new, secret, active }) => {
                let secret = secret.unwrap();
                let mut key = new.as_ref().clone().into_key(TenantId::default(), secret.digest, secret.hint);
                KeyPatch { active: Some(*active), ..KeyPatch::default() }.apply(&mut key);
                keys.push(key.into());
            }
            Some(Change::Update { id, rotation, expected_rev, .. }) => {
                let key = keys.iter_mut().find(|key| key.key_id == *id).unwrap();
                assert_eq!(*expected_rev, Some(key.rev));
                let mut after = step.patched().unwrap();
                if let Some(Rotation { secret, overlap }) = rotation {
                    after.rotate(secret.digest, secret.hint, NOW, NOW + *overlap).unwrap();
                }
                *key = after.into();
            }
            None => {}
            Some(Change::Revoke { id }) => keys.retain(|key| key.key_id != *id),
        }
    }
    keys
}

fn owner(held: &[Arc<ApiKey>]) -> impl Fn(&Digest) -> Option<Arc<ApiKey>> {
    |digest| held.iter().find(|key| key.digest == *digest || key.older_until(digest).is_some()).cloned()
}

fn diff(declared: Vec<Declared>, held: &[Arc<ApiKey>], prune: bool) -> Result<Plan> {
    Plan::diff(declared, held, owner(held), prune, NOW)
}

fn actions(plan: &Plan) -> Vec<(&str, &'static str)> {
    plan.steps.iter().map(|step| (step.name.as_str(), step.action())).collect()
}

#[test]
fn a_key_is_issued_changed_rotated_or_revoked_and_otherwise_left_alone() {
    let kept = |secret| DeclaredSecret::Kept(Some(supplied(secret)));
    let first = vec![declared("a", kept(1)), declared("b", kept(2)), declared("c", kept(3))];
    let plan = diff(first.clone(), &[], false).unwrap();
    assert_eq!(actions(&plan), [("a", "issue"), ("b", "issue"), ("c", "issue")]);
    let held = carry_out(&plan, &[]);
    assert!(diff(first, &held, true).unwrap().steps.is_empty());
    let mut narrowed = declared("a", kept(9));
    narrowed.new.settings.streams = "web-*".parse().unwrap();
    let rotated = declared("b", DeclaredSecret::Fixed(supplied(4), TimeDelta::zero()));
    let second = vec![narrowed, rotated];
    assert_eq!(actions(&diff(second.clone(), &held, false).unwrap()), [("a", "update"), ("b", "rotate")]);
    let plan = diff(second, &held, true).unwrap();
    assert_eq!(actions(&plan), [("a", "update"), ("b", "rotate"), ("c", "revoke")]);
}

#[test]
fn what_is_not_said_of_expiry_and_state_stays() {
    let mut key =
        declared("a", DeclaredSecret::Kept(None)).new.into_key(TenantId::default(), Digest::of("x"), Hint::default());
    (key.expires_at, key.state) = (Some(NOW), KeyState::Disabled);
    let held = [Arc::new(key)];
    let silent = declared("a", DeclaredSecret::Kept(None));
    assert!(diff(vec![silent.clone()], &held, true).unwrap().steps.is_empty());
    let said = Declared { expires_at: Some(None), active: Some(true), ..silent };
    let after = diff(vec![said], &held, true).unwrap().steps[0].patched().unwrap();
    assert_eq!((after.expires_at, after.state), (None, KeyState::Active));
}

#[test]
fn a_bad_declaration_is_refused_as_a_whole() {
    let fixed = |secret| DeclaredSecret::Fixed(supplied(secret), TimeDelta::zero());
    let held = carry_out(&diff(vec![declared("a", fixed(1)), declared("b", fixed(2))], &[], false).unwrap(), &[]);
    let twins = [held.clone(), held.clone()].concat();
    let kind = |declared, held, prune| diff(declared, held, prune).unwrap_err().kind();
    let kept = DeclaredSecret::Kept(None);
    assert_eq!(kind(vec![declared("a", kept), declared("a", kept)], &held, false), ErrorKind::Invalid);
    assert_eq!(kind(vec![declared("c", fixed(3)), declared("d", fixed(3))], &held, false), ErrorKind::Invalid);
    assert_eq!(kind(vec![declared("c", fixed(1))], &held, false), ErrorKind::DuplicateApiKey);
    assert_eq!(kind(vec![declared("b", fixed(1))], &held, false), ErrorKind::DuplicateApiKey);
    assert_eq!(kind(vec![declared("a", kept)], &twins, false), ErrorKind::DuplicateKeyName);
    let mut other_type = declared("a", kept);
    other_type.new.key_type = KeyType::Ingestion;
    assert_eq!(kind(vec![other_type], &held, false), ErrorKind::DuplicateKeyName);
    assert_eq!(kind(vec![], &held, true), ErrorKind::Invalid);
}

#[test]
fn a_key_that_has_expired_already_is_not_issued() {
    let expired = Declared { expires_at: Some(Some(NOW)), ..declared("a", DeclaredSecret::Kept(None)) };
    assert!(diff(vec![expired], &[], true).unwrap().steps.is_empty());
}

#[test]
fn an_import_gets_a_free_name_and_imports_a_secret_once() {
    let fixed = |secret| DeclaredSecret::Fixed(supplied(secret), TimeDelta::zero());
    let held = carry_out(&diff(vec![declared("a", fixed(1))], &[], false).unwrap(), &[]);
    let long = "x".repeat(KeyName::MAX_CHARS);
    let declared = vec![
        declared("a", fixed(1)),
        declared("a", fixed(2)),
        declared("a", fixed(3)),
        declared(&long, fixed(4)),
        declared(&long, fixed(5)),
    ];
    let plan = Plan::import(declared.clone(), &held, owner(&held)).unwrap();
    let cut = format!("{} (2)", &long[4..]);
    let names = [("a", "keep"), ("a (2)", "issue"), ("a (3)", "issue"), (&*long, "issue"), (&*cut, "issue")];
    assert_eq!(actions(&plan), names);
    let held = carry_out(&plan, &held);
    let again = Plan::import(declared, &held, owner(&held)).unwrap();
    assert!(again.steps.iter().all(|step| step.change.is_none()));
}

fn any_declared() -> impl Strategy<Value = Vec<Declared>> {
    let one = (0u8..6, 0u8..3, any::<bool>(), any::<Option<bool>>(), 0u8..3, any::<Option<bool>>());
    proptest::collection::btree_map(0u8..6, one, 0..6).prop_map(|keys| {
        type One = (u8, u8, bool, Option<bool>, u8, Option<bool>);
        let each = |(name, (secret, streams, fixed, active, source, expires)): (u8, One)| {
            // A secret of its own for each name, so that no two share one.
            let secret = supplied(secret * 10 + name);
            let secret = if fixed {
                DeclaredSecret::Fixed(secret, TimeDelta::seconds(60))
            } else {
                DeclaredSecret::Kept(Some(secret))
            };
            let mut declared = Declared { active, ..declared(&name.to_string(), secret) };
            declared.new.settings.streams =
                [Streams::All, "a".parse().unwrap(), "b*".parse().unwrap()][streams as usize].clone();
            declared.new.settings.source_id =
                [None, Label::parse("x").ok(), Label::parse("y").ok()][source as usize].clone();
            declared.new.settings.trust_level = TrustLevel::default();
            declared.new.settings.metadata = Metadata::default();
            declared.expires_at = expires.map(|ends| ends.then(|| NOW + TimeDelta::hours(1)));
            declared
        };
        keys.into_iter().map(each).collect()
    })
}

proptest! {
    #[test]
    fn once_a_plan_is_carried_out_nothing_is_left_to_do(
        before in any_declared(), wanted in any_declared(), prune in any::<bool>()
    ) {
        let held = carry_out(&diff(before, &[], false).unwrap(), &[]);
        let Ok(plan) = diff(wanted.clone(), &held, prune) else { return Ok(()) };
        let after = carry_out(&plan, &held);
        let left = diff(wanted.clone(), &after, prune).unwrap();
        prop_assert!(left.steps.is_empty(), "{:?}", actions(&left));
        if prune {
            prop_assert_eq!(after.len(), wanted.len());
        }
    }
}
