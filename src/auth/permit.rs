//! The proof that a key is good, and the one function that gives it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Action, Denial};
use crate::cache::KeyCache;
use crate::key::{ApiKey, Credential, Digest, Hint, Limits, OlderSecret, Standing, StreamName, Tenant, TenantId};

/// Proof that a good key for the action `A` was presented. Only [`authenticate`] makes one.
pub struct Permit<A> {
    key: Arc<ApiKey>,
    /// Only when it has limits, see [`KeyCache::judge`].
    tenant: Option<Arc<Tenant>>,
    older: Option<OlderSecret>,
    at: DateTime<Utc>,
    action: PhantomData<fn() -> A>,
}

impl<A> Permit<A> {
    #[cfg(test)]
    pub(super) fn of(key: Arc<ApiKey>) -> Self {
        Self { key, tenant: None, older: None, at: DateTime::UNIX_EPOCH, action: PhantomData }
    }

    /// The key that was presented.
    pub fn key(&self) -> &Arc<ApiKey> {
        &self.key
    }

    /// The tenant, which comes from the key and from nowhere else.
    pub fn tenant(&self) -> &TenantId {
        &self.key.tenant
    }

    /// What the tenant's keys may do together, if that is limited.
    pub fn tenant_limits(&self) -> Option<&Limits> {
        self.tenant.as_ref().map(|tenant| &tenant.limits)
    }

    /// When it was given.
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// The digest of what was presented: of the secret that the key has, or of one that it had.
    pub(super) fn presented(&self) -> Digest {
        self.older.map_or(self.key.digest, |older| older.digest)
    }

    /// Until when the secret works that was presented, when it is one that was rotated away.
    pub fn older_until(&self) -> Option<DateTime<Utc>> {
        self.older.map(|older| older.until)
    }

    /// The last characters of the secret that was presented, when it is one that was rotated away.
    pub fn older(&self) -> Option<Hint> {
        self.older.map(|older| older.hint)
    }

    /// The first instant at which what was presented no longer works.
    pub fn good_until(&self) -> Option<DateTime<Utc>> {
        [self.key.expires_at, self.older_until()].into_iter().flatten().min()
    }

    /// Checks that the key covers `stream`.
    ///
    /// # Errors
    /// [`Denial::StreamNotAllowed`] when it does not.
    pub fn check_stream(&self, stream: &StreamName) -> Result<(), Denial> {
        if self.key.covers(stream) { Ok(()) } else { Err(Denial::StreamNotAllowed(self.key.key_id)) }
    }
}

impl<A> Clone for Permit<A> {
    fn clone(&self) -> Self {
        let (key, tenant) = (self.key.clone(), self.tenant.clone());
        Self { key, tenant, older: self.older, at: self.at, action: PhantomData }
    }
}

impl<A> fmt::Debug for Permit<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({} of {})", self.key.key_id, self.key.tenant)
    }
}

