//! Whether this node is the only one. It never concludes that wrongly.
//!
//! A node that is alone knows every key: no other node issues any. Another node may start at any moment, so this is a
//! lease and two promises:
//!
//! 1. A poll that finds no entry of another node grants a lease: this node counts itself alone for [`LEASE`] from the
//!    beginning of the poll. The condition is a list of nodes that was read before the poll, shows no other node, and
//!    was read after this node stood on it.
//! 2. A node is on the list before its first change. It acknowledges that change once every other live node has applied
//!    it, or after [`INTRODUCTION`], which is longer than any lease. By then the other nodes know this one.
//! 3. The same holds again for a node that was silent until others may have counted it as dead.
//!
//! So a lease never hides a key that another node has acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// For how long a poll that found nothing of another node counts.
pub(super) const LEASE: Duration = Duration::from_millis(2_500);
/// How long the first change of a node waits for the others at most. Longer than [`LEASE`], also by clocks that run
/// unevenly.
pub(super) const INTRODUCTION: Duration = Duration::from_millis(3_000);
/// A node that has published within this time is on the list of every node: others count it as live for 180 seconds.
const PRESENT: Duration = Duration::from_secs(150);
/// How old the list of nodes may be.
const LIST_MAX_AGE: Duration = Duration::from_secs(60);
/// The age from which the list is read again.
const LIST_OLD: Duration = Duration::from_secs(40);

/// The lease, and the contacts with other nodes that decide it.
#[derive(Debug)]
pub(super) struct Alone {
    begin: Instant,
    /// Until when this node is alone, in microseconds since `begin`.
    until: AtomicU64,
    /// When [`Alone::is_now`] was last called, to the second.
    asked: AtomicU64,
    known: Mutex<Contacts>,
}

#[derive(Debug, Default)]
struct Contacts {
    /// Since when this node has been on the list without a break.
    present_since: Option<Instant>,
    published: Option<Instant>,
    /// When the list was last read, and whether it showed no other node.
    listed: Option<(Instant, bool)>,
    /// When an entry of another node was last read.
    met: Option<Instant>,
    /// Whether the others know of this node.
    introduced: bool,
}

impl Contacts {
    fn is_present(&self, now: Instant) -> bool {
        self.published.is_some_and(|at| now - at < PRESENT)
    }

    /// Whether a poll that began at `asked` and found nothing of another node shows that there is none.
    fn proves_alone(&self, asked: Instant) -> bool {
        let Some((listed, true)) = self.listed else { return false };
        self.is_present(asked)
            && self.present_since.is_some_and(|since| since < listed)
            && listed < asked
            && asked - listed < LIST_MAX_AGE
            && self.met.is_none_or(|met| met < listed)
    }
}

impl Default for Alone {
    fn default() -> Self {
        let (until, asked, known) = Default::default();
        Self { begin: Instant::now(), until, asked, known }
    }
}

impl Alone {
    /// Whether no other node can have acknowledged a key that this one does not know.
    pub(super) fn is_now(&self) -> bool {
        let now = self.micros(Instant::now());
        if now >= self.asked.load(Ordering::Relaxed) + 1_000_000 {
            self.asked.store(now, Ordering::Relaxed);
        }
        now < self.until.load(Ordering::Acquire)
    }

    /// Whether the list of nodes should be read again: it has grown old, and the answer is in use.
    pub(super) fn wants_list(&self) -> bool {
        let now = Instant::now();
        let asked = self.asked.load(Ordering::Relaxed);
        let is_asked = asked > 0 && self.micros(now) < asked + self.micros(self.begin + LIST_OLD);
        let known = self.known.lock();
        // A list that was read before this node stood on it proves nothing.
        let is_good = |at: Instant| now - at < LIST_OLD && known.present_since.is_some_and(|since| since < at);
        is_asked && !known.listed.is_some_and(|(at, _)| is_good(at))
    }

    /// Notes that this node has durably published what it applied; `began` is when the write began.
    pub(super) fn published(&self, began: Instant) {
        let mut known = self.known.lock();
        if !known.is_present(began) {
            known.present_since = Some(Instant::now());
            known.introduced = false;
        }
        known.published = Some(began);
    }

