//! The front door: takes the cost of a request from every limit that applies, or nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::local::Local;
use super::shared::SharedLimits;
use super::{Acquisition, Cost, Costs, Quotas};
use crate::access::Refusal;
use crate::cache::KeyCache;
use crate::clock::{Clock, Mark};
use crate::error::Result;
use crate::key::{ApiKey, KeyId, Limits, Rate, TenantId};
use crate::shared_redis::SharedRedis;

/// How often limits that are full again are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The limits of one node. With a Redis, all nodes that share it count together; while it does not answer, each counts
/// for itself.
#[derive(Debug)]
pub struct Limiter {
    cache: Arc<KeyCache>,
    clock: Arc<dyn Clock>,
    start: Mark,
    requests: Option<Rate>,
    local: Local,
    shared: Option<SharedLimits>,
    fallbacks: AtomicU64,
}

impl Limiter {
    /// Limits in memory. `requests` limits each key that has no such limit of its own. Keys and tenants that are no
    /// longer in `cache` are removed.
    pub fn new(cache: Arc<KeyCache>, clock: Arc<dyn Clock>, requests: Option<Rate>) -> Self {
        let start = clock.mark();
        Self { cache, clock, start, requests, local: Local::default(), shared: None, fallbacks: AtomicU64::new(0) }
    }

    /// The same, counted together with other nodes in the Redis at `url` (`redis://[user:password@]host:port/db`, or
    /// `rediss://` for TLS), which need not be there yet. `ca` replaces the certificate authorities of the operating
    /// system, in PEM. A request waits for Redis for `patience` at most.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the URL or `ca` cannot be used, [`crate::ErrorKind::Internal`] when no thread
    /// can be started.
    pub fn with_redis(self, url: &str, ca: Option<&[u8]>, patience: Duration) -> Result<Self> {
        Ok(self.counting_in(Some(Arc::new(SharedRedis::new(url, ca, patience)?))))
    }

    /// The same, counted together with other nodes if there is a Redis for that, which may count other things, too.
    #[must_use]
    pub(crate) fn counting_in(self, redis: Option<Arc<SharedRedis>>) -> Self {
        Self { shared: redis.map(SharedLimits::new), ..self }
    }

    /// Whether any limit applies to a key.
    pub fn concerns(&self, key: &ApiKey, tenant: Option<&Limits>) -> bool {
        !key.settings.limits.is_none() || self.requests.is_some() || tenant.is_some_and(|limits| !limits.is_none())
    }

    /// What `cost` takes from the limits of a key and its tenant. The key must be valid: others must not create state
    /// here.
    pub fn costs<'a>(&self, key: &'a ApiKey, tenant: Option<&Limits>, cost: Cost) -> Costs<'a> {
        Costs::of(key, tenant, cost, self.requests)
    }

    /// Takes all of the costs; or refuses, and takes nothing.
    pub async fn acquire(&self, costs: &Costs<'_>) -> Acquisition {
        if let Some(acquired) = self.try_acquire(costs) {
            return acquired;
        }
        if let Some(shared) = &self.shared {
            if let Some(answer) = shared.acquire(costs).await {
                self.local.keep_in_step(costs, &answer.until_full, self.now());
                return answer.acquired;
            }
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
        }
        self.local.acquire(costs, self.now())
    }

    /// The same without waiting; `None` where [`Limiter::acquire`] asks Redis.
    pub fn try_acquire(&self, costs: &Costs<'_>) -> Option<Acquisition> {
        let refusal = never(costs);
        if costs.is_empty() || refusal.is_some() {
            return Some(Acquisition { quotas: Quotas::default(), refusal });
        }
        self.shared.is_none().then(|| self.local.acquire(costs, self.now()))
    }

    /// How often this node decided alone although Redis is configured.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }

    /// How many keys and tenants have a limit that is not full.
    pub fn subjects(&self) -> usize {
        self.local.len()
    }

    /// Removes limits that are full again, and keys that no longer exist.
    pub fn sweep(&self) {
        self.local.sweep(self.now(), |tenant, key_id| self.is_gone(tenant, key_id));
    }

    /// Sweeps once a minute, until dropped.
    pub async fn keep_small(&self) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            self.sweep();
        }
    }

    fn is_gone(&self, tenant: &TenantId, key_id: Option<KeyId>) -> bool {
        match key_id {
            Some(id) => self.cache.key(tenant, id).is_none_or(|key| !key.is_live()),
            None => self.cache.tenant(tenant).is_none_or(|tenant| tenant.deleted),
        }
    }

    fn now(&self) -> Duration {
        self.clock.since(&self.start)
    }
}

/// A request above the burst can never be admitted: 413 instead of a wait.
fn never(costs: &Costs<'_>) -> Option<Refusal> {
    let over = costs.iter().find(|cost| cost.cells() > cost.burst_cells())?;
    let most = over.rate.burst.get().max(over.limit.dimension.cell());
    Some(Refusal::Never { limit: over.limit, amount: over.amount, most })
}
