//! How often one client network may try to sign in.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Code, Problem};
use crate::key::network::client_network;

/// How many places networks share. Two that share one have one budget.
const PLACES: usize = 16_384;
/// How many tries there may be in a minute, and at once.
const TRIES: u64 = 30;
/// How long one try uses the budget, in milliseconds.
const STEP: u64 = 60_000 / TRIES;

/// The budgets of all networks, bounded in memory whatever clients send.
#[derive(Debug)]
pub(crate) struct Attempts {
    begin: Instant,
    /// When the budget of a network is full again, in milliseconds since `begin`. Clients cannot guess the places.
    places: Box<[AtomicU64]>,
    networks: RandomState,
}

impl Default for Attempts {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { begin: Instant::now(), places, networks: RandomState::new() }
    }
}

impl Attempts {
    /// Takes one try from the budget of a client's network.
    ///
    /// # Errors
    /// 429 `rate_limited` when it is used up.
    pub(crate) fn take(&self, client: Option<IpAddr>) -> Result<(), Problem> {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let place = self.networks.hash_one(client.map(client_network)) % PLACES as u64;
        let place = &self.places[usize::try_from(place).unwrap_or_default()];
        let charged = |full_at: u64| {
            let full_at = full_at.max(now) + STEP;
            (full_at - now <= TRIES * STEP).then_some(full_at)
        };
        match place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged) {
            Ok(_) => Ok(()),
            Err(full_at) => {
                let wait = Duration::from_millis((full_at + STEP).saturating_sub(now + TRIES * STEP));
                let message = "Too many attempts to sign in from this network.";
                Err(Problem::new(Code::RateLimited, message).retry_after(wait))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "paused-time")]
    use super::*;

    #[cfg(feature = "paused-time")]
    #[tokio::test(start_paused = true)]
    async fn a_network_has_thirty_tries_a_minute_and_others_have_their_own() {
        let attempts = Attempts::default();
        let from = |text: &str| attempts.take(Some(text.parse().unwrap()));
        for last in 0..30 {
            assert!(from(&format!("203.0.113.{last}")).is_ok());
        }
        assert_eq!(from("203.0.113.99").unwrap_err().code(), Code::RateLimited);
        assert!(
            (0..50).any(|other| from(&format!("198.51.{other}.1")).is_ok()),
            "unless it shares the place by chance"
        );
        tokio::time::advance(Duration::from_millis(STEP)).await;
        assert!(from("203.0.113.99").is_ok() && from("203.0.113.99").is_err());
    }
}
