//! The rules against a model, and all callers of the decision against each other.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::cache::KeyCache;
use crate::clock::{Clock, ManualClock};
use crate::documents::RequestContext;
use crate::key::{
    ApiKey, Digest, Hint, KeyName, KeyPatch, KeyState, KeyType, NewKey, PlainSecret, StreamName, Tenant, TenantId,
};
use crate::keystore::{Keystore, TenantPatch};
use crate::store::Bucket;

const API_KEY: &str = "a-secret-that-is-long-enough-to-be-one";
const OLDER: &str = "the-secret-that-the-key-had-before-that";

/// Every fact that may deny a request, independently.
#[derive(Debug, Clone)]
struct Case {
    view: View,
    known: bool,
    deleted: bool,
    state: KeyState,
    /// In seconds from now.
    expires: Option<i64>,
    /// The secret that was presented was rotated away, and works for so many seconds.
    older: Option<i64>,
    key_type: KeyType,
    action: Action,
    stated: Option<Option<&'static str>>,
    suspended: Vec<KeyType>,
    networks: &'static str,
    address: ClientAddress,
    request_rate: Option<Refusal>,
    streams: &'static str,
    stream: Option<&'static str>,
    volume: Option<Refusal>,
}

fn refusal(dimension: Dimension) -> Refusal {
    let limit = LimitId { scope: LimitScope::Key, dimension };
    Refusal::Rate { limit, wait: std::time::Duration::from_secs(1) }
}

