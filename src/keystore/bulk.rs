//! Many changes at once. What comes out is what would come out of one after the other; what is told to other nodes is told
//! in batches, with one entry of the change log each.
//!
//! A change is acknowledged after the entry of its batch. If the process ends before that, its names and keys are in the
//! bucket all the same: this node finds them when it starts, the others when they look at everything, or when the same is
//! asked again, because what is found unchanged is told of too.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::TimeDelta;
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::mpsc;

use super::Keystore;
use super::adopt::Pending;
use super::keys::{Broken, Brought, generate, patched, revoked};
use super::lanes::{Lane, waves};
use super::rotation::rotated;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, KeyPatch, KeyState, Label, NewKey, PlainSecret, TenantId};
use crate::sync::Touched;
use crate::sync::log::LogEntry;

/// How many changes are written at once. The more, the more of them share what a local disk does for each sync.
const WIDTH: usize = 64;
/// After so many changes in a row that the store did not answer, no other one is begun.
const PATIENCE: usize = 32;
/// How often a name is asked for again that another request of this node is about to give.
const TRIES: usize = 40;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(25);

/// One of many changes.
#[derive(Debug, Clone)]
pub enum Change {
    /// Issue a key: for a secret that somebody has already, or for one that is made now.
    Issue {
        /// What is said about it.
        new: Box<NewKey>,
        /// The secret that it is for. With one, the same issue again is no error: see [`Effect::Unchanged`].
        secret: Option<Brought>,
    },
    /// Change a key.
    Update {
        /// Which key.
        id: KeyId,
        /// What to change.
        patch: Box<KeyPatch>,
    },
    /// Give a key a secret that somebody has already.
    Rotate {
        /// Which key.
        id: KeyId,
        /// Its new secret.
        secret: Brought,
        /// How long the old one works on.
        overlap: TimeDelta,
    },
    /// Revoke a key.
    Revoke {
        /// Which key.
        id: KeyId,
    },
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The key is new.
    Issued,
    /// The key is another now.
    Updated,
    /// The key has another secret now.
    Rotated,
    /// The key is revoked.
    Revoked,
    /// It was so already: a live key of that name, secret and settings, a key as the patch wants it, a revoked key.
    Unchanged,
}

impl Effect {
    /// The word of answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Updated => "updated",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A change that is durable and told of.
#[derive(Debug)]
pub struct Done {
    /// The key as it is now.
    pub key: Arc<ApiKey>,
    /// What the change came to.
    pub effect: Effect,
    /// The API key in clear text, if it was made here: its only sight.
    pub secret: Option<PlainSecret>,
    /// The number of the change in the log, for [`crate::sync::Replica::receipt`]. Numbers never fall from one outcome to
    /// the next.
    pub change_seq: u64,
}

impl Done {
    pub(super) fn new(key: Arc<ApiKey>, effect: Effect) -> Self {
        Self { key, effect, secret: None, change_seq: 0 }
    }
}

/// The outcomes of many changes, in the order of the changes. When this is dropped, what has begun ends, and the rest does
/// not begin.
pub struct Outcomes {
    receiver: mpsc::Receiver<Result<Done>>,
    gate: Arc<Gate>,
}

impl Outcomes {
    /// Begins no other change: the outcome of each that has not begun is [`ErrorKind::NotBegun`].
    pub fn begin_no_more(&self) {
        self.gate.close();
    }
}

impl Stream for Outcomes {
    type Item = Result<Done>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        self.gate.close();
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outcomes({} waiting)", self.receiver.len())
    }
}

/// Whether changes may begin.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    unanswered: AtomicUsize,
}

impl Gate {
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A store that is out of reach is not asked a hundred thousand times.
    fn note<T>(&self, outcome: &Result<T>) {
        let unanswered = |error: &Error| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::RevokedHere);
        if !outcome.as_ref().is_err_and(unanswered) {
            self.unanswered.store(0, Ordering::Release);
        } else if self.unanswered.fetch_add(1, Ordering::AcqRel) + 1 >= PATIENCE {
            self.close();
        }
    }
}

