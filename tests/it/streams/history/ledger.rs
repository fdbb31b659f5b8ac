//! What clients were promised about the events of one stream, and what an answer may be by that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use keyloft::{Clock, SystemClock};
use parking_lot::Mutex;

/// When something happened: for order, and for the times that events bear.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    at: Instant,
    pub ms: i64,
}

impl Moment {
    pub fn now() -> Self {
        Self { at: Instant::now(), ms: SystemClock.now().timestamp_millis() }
    }

    fn is_before(self, other: Self) -> bool {
        self.at < other.at
    }
}

#[derive(Debug, Clone, Copy)]
struct Event {
    sent: Moment,
    acknowledged: Option<Moment>,
}

/// From the first request for it to the answer that it is done. Without an answer it may come about at any time.
#[derive(Debug, Clone, Copy)]
struct Deletion {
    begun: Moment,
    answered: Option<Moment>,
}

/// How an event stands to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Must,
    May,
    MustNot,
}

/// Times of arrival, in milliseconds: from the first on, and before the second.
pub type Range = std::ops::Range<i64>;

#[derive(Debug, Default)]
pub struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    events: BTreeMap<u64, Event>,
    deletions: Vec<Deletion>,
    told: Vec<(Moment, String)>,
    broken: Vec<String>,
    tally: Tally,
    /// Answers that are errors, by what they say.
    errors: BTreeMap<String, u64>,
}

/// How much happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub acknowledged: u64,
    pub unclear: u64,
    pub answers: u64,
    pub errors: u64,
    pub faults: u64,
    pub deletions: u64,
    /// Merged objects that counted in the end.
    pub merged: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.unclear += other.unclear;
        self.answers += other.answers;
        self.errors += other.errors;
        self.faults += other.faults;
        self.deletions += other.deletions;
        self.merged += other.merged;
    }
}

impl Ledger {
    /// Notes events that are about to be sent.
    pub fn send(&self, numbers: std::ops::Range<u64>) {
        let event = Event { sent: Moment::now(), acknowledged: None };
        self.0.lock().events.extend(numbers.map(|n| (n, event)));
    }

    /// Notes that they were acknowledged just now.
    pub fn acknowledge(&self, numbers: std::ops::Range<u64>) {
        let now = Some(Moment::now());
        self.0.lock().events.range_mut(numbers).for_each(|(_, event)| event.acknowledged = now);
    }

    pub fn begin_deletion(&self) {
        self.0.lock().deletions.push(Deletion { begun: Moment::now(), answered: None });
    }

    pub fn end_deletion(&self) {
        self.0.lock().deletions.last_mut().unwrap().answered = Some(Moment::now());
    }

    /// Notes what was done, in words.
    pub fn tell(&self, words: impl Into<String>) {
        self.0.lock().told.push((Moment::now(), words.into()));
    }

    pub fn broken(&self, why: impl Into<String>) {
        let why = why.into();
        self.tell(format!("BROKEN: {why}"));
        self.0.lock().broken.push(why);
    }

    pub fn is_broken(&self) -> bool {
        !self.0.lock().broken.is_empty()
    }

    pub fn count(&self, what: impl FnOnce(&mut Tally)) {
        what(&mut self.0.lock().tally);
    }

    /// Notes an answer that is an error.
    pub fn error(&self, what: impl Into<String>) {
        let mut pages = self.0.lock();
        pages.tally.errors += 1;
        *pages.errors.entry(what.into()).or_default() += 1;
    }