/// Mostly good, so that every rule is the first to fail often enough.
fn case() -> impl Strategy<Value = Case> {
    let rarely = |odds: f64| prop::bool::weighted(odds);
    let state = prop_oneof![
        8 => Just(KeyState::Active), 1 => Just(KeyState::Disabled), 1 => Just(KeyState::Revoked)
    ];
    let view = prop_oneof![
        16 => Just(View::Current), 1 => Just(View::Verifying), 1 => Just(View::Loading), 1 => Just(View::Stale)
    ];
    let key_type = prop_oneof![Just(KeyType::Ingestion), Just(KeyType::Query)];
    let action = prop_oneof![Just(Action::Ingest), Just(Action::Query), Just(Action::Inspect)];
    let stated = prop_oneof![
        6 => Just(None), 4 => Just(Some(Some("acme"))), 1 => Just(Some(Some("beta"))), 1 => Just(Some(None))
    ];
    let suspended = prop_oneof![
        6 => Just(vec![]), 1 => Just(vec![KeyType::Query]), 1 => Just(vec![KeyType::Ingestion]),
        1 => Just(KeyType::ALL.to_vec())
    ];
    let address = prop_oneof![
        Just(ClientAddress::Unchecked),
        Just(ClientAddress::Unknown),
        Just(ClientAddress::Known([10, 0, 0, 1].into())),
        Just(ClientAddress::Known([192, 0, 2, 1].into()))
    ];
    let about_key = (
        view,
        rarely(0.95),
        rarely(0.05),
        state,
        prop::option::weighted(0.3, -1i64..3),
        prop::option::weighted(0.3, -1i64..3),
        key_type,
    );
    let about_request = (
        action,
        stated,
        suspended,
        prop_oneof![3 => Just(""), 1 => Just("10.0.0.0/8")],
        address,
        rarely(0.1),
        prop_oneof![Just("*"), Just("web-*"), Just("*,keyloft_usage")],
        prop::option::of(prop_oneof![Just("web-1"), Just("app"), Just("keyloft_usage")]),
        rarely(0.1),
    );
    (about_key, about_request).prop_map(|(about_key, about_request)| {
        let (view, known, deleted, state, expires, older, key_type) = about_key;
        let (action, stated, suspended, networks, address, request_rate, streams, stream, volume) = about_request;
        Case {
            view,
            known,
            deleted,
            state,
            expires,
            older,
            key_type,
            action,
            stated,
            suspended,
            networks,
            address,
            request_rate: request_rate.then(|| refusal(Dimension::Requests)),
            streams,
            stream,
            volume: volume.then(|| refusal(Dimension::Events)),
        }
    })
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

impl Case {
    fn key(&self) -> ApiKey {
        let mut new = NewKey::new(KeyName::parse("k").unwrap(), self.key_type);
        new.expires_at = Some(self.expires.map(|seconds| now() + TimeDelta::seconds(seconds)));
        new.settings.streams = self.streams.parse().unwrap();
        if !self.networks.is_empty() {
            new.settings.allowed_cidrs = self.networks.parse().unwrap();
        }
        let tenant = TenantId::parse("acme").unwrap();
        let first = if self.older.is_some() { OLDER } else { API_KEY };
        let mut key = new.into_key(tenant, Digest::of(first), Hint::default());
        if let Some(seconds) = self.older {
            let until = now() + TimeDelta::seconds(seconds);
            key.rotate(Digest::of(API_KEY), Hint::default(), now() - TimeDelta::days(1), until).unwrap();
        }
        key.state = self.state;
        key
    }

    fn tenant(&self) -> Tenant {
        let suspended = self.suspended.iter().copied().collect();
        Tenant { deleted: self.deleted, suspended, ..Tenant::new(TenantId::parse("acme").unwrap()) }
    }

    fn presented(&self) -> &'static str {
        if self.older.is_some() { OLDER } else { API_KEY }
    }

    fn stated_tenant(&self) -> StatedTenant<'static> {
        match self.stated {
            None => StatedTenant::Nothing,
            Some(None) => StatedTenant::Unreadable,
            Some(Some(tenant)) => StatedTenant::Tenant(tenant),
        }
    }

    fn stream(&self) -> Option<StreamName> {
        self.stream.map(|stream| StreamName::parse(stream).unwrap())
    }

    /// The denials, rule by rule, in the documented order.
    fn reasons(&self, key: &ApiKey) -> Vec<(bool, Decision)> {
        let id = key.key_id;
        let deny = Decision::Denied;
        let ended = |end: Option<i64>| end.is_some_and(|seconds| seconds <= 0);
        let needed = self.action.key_type();
        let covered = |stream: &str| match self.streams {
            "web-*" => stream.starts_with("web-"),
            "*" => !stream.starts_with("keyloft_"),
            _ => !(stream.starts_with("keyloft_") && self.key_type == KeyType::Ingestion),
        };
        let from_outside = match self.address {
            ClientAddress::Unchecked => false,
            ClientAddress::Unknown => true,
            ClientAddress::Known(address) => address != std::net::IpAddr::from([10, 0, 0, 1]),
        };
        vec![
            (self.view == View::Stale, deny(Denial::Stale)),
            (self.view == View::Loading, deny(Denial::NotHydrated)),
            (!self.known && self.view == View::Verifying, deny(Denial::Verifying)),
            (!self.known, deny(Denial::Unknown)),
            (self.deleted, deny(Denial::TenantDeleted(id))),
            (self.state == KeyState::Revoked, deny(Denial::Revoked(id))),
            (self.state == KeyState::Disabled, deny(Denial::Disabled(id))),
            (ended(self.expires), deny(Denial::Expired(id))),
            (ended(self.older), deny(Denial::Rotated(id))),
            (
                needed.is_some_and(|needed| needed != self.key_type),
                deny(Denial::WrongKeyType { key_id: id, needed: needed.unwrap_or(self.key_type) }),
            ),
            (self.stated == Some(None), deny(Denial::TenantUnreadable(id))),
            (self.stated == Some(Some("beta")), deny(Denial::TenantMismatch(id))),
            (needed.is_some_and(|needed| self.suspended.contains(&needed)), deny(Denial::TenantSuspended(id))),
            (!self.networks.is_empty() && from_outside, deny(Denial::NetworkNotAllowed(id))),
            (self.request_rate.is_some(), Decision::Refused(refusal(Dimension::Requests))),
            (self.stream.is_some_and(|stream| !covered(stream)), deny(Denial::StreamNotAllowed(id))),
            (self.volume.is_some(), Decision::Refused(refusal(Dimension::Events))),
        ]
    }

    fn expected(&self, key: &ApiKey) -> Decision {
        let first = self.reasons(key).into_iter().find(|(against, _)| *against);
        first.map_or(Decision::Granted, |(_, decision)| decision)
    }

    fn decided(&self, key: &ApiKey) -> Decision {
        let (presented, stream) = (Digest::of(self.presented()), self.stream());
        let found = FoundKey { key, tenant: TenantState::from(&self.tenant()), presented: &presented };
        let facts = Facts {
            now: now(),
            view: self.view,
            found: Ok(self.known.then_some(found)),
            stated_tenant: self.stated_tenant(),
            address: self.address,
            request_rate: self.request_rate,
            stream: stream.as_ref(),
            volume: self.volume,
        };
        decide(&facts, self.action)
    }

    /// A memory that is as the case says.
    fn cache(&self, key: &ApiKey) -> Arc<KeyCache> {
        let cache = Arc::new(KeyCache::default());
        cache.put_tenant(self.tenant());
        if self.known {
            cache.put_key(Arc::new(key.clone()));
        }
        match self.view {
            View::Loading => {}
            View::Verifying => cache.set_loaded(),
            View::Current | View::Stale => cache.set_hydrated(),
        }
        if self.view == View::Stale {
            cache.set_good_until(now() - TimeDelta::seconds(1));
        }
        cache
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_first_rule_that_fails_is_the_reason(case in case()) {
        let key = case.key();
        prop_assert_eq!(case.decided(&key), case.expected(&key));
    }

    /// Deciding with facts one by one gives the same decision as deciding with all of them.
    #[test]
    fn the_data_plane_decides_the_same_step_by_step(case in case()) {
        let key = case.key();
        let cache = case.cache(&key);
        let attempt = Attempt {
            action: case.action, stated_tenant: case.stated_tenant(), address: case.address, now: now(),
        };
        let decided = match authenticate(&cache, case.presented(), &attempt) {
            Err(denial) => Decision::Denied(denial),
            Ok(permit) => {
                let stream = case.stream();
                let mut facts = Facts { request_rate: case.request_rate, ..permit.facts() };
                let mut decided = decide(&facts, permit.action());
                if decided.is_granted() && let Some(stream) = &stream {
                    decided = permit.check_stream(stream).map_or_else(Decision::Denied, |()| decided);
                }
                facts.stream = stream.as_ref();
                facts.volume = case.volume;
                if decided.is_granted() { decide(&facts, permit.action()) } else { decided }
            }
        };
        prop_assert_eq!(decided, case.decided(&key));
    }

    #[test]
    fn a_verification_gives_the_reason_of_the_data_plane(case in case()) {
        let case = Case { stated: None, request_rate: None, volume: None, view: View::Current, ..case };
        let key = case.key();
        let (cache, stream) = (case.cache(&key), case.stream());
        let question = Question {
            action: Some(case.action), address: case.address, stream: stream.as_ref(), now: now(),
        };
        let verified = verify(&cache, case.presented(), &question);
        prop_assert_eq!(verified.denial, case.decided(&key).denial());
        prop_assert_eq!(verified.key.is_some(), case.known);
        prop_assert_eq!(verified.is_valid(), verified.code() == "valid");
    }
}

