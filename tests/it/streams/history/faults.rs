//! Bad luck: nodes are killed and stopped, the store fails, and the stream is deleted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::RwLock;

use super::world::{NODES, WEB, World};
use crate::support::{Dice, line};

/// How long a node is stopped at most, unless `KEYLOFT_HISTORY_STOP_MS` says longer.
const STOPPED_MS: u64 = 2500;

/// Held for reading while a node is down and starts, which needs the store, and for writing while the store fails for
/// all.
pub type Gate = Arc<RwLock<()>>;

impl World {
    /// What happens to one node. In the end it runs, and reaches the store.
    pub async fn trouble(self: Arc<Self>, place: usize, gate: Gate) {
        let dice = self.dice(16 + place as u64);
        // Over S3 it takes a node longer to get well.
        let calm = if self.lines.is_empty() { 1 } else { 2 };
        while self.goes_on() {
            Self::pause(&dice, 300 * calm, 1800 * calm).await;
            match dice.below(100) {
                0..35 => self.kill(place, &dice, &gate).await,
                35..65 => {
                    self.note(format!("node {place} is stopped"));
                    self.fleet.signal(place, "STOP");
                    Self::pause(&dice, 100, super::number("KEYLOFT_HISTORY_STOP_MS").unwrap_or(STOPPED_MS)).await;
                    self.fleet.signal(place, "CONT");
                    self.ledger.tell(format!("node {place} goes on"));
                }
                65..90 => {
                    let _alone = gate.read().await;
                    self.fail(&[place], &dice, 1500).await;
                }
                _ => {}
            }
        }
    }

    async fn kill(&self, place: usize, dice: &Dice, gate: &Gate) {
        let _store = gate.read().await;
        self.note(format!("node {place} is killed"));
        self.fleet.kill(place);
        Self::pause(dice, 10, 800).await;
        self.ledger.tell(format!("node {place} is started"));
        self.fleet.start_node(place).await;
        self.ledger.tell(format!("node {place} greets"));
    }

    /// The store fails for all nodes at once, now and then.
    pub async fn outages(self: Arc<Self>, gate: Gate) {
        let dice = self.dice(32);
        while self.goes_on() {
            Self::pause(&dice, 1500, 6000).await;
            if self.goes_on() {
                let _all = gate.write().await;
                self.fail(&(0..NODES).collect::<Vec<_>>(), &dice, 1000).await;
            }
        }
    }

    /// For a while the store fails for some nodes: the lines to Ceph do, or no file in a directory may grow beyond a
    /// limit, as on a full disk.
    async fn fail(&self, places: &[usize], dice: &Dice, at_most_ms: u64) {
        let state = [line::State::Cut, line::State::Stalled, line::State::Mute][dice.index(3)];
        let limit = dice.below(6) * 700;
        let turn = |state, limit| {
            for place in places {
                match self.lines.get(*place) {
                    Some(line) => line.turn(state),
                    None => self.fleet.of_process(*place, |process| process.limit_files(limit)),
                }
            }
        };
        let what = if self.lines.is_empty() { format!("limited to {limit} bytes") } else { format!("{state:?}") };
        self.note(format!("the store of the nodes {places:?} is {what}"));
        turn(state, Some(limit));
        Self::pause(dice, 50, at_most_ms).await;
        turn(line::State::Open, None);
        self.ledger.tell(format!("the store of the nodes {places:?} is well"));
    }

    /// Deletes the stream once or twice in some worlds, by any node, until it is answered.
    pub async fn deletions(self: Arc<Self>) {
        let dice = self.dice(33);
        for _ in 0..[0, 0, 1, 2][dice.index(4)] {
            Self::pause(&dice, 1500, 5000).await;
            if !self.goes_on() {
                return;
            }
            self.note("the stream is deleted");
            self.ledger.begin_deletion();
            loop {
                let place = dice.index(NODES);
                let answer = self.fleet.admin(place, "DELETE", &format!("{WEB}?wait=0s"), None).await;
                let status = answer.as_ref().map(|(status, _)| *status);
                self.ledger.tell(format!("node {place} answers the deletion with {status:?}"));
                match status {
                    // Nothing is there any more: an earlier request has done it.
                    Some(200 | 202 | 404) => break self.ledger.end_deletion(),
                    None | Some(429 | 503) => tokio::time::sleep(Duration::from_millis(200)).await,
                    Some(_) => self.ledger.broken(format!("a deletion is answered {answer:?}")),
                }
                if self.ledger.is_broken() {
                    return;
                }
            }
        }
    }

    fn note(&self, words: impl Into<String>) {
        self.ledger.tell(words);
        self.ledger.count(|tally| tally.faults += 1);
    }
}

/// Damage that no node does, and that a history must find out.
#[derive(Debug, Clone, Copy)]
pub enum Damage {
    Lost,
    Copied,
}

impl World {
    /// Damages an object of ingest in a directory now and then.
    pub async fn damage(self: Arc<Self>, damage: Damage) {
        let dice = self.dice(34);
        while self.goes_on() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let objects = objects_of_ingest(&self.directory().join("streams/web"));
            let Some(object) = objects.get(dice.index(objects.len())) else { continue };
            // It may have been removed meanwhile.
            let _ = match damage {
                Damage::Lost => std::fs::remove_file(object),
                Damage::Copied => {
                    let name = format!("0000-{}.parquet", keyloft::key::KeyId::random());
                    std::fs::copy(object, object.with_file_name(name)).map(drop)
                }
            };
        }
    }
}

fn objects_of_ingest(stream: &Path) -> Vec<PathBuf> {
    let days = std::fs::read_dir(stream).into_iter().flatten().flatten();
    let files = days.flat_map(|day| std::fs::read_dir(day.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect()
}