impl Keystore {
    /// Makes many changes in a tenant, many at a time, and gives an outcome for each, in their order. Changes of one key or
    /// one name are made one after the other. Each outcome stands for itself: an error is that of one change.
    ///
    /// The errors are those of [`Keystore::adopt`], [`Keystore::update`], [`Keystore::rotate_to`] and
    /// [`Keystore::revoke`]; and [`ErrorKind::NotBegun`] for every change after the store has stopped answering.
    pub fn change_many(&self, tenant: &TenantId, changes: Vec<Change>, by: Option<Label>) -> Outcomes {
        let (sender, receiver) = mpsc::channel(LogEntry::MAX_CHANGES);
        let gate = Arc::new(Gate::default());
        let work = Work { keystore: self.clone(), tenant: tenant.clone(), by, gate: gate.clone() };
        // Whoever asked may hang up: what is in the bucket must be told of all the same.
        tokio::spawn(work.run(changes, sender));
        Outcomes { receiver, gate }
    }
}

/// The changes of one caller.
struct Work {
    keystore: Keystore,
    tenant: TenantId,
    by: Option<Label>,
    gate: Arc<Gate>,
}

impl Work {
    async fn run(self, changes: Vec<Change>, sender: mpsc::Sender<Result<Done>>) {
        if changes.is_empty() {
            return;
        }
        // What other nodes did a moment ago counts too; without an answer each change learns that for itself.
        if let Err(error) = self.keystore.catch_up().await {
            tracing::debug!("many changes begin without the latest of other nodes: {error:?}");
        }
        let mut changes = changes.into_iter();
        loop {
            let batch: Vec<Change> = changes.by_ref().take(LogEntry::MAX_CHANGES).collect();
            if batch.is_empty() || sender.is_closed() {
                return;
            }
            for outcome in self.batch(batch).await {
                if sender.send(outcome).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Writes the documents of a batch, then tells of all of them at once.
    async fn batch(&self, changes: Vec<Change>) -> Vec<Result<Done>> {
        let mut outcomes: Vec<(usize, Result<Done>)> = Vec::with_capacity(changes.len());
        let name_of = |id| self.keystore.cache.key(&self.tenant, id).map(|key| key.name.clone());
        for lanes in waves(changes, name_of) {
            let lanes = stream::iter(lanes).map(|lane| self.lane(lane).boxed()).buffer_unordered(WIDTH);
            outcomes.extend(lanes.collect::<Vec<_>>().await.into_iter().flatten());
        }
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        let mut outcomes: Vec<Result<Done>> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        let touched = |done: &Done| Touched::Key { tenant: self.tenant.clone(), key_id: done.key.key_id };
        let touched: Vec<Touched> = outcomes.iter().flatten().map(touched).collect();
        if touched.is_empty() {
            return outcomes;
        }
        let told = self.keystore.replica.append(touched).await;
        self.gate.note(&told);
        for outcome in &mut outcomes {
            if let Ok(done) = outcome {
                match &told {
                    Ok(change_seq) => done.change_seq = *change_seq,
                    Err(error) => *outcome = Err(Error::new(error.kind(), error.message())),
                }
            }
        }
        outcomes
    }

    async fn lane(&self, lane: Lane) -> Vec<(usize, Result<Done>)> {
        let mut outcomes = Vec::with_capacity(lane.len());
        for (at, change) in lane {
            let outcome = if self.gate.is_closed() { Err(not_begun()) } else { self.change(change).await };
            self.gate.note(&outcome);
            outcomes.push((at, outcome));
        }
        outcomes
    }

    async fn change(&self, change: Change) -> Result<Done> {
        let (keystore, tenant) = (&self.keystore, &self.tenant);
        match change {
            Change::Issue { new, secret: Some(secret) } => self.adopt(*new, secret).await,
            Change::Issue { new, secret: None } => {
                let secret = generate(new.key_type)?;
                let (brought, by) = (Brought::of(&secret), self.by.clone());
                let key = keystore.adopt_document(tenant.clone(), *new, brought, by, Pending::Refuse).await?;
                Ok(Done { secret: Some(secret), ..Done::new(key, Effect::Issued) })
            }
            Change::Update { id, patch } => {
                keystore.check_end(tenant, &patch).await?;
                self.swap(id, Broken::Refuse, Effect::Updated, patched(*patch)).await
            }
            Change::Rotate { id, secret, overlap } => {
                let _held = keystore.hold(&secret, Some((tenant, id)))?;
                let change = rotated(secret, keystore.clock.now(), overlap)?;
                self.swap(id, Broken::Refuse, Effect::Rotated, change).await
            }
            Change::Revoke { id } => {
                let revocation = self.swap(id, Broken::Overwrite, Effect::Revoked, revoked);
                keystore.refusing(tenant, id, None, revocation).await
            }
        }
    }

    async fn swap(
        &self,
        id: KeyId,
        broken: Broken,
        effect: Effect,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Done> {
        self.keystore.tenant_anywhere(&self.tenant).await?;
        let changed = AtomicBool::new(false);
        let noted = |key: &mut ApiKey| {
            let before = key.clone();
            change(key)?;
            changed.store(before != *key, Ordering::Release);
            Ok(())
        };
        let key = self.keystore.swap(self.tenant.clone(), id, None, broken, noted).await?;
        let effect = if changed.load(Ordering::Acquire) { effect } else { Effect::Unchanged };
        Ok(Done::new(key, effect))
    }

    /// Issues a key for a secret that its owner keeps: whoever asks again, after whatever interruption, gets the same key.
    async fn adopt(&self, new: NewKey, secret: Brought) -> Result<Done> {
        let keystore = &self.keystore;
        for _ in 0..TRIES {
            if let Some(key) = keystore.same(&self.tenant, &new, &secret) {
                return Ok(Done::new(key, Effect::Unchanged));
            }
            let issue =
                keystore.adopt_document(self.tenant.clone(), new.clone(), secret, self.by.clone(), Pending::Finish);
            match issue.await {
                Ok(key) => return Ok(Done::new(key, Effect::Issued)),
                Err(error) if is_taken(&error) => {
                    if let Some(key) = keystore.same(&self.tenant, &new, &secret) {
                        return Ok(Done::new(key, Effect::Unchanged));
                    }
                    match keystore.cache.named(&self.tenant, &new.name) {
                        Some(key) if key.digest.verify(&secret.digest) => return Err(differs()),
                        None if error.kind() == ErrorKind::DuplicateKeyName => {}
                        _ => return Err(error),
                    }
                    tokio::time::sleep(PAUSE).await; // Another request is giving the name, maybe to this very key.
                }
                Err(error) => return Err(error),
            }
        }
        Err(super::claim::duplicate())
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::DuplicateKeyName | ErrorKind::DuplicateApiKey) && error.wait().is_none()
}

fn differs() -> Error {
    Error::new(ErrorKind::DuplicateKeyName, "a live key has that name and that secret, but other settings: update it")
}

fn not_begun() -> Error {
    Error::new(ErrorKind::NotBegun, "it was not begun: ask again")
}

impl Keystore {
    /// The live key that an issue would make, if it is there already: its name, its secret, and all that is said of it.
    pub(super) fn same(&self, tenant: &TenantId, new: &NewKey, secret: &Brought) -> Option<Arc<ApiKey>> {
        self.cache.named(tenant, &new.name).filter(|key| is_same(key, new, secret))
    }
}

/// Whether a key is what an issue would make. Its state is no part of that: whoever disabled it since meant it.
pub(super) fn is_same(key: &ApiKey, new: &NewKey, secret: &Brought) -> bool {
    let wanted = new.clone().into_key(key.tenant.clone(), secret.digest, secret.hint);
    let trust = |key: &ApiKey| key.trust_level.clone().filter(|level| level.as_str() != ApiKey::STANDARD_TRUST);
    key.state != KeyState::Revoked
        && key.digest.verify(&secret.digest)
        && key.name == wanted.name
        && key.key_type == wanted.key_type
        && key.streams == wanted.streams
        && key.source_id == wanted.source_id
        && trust(key) == trust(&wanted)
        && new.expires_at.is_none_or(|said| said == key.expires_at) // Else it is what the tenant said by then.
        && key.networks == wanted.networks
        && key.limits == wanted.limits
        && key.metadata == wanted.metadata
}