    /// Judges an answer that lists events by their numbers. Says what is wrong with it.
    pub fn judge(&self, asked: Moment, range: Option<&Range>, found: &[u64]) -> Result<(), String> {
        let (pages, ended) = (self.0.lock(), Moment::now());
        let mut times = BTreeMap::<u64, usize>::new();
        found.iter().for_each(|n| *times.entry(*n).or_default() += 1);
        let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).map(|(n, _)| *n).collect();
        let foreign: Vec<_> = times.keys().filter(|n| !pages.events.contains_key(n)).copied().collect();
        let (mut lost, mut back) = (Vec::new(), Vec::new());
        for (n, event) in &pages.events {
            match (pages.standing(event, asked, ended, range), times.contains_key(n)) {
                (Standing::Must, false) => lost.push(*n),
                (Standing::MustNot, true) => back.push(*n),
                _ => {}
            }
        }
        let mut why = String::new();
        let faults =
            [("lost", lost), ("counted twice", twice), ("deleted or out of range", back), ("never sent", foreign)];
        for (what, numbers) in faults.iter().filter(|(_, numbers)| !numbers.is_empty()) {
            let _ = write!(why, "{} events {what}, such as {:?}; ", numbers.len(), &numbers[..numbers.len().min(5)]);
        }
        if why.is_empty() { Ok(()) } else { Err(format!("{why}{} found", found.len())) }
    }

    /// Judges an answer that counts and sums events only.
    pub fn judge_sum(&self, asked: Moment, count: u64, sum: u64) -> Result<(), String> {
        let (pages, ended) = (self.0.lock(), Moment::now());
        let of = |wanted: &[Standing]| -> (u64, u64) {
            let events = pages.events.iter();
            let numbers = events.filter(|(_, event)| wanted.contains(&pages.standing(event, asked, ended, None)));
            numbers.fold((0, 0), |(count, sum), (n, _)| (count + 1, sum + n))
        };
        let (least, most) = (of(&[Standing::Must]), of(&[Standing::Must, Standing::May]));
        let is_right = (least.0..=most.0).contains(&count) && (least.1..=most.1).contains(&sum);
        if is_right {
            return Ok(());
        }
        Err(format!("{count} events with the sum {sum} are none of {least:?} to {most:?}"))
    }

    pub fn tally(&self) -> Tally {
        let pages = self.0.lock();
        let acknowledged = pages.events.values().filter(|event| event.acknowledged.is_some()).count() as u64;
        let (unclear, deletions) = (pages.events.len() as u64 - acknowledged, pages.deletions.len() as u64);
        Tally { acknowledged, unclear, deletions, ..pages.tally }
    }

    /// What broke first.
    pub fn first_broken(&self) -> Option<String> {
        self.0.lock().broken.first().cloned()
    }

    /// All that was done, and what errors there were.
    pub fn story(&self) -> String {
        let pages = self.0.lock();
        let (mut story, start) = (String::new(), pages.told.first().map(|(moment, _)| moment.at));
        for (moment, words) in &pages.told {
            let _ = writeln!(story, "  {:>8.3}s  {words}", (moment.at - start.unwrap_or(moment.at)).as_secs_f64());
        }
        for (error, times) in &pages.errors {
            let _ = writeln!(story, "  {times} times: {error}");
        }
        story
    }
}

impl Pages {
    fn standing(&self, event: &Event, asked: Moment, ended: Moment, range: Option<&Range>) -> Standing {
        let is_acknowledged = |by: Moment| event.acknowledged.is_some_and(|at| at.is_before(by));
        let is_deleted = |deletion: &Deletion| {
            deletion.answered.is_some_and(|at| at.is_before(asked)) && is_acknowledged(deletion.begun)
        };
        if self.deletions.iter().any(is_deleted) {
            return Standing::MustNot;
        }
        // It arrived between the moment when it was sent and the one when it was acknowledged.
        let ends_before = |ms: i64| event.acknowledged.is_some_and(|at| at.ms < ms);
        if range.is_some_and(|range| event.sent.ms >= range.end || ends_before(range.start)) {
            return Standing::MustNot;
        }
        let may_be_deleted = |deletion: &Deletion| {
            deletion.begun.is_before(ended) && deletion.answered.is_none_or(|at| event.sent.is_before(at))
        };
        let is_within = range.is_none_or(|range| event.sent.ms >= range.start && ends_before(range.end));
        match is_acknowledged(asked) && is_within && !self.deletions.iter().any(may_be_deleted) {
            true => Standing::Must,
            false => Standing::May,
        }
    }
}
