//! How many keys will expire soon.

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::Keystore;
use crate::key::ApiKey;

/// How soon is soon.
const SOON: TimeDelta = TimeDelta::days(7);
/// How long a count is good: looking at a million keys takes a while.
const GOOD_FOR: TimeDelta = TimeDelta::seconds(10);

/// When the keys were last counted, and how many there were.
#[derive(Debug)]
pub(super) struct Expiring {
    turn: Semaphore,
    last: Mutex<Option<(DateTime<Utc>, usize)>>,
}

impl Default for Expiring {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), last: Mutex::default() }
    }
}

impl Keystore {
    /// How many live keys expire within seven days, as of at most ten seconds ago. Counts on a
    /// thread for blocking work; concurrent callers share one count.
    pub async fn expiring_soon(&self) -> usize {
        let _turn = self.expiring.turn.acquire().await;
        let now = self.clock.now();
        let last = *self.expiring.last.lock();
        if let Some((_, count)) = last.filter(|(at, _)| (now - *at).abs() < GOOD_FOR) {
            return count;
        }
        let this = self.clone();
        let count = tokio::task::spawn_blocking(move || this.count_expiring(now)).await.unwrap_or_default();
        *self.expiring.last.lock() = Some((now, count));
        count
    }

    fn count_expiring(&self, now: DateTime<Utc>) -> usize {
        let soon = |key: &ApiKey| key.is_live() && key.expires_at.is_some_and(|end| end > now && end <= now + SOON);
        let tenants = self.cache.tenants().into_iter().filter(|tenant| !tenant.deleted);
        tenants.map(|tenant| self.cache.scan(&tenant.id, None, usize::MAX, soon).len()).sum()
    }
}
