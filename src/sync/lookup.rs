//! Reads the log at once for a key that is not in memory: another node may have just issued it.
//!
//! Requests to the store are bounded whatever clients present, because many requests share one look. What a request
//! waits for is bounded too: a client network that keeps presenting unknown keys is answered from memory, and when all
//! networks together present very many, so is each that has presented more than a few.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::shared::SharedRun;
use crate::error::Result;
use crate::key::Digest;
use crate::key::network::client_network;

/// No two looks begin within this: the store is asked ten times a second at most.
const SPACING: Duration = Duration::from_millis(100);
/// Upper bound on how long a key that was just refused may still be refused after it was issued elsewhere.
const REMEMBERED_MILLIS: i64 = 250;
/// How many refused keys are remembered.
const KEYS: usize = 4096;
/// How many places client networks share: while 5,000 networks flood, one in 200 shares both of its places with a
/// flooding one.
const NETWORKS: usize = 65_536;
/// How many looks a second may find nothing for one client network,
const ABSENT_PER_SECOND: u64 = 50;
/// and how many at once.
const ABSENT_BURST: u64 = 100;
/// How many looks a second may find nothing for all networks together,
const SUM_PER_SECOND: u64 = 1000;
/// and how many at once. Beyond that, only keys from networks that have used few looks are looked up.
const SUM_BURST: u64 = 2000;
const FEW: u64 = 3;
/// How many requests may wait for a look at once.
const MAX_WAITING: usize = 1024;

/// What to do about a key that is not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup {
    /// Ask the log: another node may have issued it.
    Needed,
    /// It was looked for a moment ago.
    Recent,
    /// No other node can have issued it.
    Alone,
    /// The network of the client has presented too many unknown keys, or all together have and this one some of them.
    OverBudget,
    /// Unknown: the store does not answer, or too many requests wait for it.
    Busy,
}

/// Looks that many requests share. Bounded in memory and in requests to the store, whatever clients send.
#[derive(Debug)]
pub struct Lookups {
    begin: Instant,
    /// Keys that were looked for and not found, as marks that mean nothing else a quarter of a second later.
    absent: Box<[AtomicU64]>,
    /// When the budget of each client network is full again, in microseconds since `begin`. A network has a place in
    /// each half, and the lower value counts. Clients cannot guess the places.
    budgets: Box<[AtomicU64]>,
    networks: RandomState,
    /// The same for all networks together.
    sum: AtomicU64,
    waiting: AtomicUsize,
    /// Whether the store answered last.
    healthy: AtomicBool,
    looks: SharedRun<()>,
    needed: AtomicU64,
    alone: AtomicU64,
    over_budget: AtomicU64,
    busy: AtomicU64,
}

impl Default for Lookups {
    fn default() -> Self {
        let slots = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        let (needed, alone, over_budget, busy) = Default::default();
        Self {
            begin: Instant::now(),
            absent: slots(KEYS),
            budgets: slots(2 * NETWORKS),
            networks: RandomState::new(),
            sum: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
            looks: SharedRun::spaced(SPACING),
            needed,
            alone,
            over_budget,
            busy,
        }
    }
}

impl Lookups {
    /// What to do about a key that is not in memory, presented from `client`.
    pub(super) fn decide(
        &self,
        digest: &Digest,
        client: Option<IpAddr>,
        now: DateTime<Utc>,
        alone: impl FnOnce() -> bool,
    ) -> Lookup {
        let healthy = self.healthy.load(Ordering::Relaxed);
        let (slot, mark) = self.slot(digest, now);
        let within_budget = self.is_within_budget(client);
        let (lookup, count) = match (healthy, within_budget) {
            (true, _) if slot.load(Ordering::Relaxed) == mark => return Lookup::Recent,
            (true, _) if alone() => (Lookup::Alone, &self.alone),
            (true, false) => (Lookup::OverBudget, &self.over_budget),
            (false, false) => (Lookup::Busy, &self.busy),
            _ if self.waiting.load(Ordering::Relaxed) >= MAX_WAITING => (Lookup::Busy, &self.busy),
            _ => (Lookup::Needed, &self.needed),
        };
        count.fetch_add(1, Ordering::Relaxed);
        lookup
    }

