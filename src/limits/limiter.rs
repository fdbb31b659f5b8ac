//! The front door: charges go in, a decision comes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::local::Local;
use super::shared::Shared;
use super::{Charges, Load, Quotas, Refusal};
use crate::cache::KeyCache;
use crate::clock::{Clock, Mark};
use crate::error::Result;
use crate::key::{ApiKey, KeyId, Limits, Rate, TenantId};

/// How often what is not used any more is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Whether a request is admitted, and what is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is left of each limit that was met.
    pub quotas: Quotas,
    /// Why it is not admitted; then nothing was taken.
    pub refusal: Option<Refusal>,
}

/// The limits of one node. With the address of a Redis, all nodes that share it count together; without an answer of
/// it, each counts for itself.
#[derive(Debug)]
pub struct Limiter {
    cache: Arc<KeyCache>,
    clock: Arc<dyn Clock>,
    start: Mark,
    requests: Option<Rate>,
    local: Local,
    shared: Option<Shared>,
    fallbacks: AtomicU64,
}

impl Limiter {
    /// Limits in memory. `requests` bounds each key that has no such limit of its own. Subjects that are gone from
    /// `cache` are forgotten.
    pub fn new(cache: Arc<KeyCache>, clock: Arc<dyn Clock>, requests: Option<Rate>) -> Self {
        let start = clock.mark();
        Self { cache, clock, start, requests, local: Local::default(), shared: None, fallbacks: AtomicU64::new(0) }
    }

    /// The same, counted together with other nodes in the Redis at `url` (`redis://[user:password@]host:port/db`),
    /// which need not be there yet. A request waits for it for `patience` at most.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the URL cannot be used, [`crate::ErrorKind::Internal`] when no thread can be
    /// started.
    pub fn with_redis(self, url: &str, patience: Duration) -> Result<Self> {
        Ok(Self { shared: Some(Shared::new(url, patience)?), ..self })
    }

    /// Whether anything that a key does may meet a limit.
    pub fn bounds(&self, key: &ApiKey, tenant: Option<&Limits>) -> bool {
        key.limits.is_some() || self.requests.is_some() || tenant.is_some_and(|limits| !limits.is_none())
    }

    /// What a load takes of the limits of a key and its tenant. The key must be good: nobody else makes state here.
    pub fn charges<'a>(&self, key: &'a ApiKey, tenant: Option<&Limits>, load: Load) -> Charges<'a> {
        Charges::of(key, tenant, load, self.requests)
    }

    /// Admits a request, and takes all that it is charged; or refuses it, and takes nothing.
    pub async fn admit(&self, charges: &Charges<'_>) -> Decision {
        if let Some(decision) = self.admit_at_once(charges) {
            return decision;
        }
        if let Some(shared) = &self.shared {
            if let Some(ruling) = shared.decide(charges).await {
                self.local.keep_in_step(charges, &ruling.until_full, self.now());
                return ruling.decision;
            }
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
        }
        self.local.decide(charges, self.now())
    }

    /// The same where nobody has to be asked; `None` where [`Limiter::admit`] asks Redis.
    pub fn admit_at_once(&self, charges: &Charges<'_>) -> Option<Decision> {
        let refusal = never(charges);
        if charges.is_empty() || refusal.is_some() {
            return Some(Decision { quotas: Quotas::default(), refusal });
        }
        self.shared.is_none().then(|| self.local.decide(charges, self.now()))
    }

    /// How often this node decided alone although it was told to ask Redis.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }

    /// How many keys and tenants have used something that has not come back yet.
    pub fn subjects(&self) -> usize {
        self.local.len()
    }

    /// Forgets everything that has come back, and every key that is gone.
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

/// A request that takes more than ever passes at once would be told to come back for ever.
fn never(charges: &Charges<'_>) -> Option<Refusal> {
    let over = charges.iter().find(|charge| charge.cells() > charge.burst_cells())?;
    let most = over.rate.burst.get().max(over.policy.kind.cell());
    Some(Refusal::Never { policy: over.policy, amount: over.amount, most })
}
