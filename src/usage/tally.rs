//! The counts of one key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::key::Hint;

/// A minute, counted from the epoch: last use is known no finer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsageMinute(i64);

impl UsageMinute {
    /// The minute in which `at` lies.
    pub fn of(at: DateTime<Utc>) -> Self {
        Self(at.timestamp().div_euclid(60))
    }

    /// Its first instant.
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.saturating_mul(60), 0).unwrap_or_default()
    }

    /// The first instant after it.
    pub fn end(self) -> DateTime<Utc> {
        self.start() + TimeDelta::minutes(1)
    }
}

/// What one request did with a known key.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// When the request was admitted.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// Whether the request was admitted: only then the key counts as used.
    pub admitted: bool,
    /// The secret that was presented, if it is not the current one.
    pub older: Option<Hint>,
    /// The code of the problem in the answer: one of a fixed set.
    pub refused: Option<&'static str>,
    /// Events that were accepted.
    pub events: u64,
    /// The body they came in, in bytes as it was sent.
    pub bytes: u64,
}

/// The counts of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tally {
    /// The minute of its last use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<UsageMinute>,
    /// The address of the client at its last use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_address: Option<IpAddr>,
    /// Requests that presented it, including refused ones.
    pub requests: u64,
    /// Events that were accepted, durably.
    pub events: u64,
    /// The bodies they came in, in bytes as they were sent.
    pub bytes: u64,
    /// Requests that were answered with a problem, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<Cow<'static, str>, u64>,
    /// The last characters of the secret that was current at the last use of a current secret, and the minute of that
    /// use.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<(Hint, UsageMinute)>,
    /// The last use of each older secret, by its last characters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    older: BTreeMap<Cow<'static, str>, UsageMinute>,
}

impl Tally {
    /// Counts a request. `current` are the last characters of the key's current secret. Allocates only for a reason or
    /// a secret that it sees for the first time.
    pub fn count(&mut self, current: Hint, used: &Use) {
        self.requests += 1;
        self.events += used.events;
        self.bytes += used.bytes;
        if let Some(reason) = used.refused {
            match self.refused.get_mut(reason) {
                Some(count) => *count += 1,
                None => _ = self.refused.insert(Cow::Borrowed(reason), 1),
            }
        }
        if !used.admitted {
            return;
        }
        let minute = UsageMinute::of(used.at);
        // A long request was admitted before others that have been counted already.
        if Some(minute) >= self.last_used {
            self.last_used = Some(minute);
            self.last_address = used.address.or(self.last_address);
        }
        match used.older {
            Some(hint) => self.note_older(hint, minute),
            None => self.note_current(current, minute),
        }
    }

    /// The last use of a secret, by its last characters.
    pub fn last_used_of(&self, hint: &str) -> Option<UsageMinute> {
        let current = self.current.filter(|(current, _)| current.as_str() == hint).map(|(_, minute)| minute);
        current.max(self.older.get(hint).copied())
    }

    /// Drops the last use of older secrets for which `wanted` is false.
    pub fn retain_secrets(&mut self, wanted: impl Fn(&str) -> bool) {
        self.older.retain(|hint, _| wanted(hint));
    }

    /// Of two secrets that have both been current, the one that was used later stays.
    fn note_current(&mut self, hint: Hint, minute: UsageMinute) {
        match &mut self.current {
            Some((known, last)) if *known == hint => *last = minute.max(*last),
            Some((known, last)) if (*last, known.as_str()) > (minute, hint.as_str()) => self.note_older(hint, minute),
            known => {
                if let Some((hint, minute)) = known.replace((hint, minute)) {
                    self.note_older(hint, minute);
                }
            }
        }
    }

    fn note_older(&mut self, hint: Hint, minute: UsageMinute) {
        match self.older.get_mut(hint.as_str()) {
            Some(last) => *last = minute.max(*last),
            None => _ = self.older.insert(Cow::Owned(hint.as_str().to_owned()), minute),
        }
    }