    /// Gives the outcome of a look that began after this call: many callers share one.
    ///
    /// # Errors
    /// Those of `look`.
    pub(super) async fn share(&self, look: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let _waiting = WaitingGuard::new(&self.waiting);
        self.looks.run(look).await
    }

    /// Notes that a look for a client found no such key, or that the store did not answer.
    pub(super) fn found_nothing(&self, digest: &Digest, client: Option<IpAddr>, now: DateTime<Utc>) {
        if self.healthy.load(Ordering::Relaxed) {
            let (slot, mark) = self.slot(digest, now);
            slot.store(mark, Ordering::Relaxed);
        }
        let now = self.micros();
        let charge = |budget: &AtomicU64, step: u64, most: u64| {
            let charged = |used: u64| Some((used.max(now) + step).min(now + most * step));
            let _ = budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
        };
        // Each recovers within a second of quiet.
        self.budgets_of(client).into_iter().for_each(|budget| charge(budget, STEP, ABSENT_BURST + ABSENT_PER_SECOND));
        charge(&self.sum, SUM_STEP, SUM_BURST + SUM_PER_SECOND);
    }

    /// Notes whether the store answered.
    pub(super) fn note(&self, answered: bool) {
        self.healthy.store(answered, Ordering::Relaxed);
    }

    /// How often each was decided since the node started, by its word in metrics.
    pub(super) fn counts(&self) -> [(&'static str, u64); 4] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("looked", read(&self.needed)),
            ("alone", read(&self.alone)),
            ("over_budget", read(&self.over_budget)),
            ("busy", read(&self.busy)),
        ]
    }

    fn is_within_budget(&self, client: Option<IpAddr>) -> bool {
        let (now, sum) = (self.micros(), self.sum.load(Ordering::Relaxed));
        let most = if sum <= now + SUM_BURST * SUM_STEP { ABSENT_BURST } else { FEW };
        self.budgets_of(client).into_iter().any(|budget| budget.load(Ordering::Relaxed) <= now + most * STEP)
    }

