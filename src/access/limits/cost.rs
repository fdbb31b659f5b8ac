//! The cost of a request, and the limits that apply to it.

use smallvec::SmallVec;

use crate::access::{Dimension, LimitId, LimitScope};
use crate::key::{ApiKey, KeyId, Limits, Rate, TenantId};

/// The cost of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Requests: 1 when it arrives, 0 for its events and bytes later.
    pub requests: u64,
    /// Events.
    pub events: u64,
    /// Bytes of its body as they were sent.
    pub bytes: u64,
}

impl Cost {
    /// A request whose events and bytes are not known yet.
    pub const REQUEST: Self = Self { requests: 1, events: 0, bytes: 0 };
}

/// The cost for one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitCost {
    /// Which limit.
    pub limit: LimitId,
    /// Its rate.
    pub rate: Rate,
    /// How much is taken, in the unit of the limit; never 0.
    pub amount: u64,
}

impl LimitCost {
    /// How many cells are taken.
    pub(super) fn cells(&self) -> u64 {
        self.amount.div_ceil(self.limit.dimension.cell())
    }

    /// How many cells there are at most; a burst below one cell counts as one.
    pub(super) fn burst_cells(&self) -> u64 {
        (self.rate.burst.get() / self.limit.dimension.cell()).max(1)
    }
}

/// The cost for every limit that applies, those of the key before those of its tenant.
#[derive(Debug, Clone)]
pub struct Costs<'a> {
    /// The tenant of the key.
    pub tenant: &'a TenantId,
    /// The key.
    pub key_id: KeyId,
    taken: SmallVec<[LimitCost; 2]>,
}

impl<'a> Costs<'a> {
    /// What `cost` takes from the limits of a key and its tenant. `requests` limits keys that have no such limit.
    pub fn of(key: &'a ApiKey, tenant: Option<&Limits>, cost: Cost, requests: Option<Rate>) -> Self {
        let mut own = key.settings.limits.get();
        own.requests = own.requests.or(requests);
        let of_tenant = tenant.into_iter().flat_map(|limits| met(LimitScope::Tenant, limits, cost));
        let taken = met(LimitScope::Key, &own, cost).chain(of_tenant).collect();
        Self { tenant: &key.tenant, key_id: key.key_id, taken }
    }

    /// What is taken from each limit.
    pub fn iter(&self) -> impl Iterator<Item = &LimitCost> {
        self.taken.iter()
    }

    /// Whether no limit applies.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether a limit of this scope applies.
    pub(super) fn meet(&self, scope: LimitScope) -> bool {
        self.iter().any(|cost| cost.limit.scope == scope)
    }
}

fn met(scope: LimitScope, limits: &Limits, cost: Cost) -> impl Iterator<Item = LimitCost> {
    let all = [
        (Dimension::Requests, limits.requests, cost.requests),
        (Dimension::Events, limits.events, cost.events),
        (Dimension::Bytes, limits.bytes, cost.bytes),
    ];
    all.into_iter().filter(|(.., amount)| *amount > 0).filter_map(move |(dimension, rate, amount)| {
        Some(LimitCost { limit: LimitId { scope, dimension }, rate: rate?, amount })
    })
}
