//! The clock of the store, which is one for all nodes.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::{Clock, Mark};
use crate::error::{Error, ErrorKind, Result};

/// A node whose clock differs by more takes no events: the clocks of the nodes decide to which day an event belongs.
const TOLERANCE: TimeDelta = TimeDelta::seconds(20);
/// Stores give times in whole seconds (`Last-Modified`, RFC 9110, section 8.8.2).
const PRECISION: TimeDelta = TimeDelta::seconds(1);
/// How long a reading of the store's clock is used: clocks drift.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// Shows the time by the clock of the store, learnt from the time that the store gives an object written by this node.
/// Before the first such write it shows the time of the machine. A clock that is set by hand counts as that of the
/// store.
///
/// What concerns all nodes goes by this clock, above all which days are out of retention: a node whose own clock is
/// wrong must not take away what others keep.
#[derive(Debug)]
pub struct StoreClock {
    machine: Arc<dyn Clock>,
    written: Mutex<Option<Write>>,
}

/// A write of this node, with its beginning and end by the clock of the machine.
#[derive(Debug, Clone, Copy)]
struct Write {
    shown_by_store: DateTime<Utc>,
    began: Mark,
    ended: Mark,
}

impl StoreClock {
    /// The clock of a store that nothing was written to yet.
    pub fn new(machine: Arc<dyn Clock>) -> Self {
        Self { machine, written: Mutex::new(None) }
    }

    /// Notes what the store says of a write that began and ended at these marks of this clock.
    pub(crate) fn wrote(&self, shown_by_store: DateTime<Utc>, began: Mark, ended: Mark) {
        if !self.machine.is_set_by_hand() {
            *self.written.lock() = Some(Write { shown_by_store, began, ended });
        }
    }

    /// Whether [`StoreClock::wrote`] should be called: there is no reading yet, it is old, or it shows that the clock
    /// of this node is wrong.
    pub(crate) fn wants_a_write(&self) -> bool {
        let Some(Write { began, .. }) = *self.written.lock() else { return !self.is_known() };
        self.machine.since(&began) >= GOOD_FOR || self.check().is_err()
    }

    /// Whether the clock of the store has been read, or is set by hand.
    pub fn is_known(&self) -> bool {
        self.machine.is_set_by_hand() || self.written.lock().is_some()
    }

    /// How far the clock of the machine is ahead of that of the store, at least; below zero, how far behind. Zero while
    /// it is not known.
    pub fn difference(&self) -> TimeDelta {
        let Some(Write { shown_by_store, began, ended }) = *self.written.lock() else { return TimeDelta::zero() };
        let since = |mark| TimeDelta::from_std(self.machine.since(&mark)).unwrap_or(TimeDelta::MAX);
        let now = self.machine.now();
        let (earliest, latest) = (shown_by_store + since(ended), shown_by_store + PRECISION + since(began));
        (now - latest).max(TimeDelta::zero()) + (now - earliest).min(TimeDelta::zero())
    }

    /// # Errors
    /// [`ErrorKind::ClockWrong`] when the clocks differ by more than 20 s, [`ErrorKind::Unavailable`] when that is not
    /// known.
    pub fn check(&self) -> Result<()> {
        if !self.is_known() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the clock of this node has not been compared with that of the store yet",
            ));
        }
        let difference = self.difference();
        if difference.abs() <= TOLERANCE {
            return Ok(());
        }
        let (seconds, side) =
            (difference.num_seconds().abs(), if difference > TimeDelta::zero() { "ahead of" } else { "behind" });
        let message = format!("the clock of this node is {seconds} s {side} that of the store: set it");
        Err(Error::new(ErrorKind::ClockWrong, message))
    }
}

impl Clock for StoreClock {
    fn now(&self) -> DateTime<Utc> {
        self.machine.now() - self.difference()
    }

    fn mark(&self) -> Mark {
        self.machine.mark()
    }

    fn since(&self, mark: &Mark) -> Duration {
        self.machine.since(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn start() -> DateTime<Utc> {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    /// A machine whose clock is not said to be set by hand.
    #[derive(Debug)]
    struct Machine(ManualClock);

    impl Clock for Machine {
        fn now(&self) -> DateTime<Utc> {
            self.0.now()
        }
    }

    /// A machine, and what it knows of the store once the store wrote at `shown` what took `took` seconds.
    fn after_a_write(shown: &str, took: i64) -> (Arc<Machine>, StoreClock) {
        let machine = Arc::new(Machine(ManualClock::new(start())));
        let clock = StoreClock::new(machine.clone());
        assert!(!clock.is_known() && clock.wants_a_write());
        assert_eq!(clock.check().unwrap_err().kind(), ErrorKind::Unavailable);
        let began = clock.mark();
        machine.0.advance(TimeDelta::seconds(took));
        clock.wrote(shown.parse().unwrap(), began, clock.mark());
        (machine, clock)
    }

    #[test]
    fn a_clock_is_right_within_twenty_seconds_and_what_a_write_may_have_taken() {
        for (shown, took, difference) in [
            ("2026-11-28T12:00:00Z", 0, 0),
            ("2026-11-28T11:59:59Z", 0, 0), // The store gives whole seconds.
            ("2026-11-28T12:00:20Z", 0, -20),
            ("2026-11-28T11:59:39Z", 0, 20),
            ("2026-11-28T12:00:00Z", 50, 0),
            ("2026-11-28T12:00:50Z", 50, 0),
        ] {
            let (_, clock) = after_a_write(shown, took);
            assert_eq!(clock.difference(), TimeDelta::seconds(difference), "{shown}");
            clock.check().unwrap();
            assert!(!clock.wants_a_write());
        }
        for (shown, took, words) in [
            ("2026-11-28T12:00:21Z", 0, "21 s behind"),
            ("2026-11-28T11:59:38Z", 0, "21 s ahead of"),
            ("2026-11-28T12:01:11Z", 50, "21 s behind"),
            ("2026-09-29T12:00:00Z", 0, "5183999 s ahead of"),
        ] {
            let (_, clock) = after_a_write(shown, took);
            let error = clock.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ClockWrong);
            assert!(error.message().contains(words), "{shown}: {error}");
            assert!(clock.wants_a_write(), "it may have been set");
        }
    }

    #[test]
    fn it_shows_the_time_of_the_store() {
        let (machine, clock) = after_a_write("2026-09-29T12:00:00Z", 0);
        assert_eq!(clock.now(), "2026-09-29T12:00:01Z".parse::<DateTime<Utc>>().unwrap());
        machine.0.advance(TimeDelta::days(1));
        assert_eq!(clock.now(), "2026-09-30T12:00:01Z".parse::<DateTime<Utc>>().unwrap());
    }

    #[test]
    fn a_clock_that_is_set_by_hand_is_not_compared() {
        let clock = StoreClock::new(Arc::new(ManualClock::new(start())));
        clock.wrote(start() + TimeDelta::days(60), clock.mark(), clock.mark());
        clock.check().unwrap();
        assert_eq!((clock.now(), clock.is_known(), clock.wants_a_write()), (start(), true, false));
    }
}
