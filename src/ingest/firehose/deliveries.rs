//! Which deliveries were stored a moment ago on this node, so that a repeated one is acknowledged and not stored again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::key::{KeyId, StreamName};

/// How long a delivery is remembered after it was stored.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// How many deliveries are remembered; the oldest are forgotten first.
const MAX_REMEMBERED: usize = 65_536;

/// Identifies a delivery: request ids of different keys or streams have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryId {
    /// The key that was presented.
    pub key_id: KeyId,
    /// The stream it is for.
    pub stream: StreamName,
    /// How often that stream was deleted: what was stored before is gone.
    pub deletions: u64,
    /// The id that Firehose gave it.
    pub request_id: Box<str>,
}

/// Whether a delivery is stored. The holder of the lock stores it; others wait for the outcome.
pub type IsStored = Arc<tokio::sync::Mutex<bool>>;

/// The deliveries of the last minutes. Bounded in time and number.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<DeliveryState>);

#[derive(Debug, Default)]
struct DeliveryState {
    known: HashMap<DeliveryId, Known>,
    /// When each was seen, oldest first. One that was seen again stands there again.
    seen: VecDeque<(Instant, DeliveryId)>,
}

#[derive(Debug)]
struct Known {
    is_stored: IsStored,
    seen_at: Instant,
}

impl Deliveries {
    /// Whether this delivery is stored, which is for the first to lock it to say.
    pub fn find(&self, id: &DeliveryId, now: Instant) -> IsStored {
        let mut state = self.0.lock();
        state.forget_old(now);
        if let Some(known) = state.known.get(id) {
            return known.is_stored.clone();
        }
        let is_stored = IsStored::default();
        state.remember(id, is_stored.clone(), now);
        is_stored
    }

    /// The delivery is stored as of `now`, and remembered from now on.
    pub fn stored(&self, id: &DeliveryId, is_stored: &IsStored, now: Instant) {
        self.0.lock().remember(id, is_stored.clone(), now);
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.lock().known.len()
    }
}

impl DeliveryState {
    fn remember(&mut self, id: &DeliveryId, is_stored: IsStored, now: Instant) {
        self.known.insert(id.clone(), Known { is_stored, seen_at: now });
        self.seen.push_back((now, id.clone()));
        while self.known.len() > MAX_REMEMBERED || self.seen.len() > 2 * MAX_REMEMBERED {
            self.forget_first();
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while self.seen.front().is_some_and(|(at, _)| now.duration_since(*at) >= REMEMBERED_FOR) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((at, id)) = self.seen.pop_front()
            && self.known.get(&id).is_some_and(|known| known.seen_at == at)
        {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key_id: KeyId, stream: &str, request_id: &str) -> DeliveryId {
        DeliveryId { key_id, stream: StreamName::parse(stream).unwrap(), deletions: 0, request_id: request_id.into() }
    }

    #[tokio::test]
    async fn a_delivery_is_remembered_for_ten_minutes_after_it_was_stored_and_a_failed_one_may_be_repeated() {
        let (deliveries, start) = (Deliveries::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let one = id(KeyId::random(), "web", "r-1");
        let first = deliveries.find(&one, at(0));
        assert!(!*first.lock().await, "and it fails");
        let second = deliveries.find(&one, at(180));
        *second.lock().await = true;
        deliveries.stored(&one, &second, at(200));
        assert!(*deliveries.find(&one, at(799)).lock().await);
        assert!(!*deliveries.find(&one, at(800)).lock().await);
    }

    #[tokio::test]
    async fn the_same_id_of_another_key_or_stream_is_another_delivery() {
        let (deliveries, now) = (Deliveries::default(), Instant::now());
        let key_id = KeyId::random();
        *deliveries.find(&id(key_id, "web", "r-1"), now).lock().await = true;
        for other in [id(key_id, "audit", "r-1"), id(KeyId::random(), "web", "r-1"), id(key_id, "web", "r-2")] {
            assert!(!*deliveries.find(&other, now).lock().await);
        }
        assert!(*deliveries.find(&id(key_id, "web", "r-1"), now).lock().await);
    }

    #[tokio::test]
    async fn no_more_are_remembered_than_there_is_room_for() {
        let (deliveries, now) = (Deliveries::default(), Instant::now());
        let key_id = KeyId::random();
        for number in 0..MAX_REMEMBERED + 10 {
            *deliveries.find(&id(key_id, "web", &number.to_string()), now).lock().await = true;
        }
        assert_eq!(deliveries.count(), MAX_REMEMBERED);
        assert!(!*deliveries.find(&id(key_id, "web", "0"), now).lock().await);
        assert!(*deliveries.find(&id(key_id, "web", &MAX_REMEMBERED.to_string()), now).lock().await);
    }
}
