//! One query session.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::ending::SessionEnd;
use super::holder::Holder;
use crate::cache::KeyCache;
use crate::key::{Actor, KeyId, StreamName, Streams, TenantId};

/// The id of a query session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

impl SessionId {
    #[allow(clippy::disallowed_methods)]
    pub(super) fn random() -> Self {
        Self(Uuid::new_v4())
    }

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

/// A running query and the streams that it may read.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The tenant of its streams.
    pub tenant: TenantId,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    pub(super) deadline: DateTime<Utc>,
    pub(super) holder: Holder,
    pub(super) cache: Arc<KeyCache>,
    /// The streams that its query reads.
    pub(super) touched: Mutex<BTreeSet<StreamName>>,
    /// Its key was changed.
    pub(super) changed: Notify,
    pub(super) ending: watch::Sender<Option<SessionEnd>>,
}

impl Session {
    /// Its key; `None` when an operator opened it.
    pub fn key_id(&self) -> Option<KeyId> {
        match &self.holder {
            Holder::Key(holder) => Some(holder.key_id),
            Holder::Operator(_) => None,
        }
    }

    /// The operator who opened it; `None` when a key did.
    pub fn operator(&self) -> Option<&Actor> {
        match &self.holder {
            Holder::Key(_) => None,
            Holder::Operator(right) => Some(right.operator()),
        }
    }

    /// The streams it may read: those of its key or its operator as they are now.
    pub fn streams(&self) -> Streams {
        self.holder.streams()
    }

    /// When it expires: at its deadline, or earlier with the credential that opened it.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.holder.until().map_or(self.deadline, |end| end.min(self.deadline))
    }

    /// Whether it may read a stream. From then on it counts as reading the stream, and ends when that is no longer
    /// covered.
    pub fn touch(&self, stream: &StreamName) -> bool {
        let mut touched = self.touched.lock();
        let allowed = self.holder.covers(stream);
        if allowed && !touched.contains(stream) {
            touched.insert(stream.clone());
        }
        allowed
    }

    /// Why it must end at `now`; `None` when it may continue.
    pub(super) fn reason_to_end(&self, now: DateTime<Utc>) -> Option<SessionEnd> {
        let tenant = self.cache.tenant(&self.tenant);
        self.holder.reason_to_end(now, tenant.as_deref(), self.touched.lock().iter())
    }

    /// Waits until the session ends, for whatever reason.
    pub async fn ended(&self) -> SessionEnd {
        // The sender lives in `self`, so waiting cannot fail.
        let ending = self.ending.subscribe().wait_for(Option::is_some).await.ok().and_then(|ending| *ending);
        ending.unwrap_or(SessionEnd::Closed)
    }

    /// The first reason counts.
    pub(super) fn finish(&self, reason: SessionEnd) {
        self.ending.send_if_modified(|ending| ending.is_none() && ending.replace(reason).is_none());
    }
}