#[tokio::test]
async fn a_session_goes_on_exactly_while_its_key_would_be_accepted() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        let case = case().new_tree(&mut runner).unwrap().current();
        let good = Case { state: KeyState::Active, expires: None, older: None, deleted: false, ..case.clone() };
        let good = Case { key_type: KeyType::Query, action: Action::Query, suspended: vec![], ..good };
        let good = Case { known: true, view: View::Current, streams: "*,keyloft_usage", ..good };
        let key = good.key();
        let (cache, clock) = (good.cache(&key), Arc::new(ManualClock::new(now())));
        let sessions = Sessions::new(cache.clone(), clock.clone(), std::time::Duration::from_secs(60), 1);
        let permit = authenticate(&cache, API_KEY, &Attempt::new(Action::Query, now())).unwrap();
        let guard = sessions.open(&permit).unwrap();
        assert!(case.stream().is_none_or(|stream| guard.session().touch(&stream)));
        // From one moment to the next, tenant and key are as the case says.
        let later = Case { key_type: KeyType::Query, action: Action::Query, older: None, known: true, ..case };
        let later = Case { view: View::Current, stated: None, networks: "", request_rate: None, volume: None, ..later };
        let changed = ApiKey { key_id: key.key_id, ..later.key() };
        cache.put_tenant(later.tenant());
        cache.put_key(Arc::new(changed.clone()));
        let goes_on = sessions.list().len() == 1;
        assert_eq!(goes_on, later.decided(&changed).is_granted(), "{later:?}");
    }
}

