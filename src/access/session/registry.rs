//! The query sessions of a node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::ending::SessionEnd;
use super::holder::{Holder, KeyHolder, OperatorRight};
use super::running::{Session, SessionId};
use crate::access::Permit;
use crate::cache::{CacheChange, KeyCache};
use crate::clock::Clock;
use crate::key::TenantId;

/// How often the right of an operator is judged anew that no change was announced for: it may have expired.
const REVIEW: Duration = Duration::from_secs(1);

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
    pub fn open(self: &Arc<Self>, permit: &Permit) -> Result<SessionGuard, TooManyQueries> {
        let tenant = permit.tenant().clone();
        let holder = KeyHolder {
            cache: self.cache.clone(),
            tenant: tenant.clone(),
            key_id: permit.key().key_id,
            action: permit.action(),
            presented: permit.presented(),
        };
        self.open_for(tenant, Holder::Key(holder))
    }

    /// Opens a session of a tenant for an operator, in the same places as those of its keys. It ends when the right
    /// does: at once where that is announced, otherwise within a second.
    ///
    /// # Errors
    /// As for [`Sessions::open`].
    #[cfg_attr(not(feature = "query"), allow(dead_code))]
    pub(crate) fn open_for_operator(
        self: &Arc<Self>,
        tenant: TenantId,
        right: Arc<dyn OperatorRight>,
    ) -> Result<SessionGuard, TooManyQueries> {
        self.open_for(tenant, Holder::Operator(right))
    }

    fn open_for(self: &Arc<Self>, tenant: TenantId, holder: Holder) -> Result<SessionGuard, TooManyQueries> {
        let opened_at = self.clock.now();
        let session = Arc::new(Session {
            id: SessionId::random(),
            tenant,
            opened_at,
            deadline: opened_at + TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::MAX),
            holder,
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
        self.judge(&session);
        let time_is_up = tokio::spawn(self.clone().expire(session.clone()));
        Ok(SessionGuard { sessions: self.clone(), session, deadline: time_is_up.abort_handle() })
    }

    /// Ends a session at its deadline or when its credential ends, which may move whenever something changes.
    async fn expire(self: Arc<Self>, session: Arc<Session>) {
        let deadline = Instant::now() + self.ttl;
        let ending = match session.holder {
            Holder::Key(_) => loop {
                let of_key = session.holder.until().map(|end| (end - self.clock.now()).to_std().unwrap_or_default());
                let of_key = of_key.and_then(|left| Instant::now().checked_add(left)).filter(|end| *end < deadline);
                tokio::select! {
                    () = tokio::time::sleep_until(of_key.unwrap_or(deadline)) => {
                        break if of_key.is_some() { SessionEnd::KeyWithdrawn } else { SessionEnd::Deadline };
                    }
                    () = session.changed.notified() => {}
                }
            },
            Holder::Operator(_) => loop {
                let review = Instant::now() + REVIEW;
                tokio::time::sleep_until(review.min(deadline)).await;
                if deadline < review {
                    break SessionEnd::Deadline;
                }
                if let Some(ending) = session.reason_to_end(self.clock.now()) {
                    break ending;
                }
            },
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

    /// Ends the sessions of operators that may no longer query: roles, people or machines have changed.
    #[cfg_attr(not(feature = "server"), allow(dead_code))]
    pub(crate) fn review_operators(&self) {
        self.judge_all(|session| session.operator().is_some());
    }

    fn follow(&self, change: &CacheChange) {
        self.judge_all(|session| match change {
            CacheChange::Key { tenant, key_id } => session.key_id() == Some(*key_id) && session.tenant == *tenant,
            CacheChange::Tenant { tenant } => session.tenant == *tenant,
        });
    }

    fn judge_all(&self, concerned: impl Fn(&Session) -> bool) {
        let concerned: Vec<_> = self.open.lock().values().filter(|session| concerned(session)).cloned().collect();
        for session in concerned {
            self.judge(&session);
        }
    }

    fn judge(&self, session: &Session) {
        match session.reason_to_end(self.clock.now()) {
            Some(ending) => _ = self.end(session.id, ending),
            None => session.changed.notify_one(),
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