    fn budgets_of(&self, client: Option<IpAddr>) -> [&AtomicU64; 2] {
        let hash = self.networks.hash_one(client.map(client_network));
        [&self.budgets[index(hash, NETWORKS)], &self.budgets[NETWORKS + index(hash >> 32, NETWORKS)]]
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Where a key is remembered, and as what.
    fn slot(&self, digest: &Digest, now: DateTime<Utc>) -> (&AtomicU64, u64) {
        let hash = digest.table_hash();
        let epoch = (now.timestamp_millis() / REMEMBERED_MILLIS).unsigned_abs();
        (&self.absent[index(hash, KEYS)], hash.rotate_left(17) ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// What one look that found nothing uses of a budget, in microseconds.
const STEP: u64 = 1_000_000 / ABSENT_PER_SECOND;
const SUM_STEP: u64 = 1_000_000 / SUM_PER_SECOND;

fn index(hash: u64, places: usize) -> usize {
    usize::try_from(hash % places as u64).unwrap_or_default()
}

/// Counts as waiting until it is dropped.
struct WaitingGuard<'a>(&'a AtomicUsize);

impl<'a> WaitingGuard<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn from(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    fn decide(lookups: &Lookups, secret: &str, client: Option<IpAddr>) -> Lookup {
        lookups.decide(&Digest::of(secret), client, NOW, || false)
    }

    #[test]
    fn a_key_is_looked_for_again_after_a_quarter_of_a_second() {
        let (lookups, digest) = (Lookups::default(), Digest::of("asked for before it was issued"));
        let now = NOW + TimeDelta::days(20_000);
        let decide = |digest: &Digest, now| lookups.decide(digest, None, now, || false);
        assert_eq!(decide(&digest, now), Lookup::Needed);
        lookups.found_nothing(&digest, None, now);
        assert_eq!(decide(&digest, now), Lookup::Recent);
        assert_eq!(decide(&Digest::of("another"), now), Lookup::Needed);
        assert_eq!(decide(&digest, now + TimeDelta::milliseconds(250)), Lookup::Needed);
        lookups.note(false);
        assert_eq!(decide(&digest, now), Lookup::Needed, "the store may know better once it is back");
    }

    #[cfg(feature = "paused-time")]
    #[tokio::test(start_paused = true)]
    async fn a_network_that_floods_is_answered_from_memory_and_nobody_else_is() {
        let lookups = Lookups::default();
        let (flooding, other) = (from("203.0.113.7"), from("198.51.100.7"));
        let mut needed = 0;
        for number in 0..10_000 {
            if decide(&lookups, &number.to_string(), flooding) == Lookup::Needed {
                needed += 1;
                lookups.found_nothing(&Digest::of(number.to_string()), flooding, NOW);
            }
        }
        assert_eq!(needed, ABSENT_BURST + 1);
        assert_eq!(decide(&lookups, "x", from("203.0.113.200")), Lookup::OverBudget, "of the same network");
        assert_eq!(decide(&lookups, "x", other), Lookup::Needed);
        assert_eq!(lookups.decide(&Digest::of("x"), flooding, NOW, || true), Lookup::Alone);
        lookups.note(false);
        assert_eq!(decide(&lookups, "x", flooding), Lookup::Busy, "no 401 while the store cannot be asked");
        lookups.note(true);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(decide(&lookups, "x", flooding), Lookup::Needed, "a few more");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(decide(&lookups, "y", flooding), Lookup::Needed);
        assert_eq!(lookups.counts()[2], ("over_budget", 10_000 - needed + 1));
    }

    #[cfg(feature = "paused-time")]
    #[tokio::test(start_paused = true)]
    async fn a_flood_from_many_networks_is_answered_from_memory_and_others_are_looked_for() {
        let lookups = Lookups::default();
        let flooding = |number: usize| from(&format!("2001:db8:{number:x}::1"));
        let mut needed = 0;
        for number in 0..100_000_usize {
            let (key, client) = (number.to_string(), flooding(number % 5000));
            if decide(&lookups, &key, client) == Lookup::Needed {
                needed += 1;
                lookups.found_nothing(&Digest::of(key), client, NOW);
            }
        }
        // Four of each network, less for those that share their places.
        assert!((10_000..=20_000).contains(&needed), "{needed}");
        let looked_for = |number: usize| decide(&lookups, "x", from(&format!("10.0.{number}.1"))) == Lookup::Needed;
        let quiet = (0..200).filter(|number| looked_for(*number)).count();
        assert!(quiet >= 190, "{quiet} of 200");
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(decide(&lookups, "y", flooding(1)), Lookup::Needed, "it is over");
    }

    #[test]
    fn networks_are_what_one_customer_has() {
        let network = |text: &str| client_network(text.parse().unwrap());
        let same = |a: &str, b: &str| network(a) == network(b);
        assert!(same("192.0.2.1", "192.0.2.254") && !same("192.0.2.1", "192.0.3.1"));
        assert!(same("2001:db8:1::1", "2001:db8:1:ffff::1") && !same("2001:db8:1::1", "2001:db8:2::1"));
        assert!(!same("0.0.1.0", "::1"));
    }

    #[test]
    fn only_so_many_requests_wait() {
        let lookups = Lookups::default();
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| WaitingGuard::new(&lookups.waiting)).collect();
        assert_eq!(decide(&lookups, "x", None), Lookup::Busy);
        drop(waiting);
        assert_eq!(decide(&lookups, "x", None), Lookup::Needed);
    }
}
