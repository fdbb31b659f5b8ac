//! What a request takes, and the limits that it meets.

use smallvec::SmallVec;

use super::{Holder, Kind, Policy};
use crate::key::{ApiKey, KeyId, Limits, Rate, TenantId};

/// What a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Requests: 1 when it comes, 0 for what is found inside of it later.
    pub requests: u64,
    /// Events.
    pub events: u64,
    /// Bytes of its body as they were sent.
    pub bytes: u64,
}

impl Load {
    /// A request of which nothing else is known yet.
    pub const REQUEST: Self = Self { requests: 1, events: 0, bytes: 0 };
}

/// What is taken from one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Which limit.
    pub policy: Policy,
    /// How much it lets pass.
    pub rate: Rate,
    /// How much is taken, in the unit of the limit; never 0.
    pub amount: u64,
}

impl Charge {
    /// How many cells are taken.
    pub(super) fn cells(&self) -> u64 {
        self.amount.div_ceil(self.policy.kind.cell())
    }

    /// How many cells there are at most; a burst below one cell counts as one.
    pub(super) fn burst_cells(&self) -> u64 {
        (self.rate.burst.get() / self.policy.kind.cell()).max(1)
    }
}

/// All that a load takes, the key's before the tenant's.
#[derive(Debug, Clone)]
pub struct Charges<'a> {
    /// The tenant of the key.
    pub tenant: &'a TenantId,
    /// The key.
    pub key_id: KeyId,
    taken: SmallVec<[Charge; 2]>,
}

impl<'a> Charges<'a> {
    /// What `load` takes of the limits of a key and its tenant. `requests` bounds keys that have no such limit.
    pub fn of(key: &'a ApiKey, tenant: Option<&Limits>, load: Load, requests: Option<Rate>) -> Self {
        let mut own = key.limits.as_deref().copied().unwrap_or_default();
        own.requests = own.requests.or(requests);
        let tenants = tenant.into_iter().flat_map(|limits| met(Holder::Tenant, limits, load));
        let taken = met(Holder::Key, &own, load).chain(tenants).collect();
        Self { tenant: &key.tenant, key_id: key.key_id, taken }
    }

    /// The charges.
    pub fn iter(&self) -> impl Iterator<Item = &Charge> {
        self.taken.iter()
    }

    /// Whether no limit is met.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether a limit of this holder is met.
    pub(super) fn meet(&self, holder: Holder) -> bool {
        self.iter().any(|charge| charge.policy.holder == holder)
    }
}

fn met(holder: Holder, limits: &Limits, load: Load) -> impl Iterator<Item = Charge> {
    let all = [
        (Kind::Requests, limits.requests, load.requests),
        (Kind::Events, limits.events, load.events),
        (Kind::Bytes, limits.bytes, load.bytes),
    ];
    all.into_iter()
        .filter(|(.., amount)| *amount > 0)
        .filter_map(move |(kind, rate, amount)| Some(Charge { policy: Policy { holder, kind }, rate: rate?, amount }))
}
