//! One life of one node: a keystore at the end of a line, which keeps up once a second as `serve` does.

use std::sync::Arc;
use std::time::Duration;

use keyloft::access::{Action, Attempt, Denial, Permit, authenticate};
use keyloft::key::NodeId;
use keyloft::keystore::SyncSettings;
use keyloft::{Bucket, Keystore};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::store::{Disk, Line};
use super::time::{Skewed, Start};

/// How often a node asks for what is new.
pub const POLL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Node {
    pub keystore: Keystore,
    pub line: Arc<Line>,
    pub clock: Arc<Skewed>,
    pub id: NodeId,
    start: Start,
    /// When the last round began that came to its end.
    kept_up: Arc<Mutex<Option<Duration>>>,
    following: JoinHandle<()>,
}

impl Node {
    /// A node that loads its keys and follows, as soon as the store lets it.
    pub fn start(disk: &Arc<Disk>, start: Start, seed: u64) -> Arc<Self> {
        let line = Line::new(disk.clone(), seed);
        let clock = Arc::new(Skewed::new(start));
        let settings = SyncSettings { revoked_retention: Some(Duration::from_secs(400)), ..SyncSettings::default() };
        let keystore = Keystore::with_settings(Bucket::new(line.store()), Arc::default(), clock.clone(), settings);
        let kept_up = Arc::new(Mutex::new(None));
        let following = tokio::spawn(follow(keystore.clone(), start, kept_up.clone()));
        let id = keystore.replica().node_id();
        Arc::new(Self { keystore, line, clock, id, start, kept_up, following })
    }

    /// Stops it where it stands: nothing of it ever reaches the store again.
    pub fn kill(&self) {
        self.line.kill();
        self.following.abort();
    }

    /// Lets it ask for nothing by itself any more.
    pub fn stop_following(&self) {
        self.following.abort();
    }

    /// Everything that was acknowledged before this is in its memory.
    pub fn kept_up(&self) -> Option<Duration> {
        *self.kept_up.lock()
    }

    /// Whether it answers requests.
    pub fn serves(&self) -> bool {
        !self.line.is_dead() && !self.line.is_paused() && self.kept_up().is_some()
    }

    /// Runs a full reconcile.
    pub async fn sync(&self) -> keyloft::Result<()> {
        self.keystore.sync().await.map(drop)
    }

    pub fn authenticate(&self, api_key: &str) -> Result<Permit, Denial> {
        authenticate(self.keystore.cache(), api_key, &Attempt::new(Action::Inspect, self.keystore.now()))
    }

    /// Waits until it has kept up with what is in the store now.
    pub async fn catch_up(&self) {
        let now = self.start.elapsed();
        while self.kept_up().is_none_or(|at| at <= now) {
            tokio::time::sleep(POLL / 10).await;
        }
    }
}

async fn follow(keystore: Keystore, start: Start, kept_up: Arc<Mutex<Option<Duration>>>) {
    let note = |at| *kept_up.lock() = Some(at);
    loop {
        let began = start.elapsed();
        if keystore.sync().await.is_ok() {
            note(began);
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    loop {
        let began = start.elapsed();
        if keystore.poll().await.is_ok() {
            note(began);
        }
        tokio::time::sleep(POLL).await;
    }
}
