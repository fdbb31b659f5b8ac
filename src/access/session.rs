//! Query sessions: opened for a permit, closed by a guard in the response body, ended by every change that withdraws
//! the permit. Ending a session stops its work and frees its place at once, even when the client does not read the
//! body.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Action, ClientAddress, Denial, Facts, FoundKey, Permit, StatedTenant, TenantState, View, decide};
use crate::cache::{CacheChange, KeyCache};
use crate::clock::Clock;
use crate::key::{ApiKey, Digest, KeyId, StreamName, Streams, TenantId};

/// The id of a query session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

impl SessionId {
    /// Reads an id as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Its guard was dropped: the answer is complete, or its client has gone.
    Closed,
    /// Its time was up.
    Deadline,
    /// Its key was revoked, disabled or removed, or has expired; or the secret that opened it no longer works.
    KeyWithdrawn,
    /// Its key no longer covers a stream that it reads.
    StreamWithdrawn,
    /// Its tenant was suspended for queries.
    TenantSuspended,
    /// Its tenant was deleted.
    TenantDeleted,
    /// An admin ended it.
    Admin,
}

/// A running query and the streams that it may read.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The tenant of its streams.
    pub tenant: TenantId,
    /// Its key.
    pub key_id: KeyId,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    deadline: DateTime<Utc>,
    /// Its action.
    action: Action,
    /// The digest of the secret that opened it.
    presented: Digest,
    cache: Arc<KeyCache>,
    /// The streams that its query reads.
    touched: Mutex<BTreeSet<StreamName>>,
    /// Its key was changed.
    changed: Notify,
    ending: watch::Sender<Option<SessionEnd>>,
}

impl Session {
    /// The streams it may read: those of its key as it is now.
    pub fn streams(&self) -> Streams {
        self.key().map_or_else(|| Streams::Matching(Box::default()), |key| key.settings.streams.clone())
    }

    /// When it expires: at its deadline, or earlier with its key or the secret that opened it.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.end_of_key().map_or(self.deadline, |end| end.min(self.deadline))
    }

    /// Whether it may read a stream. From then on it counts as reading the stream, and ends when its key no longer
    /// covers it.
    pub fn touch(&self, stream: &StreamName) -> bool {
        let mut touched = self.touched.lock();
        let allowed = self.key().is_some_and(|key| key.covers(stream));
        if allowed && !touched.contains(stream) {
            touched.insert(stream.clone());
        }
        allowed
    }

    /// Why it must end at `now`; `None` when it may continue.
    fn reason_to_end(&self, now: DateTime<Utc>) -> Option<SessionEnd> {
        let Some(key) = self.key() else { return Some(SessionEnd::KeyWithdrawn) };
        let Some(tenant) = self.cache.tenant(&self.tenant) else { return Some(SessionEnd::TenantDeleted) };
        let found = FoundKey { key: &key, tenant: TenantState::from(&*tenant), presented: &self.presented };
        let facts = Facts {
            now,
            view: View::Current,
            found: Ok(Some(found)),
            stated_tenant: StatedTenant::Nothing,
            address: ClientAddress::Unchecked,
            request_rate: None,
            stream: None,
            volume: None,
        };
        let denial = decide(&facts, self.action).denial().or_else(|| {
            let touched = self.touched.lock();
            touched.iter().find_map(|stream| decide(&Facts { stream: Some(stream), ..facts }, self.action).denial())
        })?;
        Some(match denial {
            Denial::StreamNotAllowed(_) => SessionEnd::StreamWithdrawn,
            Denial::TenantSuspended(_) => SessionEnd::TenantSuspended,
            Denial::TenantDeleted(_) => SessionEnd::TenantDeleted,
            _ => SessionEnd::KeyWithdrawn,
        })
    }

    fn key(&self) -> Option<Arc<ApiKey>> {
        self.cache.key(&self.tenant, self.key_id)
    }

    fn end_of_key(&self) -> Option<DateTime<Utc>> {
        self.key().and_then(|key| key.secret_until(&self.presented))
    }

    /// Waits until the session ends, for whatever reason.
    pub async fn ended(&self) -> SessionEnd {
        // The sender lives in `self`, so waiting cannot fail.
        let ending = self.ending.subscribe().wait_for(Option::is_some).await.ok().and_then(|ending| *ending);
        ending.unwrap_or(SessionEnd::Closed)
    }

    /// The first reason counts.
    fn finish(&self, reason: SessionEnd) {
        self.ending.send_if_modified(|ending| ending.is_none() && ending.replace(reason).is_none());
    }
}

/// The tenant has its maximum of queries running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant has {limit} queries running, which is the most it may have")]
pub struct TooManyQueries {
    /// The maximum.
    pub limit: usize,
}

