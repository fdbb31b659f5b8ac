//! For whom a query session is open: a key, or an operator.

use std::fmt::Debug;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::ending::SessionEnd;
use crate::access::{Action, ClientAddress, Denial, Facts, FoundKey, StatedTenant, TenantState, View, decide};
use crate::cache::KeyCache;
use crate::key::{Actor, ApiKey, Digest, KeyId, StreamName, Streams, Tenant, TenantId};

/// What an operator may read at one moment.
#[derive(Debug, Clone)]
pub struct OperatorGrant {
    /// The streams.
    pub streams: Streams,
    /// When the credential ends; `None` is never.
    pub until: Option<DateTime<Utc>>,
}

/// The right of an operator to query one tenant. Each call judges it anew, from memory.
pub trait OperatorRight: Debug + Send + Sync {
    /// Who it is.
    fn operator(&self) -> &Actor;

    /// What may be read now; `None` when the right, or the credential that it came with, is gone.
    fn grant(&self) -> Option<OperatorGrant>;
}

/// For whom a session is open, and what keeps it open.
#[derive(Debug)]
pub(super) enum Holder {
    Key(KeyHolder),
    Operator(Arc<dyn OperatorRight>),
}

/// A key as it is in memory now.
#[derive(Debug)]
pub(super) struct KeyHolder {
    pub(super) cache: Arc<KeyCache>,
    pub(super) tenant: TenantId,
    pub(super) key_id: KeyId,
    /// What the session is for.
    pub(super) action: Action,
    /// The digest of the secret that opened it.
    pub(super) presented: Digest,
}

impl Holder {
    /// The streams that may be read now.
    pub(super) fn streams(&self) -> Streams {
        let streams = match self {
            Self::Key(holder) => holder.key().map(|key| key.settings.streams.clone()),
            Self::Operator(right) => right.grant().map(|grant| grant.streams),
        };
        streams.unwrap_or_else(|| Streams::Matching(Box::default()))
    }

    /// Whether a stream may be read now.
    pub(super) fn covers(&self, stream: &StreamName) -> bool {
        match self {
            Self::Key(holder) => holder.key().is_some_and(|key| key.covers(stream)),
            Self::Operator(right) => right.grant().is_some_and(|grant| grant.streams.allow(stream)),
        }
    }

    /// When the credential ends; `None` is never.
    pub(super) fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Key(holder) => holder.key().and_then(|key| key.secret_until(&holder.presented)),
            Self::Operator(right) => right.grant().and_then(|grant| grant.until),
        }
    }

    /// Why a session must end at `now` that reads these streams of a tenant; `None` when it may go on.
    pub(super) fn reason_to_end<'a>(
        &self,
        now: DateTime<Utc>,
        tenant: Option<&Tenant>,
        touched: impl IntoIterator<Item = &'a StreamName>,
    ) -> Option<SessionEnd> {
        match self {
            Self::Key(holder) => holder.reason_to_end(now, tenant, touched),
            // A tenant is suspended for its keys.
            Self::Operator(right) => {
                if tenant.is_none_or(|tenant| tenant.deleted) {
                    return Some(SessionEnd::TenantDeleted);
                }
                let Some(OperatorGrant { streams, .. }) = right.grant() else {
                    return Some(SessionEnd::OperatorWithdrawn);
                };
                let is_covered = touched.into_iter().all(|stream| streams.allow(stream));
                (!is_covered).then_some(SessionEnd::StreamWithdrawn)
            }
        }
    }
}

impl KeyHolder {
    fn key(&self) -> Option<Arc<ApiKey>> {
        self.cache.key(&self.tenant, self.key_id)
    }

    fn reason_to_end<'a>(
        &self,
        now: DateTime<Utc>,
        tenant: Option<&Tenant>,
        touched: impl IntoIterator<Item = &'a StreamName>,
    ) -> Option<SessionEnd> {
        let Some(key) = self.key() else { return Some(SessionEnd::KeyWithdrawn) };
        let Some(tenant) = tenant else { return Some(SessionEnd::TenantDeleted) };
        let found = FoundKey { key: &key, tenant: TenantState::from(tenant), presented: &self.presented };
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
        let denies = |stream| decide(&Facts { stream: Some(stream), ..facts }, self.action).denial();
        let denial = decide(&facts, self.action).denial().or_else(|| touched.into_iter().find_map(denies))?;
        Some(match denial {
            Denial::StreamNotAllowed(_) => SessionEnd::StreamWithdrawn,
            Denial::TenantSuspended(_) => SessionEnd::TenantSuspended,
            Denial::TenantDeleted(_) => SessionEnd::TenantDeleted,
            _ => SessionEnd::KeyWithdrawn,
        })
    }
}