/// From a presented credential to a permit: no await, no store, one short read lock, no allocation.
///
/// `stated_tenant` is what the client says its tenant is; it never chooses the tenant. Nothing about the tenant is said
/// before the key is known to be good.
///
/// # Errors
/// [`Denial`] says which check failed first: the ladder, the age of the view, the lookup, the key's standing, its type, the statement, the
/// tenant's suspension.
pub fn authenticate<A: Action>(
    cache: &KeyCache,
    presented: &str,
    stated_tenant: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Permit<A>, Denial> {
    recognise(cache, &Credential::parse(presented)?.digest(), stated_tenant, now)
}

/// The same for a credential that has climbed the ladder already.
///
/// # Errors
/// [`Denial`], as for [`authenticate`].
pub fn recognise<A: Action>(
    cache: &KeyCache,
    digest: &Digest,
    stated_tenant: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Permit<A>, Denial> {
    if !cache.is_good_at(now) {
        return Err(Denial::Stale);
    }
    cache
        .judge(digest, |key, tenant| judge(key, tenant, digest, stated_tenant, now))
        .unwrap_or_else(|| Err(if cache.is_hydrated() { Denial::Unknown } else { Denial::NotHydrated }))
}

/// Everything but the age of the view and the lookup.
fn judge<A: Action>(
    key: &Arc<ApiKey>,
    tenant: &Arc<Tenant>,
    digest: &Digest,
    stated_tenant: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Permit<A>, Denial> {
    let key_id = key.key_id;
    match key.standing(now) {
        Standing::Good if tenant.deleted => return Err(Denial::TenantDeleted(key_id)),
        Standing::Good => {}
        Standing::Expired => return Err(Denial::Expired(key_id)),
        Standing::Disabled => return Err(Denial::Disabled(key_id)),
        Standing::Revoked => return Err(Denial::Revoked(key_id)),
    }
    let older = key.older_secret(digest).copied();
    if older.is_some_and(|older| older.until <= now) {
        return Err(Denial::Rotated(key_id));
    }
    if let Some(needed) = A::KEY_TYPE
        && needed != key.key_type
    {
        return Err(Denial::WrongKeyType { key_id, needed });
    }
    if stated_tenant.is_some_and(|stated| stated != key.tenant.as_str()) {
        return Err(Denial::TenantMismatch(key_id));
    }
    if A::KEY_TYPE.is_some_and(|used| tenant.suspended.contains(&used)) {
        return Err(Denial::TenantSuspended(key_id));
    }
    let tenant = (!tenant.limits.is_none()).then(|| tenant.clone());
    Ok(Permit { key: key.clone(), tenant, older, at: now, action: PhantomData })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::auth::{AnyUse, Ingestion, Query};
    use crate::clock::{Clock, ManualClock};
    use crate::documents::RequestContext;
    use crate::key::{KeyName, KeyPatch, KeyType, NewKey};
    use crate::keystore::{Keystore, TenantPatch};
    use crate::store::Bucket;

    async fn keystore() -> (Keystore, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
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

    #[tokio::test]
    async fn expiry_is_enforced_by_the_clock_on_use() {
        let (keystore, clock) = keystore().await;
        let expires_at = Some(Some(clock.now() + TimeDelta::seconds(10)));
        let (key, secret) = issue(&keystore, NewKey { expires_at, ..query_key() }).await;
        let attempt = |keystore: &Keystore| authenticate::<Query>(keystore.cache(), &secret, None, keystore.now());
        assert!(attempt(&keystore).is_ok());
        clock.advance(TimeDelta::seconds(10));
        assert_eq!(attempt(&keystore).unwrap_err(), Denial::Expired(key.key_id));
    }

    #[tokio::test]
    async fn the_standing_of_the_key_is_judged_before_anything_else() {
        let (keystore, _) = keystore().await;
        let (key, secret) = issue(&keystore, query_key()).await;
        let tenant = TenantId::default();
        let suspend = TenantPatch { suspended: Some(KeyType::ALL.into()), ..TenantPatch::default() };
        keystore.update_tenant(&RequestContext::admin(), &tenant, suspend).await.unwrap();
        let attempt = |stated| authenticate::<Query>(keystore.cache(), &secret, stated, keystore.now()).unwrap_err();
        assert_eq!(attempt(Some("other")), Denial::TenantMismatch(key.key_id));
        assert_eq!(attempt(Some("default")), Denial::TenantSuspended(key.key_id));
        assert!(authenticate::<AnyUse>(keystore.cache(), &secret, None, keystore.now()).is_ok());
        let wrong = authenticate::<Ingestion>(keystore.cache(), &secret, Some("other"), keystore.now()).unwrap_err();
        assert_eq!(wrong, Denial::WrongKeyType { key_id: key.key_id, needed: KeyType::Ingestion });
        let disable = KeyPatch { active: Some(false), ..KeyPatch::default() };
        keystore.update(&RequestContext::admin(), &tenant, key.key_id, disable, None).await.unwrap();
        assert_eq!(attempt(Some("other")), Denial::Disabled(key.key_id));
        keystore.revoke(&RequestContext::admin(), &tenant, key.key_id, None).await.unwrap();
        assert_eq!(attempt(Some("other")), Denial::Revoked(key.key_id));
    }

    #[tokio::test]
    async fn a_view_that_is_too_old_admits_nobody() {
        let (keystore, clock) = keystore().await;
        let (_, secret) = issue(&keystore, query_key()).await;
        let attempt = || authenticate::<Query>(keystore.cache(), &secret, None, keystore.now());
        keystore.cache().set_good_until(clock.now() + TimeDelta::seconds(60));
        clock.advance(TimeDelta::seconds(60));
        assert!(attempt().is_ok());
        clock.advance(TimeDelta::seconds(1));
        assert_eq!(attempt().unwrap_err(), Denial::Stale);
    }

    #[tokio::test]
    async fn before_the_keys_are_loaded_no_key_is_called_unknown() {
        let keystore = Keystore::new(Bucket::in_memory(), Arc::default(), Arc::new(crate::clock::SystemClock));
        let secret = crate::key::PlainSecret::generate(KeyType::Query).unwrap();
        let attempt = || authenticate::<Query>(keystore.cache(), secret.expose(), None, keystore.now()).unwrap_err();
        assert_eq!(attempt(), Denial::NotHydrated);
        keystore.sync().await.unwrap();
        assert_eq!(attempt(), Denial::Unknown);
    }
}
