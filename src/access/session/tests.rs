use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use parking_lot::Mutex;

use super::holder::{OperatorGrant, OperatorRight};
use super::*;
use crate::access::{Action, Attempt, Permit, authenticate};
use crate::clock::SystemClock;
use crate::documents::RequestContext;
use crate::key::{Actor, KeyName, KeyPatch, KeyType, NewKey, StreamName, TenantId};
use crate::keystore::{Keystore, TenantPatch};
use crate::store::Bucket;

struct Fixture {
    keystore: Keystore,
    sessions: Arc<Sessions>,
    permit: Permit,
}

async fn fixture(ttl: Duration) -> Fixture {
    let clock = Arc::new(SystemClock);
    let keystore = Keystore::new(Bucket::in_memory(), Arc::default(), clock.clone());
    keystore.sync().await.unwrap();
    let new = NewKey::new(KeyName::parse("q").unwrap(), KeyType::Query);
    let issued = keystore.issue(&RequestContext::admin(), &TenantId::default(), new).await.unwrap();
    let attempt = Attempt::new(Action::Query, keystore.now());
    let permit = authenticate(keystore.cache(), issued.secret.expose(), &attempt).unwrap();
    let sessions = Sessions::new(keystore.cache().clone(), clock, ttl, 2);
    Fixture { keystore, sessions, permit }
}

#[tokio::test]
async fn a_dropped_guard_closes_its_session() {
    let Fixture { sessions, permit, .. } = fixture(Duration::from_secs(60)).await;
    let guard = sessions.open(&permit).unwrap();
    assert_eq!(sessions.list().len(), 1);
    drop(guard);
    assert!(sessions.list().is_empty());
}

#[tokio::test]
async fn the_deadline_frees_the_place_by_itself() {
    let Fixture { sessions, permit, .. } = fixture(Duration::from_millis(20)).await;
    let guard = sessions.open(&permit).unwrap();
    assert_eq!(guard.session().ended().await, SessionEnd::Deadline);
    assert!(sessions.list().is_empty());
}

#[tokio::test]
async fn a_key_that_expires_takes_its_sessions_with_it() {
    let Fixture { keystore, sessions, permit } = fixture(Duration::from_secs(60)).await;
    let expires_at = Some(Some(keystore.now() + TimeDelta::milliseconds(50)));
    let patch = KeyPatch { expires_at, ..KeyPatch::default() };
    keystore.update(&RequestContext::admin(), &TenantId::default(), permit.key().key_id, patch, None).await.unwrap();
    let guard = sessions.open(&permit).unwrap();
    assert_eq!(guard.session().ended().await, SessionEnd::KeyWithdrawn);
}

#[tokio::test]
async fn a_tenant_has_so_many_places_and_gets_them_back() {
    let Fixture { sessions, permit, .. } = fixture(Duration::from_secs(60)).await;
    let (first, _second) = (sessions.open(&permit).unwrap(), sessions.open(&permit).unwrap());
    assert_eq!(sessions.open(&permit).unwrap_err(), TooManyQueries { limit: 2 });
    drop(first);
    assert!(sessions.open(&permit).is_ok());
}

#[tokio::test]
async fn whatever_takes_the_permit_away_ends_the_session() {
    let Fixture { keystore, sessions, permit } = fixture(Duration::from_secs(60)).await;
    let tenant = TenantId::default();
    let guard = sessions.open(&permit).unwrap();
    let suspended = Some([KeyType::Query].into());
    keystore
        .update_tenant(&RequestContext::admin(), &tenant, TenantPatch { suspended, ..TenantPatch::default() })
        .await
        .unwrap();
    assert_eq!(guard.session().ended().await, SessionEnd::TenantSuspended);
    keystore
        .update_tenant(
            &RequestContext::admin(),
            &tenant,
            TenantPatch { suspended: Some([].into()), ..TenantPatch::default() },
        )
        .await
        .unwrap();
    let guard = sessions.open(&permit).unwrap();
    let patch = KeyPatch { active: Some(false), ..KeyPatch::default() };
    keystore.update(&RequestContext::admin(), &tenant, permit.key().key_id, patch, None).await.unwrap();
    assert_eq!(guard.session().ended().await, SessionEnd::KeyWithdrawn);
}

#[tokio::test]
async fn the_end_of_its_tenant_ends_the_session() {
    let Fixture { keystore, sessions, permit } = fixture(Duration::from_secs(60)).await;
    let guard = sessions.open(&permit).unwrap();
    let deleted =
        crate::key::Tenant { deleted: true, ..(*keystore.cache().tenant(&TenantId::default()).unwrap()).clone() };
    keystore.cache().put_tenant(deleted);
    assert_eq!(guard.session().ended().await, SessionEnd::TenantDeleted);
}

#[tokio::test]
async fn a_key_revoked_between_permit_and_session_opens_none_that_lasts() {
    let Fixture { keystore, sessions, permit } = fixture(Duration::from_secs(60)).await;
    keystore.revoke(&RequestContext::admin(), &TenantId::default(), permit.key().key_id, None).await.unwrap();
    let guard = sessions.open(&permit).unwrap();
    assert_eq!(guard.session().ended().await, SessionEnd::KeyWithdrawn);
}