async fn keystore() -> (Keystore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(now()));
    let keystore = Keystore::new(Bucket::in_memory(), Arc::default(), clock.clone());
    keystore.sync().await.unwrap();
    (keystore, clock)
}

async fn issue(keystore: &Keystore, new: NewKey) -> (Arc<ApiKey>, String) {
    let issued = keystore.issue(&RequestContext::admin(), &TenantId::default(), new).await.unwrap();
    (issued.key, issued.secret.expose().to_owned())
}

fn query_key() -> NewKey {
    NewKey::new(KeyName::parse("q").unwrap(), KeyType::Query)
}

fn attempt(keystore: &Keystore, secret: &str, action: Action) -> Result<Permit, Denial> {
    authenticate(keystore.cache(), secret, &Attempt::new(action, keystore.now()))
}

#[tokio::test]
async fn expiry_is_enforced_by_the_clock_on_use() {
    let (keystore, clock) = keystore().await;
    let expires_at = Some(Some(clock.now() + TimeDelta::seconds(10)));
    let (key, secret) = issue(&keystore, NewKey { expires_at, ..query_key() }).await;
    assert!(attempt(&keystore, &secret, Action::Query).is_ok());
    clock.advance(TimeDelta::seconds(10));
    assert_eq!(attempt(&keystore, &secret, Action::Query).unwrap_err(), Denial::Expired(key.key_id));
}

#[tokio::test]
async fn what_an_admin_changes_holds_for_the_next_attempt() {
    let (keystore, _) = keystore().await;
    let (key, secret) = issue(&keystore, query_key()).await;
    let tenant = TenantId::default();
    let suspend = TenantPatch { suspended: Some(KeyType::ALL.into()), ..TenantPatch::default() };
    keystore.update_tenant(&RequestContext::admin(), &tenant, suspend).await.unwrap();
    let refused = || attempt(&keystore, &secret, Action::Query).unwrap_err();
    assert_eq!(refused(), Denial::TenantSuspended(key.key_id));
    assert!(attempt(&keystore, &secret, Action::Inspect).is_ok());
    let disable = KeyPatch { active: Some(false), ..KeyPatch::default() };
    keystore.update(&RequestContext::admin(), &tenant, key.key_id, disable, None).await.unwrap();
    assert_eq!(refused(), Denial::Disabled(key.key_id));
    keystore.revoke(&RequestContext::admin(), &tenant, key.key_id, None).await.unwrap();
    assert_eq!(refused(), Denial::Revoked(key.key_id));
}

#[tokio::test]
async fn a_view_that_is_too_old_admits_nobody() {
    let (keystore, clock) = keystore().await;
    let (_, secret) = issue(&keystore, query_key()).await;
    keystore.cache().set_good_until(clock.now() + TimeDelta::seconds(60));
    clock.advance(TimeDelta::seconds(60));
    assert!(attempt(&keystore, &secret, Action::Query).is_ok());
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(attempt(&keystore, &secret, Action::Query).unwrap_err(), Denial::Stale);
}

#[tokio::test]
async fn before_the_keys_are_loaded_no_key_is_called_unknown() {
    let keystore = Keystore::new(Bucket::in_memory(), Arc::default(), Arc::new(crate::clock::SystemClock));
    let secret = PlainSecret::generate(KeyType::Query).unwrap();
    let refused = || attempt(&keystore, secret.expose(), Action::Query).unwrap_err();
    assert_eq!(refused(), Denial::NotHydrated);
    keystore.sync().await.unwrap();
    assert_eq!(refused(), Denial::Unknown);
}
