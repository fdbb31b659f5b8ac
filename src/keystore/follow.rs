//! Following the bucket for as long as the node runs.
//!
//! Two tasks, so that what must be prompt never waits for what may take minutes: one polls the change log and beats the
//! heart, the other reconciles, purges and writes snapshots. After a start from a snapshot the latter begins at once.
//! Each is started again should it ever fail.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Keystore;
use crate::error::Result;
use crate::sync;

/// Within this time after the start, a node writes a snapshot if one is worth it. The time is random, so that not every
/// node writes one.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(20);
/// Within this after the log has grown long, a node reconciles and writes a snapshot.
const NEXT_SNAPSHOT: Duration = Duration::from_secs(30);
/// How often entries of the change log are copied into its history, unless a snapshot was written before.
const HISTORY: Duration = Duration::from_secs(3600);
/// How often old history is removed.
const FORGETTING: Duration = Duration::from_secs(24 * 3600);
/// The pause before a task that failed is started again.
const RESTART: Duration = Duration::from_secs(1);
/// The pause before a reconcile is tried again that has never worked.
const VERIFY_AGAIN: Duration = Duration::from_secs(5);

impl Keystore {
    /// Follows the bucket until dropped, or until [`Keystore::close`]: polls the change log once per interval, tells
    /// other nodes what was applied, and does maintenance beside that. A store that does not answer is asked again.
    /// Nothing is polled before the first [`Keystore::sync`] has worked.
    pub async fn follow(&self) {
        tokio::join!(
            keep_running("polling", || self.clone().poll_and_beat()),
            keep_running("maintenance", || self.clone().maintain()),
        );
    }

    async fn poll_and_beat(self) {
        tokio::join!(self.poll_regularly(), self.beat());
    }

    async fn poll_regularly(&self) {
        let interval = self.replica.settings().poll_interval;
        let mut answered = true;
        while self.running.pause(sync::around(interval)).await {
            if !self.cache.is_hydrated() {
                continue;
            }
            let polled = match self.replica.poll().await {
                Ok(_complete) => self.replica.publish().await, // If it is not, the maintenance has been woken.
                Err(error) => Err(error),
            };
            match &polled {
                Err(error) if answered => tracing::warn!("out of contact with the store: {error:?}"),
                Ok(()) if !answered => tracing::info!("in contact with the store again"),
                _ => {}
            }
            answered = polled.is_ok();
        }
    }

    /// Publishes a heartbeat and the last applied change, also while a poll has much to apply.
    async fn beat(&self) {
        let interval = self.replica.settings().poll_interval;
        let mut clock_was_right = true;
        while self.running.pause(sync::around(interval)).await {
            if let Err(error) = self.replica.publish().await {
                tracing::debug!("this node could not publish what it has applied: {error:?}");
            }
            let clock = self.replica.store_clock();
            match clock.check() {
                Err(error) if clock_was_right && clock.is_known() => tracing::error!("no events are taken: {error}"),
                Ok(()) if !clock_was_right => tracing::info!("the clock of this node is right: events are taken again"),
                _ => {}
            }
            clock_was_right = clock.check().is_ok() || !clock.is_known();
        }
    }

    /// The maintenance of a node beside polling. Each part may take minutes.
    async fn maintain(self) {
        let (revocations, deletions) = (self.retry_revocations_regularly(), self.finish_deletions_regularly());
        tokio::join!(revocations, deletions, self.finish_erasures_regularly(), async {
            tokio::select! {
                () = self.running.ending() => {} // All of it may be cut short.
                () = self.maintain_regularly() => {}
            }
        });
    }

