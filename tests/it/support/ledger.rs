//! What answers have promised about keys, and whether the answer of a node keeps the promises.
#![allow(clippy::print_stdout)] // What was asked is shown with --nocapture.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::Issued;

/// What a revocation may take besides the poll: the entry, the document, and what the node was writing before it asked.
const ROUND_TRIPS: u32 = 4;
/// A round trip on a machine that does other things too.
const ROUND_TRIP: Duration = Duration::from_millis(250);
/// What the clients of a store need to notice that it is back.
const RECOVERY: Duration = Duration::from_secs(2);

/// How many revoked keys are presented again and again.
const LATELY: usize = 20;

/// Shared by the tasks that issue and revoke, that present keys, and that disturb the store.
pub struct Ledger {
    poll: Duration,
    keys: Mutex<BTreeMap<String, (Issued, Standing)>>,
    outages: Mutex<Vec<(Instant, Option<Instant>)>>,
    round_trips: Mutex<Vec<(Instant, Duration)>>,
    wrong: Mutex<Vec<String>>,
    admitted: AtomicUsize,
    refused: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Issued, and acknowledged.
    Good,
    /// Its revocation was requested and not acknowledged.
    Unclear,
    /// The revocation was acknowledged.
    Revoked(Instant),
}

impl Ledger {
    /// An empty one for nodes that ask for news once per `poll`.
    pub fn new(poll: Duration) -> Self {
        Self {
            poll,
            keys: Mutex::default(),
            outages: Mutex::default(),
            round_trips: Mutex::default(),
            wrong: Mutex::default(),
            admitted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    pub fn issued(&self, key: Issued) {
        lock(&self.keys).insert(key.id.clone(), (key, Standing::Good));
    }

    pub fn set(&self, id: &str, standing: Standing) {
        lock(&self.keys).get_mut(id).unwrap().1 = standing;
    }

    pub fn keys(&self) -> Vec<(Issued, Standing)> {
        lock(&self.keys).values().cloned().collect()
    }

    /// One of the keys, whatever became of it.
    pub fn pick(&self, number: usize) -> Option<Issued> {
        let keys = lock(&self.keys);
        keys.values().nth(number % keys.len().max(1)).map(|(key, _)| key.clone())
    }

    /// One whose revocation was not requested.
    pub fn pick_good(&self, number: usize) -> Option<Issued> {
        let keys = lock(&self.keys);
        let good: Vec<_> = keys.values().filter(|(_, standing)| *standing == Standing::Good).collect();
        good.get(number % good.len().max(1)).map(|(key, _)| key.clone())
    }

    /// One of the few that were revoked last.
    pub fn pick_lately_revoked(&self, number: usize) -> Option<Issued> {
        let mut revoked = Vec::new();
        for (key, standing) in lock(&self.keys).values() {
            if let Standing::Revoked(at) = standing {
                revoked.push((*at, key.clone()));
            }
        }
        revoked.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        revoked.truncate(LATELY);
        revoked.get(number % revoked.len().max(1)).map(|(_, key)| key.clone())
    }

    /// The store is about to be out of reach.
    pub fn outage_begins(&self) {
        lock(&self.outages).push((Instant::now(), None));
    }

    /// The store can be reached again.
    pub fn outage_is_over(&self) {
        lock(&self.outages).last_mut().unwrap().1 = Some(Instant::now());
    }

    /// What a request to the store took just now.
    pub fn round_trip(&self, began: Instant) {
        if !self.is_out_of_reach(began) {
            lock(&self.round_trips).push((began, began.elapsed()));
        }
    }

    /// Whether the store was out of reach at any time since.
    pub fn is_out_of_reach(&self, since: Instant) -> bool {
        lock(&self.outages).iter().any(|(_, end)| end.is_none_or(|end| end > since))
    }

    /// From when on no node may admit a key that was revoked at `at`; `None` while the store is out of reach.
    fn refused_from(&self, at: Instant) -> Option<Instant> {
        let slowest = lock(&self.round_trips).iter().filter(|(began, _)| *began >= at).map(|(_, took)| *took).max();
        let bound = self.poll.mul_f64(1.2) + slowest.unwrap_or_default().max(ROUND_TRIP) * ROUND_TRIPS;
        let mut from = at + bound;
        for (began, end) in lock(&self.outages).iter() {
            if *began <= from && end.is_none_or(|end| end >= at) {
                from = from.max((*end)? + RECOVERY + bound);
            }
        }
        Some(from)
    }

    /// Takes down what a node answered to a key that was presented at `sent`.
    pub fn judge(&self, node: &str, id: &str, sent: Instant, status: u16) {
        // As it stands now: between the question and the answer it can only have become worse for the key.
        let standing = lock(&self.keys)[id].1;
        match (status, standing) {
            (200, Standing::Revoked(at)) if self.refused_from(at).is_some_and(|from| sent > from) => {
                let late = sent.duration_since(at).as_millis();
                self.wrong(format!("{node} admits {id} {late} ms after the revocation was acknowledged"));
            }
            (401, Standing::Good) => self.wrong(format!("{node} refuses the good key {id}")),
            (200, _) => _ = self.admitted.fetch_add(1, Ordering::Relaxed),
            (401, _) => _ = self.refused.fetch_add(1, Ordering::Relaxed),
            (503, _) => {} // It is starting, or cannot know.
            _ => self.wrong(format!("{node} answers {status} to {id}")),
        }
    }

    pub fn wrong(&self, what: String) {
        lock(&self.wrong).push(what);
    }

    /// Panics if anything went wrong, or if too little was asked to say that nothing did.
    pub fn assert_right(&self) {
        let wrong = lock(&self.wrong);
        assert!(
            wrong.is_empty(),
            "{} wrong answers, such as:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(10)].join("\n")
        );
        let (admitted, refused) = (self.admitted.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed));
        let slowest = lock(&self.round_trips).iter().map(|(_, took)| *took).max().unwrap_or_default();
        let count = lock(&self.keys).len();
        println!("{count} keys, {admitted} times admitted, {refused} times refused; slowest round trip {slowest:?}");
        assert!(admitted > 100 && refused > 100, "{admitted} times admitted, {refused} times refused: too little");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
