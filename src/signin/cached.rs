//! A value that is fetched when it is needed: by one request for all who wait, and for them only when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::error::SignInError;
use crate::clock::{Clock, Mark};

/// A value that is kept for a while. A failure is not kept: the next who asks tries again.
#[derive(Debug)]
pub(super) struct Cached<T> {
    slot: Mutex<Slot<T>>,
    /// How many fetches have failed: who waited for one of them does not repeat it.
    failures: AtomicU64,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<(Arc<T>, Mark)>,
    renewed: Option<Mark>,
    failure: Option<SignInError>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        let slot = Slot { value: None, renewed: None, failure: None };
        Self { slot: Mutex::new(slot), failures: AtomicU64::new(0) }
    }
}

impl<T> Cached<T> {
    /// The value, if it is younger than `max_age`, else a fresh one.
    ///
    /// # Errors
    /// That of `fetch`, also when somebody else's fetch failed while this one waited for it.
    pub(super) async fn get(
        &self,
        clock: &dyn Clock,
        max_age: Duration,
        fetch: impl Future<Output = Result<T, SignInError>>,
    ) -> Result<Arc<T>, SignInError> {
        let before = self.failures.load(Ordering::Relaxed);
        let mut slot = self.slot.lock().await;
        if let Some((value, at)) = &slot.value
            && clock.since(at) < max_age
        {
            return Ok(value.clone());
        }
        self.fetch(&mut slot, before, clock, fetch).await
    }

    /// A fresher value than `old`; `old` itself when it was renewed within `pause`.
    ///
    /// # Errors
    /// As for [`Cached::get`].
    pub(super) async fn renew(
        &self,
        old: Arc<T>,
        clock: &dyn Clock,
        pause: Duration,
        fetch: impl Future<Output = Result<T, SignInError>>,
    ) -> Result<Arc<T>, SignInError> {
        let before = self.failures.load(Ordering::Relaxed);
        let mut slot = self.slot.lock().await;
        if let Some((value, _)) = slot.value.as_ref().filter(|(value, _)| !Arc::ptr_eq(value, &old)) {
            return Ok(value.clone());
        }
        if slot.renewed.as_ref().is_some_and(|at| clock.since(at) < pause) {
            return Ok(old);
        }
        slot.renewed = Some(clock.mark());
        self.fetch(&mut slot, before, clock, fetch).await
    }

    async fn fetch(
        &self,
        slot: &mut Slot<T>,
        before: u64,
        clock: &dyn Clock,
        fetch: impl Future<Output = Result<T, SignInError>>,
    ) -> Result<Arc<T>, SignInError> {
        if self.failures.load(Ordering::Relaxed) != before
            && let Some(failure) = &slot.failure
        {
            return Err(failure.clone());
        }
        match fetch.await {
            Ok(value) => {
                let value = Arc::new(value);
                slot.value = Some((value.clone(), clock.mark()));
                Ok(value)
            }
            Err(failure) => {
                slot.failure = Some(failure.clone());
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use chrono::{DateTime, TimeDelta};
    use futures::future::join_all;

    use super::*;
    use crate::clock::ManualClock;

    const HOUR: Duration = Duration::from_secs(3600);

    fn clock() -> ManualClock {
        ManualClock::new(DateTime::UNIX_EPOCH)
    }

    async fn slow(count: &AtomicUsize, outcome: Result<u8, SignInError>) -> Result<u8, SignInError> {
        count.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        outcome
    }

    #[tokio::test]
    async fn all_who_wait_share_one_fetch_and_its_failure() {
        let (cached, clock, count) = (Cached::default(), clock(), AtomicUsize::new(0));
        let all = |outcome: Result<u8, SignInError>| {
            join_all((0..10).map(|_| cached.get(&clock, HOUR, slow(&count, outcome.clone())))).boxed_local()
        };
        use futures::FutureExt as _;
        assert!(all(Err(SignInError::Unavailable)).await.iter().all(Result::is_err));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(all(Ok(7)).await.iter().all(|value| value.as_deref() == Ok(&7)));
        assert_eq!(count.load(Ordering::Relaxed), 2, "a failure is not kept");
        clock.advance(TimeDelta::seconds(3599));
        assert_eq!(cached.get(&clock, HOUR, slow(&count, Ok(8))).await.as_deref(), Ok(&7));
        clock.advance(TimeDelta::seconds(1));
        assert_eq!(cached.get(&clock, HOUR, slow(&count, Ok(8))).await.as_deref(), Ok(&8));
    }

    #[tokio::test]
    async fn a_value_is_renewed_once_for_all_and_not_again_within_a_minute() {
        let (cached, clock, count) = (Cached::default(), clock(), AtomicUsize::new(0));
        let pause = Duration::from_secs(60);
        let old = cached.get(&clock, HOUR, slow(&count, Ok(0))).await.unwrap();
        let renewed = join_all((0..10).map(|_| cached.renew(old.clone(), &clock, pause, slow(&count, Ok(1))))).await;
        assert!(renewed.iter().all(|value| value.as_deref() == Ok(&1)));
        let newer = renewed[0].clone().unwrap();
        let again = |value: Arc<u8>| cached.renew(value, &clock, pause, slow(&count, Ok(2)));
        assert_eq!(again(newer.clone()).await.as_deref(), Ok(&1));
        assert_eq!(count.load(Ordering::Relaxed), 2);
        clock.advance(TimeDelta::seconds(60));
        assert_eq!(again(newer).await.as_deref(), Ok(&2));
    }
}
