//! A tenant with many keys is deleted at once: its keys are refused from then on, and revoked by whichever node gets to
//! it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use keyloft::access::{Action, Attempt, authenticate};
use keyloft::key::{Actor, ApiKey, KeyName, KeyState, KeyType, NewKey, PlainSecret, TenantId};
use keyloft::keystore::{Change, SyncSettings};
use keyloft::{Bucket, Keystore, RequestContext, SystemClock};

use crate::support::{Client, Fault, Faults, Faulty, TestServer, context};

const MANY: usize = Keystore::REVOKED_AT_ONCE * 2 + 100;

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// Makes the tenant and issues keys in it.
async fn issue(keystore: &Keystore, count: usize) -> Vec<PlainSecret> {
    keystore.create_tenant(&context(), acme(), None).await.unwrap();
    let change = |number| {
        let new = NewKey::new(KeyName::parse(&format!("k{number}")).unwrap(), KeyType::Query);
        Change::Issue { new: Box::new(new), secret: None, active: true }
    };
    let outcomes = keystore.change_many(&context(), &acme(), (0..count).map(change).collect());
    outcomes.map(|done| done.unwrap().secret.unwrap()).collect().await
}

fn keys(keystore: &Keystore, wanted: impl Fn(&ApiKey) -> bool) -> Vec<Arc<ApiKey>> {
    keystore.cache().scan(&acme(), None, usize::MAX, wanted)
}

fn admits(keystore: &Keystore, secret: &PlainSecret) -> bool {
    authenticate(keystore.cache(), secret.expose(), &Attempt::new(Action::Query, keystore.now())).is_ok()
}

async fn until_revoked(keystore: &Keystore) {
    for _ in 0..1000 {
        if keys(keystore, ApiKey::is_live).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("twenty seconds passed, and {} keys are not revoked", keys(keystore, ApiKey::is_live).len());
}

/// What another node finds in the bucket.
async fn assert_all_revoked(bucket: &Bucket, count: usize, by: &Actor) {
    let fresh = Keystore::new(bucket.clone(), Arc::default(), Arc::new(SystemClock));
    fresh.sync().await.unwrap();
    let revoked = keys(&fresh, |key| key.state == KeyState::Revoked);
    assert_eq!((revoked.len(), keys(&fresh, ApiKey::is_live).len()), (count, 0));
    let is_attributed = revoked.iter().all(|key| key.modified_by.as_ref() == Some(by));
    assert!(is_attributed, "the keys are revoked in the name of the deletion");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_many_keys_the_answer_is_202_and_no_key_works_from_then_on() {
    let bucket = Bucket::in_memory();
    let shared = bucket.clone();
    let server = TestServer::spawn_with(move |setup| {
        setup.bucket = Some(shared);
        setup.config.sync.poll_interval = Duration::from_millis(50);
    })
    .await;
    let keystore = &server.app.keystore;
    let secrets = issue(keystore, MANY).await;
    let whoami = async |secret: &PlainSecret| server.with_key(secret.expose()).get("/api/v1/whoami").await;
    assert_eq!(whoami(&secrets[0]).await.status, 200);
    let admin: Client = server.admin();
    let deleted = admin.delete("/api/v1/tenants/acme").await;
    assert_eq!(deleted.status, 202, "{}", deleted.text());
    assert_eq!((&deleted.json()["deleted"], &deleted.json()["keysToRevoke"]), (&true.into(), &MANY.into()));
    assert!(deleted.json()["receipt"]["changeSeq"].as_u64().is_some());
    assert!(secrets.iter().all(|secret| !admits(keystore, secret)));
    whoami(&secrets[MANY - 1]).await.refused(401, "invalid_api_key");
    admin.get("/api/v1/tenants/acme").await.refused(410, "tenant_deleted");
    until_revoked(keystore).await;
    let again = admin.delete("/api/v1/tenants/acme").await;
    assert_eq!((again.status.as_u16(), &again.json()["keysToRevoke"]), (200, &0.into()));
    assert_all_revoked(&bucket, MANY, &Actor::AdminToken).await;
}

#[tokio::test]
async fn with_few_keys_all_are_revoked_before_the_answer() {
    let bucket = Bucket::in_memory();
    let keystore = Keystore::new(bucket.clone(), Arc::default(), Arc::new(SystemClock));
    keystore.sync().await.unwrap();
    issue(&keystore, Keystore::REVOKED_AT_ONCE).await;
    let deletion = keystore.delete_tenant(&context(), &acme()).await.unwrap();
    assert_eq!((deletion.keys_to_revoke, keys(&keystore, ApiKey::is_live).len()), (0, 0));
    assert_all_revoked(&bucket, Keystore::REVOKED_AT_ONCE, &Actor::AdminToken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_left_when_it_crashed_another_finishes() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let node = async |settings: SyncSettings| {
        let keystore = Keystore::with_settings(bucket.clone(), Arc::default(), Arc::new(SystemClock), settings);
        keystore.sync().await.unwrap();
        keystore
    };
    let first = node(SyncSettings::default()).await;
    let secrets = issue(&first, MANY).await;
    let billing = Actor::parse("billing").unwrap();
    let by_billing = RequestContext::new(billing.clone(), first.now());
    let deletion = first.delete_tenant(&by_billing, &acme()).await.unwrap();
    assert_eq!(deletion.keys_to_revoke, MANY);
    // It ends in the middle of a portion: the store hears no more of it.
    faults.crash_at(1500);
    first.poll().await.unwrap_err();
    let left = keys(&first, ApiKey::is_live).len();
    assert!(0 < left && left < MANY, "{left}");
    drop(first);
    faults.none();

    let settings = SyncSettings {
        poll_interval: Duration::from_millis(20),
        reconcile_interval: Duration::from_millis(200),
        ..SyncSettings::default()
    };
    let second = node(settings).await;
    assert!(secrets.iter().all(|secret| !admits(&second, secret)), "the tombstone refuses all of them");
    let following = tokio::spawn({
        let second = second.clone();
        async move { second.follow().await }
    });
    until_revoked(&second).await;
    following.abort();
    assert_all_revoked(&bucket, MANY, &billing).await;
}

#[tokio::test]
async fn a_change_that_could_not_be_logged_is_logged_once_the_store_answers() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let node = || Keystore::new(bucket.clone(), Arc::default(), Arc::new(SystemClock));
    let (a, b) = (node(), node());
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    faults.inject(Fault::ErrorBefore, |call| call.is_write() && call.is_about("keyloft/log/"));
    let new = NewKey::new(KeyName::parse("k").unwrap(), KeyType::Query);
    let error = a.issue(&context(), &TenantId::default(), new).await.unwrap_err();
    assert_eq!(error.kind(), keyloft::ErrorKind::Unavailable);
    a.poll().await.unwrap_err();
    faults.none();
    b.catch_up().await.unwrap();
    assert_eq!(b.cache().key_count(), 0);
    a.poll().await.unwrap();
    b.catch_up().await.unwrap();
    assert_eq!(b.cache().key_count(), 1);
}