    /// Adds other counts of the same key. Of two last uses in one minute, that of `other` counts as the later one.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.events = self.events.saturating_add(other.events);
        self.bytes = self.bytes.saturating_add(other.bytes);
        if other.last_used >= self.last_used {
            self.last_used = other.last_used;
            self.last_address = other.last_address.or(self.last_address);
        }
        for (reason, count) in &other.refused {
            let sum = self.refused.entry(reason.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        if let Some((hint, minute)) = other.current {
            self.note_current(hint, minute);
        }
        for (hint, minute) in &other.older {
            let last = self.older.entry(hint.clone()).or_insert(*minute);
            *last = (*last).max(*minute);
        }
    }

    /// An estimate of the memory that it takes beside its own size: a node of a tree, and short texts.
    pub(super) fn heap_bytes(&self) -> usize {
        let tree = |len: usize| if len == 0 { 0 } else { 400 + 64 * len };
        tree(self.refused.len()) + tree(self.older.len())
    }

    /// All requests that were answered with a problem.
    pub fn refusals(&self) -> u64 {
        self.refused.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn request(seconds: i64) -> Use {
        let address = Some("192.0.2.1".parse().unwrap());
        Use { at: at(seconds), address, admitted: true, older: None, refused: None, events: 0, bytes: 0 }
    }

    #[test]
    fn a_minute_is_known_by_its_ends() {
        let minute = UsageMinute::of(at(125));
        assert_eq!((minute.start(), minute.end()), (at(120), at(180)));
        assert_eq!(UsageMinute::of(at(-1)).end(), at(0));
    }

    #[test]
    fn a_request_that_was_not_let_in_is_counted_and_is_no_use() {
        let mut tally = Tally::default();
        tally.count(Hint::default(), &Use { events: 3, bytes: 40, ..request(60) });
        tally.count(Hint::default(), &Use { admitted: false, refused: Some("expired"), address: None, ..request(600) });
        tally.count(Hint::default(), &Use { refused: Some("invalid_request"), ..request(30) });
        assert_eq!((tally.requests, tally.events, tally.bytes, tally.refusals()), (3, 3, 40, 2));
        assert_eq!(tally.last_used, Some(UsageMinute::of(at(60))));
        assert_eq!(tally.refused.keys().collect::<Vec<_>>(), ["expired", "invalid_request"]);
        assert!(tally.last_address.is_some());
    }

    #[test]
    fn the_later_use_tells_where_it_came_from() {
        let mut tally = Tally::default();
        tally.count(Hint::default(), &request(600));
        let mut other = Tally::default();
        other.count(
            Hint::default(),
            &Use { address: Some("2001:db8::1".parse().unwrap()), older: Hint::parse("x7Qa").ok(), ..request(60) },
        );
        let mut sum = tally.clone();
        sum.add(&other);
        assert_eq!((sum.requests, sum.last_address), (2, tally.last_address));
        assert_eq!(sum.last_used_of("x7Qa"), Some(UsageMinute::of(at(60))));
        other.add(&tally);
        assert_eq!(other, sum);
    }

    #[test]
    fn a_long_request_does_not_hide_where_a_later_one_came_from() {
        let mut tally = Tally::default();
        tally.count(Hint::default(), &request(600));
        tally.count(Hint::default(), &Use { address: Some("2001:db8::1".parse().unwrap()), ..request(60) });
        assert_eq!((tally.requests, tally.last_used), (2, Some(UsageMinute::of(at(600)))));
        assert_eq!(tally.last_address, Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_secret_keeps_its_last_use_when_it_is_rotated_away() {
        let hint = |text| Hint::parse(text).unwrap();
        let (mut tally, mut elsewhere) = (Tally::default(), Tally::default());
        tally.count(hint("old!"), &request(60));
        tally.count(hint("new!"), &request(600));
        elsewhere.count(hint("old!"), &request(120));
        for (one, other) in [(&tally, &elsewhere), (&elsewhere, &tally)] {
            let mut sum = one.clone();
            sum.add(other);
            let last = |hint| sum.last_used_of(hint);
            assert_eq!((last("old!"), last("new!")), (Some(UsageMinute::of(at(120))), Some(UsageMinute::of(at(600)))));
            assert_eq!(last("none"), None);
        }
        assert_eq!(tally.last_used_of("old!"), Some(UsageMinute::of(at(60))));
    }
}