    async fn maintain_regularly(&self) {
        let settings = self.replica.settings();
        let mut reconcile_at = Instant::now() + sync::around(settings.reconcile_interval);
        let mut history_at = Instant::now() + sync::up_to(HISTORY);
        let mut forget_at = Instant::now() + sync::up_to(FORGETTING);
        let mut first_snapshot = Some(Instant::now() + sync::up_to(FIRST_SNAPSHOT));
        loop {
            tokio::select! {
                () = tokio::time::sleep(sync::around(settings.poll_interval)) => {}
                () = self.replica.incomplete() => reconcile_at = Instant::now(),
            }
            if !self.cache.is_hydrated() {
                continue;
            }
            if first_snapshot.take_if(|due| Instant::now() >= *due).is_some() {
                self.compact().await;
                if let Err(error) = self.find_unfinished_deletions().await {
                    tracing::warn!("unfinished deletions of tenants could not be searched: {error:?}");
                }
                if let Err(error) = self.find_unfinished_erasures().await {
                    tracing::warn!("unfinished erasures of events could not be searched: {error:?}");
                }
            }
            if Instant::now() >= history_at {
                self.replica.note_head();
                if let Err(error) = self.replica.keep_history().await {
                    tracing::warn!("the change log could not be copied into its history: {error:?}");
                }
                history_at = Instant::now() + sync::around(HISTORY);
            }
            if Instant::now() >= forget_at {
                if let Err(error) = self.replica.forget_history().await {
                    tracing::warn!("old history of the change log could not be removed: {error:?}");
                }
                forget_at = Instant::now() + sync::around(FORGETTING);
            }
            if self.replica.needs_snapshot_soon() && reconcile_at > Instant::now() + NEXT_SNAPSHOT {
                reconcile_at = Instant::now() + sync::up_to(NEXT_SNAPSHOT);
            }
            if Instant::now() >= reconcile_at {
                if let Err(error) = self.full_reconcile().await {
                    tracing::warn!("the store could not be reconciled: {error:?}");
                }
                let pause = if self.cache.is_verified() { settings.reconcile_interval } else { VERIFY_AGAIN };
                reconcile_at = Instant::now() + sync::around(pause);
            }
        }
    }

    async fn full_reconcile(&self) -> Result<()> {
        let was_verified = self.cache.is_verified();
        let counts = self.replica.reconcile().await?;
        if !was_verified {
            tracing::info!(keys = counts.keys, "all keys are verified against the store");
        }
        if counts.changed + counts.removed > 0 {
            tracing::info!(changed = counts.changed, removed = counts.removed, "full reconcile applied changes");
        }
        self.find_unfinished_deletions().await?;
        self.find_unfinished_erasures().await?;
        self.purge().await?;
        self.compact().await;
        self.bucket.sweep().await;
        self.replica.sweep().await
    }

    /// Writes a snapshot if one is worth it. A failure is only logged.
    async fn compact(&self) {
        if let Err(error) = self.replica.compact().await {
            tracing::warn!("no snapshot could be written: {error:?}");
        }
    }

    /// Runs one round at once: applies changes of others, logs changes that are not logged yet, repeats revocations
    /// that are not durable, finishes deletions of tenants, and publishes the last applied change.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub async fn poll(&self) -> Result<()> {
        self.catch_up().await?;
        self.replica.log_remaining().await?;
        self.retry_revocations().await?;
        self.finish_deletions().await?;
        self.replica.publish().await
    }

    /// Ends following, waits until every change that was begun is durable and logged, and takes this node out of the
    /// list of nodes. Waits for changes no longer than `patience`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: other nodes then count this one as live for
    /// three minutes.
    pub async fn close(&self, patience: Duration) -> Result<()> {
        self.running.end();
        let ended = async {
            self.running.ended().await;
            self.replica.log_remaining().await
        };
        if !matches!(tokio::time::timeout(patience, ended).await, Ok(Ok(()))) {
            tracing::warn!(
                "changes are not logged yet: other nodes may learn of them only at their next full reconcile"
            );
        }
        self.replica.withdraw().await
    }
}

/// Runs a task until it ends, and again after a defect: a node must never go on without it. Dropping this ends the
/// task.
async fn keep_running<F: Future<Output = ()> + Send + 'static>(name: &'static str, start: impl Fn() -> F) {
    loop {
        let mut task = JoinSet::new(); // Ends its task when it is dropped.
        task.spawn(start());
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => tracing::error!("{name} has failed, and is started again"),
            _ => return,
        }
        tokio::time::sleep(RESTART).await;
    }
}