/// An operator whose right a test gives and takes.
#[derive(Debug)]
struct Given {
    actor: Actor,
    streams: Mutex<Option<&'static str>>,
}

impl Given {
    fn new(streams: &'static str) -> Arc<Self> {
        Arc::new(Self { actor: Actor::AdminToken, streams: Mutex::new(Some(streams)) })
    }
}

impl OperatorRight for Given {
    fn operator(&self) -> &Actor {
        &self.actor
    }

    fn grant(&self) -> Option<OperatorGrant> {
        let streams = (*self.streams.lock())?.parse().unwrap();
        Some(OperatorGrant { streams, until: None })
    }
}

#[tokio::test]
async fn the_session_of_an_operator_ends_when_the_right_does() {
    let Fixture { sessions, .. } = fixture(Duration::from_secs(60)).await;
    let right = Given::new("*");
    let guard = sessions.open_for_operator(TenantId::default(), right.clone()).unwrap();
    let session = guard.session();
    assert_eq!((session.key_id(), session.operator()), (None, Some(&Actor::AdminToken)));
    sessions.review_operators();
    assert_eq!(sessions.list().len(), 1);
    *right.streams.lock() = None;
    assert!(!session.touch(&StreamName::parse("web").unwrap()), "nothing is read without the right");
    sessions.review_operators();
    assert!(sessions.list().is_empty());
    assert_eq!(session.ended().await, SessionEnd::OperatorWithdrawn);
}

#[tokio::test]
async fn a_right_that_ends_without_a_word_ends_the_session_within_seconds() {
    let Fixture { sessions, .. } = fixture(Duration::from_secs(60)).await;
    let right = Given::new("*");
    let guard = sessions.open_for_operator(TenantId::default(), right.clone()).unwrap();
    *right.streams.lock() = None;
    let ended = tokio::time::timeout(Duration::from_secs(10), guard.session().ended()).await;
    assert_eq!(ended.unwrap(), SessionEnd::OperatorWithdrawn);
}

#[tokio::test]
async fn a_right_that_is_gone_before_the_session_opens_gives_none_that_lasts() {
    let Fixture { sessions, .. } = fixture(Duration::from_secs(60)).await;
    let right = Given::new("*");
    *right.streams.lock() = None;
    let guard = sessions.open_for_operator(TenantId::default(), right).unwrap();
    assert_eq!(guard.session().ended().await, SessionEnd::OperatorWithdrawn);
}

#[tokio::test]
async fn an_operator_who_loses_a_stream_loses_the_session_that_reads_it() {
    let Fixture { sessions, .. } = fixture(Duration::from_secs(60)).await;
    let (one, other) = (Given::new("*,keyloft_audit"), Given::new("*,keyloft_audit"));
    let reads = sessions.open_for_operator(TenantId::default(), one.clone()).unwrap();
    let reads_not = sessions.open_for_operator(TenantId::default(), other.clone()).unwrap();
    assert!(reads.session().touch(&StreamName::parse("keyloft_audit").unwrap()));
    for right in [one, other] {
        *right.streams.lock() = Some("*");
    }
    sessions.review_operators();
    assert_eq!(reads.session().ended().await, SessionEnd::StreamWithdrawn);
    assert_eq!(sessions.list().len(), 1);
    drop(reads_not);
}

#[tokio::test]
async fn operators_and_keys_share_the_places_of_a_tenant_and_the_deadline() {
    let Fixture { sessions, permit, .. } = fixture(Duration::from_millis(100)).await;
    let key = sessions.open(&permit).unwrap();
    let operator = sessions.open_for_operator(TenantId::default(), Given::new("*")).unwrap();
    assert_eq!(sessions.open(&permit).unwrap_err(), TooManyQueries { limit: 2 });
    let third = sessions.open_for_operator(TenantId::default(), Given::new("*"));
    assert_eq!(third.unwrap_err(), TooManyQueries { limit: 2 });
    for guard in [key, operator] {
        assert_eq!(guard.session().ended().await, SessionEnd::Deadline);
    }
}

#[tokio::test]
async fn a_suspended_tenant_keeps_the_sessions_of_its_operators_and_a_deleted_one_does_not() {
    let Fixture { keystore, sessions, .. } = fixture(Duration::from_secs(60)).await;
    let guard = sessions.open_for_operator(TenantId::default(), Given::new("*")).unwrap();
    let tenant = (*keystore.cache().tenant(&TenantId::default()).unwrap()).clone();
    let suspended = [KeyType::Query, KeyType::Ingestion].into();
    keystore.cache().put_tenant(crate::key::Tenant { suspended, ..tenant.clone() });
    assert_eq!(sessions.list().len(), 1);
    keystore.cache().put_tenant(crate::key::Tenant { deleted: true, ..tenant });
    assert_eq!(guard.session().ended().await, SessionEnd::TenantDeleted);
}