/// All query sessions of this node.
#[derive(Debug)]
pub struct Sessions {
    cache: Arc<KeyCache>,
    clock: Arc<dyn Clock>,
    pub(crate) ttl: Duration,
    max_per_tenant: usize,
    open: Mutex<HashMap<SessionId, Arc<Session>>>,
}

impl Sessions {
    /// Sessions that last at most `ttl`, at most `max_per_tenant` of each tenant at once. They follow `cache`: a change
    /// of a key or tenant there ends sessions that are no longer allowed.
    pub fn new(cache: Arc<KeyCache>, clock: Arc<dyn Clock>, ttl: Duration, max_per_tenant: usize) -> Arc<Self> {
        let sessions = Arc::new(Self { cache, clock, ttl, max_per_tenant, open: Mutex::default() });
        let weak = Arc::downgrade(&sessions);
        sessions.cache.watch(move |change| {
            if let Some(sessions) = weak.upgrade() {
                sessions.follow(change);
            }
        });
        sessions
    }

    /// Opens a session for a permit. It closes when the guard is dropped.
    ///
    /// # Errors
    /// [`TooManyQueries`] when the tenant has its maximum running.
    #[allow(clippy::disallowed_methods)]
    pub fn open(self: &Arc<Self>, permit: &Permit) -> Result<SessionGuard, TooManyQueries> {
        let key = permit.key();
        let opened_at = self.clock.now();
        let session = Arc::new(Session {
            id: SessionId(Uuid::new_v4()),
            tenant: key.tenant.clone(),
            key_id: key.key_id,
            opened_at,
            deadline: opened_at + TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::MAX),
            action: permit.action(),
            presented: permit.presented(),
            cache: self.cache.clone(),
            touched: Mutex::default(),
            changed: Notify::new(),
            ending: watch::Sender::new(None),
        });
        {
            let mut open = self.open.lock();
            if open.values().filter(|other| other.tenant == session.tenant).count() >= self.max_per_tenant {
                return Err(TooManyQueries { limit: self.max_per_tenant });
            }
            open.insert(session.id, session.clone());
        }
        // A revocation between the permit and the insertion found no session to end: check again.
        if let Some(ending) = session.reason_to_end(self.clock.now()) {
            self.end(session.id, ending);
        }
        let time_is_up = tokio::spawn(self.clone().expire(session.clone()));
        Ok(SessionGuard { sessions: self.clone(), session, deadline: time_is_up.abort_handle() })
    }

    /// Ends a session at its deadline or when its key expires, which may move whenever the key changes.
    async fn expire(self: Arc<Self>, session: Arc<Session>) {
        let deadline = Instant::now() + self.ttl;
        let ending = loop {
            let of_key = session.end_of_key().map(|end| (end - self.clock.now()).to_std().unwrap_or_default());
            let of_key = of_key.and_then(|left| Instant::now().checked_add(left)).filter(|end| *end < deadline);
            tokio::select! {
                () = tokio::time::sleep_until(of_key.unwrap_or(deadline)) => {
                    break if of_key.is_some() { SessionEnd::KeyWithdrawn } else { SessionEnd::Deadline };
                }
                () = session.changed.notified() => {}
            }
        };
        self.end(session.id, ending);
    }

    /// The sessions that are open now, oldest first.
    pub fn list(&self) -> Vec<Arc<Session>> {
        let mut open: Vec<_> = self.open.lock().values().cloned().collect();
        open.sort_unstable_by_key(|session| (session.opened_at, session.id));
        open
    }

    /// Ends a session; `false` when there is none with that id.
    pub fn end(&self, id: SessionId, ending: SessionEnd) -> bool {
        let Some(session) = self.open.lock().remove(&id) else { return false };
        session.finish(ending);
        true
    }

    fn follow(&self, change: &CacheChange) {
        let concerned = |session: &&Arc<Session>| match change {
            CacheChange::Key { tenant, key_id } => session.key_id == *key_id && session.tenant == *tenant,
            CacheChange::Tenant { tenant } => session.tenant == *tenant,
        };
        let concerned: Vec<_> = self.open.lock().values().filter(concerned).cloned().collect();
        for session in concerned {
            match session.reason_to_end(self.clock.now()) {
                Some(ending) => _ = self.end(session.id, ending),
                None => session.changed.notify_one(),
            }
        }
    }
}

/// Keeps a session open; closes it when dropped.
#[derive(Debug)]
pub struct SessionGuard {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    deadline: AbortHandle,
}

impl SessionGuard {
    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.deadline.abort();
        self.sessions.open.lock().remove(&self.session.id);
        self.session.finish(SessionEnd::Closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Attempt, authenticate};
    use crate::clock::SystemClock;
    use crate::documents::RequestContext;
    use crate::key::{KeyName, KeyPatch, KeyType, NewKey};
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
        keystore
            .update(&RequestContext::admin(), &TenantId::default(), permit.key().key_id, patch, None)
            .await
            .unwrap();
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
}