    /// Notes what a list of the nodes showed; `began` is when its reading began.
    pub(super) fn listed(&self, began: Instant, nobody_else: bool) {
        let mut known = self.known.lock();
        if !nobody_else {
            self.until.store(0, Ordering::Release);
        }
        known.listed = Some((began, nobody_else));
    }

    /// Notes that an entry of another node was read.
    pub(super) fn met_another(&self) {
        let mut known = self.known.lock();
        known.met = Some(Instant::now());
        self.until.store(0, Ordering::Release);
    }

    /// Notes that a poll, begun at `asked`, has reached the end of the log.
    pub(super) fn polled(&self, asked: Instant) {
        let known = self.known.lock(); // Held, so that nobody is met in between.
        if known.proves_alone(asked) {
            self.until.fetch_max(self.micros(asked + LEASE), Ordering::AcqRel);
        }
    }

    /// Whether the others know of this node, so that its changes need not wait for them.
    pub(super) fn is_introduced(&self) -> bool {
        let known = self.known.lock();
        known.introduced && known.is_present(Instant::now())
    }

    /// Notes that the others know of this node by now.
    pub(super) fn introduced(&self) {
        let mut known = self.known.lock();
        known.introduced = known.is_present(Instant::now());
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from((at - self.begin).as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(all(test, feature = "paused-time"))]
mod tests {
    use super::*;

    async fn pass(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    /// A node that takes itself for alone.
    async fn alone() -> Alone {
        let alone = Alone::default();
        alone.published(Instant::now());
        pass(1).await;
        alone.listed(Instant::now(), true);
        pass(1).await;
        alone.polled(Instant::now());
        assert!(alone.is_now());
        alone
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_needs_a_place_on_the_list_then_the_list_then_a_poll() {
        let node = Alone::default();
        pass(2_000).await;
        assert!(!node.is_now());
        let early = Instant::now();
        pass(1).await;
        node.listed(Instant::now(), true);
        pass(1).await;
        node.polled(Instant::now());
        assert!(!node.is_now(), "others cannot know of it");
        node.published(Instant::now());
        pass(1).await;
        node.polled(Instant::now());
        assert!(!node.is_now() && node.wants_list(), "the list was read before it stood there");
        node.listed(Instant::now(), true);
        assert!(!node.wants_list());
        pass(1).await;
        node.polled(early);
        assert!(!node.is_now(), "the poll began before");
        node.polled(Instant::now());
        assert!(node.is_now());
        pass(2_500).await;
        assert!(!node.is_now(), "a lease ends");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_met_or_listed_ends_the_lease() {
        let node = alone().await;
        node.met_another();
        assert!(!node.is_now());
        pass(1).await;
        node.polled(Instant::now());
        assert!(!node.is_now(), "it may live: only a list read after that can tell");
        node.listed(Instant::now(), false);
        pass(1).await;
        node.polled(Instant::now());
        assert!(!node.is_now());
        node.listed(Instant::now(), true);
        pass(1).await;
        node.polled(Instant::now());
        assert!(node.is_now());
        assert!(!node.wants_list());
        pass(61_000).await;
        node.published(Instant::now());
        node.polled(Instant::now());
        assert!(!node.wants_list(), "nobody has asked for long");
        assert!(!node.is_now() && node.wants_list(), "the list is old");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_silent_for_long_is_introduced_again() {
        let node = alone().await;
        assert!(!node.is_introduced());
        node.introduced();
        assert!(node.is_introduced());
        pass(149_000).await;
        node.published(Instant::now());
        assert!(node.is_introduced(), "its heart has beaten");
        pass(151_000).await;
        assert!(!node.is_introduced());
        node.published(Instant::now());
        assert!(!node.is_introduced(), "others may have taken it for dead");
        node.listed(Instant::now() - Duration::from_millis(1), true);
        node.polled(Instant::now());
        assert!(!node.is_now(), "it was not on the list that it read");
    }
}
