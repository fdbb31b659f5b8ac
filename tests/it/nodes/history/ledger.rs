//! What was asked for and what was promised: the truth that the nodes are measured by.

use std::time::Duration;

use keyloft::key::{KeyId, KeyState, NodeId, TenantId};
use parking_lot::{Mutex, MutexGuard};

/// A key that was promised.
#[derive(Debug, Clone)]
pub struct Promise {
    pub tenant: TenantId,
    pub name: &'static str,
    pub key_id: KeyId,
    pub api_key: String,
    pub issued: Duration,
    pub issued_on: NodeId,
    /// When somebody first asked to revoke it, and when that was promised, and by whom.
    pub revoke_asked: Option<Duration>,
    pub revoked: Option<(Duration, NodeId)>,
    /// Nodes that refuse it for as long as they live.
    pub refused_on: Vec<NodeId>,
    /// Whether its file was removed or restored by hand: then what is there counts, and no promise.
    pub by_hand: bool,
    /// Whether somebody may have disabled it.
    pub switched: bool,
    pub writes: Vec<Write>,
    pub rotations: Vec<Rotation>,
}

/// A new secret that was asked for.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// Whether the older ones were to stop at once; else they work on for longer than any history lasts.
    pub ends_older: bool,
    pub promised: Option<Secret>,
    /// Whether it is known to have changed nothing.
    pub refused: bool,
}

/// A secret that was promised.
#[derive(Debug, Clone)]
pub struct Secret {
    pub api_key: String,
    /// The revision of the key that it came with.
    pub rev: u64,
    pub at: Duration,
    pub by: NodeId,
}

/// Which field a change is about. Each is a register of its own: a change of one must not undo a change of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Source,
    Trust,
    State,
}

impl Field {
    pub const ALL: [Self; 3] = [Self::Source, Self::Trust, Self::State];
}

/// A change that was asked for.
#[derive(Debug, Clone)]
pub struct Write {
    pub field: Field,
    pub value: String,
    pub asked: Duration,
    pub promised: Option<Duration>,
    /// The revision in the answer.
    pub rev: Option<u64>,
    /// Whether it is known to have changed nothing.
    pub refused: bool,
}

#[derive(Debug, Default)]
pub struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
pub struct Pages {
    pub promises: Vec<Promise>,
    /// What broke.
    pub broken: Vec<String>,
    /// What was done, in words.
    pub events: Vec<String>,
    pub acknowledged: u64,
    pub failed: u64,
}

impl Ledger {
    pub fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock()
    }
}

impl Pages {
    pub fn tell(&mut self, at: Duration, words: &str) {
        self.events.push(format!("{:>9.3}s  {words}", at.as_secs_f64()));
    }

    /// Notes a key that was promised. No other key may own its name.
    pub fn issued(&mut self, promise: Promise) {
        let owner = self.promises.iter().find(|other| {
            (&other.tenant, other.name) == (&promise.tenant, promise.name)
                && other.revoke_asked.is_none()
                && !other.by_hand
        });
        if let Some(owner) = owner {
            let (first, second) = (owner.key_id, promise.key_id);
            self.broken.push(format!("{} belongs to {first} and was given to {second}", promise.name));
        }
        self.promises.push(promise);
    }
}

impl Promise {
    /// Whether it must work wherever it is known.
    pub fn must_work(&self) -> bool {
        self.revoke_asked.is_none() && !self.by_hand && !self.switched
    }

    /// Whether that is so of its first secret.
    pub fn first_must_work(&self) -> bool {
        self.must_work() && self.secrets().first().is_some_and(|first| !self.may_be_ended(first))
    }

    /// Every secret that was promised of it.
    pub fn secrets(&self) -> Vec<Secret> {
        let first = Secret { api_key: self.api_key.clone(), rev: 1, at: self.issued, by: self.issued_on };
        std::iter::once(first).chain(self.rotations.iter().filter_map(|rotation| rotation.promised.clone())).collect()
    }

    /// The secrets that were promised to end all those before them, this one too.
    pub fn ended_by(&self, secret: &Secret) -> impl Iterator<Item = &Secret> {
        let ends = self.rotations.iter().filter(|rotation| rotation.ends_older).filter_map(|end| end.promised.as_ref());
        let rev = secret.rev;
        ends.filter(move |end| end.rev > rev)
    }

    /// Whether a rotation may have ended it, including one with an unknown outcome.
    pub fn may_be_ended(&self, secret: &Secret) -> bool {
        let unclear = |rotation: &Rotation| rotation.ends_older && rotation.promised.is_none() && !rotation.refused;
        self.rotations.iter().any(unclear) || self.ended_by(secret).next().is_some()
    }

    /// Why what a field holds in the end cannot be: it must be the last value promised, or one written beside it.
    pub fn lost_write(&self, field: Field, found: &str, at_first: &str) -> Option<String> {
        let writes = || self.writes.iter().filter(|write| write.field == field);
        let candidates: Vec<&Write> = writes().filter(|write| write.value == found && !write.refused).collect();
        if candidates.is_empty() && found != at_first {
            return Some(format!("{field:?} of {} is {found:?}, which was never written", self.key_id));
        }
        // A write whose outcome is not known may come at any time.
        if candidates.iter().any(|write| write.promised.is_none()) {
            return None;
        }
        let settled = candidates.iter().filter_map(|write| write.promised).max().unwrap_or(self.issued);
        let later = writes().find(|write| write.value != found && write.promised.is_some() && write.asked > settled)?;
        Some(format!("{field:?} of {} is {found:?}: {:?} was promised later and is lost", self.key_id, later.value))
    }

    /// Two changes that were promised can never be the same revision.
    pub fn twin_revisions(&self) -> Option<String> {
        let rotated = self.rotations.iter().filter_map(|rotation| Some(rotation.promised.as_ref()?.rev));
        let mut revs: Vec<u64> = self.writes.iter().filter_map(|write| write.rev).chain(rotated).collect();
        revs.sort_unstable();
        let twin = revs.windows(2).find(|pair| pair[0] == pair[1])?;
        Some(format!("two changes of {} were promised as revision {}", self.key_id, twin[0]))
    }
}

pub fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Disabled => "disabled",
        KeyState::Revoked => "revoked",
    }
}
